"""What other tools are told: written with what it tells of, once, for those who listen; retried, given up, resumed."""

from __future__ import annotations

from datetime import timedelta

import ledger_rows as rows
import pytest
from sqlalchemy import select

from winback.core.reasons import Reason
from winback.ledger import diary, erasure, outgoing, people, refusals
from winback.ledger.outgoing import DISABLED_AFTER, RETRIES, Event, Posted, State
from winback.ledger.outgoing_tables import outgoing as told
from winback.ledger.refusals import STOP_WORD, Act, Target

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
ACT = Act(NOW, NIGHT, "one_click", "web")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(ledger):
    """Ann and Bob share an e-mail address; two tools listen."""
    frame = rows.contacts("ann", "bob", "cy", email_key=["x@y.z", "x@y.z", "cy@y.z"])
    with ledger.writing() as connection:
        people.replace_contacts(connection, frame, pepper=PEPPER, as_of=NIGHT)
    ledger.listeners = {"suppression": ("crm", "ads"), "lift": ("crm",), "lapse": ("crm",)}
    return ledger


def _suppress(ledger, target: Target, reason: Reason = Reason.OPTED_OUT, **changes: object) -> None:
    with ledger.writing() as connection:
        refusals.suppress(connection, target, ACT._replace(**changes), pepper=PEPPER, reason=reason)


def _told(ledger, listener: str = "crm") -> list[tuple]:
    columns = told.c.kind, told.c.customer_id, told.c.channel, told.c.reason
    with ledger.reading() as connection:
        found = connection.execute(select(*columns).where(told.c.listener == listener))
        return sorted(tuple(row) for row in found)


def test_nothing_is_written_where_nobody_listens(shop):
    shop.listeners = {"lapse": ("crm",)}
    _suppress(shop, Target("email", customer_id="ann"))
    with shop.reading() as connection:
        assert connection.execute(select(told)).all() == []


def test_a_no_is_told_of_everybody_it_is_new_for_and_once(shop):
    _suppress(shop, Target("email", customer_id="bob"), at=NOW - MINUTE)
    # Bob's address is Ann's, too: she is not asked by it any more, but nobody said no for her.
    assert _told(shop) == [("suppression", "bob", "email", "opted_out")]
    _suppress(shop, Target("email", address="x@y.z"))
    _suppress(shop, Target("email", address="x@y.z"), at=NOW + MINUTE)
    assert _told(shop) == [(*("suppression", one, "email", "opted_out"),) for one in ("ann", "bob")]
    assert _told(shop, "ads") == _told(shop)


def test_of_a_dead_address_all_who_have_it_are_told_of(shop):
    _suppress(shop, Target("email", address="x@y.z"), Reason.INVALID_ADDRESS)
    _suppress(shop, Target("email", address="x@y.z"), Reason.INVALID_ADDRESS, at=NOW + MINUTE)
    assert _told(shop) == [(*("suppression", one, "email", "invalid_address"),) for one in ("ann", "bob")]


def test_what_the_person_takes_back_is_told_too(shop):
    _suppress(shop, Target("sms", customer_id="cy"), source=STOP_WORD)
    with shop.writing() as connection:
        later = ACT._replace(at=NOW + MINUTE)
        refusals.lift(connection, Target("sms", customer_id="cy"), later, pepper=PEPPER, source=STOP_WORD)
        refusals.lift(connection, Target("sms", customer_id="cy"), later, pepper=PEPPER, source=STOP_WORD)
    assert _told(shop) == [("lift", "cy", "sms", "opted_out"), ("suppression", "cy", "sms", "opted_out")]
    _suppress(shop, Target("sms", customer_id="cy"), at=NOW + 2 * MINUTE)
    assert len(_told(shop)) == 3


def test_a_newer_no_that_stays_is_not_told_as_taken_back(shop):
    _suppress(shop, Target("email", customer_id="ann"), at=NOW - MINUTE)
    _suppress(shop, Target("email", customer_id="bob"), at=NOW + MINUTE)
    with shop.writing() as connection:
        refusals.lift(connection, Target("email", address="x@y.z"), ACT, pepper=PEPPER)
    assert [one[1] for one in _told(shop) if one[0] == "lift"] == ["ann"]


def test_it_is_not_told_when_it_did_not_happen(shop):
    def fail() -> None:
        with shop.writing() as connection:
            refusals.suppress(connection, Target(customer_id="cy"), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _told(shop) == []


def _lapse(ledger, *customers: str) -> list[str]:
    events = [Event("lapse", one, "lapsed", NIGHT, "winback", 1, arm="treated") for one in customers]
    with ledger.writing() as connection:
        outgoing.record(connection, events, now=NOW)
        outgoing.record(connection, events, now=NOW + MINUTE)
        return [one.event_id for one in outgoing.due(connection, "crm", now=NOW, at_most=9)]


def test_an_event_noted_twice_waits_once_under_one_id(shop):
    ids = _lapse(shop, "ann", "bob")
    assert len(set(ids)) == 2
    assert all(one.startswith("msg_") for one in ids)


def _post(ledger, event_id: str, attempts: int, fault: str, *, at) -> int:
    with ledger.writing() as connection:
        return outgoing.record_posts(connection, "crm", [Posted(event_id, attempts, fault)], now=at)


def _due(ledger, at) -> list[int]:
    with ledger.reading() as connection:
        return [one.attempts for one in outgoing.due(connection, "crm", now=at, at_most=9)]


def test_a_failure_is_tried_again_later_and_later_and_given_up_at_last(shop):
    (event,) = _lapse(shop, "ann")
    at = NOW
    for attempts, wait in enumerate(RETRIES, start=1):
        assert _due(shop, at) == [attempts - 1]
        assert _post(shop, event, attempts, "HTTP 500", at=at) == 0
        assert _due(shop, at + wait - timedelta(seconds=1)) == []
        at += wait
    assert timedelta(days=3) < at - NOW < timedelta(days=4)
    assert _post(shop, event, len(RETRIES) + 1, "HTTP 500", at=at) == 1
    assert _due(shop, at + timedelta(days=30)) == []
    with shop.reading() as connection:
        assert (outgoing.count_waiting(connection), outgoing.count_given_up(connection)) == ({}, {"crm": 1})


def test_what_was_taken_waits_no_more(shop):
    (event,) = _lapse(shop, "ann")
    assert _post(shop, event, 1, "", at=NOW) == 0
    assert _due(shop, NOW + timedelta(days=30)) == []


def _run(ledger, *, at, is_well: bool = False, is_gone: bool = False) -> State:
    with ledger.writing() as connection:
        return outgoing.note_run(connection, "crm", is_well=is_well, fault="HTTP 500", is_gone=is_gone, now=at)


def test_a_listener_that_fails_for_days_is_asked_no_more_until_a_person_says_so(shop):
    (event,) = _lapse(shop, "ann")
    assert not _run(shop, at=NOW).disabled_at
    assert not _run(shop, at=NOW + DISABLED_AFTER - MINUTE).disabled_at
    assert not _run(shop, at=NOW + DISABLED_AFTER, is_well=True).failing_since
    assert not _run(shop, at=NOW + DISABLED_AFTER + MINUTE).disabled_at
    state = _run(shop, at=NOW + 2 * DISABLED_AFTER + MINUTE)
    assert state.disabled_at
    assert "HTTP 500" in state.why
    _post(shop, event, len(RETRIES) + 1, "HTTP 500", at=NOW)
    with shop.writing() as connection:
        assert outgoing.resume(connection, "crm", by="cli:ann", reason="moved", now=NOW) == 1
        assert outgoing.state(connection, "crm") == State()
        lines = [(line.action, line.subject) for line in diary.read_entries(connection)]
    assert lines == [("resume", "hook crm"), ("disable", "hook crm")]
    assert _due(shop, NOW) == [0]


def test_a_listener_that_is_gone_is_asked_no_more_at_once(shop):
    assert "410" in _run(shop, at=NOW, is_gone=True).why


def test_whoever_is_forgotten_is_told_of_no_more(shop):
    _lapse(shop, "ann", "bob")
    with shop.writing() as connection:
        assert erasure.forget(connection, "ann", ACT, pepper=PEPPER)["outgoing"] == 1
    assert [one[1] for one in _told(shop)] == ["bob"]


def test_what_waits_for_somebody_unknown_is_given_up(shop):
    _lapse(shop, "ann")
    with shop.writing() as connection:
        assert outgoing.give_up_strangers(connection, ["crm"], now=NOW) == 0
        assert outgoing.give_up_strangers(connection, ["ads"], now=NOW) == 1
        assert outgoing.give_up_strangers(connection, [], now=NOW) == 0
        assert outgoing.count_given_up(connection) == {"crm": 1}


def test_old_events_are_let_go(shop):
    _lapse(shop, "ann")
    with shop.writing() as connection:
        assert outgoing.drop(connection, before=NOW) == 0
        assert outgoing.drop(connection, before=NOW + MINUTE) == 1
