"""Visits to links: kept once, cut, bounded, and of nobody who asked to be forgotten; verdicts reached anew."""

from __future__ import annotations

from datetime import timedelta

import ledger_rows as rows
import pytest
from ledger_rows import NOW, PEPPER
from sqlalchemy import select

from winback.core.visit_verdicts import Verdict, Who, Why
from winback.ledger import erasure, queue, visits
from winback.ledger.refusals import Act
from winback.ledger.visit_tables import visits as table
from winback.ledger.visits import Visit, network_of, short_agent, told_id

BEFORE = NOW + timedelta(hours=1)


@pytest.fixture
def shop(ledger):
    rows.populate(ledger, "ann", "bob")
    return ledger


def message_id(ledger, customer: str = "ann") -> str:
    with ledger.reading() as connection:
        return queue.list_messages(connection, customer_id=customer)[0]["message_id"]


def visit(ledger, visit_id: str, customer: str = "ann", **changes) -> Visit:
    made = Visit(visit_id, message_id(ledger, customer), "act", "pages", NOW, "192.0.2.0/24", "Phone", method="GET")
    return made._replace(**changes)


def store(ledger, *found: Visit) -> int:
    with ledger.writing() as connection:
        return visits.store(connection, found)


def kept(ledger) -> list:
    with ledger.reading() as connection:
        return connection.execute(select(table).order_by(table.c.visit_id)).all()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"), (" 10.1.2.3 ", "10.1.2.0/24"), ("", ""), ("unknown", ""), ("192.0.2.300", ""),
    ],
)  # fmt: skip
def test_of_an_address_the_network_is_kept(address, network):
    assert network_of(address) == network


def test_of_an_agent_one_short_line_is_kept():
    assert short_agent("Mozilla/5.0\r\n(X)\0\ud83d") == "Mozilla/5.0  (X)  "
    assert len(short_agent("a" * 10_000)) == 200


def test_what_is_told_again_is_known():
    assert told_id("m", NOW, "act") == told_id("m", NOW, "act") != told_id("m", NOW, "landing")
    assert told_id("a", "b") != told_id("ab", "")
    assert len(told_id("\ud83d")) == 32


def test_a_visit_is_kept_once(shop):
    assert store(shop, visit(shop, "v1"), visit(shop, "v2")) == 2
    assert store(shop, visit(shop, "v2", agent="other")) == 0
    assert [(row.visit_id, row.agent, row.verdict, row.verdict_version) for row in kept(shop)] == [
        ("v1", "Phone", "", ""), ("v2", "Phone", "", ""),
    ]  # fmt: skip


def test_nothing_is_kept_of_a_message_nobody_knows(shop):
    assert store(shop, visit(shop, "v1", message_id="f" * 32)) == 0
    assert kept(shop) == []


def test_a_link_that_is_asked_for_for_ever_fills_no_disk(shop):
    one = visit(shop, "")
    assert store(shop, *(one._replace(visit_id=f"v{number}") for number in range(990))) == 990
    assert store(shop, *(one._replace(visit_id=f"w{number}") for number in range(20))) == 10
    assert store(shop, visit(shop, "late"), visit(shop, "other", "bob")) == 1


def test_who_is_forgotten_leaves_no_visit_and_makes_none(shop):
    store(shop, visit(shop, "v1"), visit(shop, "v2", "bob"))
    late = visit(shop, "late")
    with shop.writing() as connection:
        act = Act(NOW, rows.NIGHT, source="cli", actor="ann")
        assert erasure.forget(connection, "ann", act, pepper=PEPPER)["visits"] == 1
    assert store(shop, late) == 0
    assert [row.visit_id for row in kept(shop)] == ["v2"]


def to_judge(ledger, version: str) -> list[str]:
    with ledger.reading() as connection:
        return visits.messages_to_judge(connection, version=version, before=BEFORE)


def test_a_verdict_stays_until_the_version_is_another(shop):
    store(shop, visit(shop, "v1"), visit(shop, "v2", "bob", seen_at=BEFORE + timedelta(seconds=1)))
    assert to_judge(shop, "2") == [message_id(shop)]
    with shop.writing() as connection:
        visits.store_verdicts(connection, {"v1": Verdict(Who.MACHINE, Why.HEAD)}, version="2")
        assert visits.count_verdicts(connection) == {"machine": 1, "": 1}
    assert to_judge(shop, "2") == []
    assert to_judge(shop, "3") == to_judge(shop, "1") == [message_id(shop)]
    first = kept(shop)[0]
    assert (first.verdict, first.why, first.verdict_version) == ("machine", "head", "2")


def test_after_a_time_the_network_and_the_agent_go_and_the_verdict_is_the_last(shop):
    store(shop, visit(shop, "old"), visit(shop, "new", seen_at=BEFORE))
    with shop.writing() as connection:
        assert visits.empty(connection, before=BEFORE) == 1
        assert visits.empty(connection, before=BEFORE) == 0
        [(_, found)] = visits.read_for_judging(connection, [message_id(shop)])
    assert [one.visit_id for one in found] == ["new"]
    assert [(row.visit_id, row.network, row.agent) for row in kept(shop)] == [
        ("new", "192.0.2.0/24", "Phone"), ("old", None, None),
    ]  # fmt: skip
