"""Short links and the pages they open: who answers, enters or takes a coupon does it once; who looks does nothing."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import ledger_rows as rows
import outbox_world
import pytest
import web_world
from web_world import LATER

from winback.ledger import (
    claims,
    coupons,
    engagements,
    erasure,
    links,
    people_tables,
    public_tables,
    queue,
    signs_of_life,
    verdicts,
)
from winback.ledger.gate import Terms
from winback.ledger.refusals import Act
from winback.web.landing_pages import is_allowed

TERMS = "https://www.acme.example/terms"
POLICY = """version: 1
programme: winback
trigger: {behaviours: [purchase]}
ladder:
  steps:
    - {day: 30, kind: survey, channels: [email], template: survey}
    - {day: 40, kind: contest, channels: [email], template: survey, countries: [FR, DE], terms_url: "%s"}
    - {day: 50, kind: coupon, channels: [email], template: survey, pool: thanks}
    - {day: 60, kind: coupon, channels: [email], template: survey}
    - {day: 70, kind: message, channels: [email], template: survey, url: "https://www.acme.example/new"}
    - {day: 80, kind: message, channels: [email], template: survey}
"""
SURVEY, CONTEST, COUPON, VOUCHER, LINK, PLAIN = 1, 2, 3, 4, 5, 6
ENTRY = {"answer": "1", "country": "DE", "age": "yes", "agreed": "yes"}


class Shop(web_world.Pages):
    """Pages with a message for each step of one customer."""

    def path(self, step: int, kind: str = "l", customer: str = "c1") -> str:
        with self.ledger.reading() as connection:
            found = queue.list_messages(connection, customer_id=customer)
        message_id = next(row["message_id"] for row in found if row["step"] == step)
        return f"/{kind}/{web_world.short_code(message_id)}"

    def act(self, step: int, customer: str = "c1", **data: str):
        return self.visitor().post(self.path(step, customer=customer), data=data)

    def engaged(self, step: int, kind: str) -> dict | None:
        with self.ledger.reading() as connection:
            found = queue.list_messages(connection, customer_id="c1")
            message_id = next(row["message_id"] for row in found if row["step"] == step)
            act = engagements.read(connection, message_id, kind)
        return None if act is None else json.loads(act.detail)


@pytest.fixture
def shop(tmp_path, database_url):
    root = tmp_path / "project"
    outbox_world.make_project(root)
    (root / "policies" / "winback.yaml").write_text(POLICY % TERMS)
    config = root / "winback.yaml"
    config.write_text(config.read_text() + "web: {link_hosts: [www.acme.example]}\n")
    made = web_world.make_pages(root, "c1", "c2", database_url=database_url, kind=Shop)
    with made.ledger.writing() as connection:
        for step in (CONTEST, COUPON, VOUCHER, LINK, PLAIN):
            day = rows.pd.Timestamp(rows.NIGHT) + rows.pd.Timedelta(days=step)
            further = rows.messages("c1", "c2", step=step, as_of=day, local_day=day)
            verdicts.queue_messages(connection, further, pepper=rows.PEPPER)
        coupons.add(connection, "thanks", [("THX-2", None), ("THX-1", date(2026, 4, 1))], now=rows.NOW)
        target = {row["message_id"]: "https://www.acme.example/new" for row in
                  queue.list_messages(connection, customer_id="c1") if row["step"] == LINK}  # fmt: skip
        links.store_targets(connection, target, now=rows.NOW)
    yield made
    made.ledger.close()


def test_a_short_link_leads_to_the_page_of_its_message(shop):
    answer = shop.browser.get(shop.path(SURVEY, "s"))
    assert (answer.status_code, answer.headers["location"]) == (302, shop.path(SURVEY))
    assert shop.browser.get(answer.headers["location"]).status_code == 200


def test_a_short_link_leads_where_the_message_was_planned_to_lead(shop):
    answer = shop.browser.get(shop.path(LINK, "s"))
    assert (answer.status_code, answer.headers["location"]) == (302, "https://www.acme.example/new")


def test_a_target_that_is_not_allowed_any_more_leads_nowhere(shop):
    config = shop.project.root / "winback.yaml"
    config.write_text(config.read_text().replace("www.acme.example", "shop.acme.example"))
    path = shop.path(LINK, "s")
    project = web_world.load_project(shop.project.root, shop.project.environment)
    browser = web_world.Browser(web_world.make_public_app(project, shop.ledger, clock=shop.clock), "192.0.2.9", {})
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("query", ["?url=https://evil.example", "?next=//evil.example", "?to=javascript:alert(1)"])
def test_no_address_is_taken_from_a_request(shop, query):
    for kind in ("s", "l"):
        answer = shop.browser.get(shop.path(SURVEY, kind) + query, headers={"host": "evil.example"})
        assert "evil" not in answer.headers.get("location", "")
        assert "evil" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "/s//evil.example", "/s/https://evil.example", "/s/%2f%2fevil.example", "/s/\\evil.example",
        "/l/../s/https:evil.example", "/s/AAAAAAAAAA=", "/s/AAAAAAAAAAA/", "/s/%0d%0aLocation:%20https://evil.example",
    ],
)  # fmt: skip
def test_nothing_made_up_redirects(shop, path):
    answer = shop.visitor().get(path)
    assert answer.status_code == 404
    assert "location" not in answer.headers


HOST = "www.acme.example"
TRAPS = [
    "http://www.acme.example/", "//www.acme.example/", "https:www.acme.example", "https:/www.acme.example",
    "https:///www.acme.example", "https://evil.example/", "https://www.acme.example.evil.example/",
    "https://evil.example/www.acme.example", "https://evil.example?www.acme.example",
    "https://evil.example#www.acme.example", "https://www.acme.example@evil.example/",
    "https://evil.example\\@www.acme.example/", "https://evil.example\\www.acme.example", "https://user:@www.acme.example/",
    "https://www.acme.example:8443/", "https://www.acme.example:443/", "https://WWW.acme.example%2eevil.example/",
    "https://www.acme.example%00.evil.example/", "https://www.acme.example\t.evil.example/", "https://www.acme.example\n/",
    "https://www.acme.example \r\nSet-Cookie: a=b", " https://www.acme.example/", "https://www.acme.example/ ",
    "javascript:alert(1)", "javascript://www.acme.example/%0aalert(1)", "data:text/html,www.acme.example",
    "vbscript:msgbox", "file://www.acme.example/etc/passwd", "ftp://www.acme.example/", "https://[::1]/",
    "https://127.0.0.1/", "https://2130706433/", "https://localhost/", "https://www.acme.example\u3002evil.example/",
    "https://www.ac\u043ce.example/", "https://www\uff0eacme.example/", "https://\u202ewww.acme.example/", "", "https://",
    "https://?", "https://#", "https://.", "https://www.acme.example.", "https://acme.example/", "https://xwww.acme.example/",
    "HTTPS://evil.example/", "https://[www.acme.example]/", "https://www.acme.example@", "https://@www.acme.example/",
    "https://www.acme.example\\@evil.example", "\\\\www.acme.example", "/\\www.acme.example", "https://\x00www.acme.example/",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAPS)
def test_an_address_that_may_hide_another_is_not_allowed(target):
    assert not is_allowed(target, [HOST])


def test_an_honest_address_is_allowed():
    assert len(TRAPS) >= 50
    assert is_allowed("https://www.acme.example/new?colour=red#top", [HOST])
    assert not is_allowed("https://www.acme.example/", [])


# --- survey --------------------------------------------------------------------------------------------------------


def test_a_survey_is_answered_once(shop):
    assert shop.act(SURVEY, score="4", reason="1", comment="  more bread  ").status_code == 200
    assert shop.engaged(SURVEY, "survey") == {"score": 4, "reason": 1, "comment": "more bread"}
    assert shop.act(SURVEY, score="1").status_code == 200
    assert shop.engaged(SURVEY, "survey")["score"] == 4
    assert "Merci" in shop.browser.get(shop.path(SURVEY)).text


def test_of_two_answers_at_once_the_first_stays(shop):
    with shop.ledger.writing() as connection:
        found = queue.list_messages(connection, customer_id="c1")
        message = links.find_message(connection, next(row["message_id"] for row in found if row["step"] == SURVEY))
        for score in (4, 1):
            said = engagements.record(connection, message, "survey", detail={"score": score}, now=LATER)
            assert json.loads(said.detail) == {"score": 4}


@pytest.mark.parametrize("data", [{}, {"score": "6"}, {"score": "four"}, {"comment": "hm"}, {"score": "٣"}])
def test_half_an_answer_is_asked_for_again_and_kept_on_the_page(shop, data):
    answer = shop.act(SURVEY, **data)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert data.get("comment", "") in answer.text
    assert shop.engaged(SURVEY, "survey") is None


def test_what_somebody_writes_stays_text(shop):
    text = shop.act(SURVEY, comment="</textarea><script>alert(1)</script>{{ 7*7 }}").text
    assert "<script" not in text
    assert "&lt;/textarea&gt;" in text


def test_an_answer_brings_the_customer_back_before_the_claim(shop):
    shop.act(SURVEY, score="4")
    with shop.ledger.writing() as connection:
        signs = signs_of_life.read_signs(connection, ["c1"])["c1"]
        terms = Terms(returns={"winback": {engagements.ANSWER}}, plan_ttl=timedelta(days=9))
        taken = claims.claim(connection, limit=20, now=LATER, owner="s1", terms=terms).messages
    assert [sign.behaviour for sign in signs] == ["answer"]
    assert {one.customer_id for one in taken} == {"c2"}


def test_the_form_can_be_sent_by_nobody_but_its_page(shop):
    data = {"score": "4"}
    answer = shop.visitor(origin="https://evil.example").post(shop.path(SURVEY), data=data)
    assert answer.status_code == 403
    assert shop.engaged(SURVEY, "survey") is None


# --- contest -------------------------------------------------------------------------------------------------------


def test_a_contest_shows_its_terms_and_its_countries_in_the_language(shop):
    text = shop.browser.get(shop.path(CONTEST)).text
    assert f'href="{TERMS}"' in text
    assert "Allemagne" in text
    assert '<option value="FR" selected>' in text


def test_a_contest_is_entered_once_with_the_terms_that_were_shown(shop):
    assert shop.act(CONTEST, **ENTRY).status_code == 200
    shop.act(CONTEST, **ENTRY | {"country": "FR"})
    assert shop.engaged(CONTEST, "contest") == {"answer": 1, "country": "DE", "terms": TERMS}


@pytest.mark.parametrize("missing", sorted(ENTRY))
def test_a_contest_wants_everything(shop, missing):
    assert shop.act(CONTEST, **{name: value for name, value in ENTRY.items() if name != missing}).status_code == 422
    assert shop.engaged(CONTEST, "contest") is None


def test_a_contest_is_for_its_countries(shop):
    assert shop.act(CONTEST, **ENTRY | {"country": "US"}).status_code == 422
    assert shop.engaged(CONTEST, "contest") is None


# --- coupon --------------------------------------------------------------------------------------------------------


def test_a_coupon_is_shown_by_its_button_and_is_the_same_each_time(shop):
    path = shop.path(COUPON)
    assert "THX" not in shop.browser.get(path).text
    first, again = shop.act(COUPON).text, shop.act(COUPON).text
    assert "THX-1" in first  # the one that expires first
    assert "1 avril 2026" in first
    assert "THX-1" in again
    assert "THX" not in shop.browser.get(path).text
    assert shop.engaged(COUPON, "coupon") == {}


def test_every_person_has_a_code_of_their_own_and_a_dry_pool_says_so(shop):
    assert "THX-1" in shop.act(COUPON).text
    assert "THX-2" in shop.act(COUPON, customer="c2").text
    with shop.ledger.writing() as connection:
        again = rows.messages("c1", step=COUPON, cycle=2, local_day=rows.pd.Timestamp("2026-05-01"))
        verdicts.queue_messages(connection, again, pepper=rows.PEPPER)
        newest = max(queue.list_messages(connection, customer_id="c1"), key=lambda row: row["cycle"])
    answer = shop.visitor().post(f"/l/{web_world.short_code(newest['message_id'])}")
    assert "pas encore" in answer.text
    assert "THX" not in answer.text


def test_a_coupon_without_a_pool_is_the_page_itself(shop):
    assert "Montrez cette page" in shop.act(VOUCHER).text
    assert shop.engaged(VOUCHER, "coupon") == {}


def test_a_used_coupon_says_so(shop):
    shop.act(COUPON)
    with shop.ledger.writing() as connection:
        assert coupons.redeem(connection, "thanks", [("THX-1", LATER), ("NOT-OURS", LATER)]) == 1
    assert "THX-1" not in shop.act(COUPON).text


@pytest.mark.parametrize(
    ("zone", "at", "is_good"),
    [
        ("Europe/Paris", "2026-04-01 23:59 +0200", True),
        ("Europe/Paris", "2026-04-02 00:00 +0200", False),
        # The shop is in Paris; where the customer is the day is longer, or over before.
        ("Pacific/Honolulu", "2026-04-01 23:59 -1000", True),
        ("Pacific/Honolulu", "2026-04-02 00:00 -1000", False),
        ("Pacific/Auckland", "2026-04-01 23:59 +1300", True),
        ("Pacific/Auckland", "2026-04-02 00:00 +1300", False),
    ],
)
def test_a_code_is_good_to_the_end_of_its_last_day_where_the_customer_is(shop, zone, at, is_good):
    assert "THX-1" in shop.act(COUPON).text
    shop.clock.now = datetime.strptime(at, "%Y-%m-%d %H:%M %z")
    with shop.ledger.writing() as connection:
        connection.execute(people_tables.contacts.update().values(timezone=zone))
    said = shop.act(COUPON).text
    assert ("THX-1" in said) is is_good
    assert ("Ce code était valable" in said) is not is_good
    assert "1 avril 2026" in said


def test_where_nobody_knows_the_place_the_day_is_the_longest_it_may_be(shop):
    """A country of many zones, no stored one: the last of them counts; without a country the shop's own."""
    shop.act(COUPON)
    nowhere = {"timezone": None, "phone_zones": None, "region": None}
    for country, at, is_good in (
        ("US", "23:59 -1000", True),
        (None, "23:59 +0200", True),
        (None, "23:59 +0100", False),
    ):
        shop.clock.now = datetime.strptime(f"2026-04-01 {at}", "%Y-%m-%d %H:%M %z")
        with shop.ledger.writing() as connection:
            connection.execute(people_tables.contacts.update().values(country=country, **nowhere))
        assert ("THX-1" in shop.act(COUPON).text) is is_good


def test_nobody_is_given_a_code_that_is_over_where_they_are(shop):
    shop.clock.now = datetime.strptime("2026-04-01 13:00 +0200", "%Y-%m-%d %H:%M %z")
    with shop.ledger.writing() as connection:
        connection.execute(people_tables.contacts.update().values(timezone="Pacific/Auckland"))
    assert "THX-2" in shop.act(COUPON).text


def test_a_plain_message_has_a_page_that_wants_nothing(shop):
    assert shop.browser.get(shop.path(PLAIN)).status_code == 200
    assert shop.act(PLAIN).status_code == 405


# --- nobody there --------------------------------------------------------------------------------------------------


def test_who_was_forgotten_has_no_page_and_left_no_answer(shop):
    shop.act(SURVEY, score="4", comment="I am Anna")
    paths = [shop.path(step) for step in (SURVEY, CONTEST, COUPON)]
    with shop.ledger.writing() as connection:
        erasure.forget(connection, "c1", Act(LATER, rows.NIGHT, "cli", "cli"), pepper=rows.PEPPER)
        said = connection.execute(public_tables.engagements.select()).mappings().one()
    assert said["detail"] == "{}"
    assert said["customer_id"].startswith("erased-")
    assert {shop.browser.get(path).status_code for path in paths} == {404}
    assert {shop.visitor().post(path, data=ENTRY).status_code for path in paths} == {404}


@pytest.mark.parametrize("language", ["en", "fr", "de", "es", "it"])
def test_every_page_speaks_every_language(shop, language):
    with shop.ledger.writing() as connection:
        web_world.set_locale(connection, "c1", language)
    for step in (SURVEY, CONTEST, COUPON, VOUCHER, PLAIN):
        text = shop.visitor().get(shop.path(step)).text
        assert f'<html lang="{language}" dir="ltr">' in text
        assert "{business}" not in text
