"""Who followed a link, judged, and the nights after: programs move nobody, people only where the policy says so."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest
import web_world
from night_world import DAY, Shop, moment
from sqlalchemy import select
from test_answers_and_nights import Visitor
from test_vendor_hooks import everything

from winback.ledger import receipts
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles
from winback.ledger.public_tables import engagements
from winback.ledger.visit_tables import visits
from winback.ledger.visits import Visit
from winback.ledger.visits import store as store_visits
from winback.night.judge_visits import judge_visits
from winback.web.visit_log import VisitLog

NEXT = DAY + timedelta(days=1)
EVENING = moment(DAY, 20)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1"
PREVIEW = "WhatsApp/2.25.11.79 A"
NONE = {"human": 0, "machine": 0, "unknown": 0, "returned": 0}
STEPS = [{"day": 30, "kind": "survey", "channels": ["email"], "template": "survey"}]


@pytest.fixture(scope="module")
def first_night(tmp_path_factory) -> Shop:
    """A shop after a night, with one programme in which a click counts and one in which it does not."""
    shop = Shop(tmp_path_factory.mktemp("first") / "shop", customers=60)
    readers = {"trigger": {"behaviours": ["visit"]}, "value": 0.5, "ladder": {"steps": STEPS}}
    shop.policies(winback={"clicks_return": True}, readers=readers)
    shop.night()
    shop.freshen(NEXT)
    return shop


@pytest.fixture
def shop(first_night, tmp_path) -> Shop:
    return first_night.copy(tmp_path / "shop")


class Guest(Visitor):
    """Somebody with a message in their hand, whose visits are written at once."""

    def __init__(self, *of, **which) -> None:
        super().__init__(*of, **which)
        self.log = VisitLog(self.ledger)
        self.app.app.state.site.visit_log = self.log

    def look(self, kind: str = "s", agent: str = PHONE, *, method: str = "GET", seconds: float = 0) -> None:
        self.clock.now = EVENING + timedelta(seconds=seconds)
        assert self.ask(method, kind, headers={"user-agent": agent}).status_code in {200, 302}
        self.log.flush()

    def verdicts(self) -> list[tuple[str, str]]:
        query = select(visits.c.verdict, visits.c.why).where(visits.c.message_id == self.message_id)
        with self.ledger.reading() as connection:
            return [tuple(row) for row in connection.execute(query.order_by(visits.c.seen_at))]

    def clicks(self) -> list:
        mine = engagements.c.message_id == self.message_id, engagements.c.kind == "click"
        with self.ledger.reading() as connection:
            return connection.execute(select(engagements).where(*mine)).all()


def settle(shop, ledger, minutes: float = 6) -> dict[str, int]:
    return judge_visits(shop.project, ledger, now=EVENING + timedelta(minutes=minutes))


def closed(ledger, customer: str, programme: str = "winback") -> tuple:
    mine = cycles.c.customer_id == customer, cycles.c.programme == programme
    with ledger.reading() as connection:
        return tuple(connection.execute(select(cycles.c.closed_on, cycles.c.close_reason).where(*mine)).one())


def test_a_click_of_a_person_counts_once_five_minutes_have_passed(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        guest.look()
        guest.look("l", seconds=1)
        guest.look(seconds=200)
        assert settle(shop, ledger, minutes=4.9) == NONE
        assert settle(shop, ledger, minutes=5.01) == {**NONE, "human": 1, "returned": 1}
        assert settle(shop, ledger, minutes=9) == {**NONE, "human": 2}
        [click] = guest.clicks()
        assert (click.occurred_at, click.customer_id, click.is_qualified) == (EVENING, guest.customer, True)
        assert settle(shop, ledger, minutes=9) == NONE


def test_the_next_night_knows_who_clicked_and_takes_neither_a_preview_nor_another_programme_for_that(shop):
    """Only in the programme whose policy says so; the night judges by itself before it decides."""
    with shop.open_ledger() as (ledger, _):
        person, preview, reader = Guest(shop, ledger), Guest(shop, ledger, place=1), Guest(shop, ledger, "readers")
        person.look()
        preview.look(agent=PREVIEW)
        preview.look(method="HEAD", seconds=100)
        reader.look()
    shop.night(NEXT)
    assert shop.decided(NEXT)[person.customer]["reason"] == "returned"
    with shop.open_ledger() as (ledger, _):
        for guest in (person, preview, reader):
            guest.ledger = ledger
        assert closed(ledger, person.customer) == (NEXT, "returned")
        assert closed(ledger, preview.customer) == (None, None)
        assert closed(ledger, reader.customer, "readers") == (None, None)
        assert preview.verdicts() == [("machine", "preview"), ("machine", "head")]
        assert reader.verdicts() == [("human", "browser")]
        assert [len(guest.clicks()) for guest in (person, preview, reader)] == [1, 0, 0]


@pytest.mark.parametrize("kind", ["u", "p"])
def test_nobody_comes_back_by_the_way_out(shop, kind):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        guest.look(kind)
        assert settle(shop, ledger) == {**NONE, "human": 1}
        assert guest.clicks() == []


def test_settle_says_what_it_judged(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        guest.look()
        guest.look("u", agent="curl/8.9.1", seconds=300)
    assert shop.do("--json", "settle").data["visits"] == {**NONE, "human": 1, "machine": 1, "returned": 1}
    assert shop.do("--json", "settle").data["visits"] == NONE


def test_other_rules_judge_the_past_anew_and_move_nobody(shop):
    with shop.open_ledger() as (ledger, _):
        person, program = Guest(shop, ledger), Guest(shop, ledger, place=1)
        person.look()
        program.look(agent=PREVIEW)
        assert settle(shop, ledger) == {**NONE, "human": 1, "machine": 1, "returned": 1}
        table = 'version: 1\nchecked_on: 2026-11-22\nagents:\n  - {holds: "iphone", kind: tool, source: "a test"}\n'
        shop.write("rules/visitor_agents.yaml", table)
        assert settle(shop, ledger) == {**NONE, "machine": 1, "unknown": 1}
        assert (person.verdicts(), program.verdicts()) == ([("machine", "tool")], [("unknown", "no_browser")])
        assert (len(person.clicks()), program.clicks()) == (1, [])
        shop.write("rules/visitor_agents.yaml", table.replace("iphone", "android"))
        program.look(seconds=400)
        assert settle(shop, ledger, minutes=12) == {**NONE, "human": 2, "unknown": 1, "returned": 1}
        assert settle(shop, ledger, minutes=12) == NONE


def test_a_program_that_becomes_a_person_by_other_rules_brings_nobody_back(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        table = 'version: 1\nchecked_on: 2026-11-22\nagents:\n  - {holds: "iphone", kind: tool, source: "a test"}\n'
        shop.write("rules/visitor_agents.yaml", table)
        guest.look()
        assert settle(shop, ledger) == {**NONE, "machine": 1}
        (shop.root / "rules" / "visitor_agents.yaml").unlink()
        assert settle(shop, ledger) == {**NONE, "human": 1}
        assert guest.clicks() == []


def reports(ledger, message_id: str, **columns) -> None:
    with ledger.writing() as connection:
        this = messages.c.message_id == message_id
        connection.execute(messages.update().where(this).values(provider="sendgrid", **columns))


def test_a_mail_whose_delivery_will_be_told_of_is_judged_when_it_is_or_a_day_later(shop):
    with shop.open_ledger() as (ledger, _):
        guest, other = Guest(shop, ledger), Guest(shop, ledger, place=1)
        for one in (guest, other):
            one.look()
            reports(ledger, one.message_id)
        assert settle(shop, ledger, minutes=23 * 60) == NONE
        reports(ledger, guest.message_id, delivered_at=EVENING - timedelta(seconds=2))
        assert settle(shop, ledger, minutes=23 * 60) == {**NONE, "machine": 1}
        assert guest.verdicts() == [("machine", "too_soon")]
        assert settle(shop, ledger, minutes=24 * 60) == {**NONE, "human": 1, "returned": 1}
        assert other.verdicts() == [("human", "browser")]


def test_the_delivery_of_a_text_may_be_told_of_after_it_was_read(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        guest.look()
        reports(ledger, guest.message_id, channel="sms", delivered_at=EVENING + timedelta(hours=1))
        assert settle(shop, ledger) == {**NONE, "human": 1, "returned": 1}


def test_who_is_forgotten_is_not_brought_back_and_leaves_no_visit(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        guest.look()
    shop.do("forget", guest.customer)
    with shop.open_ledger() as (ledger, _):
        assert guest.verdicts() == []
        assert settle(shop, ledger) == NONE


def test_links_of_a_rendered_mail_asked_for_by_get_and_head_at_once_change_nothing_but_facts(shop):
    with shop.open_ledger() as (ledger, _):
        guest = Guest(shop, ledger)
        page = next((shop.root / "var" / "outbox").rglob(f"{guest.message_id}.html")).read_text()
        paths = sorted(set(re.findall(r"http://127\.0\.0\.1:8400(/[suplh]/[A-Za-z0-9_-]+)", page)))
        assert [path[:3] for path in paths] == ["/s/", "/s/", "/u/"]
        before = everything(ledger)
        browser = web_world.Browser(guest.app, "192.0.2.1", {"user-agent": PHONE})

        async def ask_all() -> set[int]:
            asked = [browser.ask(method, path) for path in paths for method in ("GET", "HEAD") for _ in range(3)]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

        assert asyncio.run(ask_all()) <= {200, 302}
        assert everything(ledger) == before
        guest.log.flush()
        assert settle(shop, ledger, minutes=9)["machine"] == 6 * len(paths)
        with ledger.writing() as connection:
            connection.execute(visits.delete())
        assert everything(ledger) == before


def test_a_cohort_whose_mails_only_machines_opened_keeps_its_ladder(shop, first_night, tmp_path):
    """Compared with the same shop to which nothing happened."""
    quiet = first_night.copy(tmp_path / "quiet")
    with shop.open_ledger() as (ledger, _), ledger.writing() as connection:
        sent = connection.scalars(select(messages.c.message_id).where(messages.c.state == "accepted")).all()
        opened = [
            Visit(f"{place:032x}", one, "picture", "sendgrid", EVENING, "", "Mozilla/5.0", is_open=True, is_told=True)
            for place, one in enumerate(sent)
        ]
        assert store_visits(connection, opened) == len(sent) > 5
        told = [receipts.Receipt(one, "outbox", "opened", EVENING, is_machine=True) for one in sent]
        receipts.record_receipts(connection, told, now=EVENING, today=DAY, pepper=ledger.pepper)
    later = DAY + timedelta(days=12)
    for one in (shop, quiet):
        one.freshen(later)
        one.night(later)
    assert shop.decisions(later) == quiet.decisions(later)
    assert {row["state"] for row in shop.messages("--as-of", later)} == {"accepted"}
