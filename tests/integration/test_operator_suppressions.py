"""Who is not written to: listed by hash, looked up by form, added by form and never lifted."""

from datetime import timedelta

import operator_world
import pytest
import web_world
from operator_world import words

from winback.core.reasons import Reason
from winback.ledger import diary, keys
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import Act, Target, lift, suppress
from winback.ledger.who_refused import refusals_of

HOSTILE = '=cmd|"<script>alert(1)</script>'


@pytest.fixture
def pages(tmp_path, database_url):
    public = web_world.make_pages(tmp_path, "c1", "c2", HOSTILE, database_url=database_url)
    yield operator_world.OperatorPages(public.project, public.ledger, clock=public.clock)
    public.ledger.close()


def refused(pages, customer: str) -> set[tuple[str, str, str]]:
    with pages.ledger.reading() as connection:
        found = refusals_of(connection, customer, pepper=pages.ledger.pepper)
    return {(one.channel, one.kind, one.source) for one in found}


def refuse(pages, target: Target, reason=Reason.OPTED_OUT):
    with pages.ledger.writing() as connection:
        act = Act(pages.clock(), pages.clock().date(), "one_click", "one_click")
        suppress(connection, target, act, pepper=pages.ledger.pepper, reason=reason)


@pytest.mark.parametrize("who", ["c1", "C1@Example.com"])
def test_a_no_by_form_is_in_force_and_in_the_log(pages, who):
    fields = {"who": who, "channel": "email", "reason": "complained"}
    answer = pages.operator().post("/suppressions", fields)
    said = words(answer.text)
    assert answer.status_code == 200
    assert "Suppressed from now on" in said
    assert f"What holds about {who}" in said
    assert "customer c1 email this contact complained about a message ( complained )" in said
    assert refused(pages, "c1") == {("email", "customer", "operator"), ("email", "address", "operator")}
    assert refused(pages, "c2") == set()
    with pages.ledger.reading() as connection:
        lines = diary.read_entries(connection)
    assert [(line.actor, line.action) for line in lines] == [("operator:Ada", "suppress")]
    assert len(lines[0].subject) == 64
    assert "example.com" not in f"{lines[0].subject}{lines[0].after}"
    assert "It held already" in words(pages.operator().post("/suppressions", fields).text)


def test_a_no_needs_the_form_of_the_session(pages):
    fields = {"who": "c1", "channel": "all", "reason": "opted_out"}
    assert pages.operator().send("/suppressions", fields).status_code == 403
    assert pages.stranger().send("/suppressions", fields).status_code == 403
    assert pages.operator().get("/suppressions", params=fields).status_code == 200
    assert refused(pages, "c1") == set()


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"who": "nobody", "channel": "all", "reason": "opted_out"}, 422, "unknown customer"),
        ({"who": "a@", "channel": "all", "reason": "opted_out"}, 422, "is no e-mail address"),
        ({"who": "+1x", "channel": "all", "reason": "opted_out"}, 422, "is no phone number"),
        ({"who": "c1", "channel": "all", "reason": "sunset"}, 422, "expected one of"),
        ({"who": "c1", "channel": "pigeon", "reason": "opted_out"}, 400, "cannot be read"),
        ({"channel": "all", "reason": "opted_out"}, 422, "unknown customer"),
    ],
)
def test_what_cannot_be_meant_is_said(pages, fields, status, said):
    answer = pages.operator().post("/suppressions", fields)
    assert answer.status_code == status
    assert said in words(answer.text)


def test_somebody_is_found_by_address_and_by_id(pages):
    asking = pages.operator()
    refuse(pages, Target("email", address="c1@example.com"))
    refuse(pages, Target("sms", address="+33612345678"))
    for who in ("c1@example.com", "C1@EXAMPLE.com", "c1"):
        said = words(asking.post("/suppressions/search", {"who": who}).text)
        assert "this contact said stop ( opted_out )" in said[: said.index("Look somebody up")], who
    for who, answer in (("c2", "nobody"), ("+33612345678", "address "), ("unheard of", "nobody")):
        said = words(asking.post("/suppressions/search", {"who": who}).text)
        assert answer in said[said.index("What holds about") : said.index("Look somebody up")], who
    assert asking.post("/suppressions/search", {"who": ""}).status_code == 422


def test_the_list_shows_no_address_and_names_are_text(pages):
    refuse(pages, Target(customer_id=HOSTILE))
    refuse(pages, Target(address="c1@example.com"))
    page = pages.operator().get("/suppressions").text
    assert "<script>" not in page
    assert "=cmd|" in words(page)
    assert "example.com" not in page
    key = keys.address_key(pages.ledger.pepper, "email", "c1@example.com")
    assert key[:8] in page
    assert key not in page
    assert "lift" not in page.lower()


def test_what_the_person_took_back_is_not_in_the_list(pages):
    refuse(pages, Target(customer_id="c1"))
    refuse(pages, Target(customer_id="c2"))
    at = pages.clock() + timedelta(hours=1)
    with pages.ledger.writing() as connection:
        act = Act(at, at.date(), "preference_page", "preference_page")
        lift(connection, Target(customer_id="c1"), act, pepper=pages.ledger.pepper)
    said = words(pages.operator().get("/suppressions").text)
    assert "customer c2" in said
    assert "customer c1" not in said


def test_the_list_goes_on_page_by_page(pages):
    at = pages.clock()
    same = {"channel": "sms", "kind": "address", "reason": "opted_out", "programme": "", "source": "import"}
    rows = [{**same, "key": f"{number:08d}", "effective_on": at.date(), "created_at": at} for number in range(250)]
    with pages.ledger.writing() as connection:
        connection.execute(suppressions.insert(), rows)
    asking, path, shown = pages.operator(), "/suppressions", []
    while path:
        page = asking.get(path).text
        shown.append([part[:8] for part in page.split("address <code>")[1:]])
        path = page.split('href="')[-1].split('"')[0] if "Older ones" in page else ""
    assert [len(part) for part in shown] == [100, 100, 50]
    assert [key for part in shown for key in part] == [f"{number:08d}" for number in reversed(range(250))]
    for odd in ("x", "-1", "9" * 60, "²"):
        assert asking.get("/suppressions", params={"before": odd}).status_code == 200
