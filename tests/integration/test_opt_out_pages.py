"""The way out: one click from anywhere, in force when it is answered, and never by looking."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import httpx
import ledger_rows as rows
import pytest
import web_world
from web_world import LATER

from winback.core.message_links import capability
from winback.core.reasons import Reason
from winback.ledger import claims, diary, erasure, refusals, who_refused
from winback.ledger.refusals import Act
from winback.ledger.schema import METADATA

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def pages(tmp_path, database_url):
    made = web_world.make_pages(tmp_path / "project", "c1", "c2", database_url=database_url)
    yield made
    made.ledger.close()


def _refused(pages, customer: str) -> list[tuple[str, str]]:
    with pages.ledger.reading() as connection:
        found = who_refused.refusals_of(connection, customer, pepper=rows.PEPPER)
    return sorted({(one.channel, one.reason.value) for one in found})


def _state(pages) -> list:
    """Everything the ledger holds, row by row."""
    with pages.ledger.reading() as connection:
        return [
            connection.execute(table.select().order_by(*table.primary_key.columns)).all()
            for table in METADATA.sorted_tables
        ]


def _claimed(pages) -> set[str]:
    with pages.ledger.writing() as connection:
        return {one.customer_id for one in claims.claim(connection, limit=10, now=rows.NOW, owner="s1").messages}


def test_get_shows_one_button(pages):
    answer = pages.browser.get(pages.link("c1", "u"))
    assert answer.status_code == 200
    assert answer.text.count("<button") == 1
    assert '<form method="post">' in answer.text
    assert _refused(pages, "c1") == []


def test_post_stops_the_channel_at_once_without_cookies_from_another_site(pages):
    provider = pages.visitor(origin="https://mail.example", **{"sec-fetch-site": "cross-site"})
    answer = provider.post(pages.link("c1", "u"), data=ONE_CLICK)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None)
    assert _refused(pages, "c1") == [("email", "opted_out")]
    assert _refused(pages, "c2") == []
    assert _claimed(pages) == {"c2"}


@pytest.mark.parametrize("content", [b"", b"List-Unsubscribe=One-Click", b"\xff\x00", b"a" * 2000])
def test_whatever_the_body_says(pages, content):
    assert pages.browser.post(pages.link("c1", "u"), content=content).status_code == 200
    assert _refused(pages, "c1") == [("email", "opted_out")]


def test_a_multipart_body_will_do(pages):
    """RFC 8058 lets a provider send it so."""
    assert pages.browser.post(pages.link("c1", "u"), files={"List-Unsubscribe": (None, "One-Click")}).status_code == 200
    assert _refused(pages, "c1") == [("email", "opted_out")]


def test_a_hundred_times_is_once(pages):
    codes = {pages.visitor(f"192.0.2.{n}").post(pages.link("c1", "u"), data=ONE_CLICK).status_code for n in range(100)}
    assert codes == {200}
    with pages.ledger.reading() as connection:
        assert len([line for line in diary.read_entries(connection) if line.action == "suppress"]) == 1


def test_no_limit_refuses_a_valid_one_click(pages):
    """All of a provider's come from one address."""
    assert [pages.browser.get("/nothing").status_code for _ in range(121)][-1] == 429
    assert pages.browser.post(pages.link("c1", "u"), data=ONE_CLICK).status_code == 200
    assert pages.browser.post("/u/" + "A" * 32, data=ONE_CLICK).status_code == 429


def test_a_no_by_address_holds_for_another_customer_with_it(pages):
    pages.browser.post(pages.link("c1", "u"))
    with pages.ledger.writing() as connection:
        rows.people.replace_contacts(
            connection,
            rows.contacts("c1", "c2", "c3", email=["c1@example.com", "c2@example.com", "c1@example.com"],
                          email_key=["c1@example.com", "c2@example.com", "c1@example.com"]),
            pepper=rows.PEPPER,
            as_of=rows.NIGHT,
        )  # fmt: skip
    assert _refused(pages, "c3") == [("email", "opted_out")]


def test_a_no_in_a_stop_word_becomes_one_that_start_cannot_take_back(pages):
    act = Act(rows.NOW, rows.NIGHT, refusals.STOP_WORD, "webhook:twilio")
    target = refusals.Target("email", customer_id="c1")
    with pages.ledger.writing() as connection:
        refusals.suppress(connection, target, act, pepper=rows.PEPPER, reason=Reason.OPTED_OUT)
    pages.browser.post(pages.link("c1", "u"))
    later = Act(LATER + timedelta(days=1), rows.NIGHT, refusals.STOP_WORD, "webhook:twilio")
    with pages.ledger.writing() as connection:
        refusals.lift(connection, target, later, pepper=rows.PEPPER, source=refusals.STOP_WORD)
    assert _refused(pages, "c1") == [("email", "opted_out")]


def test_old_links_work_after_the_key_changed_and_the_year_turned(pages):
    path = pages.link("c1", "u")
    later = web_world.make_site(pages, WINBACK_SECRET_KEY=f"a newer key,{web_world.KEY.decode()}")
    later.clock.now = LATER + timedelta(days=4000)
    assert later.visitor().post(path).status_code == 200
    assert _refused(pages, "c1") == [("email", "opted_out")]


def test_who_was_forgotten_may_still_say_no(pages):
    path = pages.link("c1", "u")
    with pages.ledger.writing() as connection:
        erasure.forget(connection, "c1", Act(LATER, rows.NIGHT, "cli", "cli"), pepper=rows.PEPPER)
    assert pages.browser.get(path).status_code == 200
    assert pages.browser.post(path).status_code == 200


def test_a_token_of_another_purpose_or_of_nobody_is_not_there(pages):
    message_id = pages.message_id("c1")
    wrong = [
        capability(message_id, "preferences", key=web_world.KEY),
        capability(message_id, "unsubscribe", key=b"somebody else's key"),
        capability("0" * 32, "unsubscribe", key=web_world.KEY),
        pages.link("c1", "s").removeprefix("/s/"),
        message_id,
        "c1",
    ]
    before = _state(pages)
    for method, token in itertools.product(["GET", "POST", "HEAD"], wrong):
        assert pages.visitor().request(method, f"/u/{token}").status_code == 404
    assert _state(pages) == before


def test_looking_at_every_link_three_times_at_once_changes_nothing(pages):
    paths = [pages.link(one, kind) for one in ("c1", "c2") for kind in ("u", "p", "s", "l")]
    before = _state(pages)

    async def look() -> list[httpx.Response]:
        visitors = [pages.visitor(f"192.0.2.{number}") for number in range(3)]
        asked = itertools.product(visitors, ["GET", "HEAD", "OPTIONS"], paths)
        return await asyncio.gather(*(visitor.ask(method, path) for visitor, method, path in asked))

    codes = {answer.status_code for answer in asyncio.run(look())}
    assert codes <= {200, 302, 405}
    assert _state(pages) == before


def test_after_the_answer_the_no_is_there_whatever_happens_to_the_process(pages):
    """A real process, killed with SIGKILL the moment its 200 arrived."""
    with web_world.served(pages.project) as (process, address):
        answer = httpx.post(address + pages.link("c1", "u"), data=ONE_CLICK)
        process.kill()
        process.wait(30)
    assert answer.status_code == 200
    assert _refused(pages, "c1") == [("email", "opted_out")]
