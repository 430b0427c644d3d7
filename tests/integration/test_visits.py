"""Who follows a link is noted behind the answer: cut, once, and never at the price of a slow redirect."""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta

import databases
import httpx
import ledger_rows as rows
import pytest
import web_world
from sqlalchemy import select
from test_vendor_hooks import event, make_pages, tell

from winback.core.message_links import short_code, unseen_code
from winback.ledger import erasure, signs_of_life
from winback.ledger.refusals import Act
from winback.ledger.visit_tables import visits
from winback.ledger.visits import Visit
from winback.night.judge_visits import judge_visits
from winback.night.retain import retain
from winback.web.visit_log import VisitLog

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1"


@pytest.fixture
def pages(tmp_path, database_url):
    made = make_pages(tmp_path / "project", database_url)
    yield made
    made.ledger.close()


def noted(pages) -> list:
    pages.visits.flush()
    with pages.ledger.reading() as connection:
        return connection.execute(select(visits).order_by(visits.c.seen_at, visits.c.link, visits.c.method)).all()


def unseen_path(pages, customer: str = "c1") -> str:
    return f"/s/{unseen_code(pages.message_id(customer), key=web_world.KEY)}"


def test_a_look_is_noted_with_its_network_and_what_it_calls_itself(pages):
    pages.visitor("198.51.100.77", **{"user-agent": PHONE}).get(pages.link("c1", "s"))
    [one] = noted(pages)
    assert one.message_id == pages.message_id("c1")
    assert (one.link, one.method, one.source, one.seen_at) == ("act", "GET", "pages", web_world.LATER)
    assert (one.network, one.agent) == ("198.51.100.0/24", PHONE)
    assert (one.is_open, one.is_prefetch, one.is_told, one.verdict) == (False, False, False, "")


def test_each_link_of_a_message_is_noted_as_what_it_is(pages):
    for kind in ("s", "l", "u", "p"):
        assert pages.browser.get(pages.link("c1", kind)).status_code in {200, 302}
    pages.browser.request("HEAD", pages.link("c1", "u"))
    assert sorted((one.link, one.method) for one in noted(pages)) == [
        ("act", "GET"), ("landing", "GET"), ("preferences", "GET"), ("unsubscribe", "GET"), ("unsubscribe", "HEAD"),
    ]  # fmt: skip


def test_the_link_nobody_sees_leads_where_the_other_does_and_tells_itself_apart(pages):
    answer = pages.browser.get(unseen_path(pages))
    assert (answer.status_code, answer.headers["location"]) == (302, f"/l/{short_code(pages.message_id('c1'))}")
    assert [one.link for one in noted(pages)] == ["unseen"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"X-Moz": "prefetch"}, {"X-Purpose": "preview"},
        {"Sec-Purpose": "Prefetch"},
    ],
)  # fmt: skip
def test_what_a_browser_loads_before_anybody_asked_is_noted_as_that(pages, headers):
    pages.browser.get(pages.link("c1", "s"), headers=headers)
    assert [one.is_prefetch for one in noted(pages)] == [True]


def test_neither_a_form_nor_a_link_that_leads_nowhere_is_a_look(pages):
    pages.browser.post(pages.link("c1", "u"))
    for path in ("/s/AAAAAAAAAAA", "/l/AAAAAAAAAAA", "/u/" + "A" * 32, "/p/" + "A" * 32, "/healthz"):
        pages.browser.get(path)
    assert noted(pages) == []


def test_a_link_is_answered_while_another_holds_the_ledger(pages):
    with pages.ledger.writing() as connection:
        rows_before = connection.execute(select(visits)).all()
        for kind in ("s", "l", "u", "p"):
            assert pages.browser.get(pages.link("c1", kind)).status_code in {200, 302}
        assert rows_before == connection.execute(select(visits)).all() == []
    assert len(noted(pages)) == 4


def test_what_does_not_fit_into_memory_is_counted_and_lost(pages):
    log = VisitLog(pages.ledger, most_waiting=2)
    pages.app.app.state.site.visit_log = log
    for _ in range(3):
        assert pages.browser.get(pages.link("c1", "s")).status_code == 302
    assert log.lost == 1
    log.flush()
    assert len(noted(pages)) == 2


def test_what_waits_is_written_when_the_pages_are_left(pages, caplog):
    log = VisitLog(pages.ledger, most_waiting=1)
    pages.app.app.state.site.visit_log = log
    for _ in range(3):
        pages.browser.get(pages.link("c1", "s"))
    with caplog.at_level(logging.WARNING, "winback.web"), log.writing():
        pass
    assert len(noted(pages)) == 1
    assert "2 visits were not noted" in caplog.text


def test_rows_that_cannot_be_written_do_not_end_the_noting(pages, caplog):
    log = VisitLog(pages.ledger)
    one = Visit("v", pages.message_id("c1"), "act", "pages", web_world.LATER.replace(tzinfo=None), "", "")
    log.note(one)  # a naive instant: the ledger refuses it
    with log.writing():
        pass
    assert "are lost" in caplog.text
    log.note(one._replace(seen_at=web_world.LATER))
    with log.writing():
        pass
    assert len(noted(pages)) == 1


def test_served_pages_note_visits_and_write_what_is_left_when_they_are_told_to_go(tmp_path):
    pages = make_pages(tmp_path / "project")
    with web_world.served(pages.project) as (_, address):
        for kind in ("s", "u"):
            httpx.get(address + pages.link("c1", kind), headers={"user-agent": PHONE})
    assert sorted((one.link, one.network, one.agent) for one in noted(pages)) == [
        ("act", "127.0.0.0/24", PHONE), ("unsubscribe", "127.0.0.0/24", PHONE),
    ]  # fmt: skip
    pages.ledger.close()


# --- what vendors tell ---------------------------------------------------------------------------------------------


def test_opens_and_clicks_a_vendor_tells_of_are_facts_of_the_same_kind(pages):
    pages.clock.now += timedelta(minutes=1)
    one = pages.message_id("c1")
    base = "https://go.acme.example"
    clicks = ["/s/" + short_code(one), unseen_path(pages), pages.link("c1", "u"), pages.link("c1", "p")]
    told = [event(one, "click", after=5 + n, url=base + path, ip="2001:db8::1", useragent=PHONE)
            for n, path in enumerate(clicks)]  # fmt: skip
    told += [
        event(one, "click", after=9, url="https://www.acme.example/s/shoes?email=c1@example.com", ip="x", useragent=3),
        event(one, "open", after=1, ip="198.51.100.7", useragent="Mozilla/5.0", sg_machine_open=True),
        event(one, "open", after=2),
        event(one, "delivered"),
    ]
    assert tell(pages, told).status_code == 204
    found = noted(pages)
    assert [(row.link, row.network, row.is_open, row.is_told) for row in found[:6]] == [
        ("picture", "198.51.100.0/24", True, True), ("picture", "", True, False),
        ("act", "2001:db8::/48", False, False), ("unseen", "2001:db8::/48", False, False),
        ("unsubscribe", "2001:db8::/48", False, False), ("preferences", "2001:db8::/48", False, False),
    ]  # fmt: skip
    assert found[6].link.startswith("other-")
    assert {row.source for row in found} == {"sendgrid"}
    assert "example.com" not in str(found)


def test_a_visit_that_is_told_again_is_noted_once_and_none_in_the_future(pages):
    one = pages.message_id("c1")
    click = event(one, "click", url="https://x.example/", after=86400)
    for body in ([click], [click, event(one, "delivered")], [event(one, "delivered"), click]):
        assert tell(pages, body).status_code == 204
    assert [row.seen_at for row in noted(pages)] == [web_world.LATER]


def test_a_vendor_cannot_bring_a_forgotten_person_back(pages):
    one = pages.message_id("c1")
    with pages.ledger.writing() as connection:
        act = Act(rows.NOW, rows.NIGHT, source="cli", actor="ann")
        erasure.forget(connection, "c1", act, pepper=rows.PEPPER)
    assert tell(pages, [event(one, "click", url="https://x.example/", ip="198.51.100.7")]).status_code == 204
    pages.browser.get("/s/" + short_code(one))
    assert noted(pages) == []


def test_an_unreadable_agent_or_address_is_no_fault(pages):
    one = pages.message_id("c1")
    odd = [event(one, "click", after=n, url="", ip=ip, useragent="\0\r\n" * 200)
           for n, ip in enumerate(("", "1.2.3", None, [], "::1%x", "9" * 500))]  # fmt: skip
    assert tell(pages, json.dumps(odd).encode()).status_code == 204
    assert {(row.network, len(row.agent)) for row in noted(pages)} == {("", 200), ("::/48", 200)}


def test_facts_go_after_ninety_days(pages):
    pages.browser.get(pages.link("c1", "s"))
    noted(pages)
    day = web_world.LATER.date()
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=90))["visits"] == 0
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=91))["visits"] == 1
    assert [(row.network, row.agent) for row in noted(pages)] == [(None, None)]


# --- judged, on both databases ---------------------------------------------------------------------------------------


def test_a_person_comes_back_and_who_was_forgotten_does_not(pages):
    policy = next((pages.project.root / "policies").glob("*.yaml"))
    policy.write_text(policy.read_text() + "clicks_return: true\n")
    for customer in ("c1", "c2"):
        pages.visitor(**{"user-agent": PHONE}).get(pages.link(customer, "s"))
    noted(pages)
    now = web_world.LATER + timedelta(minutes=6)
    path = pages.link("c1", "s")
    with pages.ledger.writing() as connection:
        act = Act(rows.NOW, rows.NIGHT, source="cli", actor="ann")
        erasure.forget(connection, "c1", act, pepper=rows.PEPPER)
    assert judge_visits(pages.project, pages.ledger, now=now) == {"human": 1, "machine": 0, "unknown": 0, "returned": 1}
    pages.browser.get(path)
    assert [row.verdict for row in noted(pages)] == ["human"]
    with pages.ledger.reading() as connection:
        assert {sign.behaviour for sign in signs_of_life.read_signs(connection, ["c2"])["c2"]} == {"answer"}
        assert signs_of_life.read_signs(connection, ["c1"]) == {}


@pytest.mark.postgres
def test_visits_are_judged_after_whoever_is_forgetting_somebody(tmp_path, postgres_shared):
    databases.empty(postgres_shared)
    pages = make_pages(tmp_path / "project", postgres_shared)
    for customer in ("c1", "c2"):
        pages.visitor(**{"user-agent": PHONE}).get(pages.link(customer, "s"))
    noted(pages)
    now = web_world.LATER + timedelta(minutes=6)
    judged: list[dict] = []
    judging = threading.Thread(target=lambda: judged.append(judge_visits(pages.project, pages.ledger, now=now)))
    with pages.ledger.writing() as connection:
        act = Act(rows.NOW, rows.NIGHT, source="cli", actor="ann")
        erasure.forget(connection, "c1", act, pepper=rows.PEPPER)
        judging.start()
        judging.join(timeout=0.5)
        assert judging.is_alive()
    judging.join(timeout=10)
    assert judged == [{"human": 1, "machine": 0, "unknown": 0, "returned": 0}]
    pages.ledger.close()
