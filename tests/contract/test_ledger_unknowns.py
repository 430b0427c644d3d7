"""What is in doubt: settled by evidence, given up after three days, released by a person only."""

from __future__ import annotations

import json
from datetime import timedelta

import ledger_rows as rows
import pytest

from winback.errors import GuardRefused, UsageError
from winback.ledger import claims, diary, keys, queue, receipts, unknowns
from winback.ledger.queue import Outcome, Result
from winback.ledger.receipts import Receipt
from winback.night.settle import Settled, settle

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
HOUR = timedelta(hours=1)


def _id(customer: str) -> str:
    return keys.message_id(PEPPER, programme="winback", customer_id=customer, cycle=1, step=1)


def _unknown(ledger, *customers: str, owner: str = "s1", provider: str = "sendgrid", outcome=Outcome.UNKNOWN) -> None:
    rows.populate(ledger, *customers)
    with ledger.writing() as connection:
        assert len(claims.claim(connection, limit=9, now=NOW, owner=owner).messages) == len(customers)
        found = [Result(_id(one), 1, outcome, provider) for one in customers]
        assert queue.record_results(connection, found, owner=owner, now=NOW) == []


def _settle(ledger, now) -> Settled:
    return settle(ledger, now=now, today=NIGHT)


def _release(ledger, customer: str, **options: object) -> None:
    asked = {"is_alive": ledger.is_locked, "reason": "asked them", "actor": "cli:ann", "now": NOW, **options}
    with ledger.writing() as connection:
        unknowns.release(connection, _id(customer), **asked)


def _state(ledger, customer: str) -> str:
    with ledger.reading() as connection:
        (row,) = queue.list_messages(connection, customer_id=customer)
    return row["state"]


@pytest.mark.parametrize(
    ("after", "age"),
    [
        (0 * HOUR, "under_1_hour"),
        (1 * HOUR, "under_24_hours"),
        (24 * HOUR, "under_72_hours"),
        (72 * HOUR - timedelta(microseconds=1), "under_72_hours"),
    ],
)
def test_unknowns_are_shown_by_age(ledger, after, age):
    _unknown(ledger, "a", "b")
    settled = _settle(ledger, NOW + after)
    assert settled.states == {"unknown": 2}
    assert settled.unknown_by_age == {
        "under_1_hour": 0,
        "under_24_hours": 0,
        "under_72_hours": 0,
        "over_72_hours": 0,
        age: 2,
    }


def test_after_three_days_they_are_given_up_and_never_sent_again(ledger):
    _unknown(ledger, "a")
    settled = _settle(ledger, NOW + 72 * HOUR)
    assert (settled.abandoned, settled.states) == (1, {"abandoned": 1})
    assert _settle(ledger, NOW + 73 * HOUR).abandoned == 0
    with ledger.writing() as connection:
        assert claims.claim(connection, limit=9, now=NOW, owner="s2").is_drained


def test_a_late_receipt_still_settles_what_was_given_up(ledger):
    _unknown(ledger, "a")
    _settle(ledger, NOW + 72 * HOUR)
    told = Receipt(_id("a"), "sendgrid", "delivered", NOW + HOUR)
    with ledger.writing() as connection:
        receipts.record_receipts(connection, [told], now=NOW + 73 * HOUR, today=NIGHT, pepper=PEPPER)
    assert _state(ledger, "a") == "delivered"


def test_what_came_while_the_sender_died_is_evidence(ledger):
    rows.populate(ledger, "a")
    told = Receipt(_id("a"), "sendgrid", "delivered", NOW + HOUR)
    with ledger.writing() as connection:
        claims.claim(connection, limit=9, now=NOW, owner="dead")
        receipts.record_receipts(connection, [told], now=NOW, today=NIGHT, pepper=PEPPER)
    settled = _settle(ledger, NOW + HOUR)
    assert (settled.moved, settled.states) == (1, {"delivered": 1})


def test_what_does_not_add_up_is_counted(ledger):
    _unknown(ledger, "a", "b", outcome=Outcome.ACCEPTED)
    told = [Receipt(_id("b"), "sendgrid", "deferred", NOW), Receipt("f" * 32, "sendgrid", "delivered", NOW)]
    with ledger.writing() as connection:
        receipts.record_receipts(connection, told, now=NOW, today=NIGHT, pepper=PEPPER)
    assert _settle(ledger, NOW + 24 * HOUR)[3:5] == (0, 1)
    assert _settle(ledger, NOW + 25 * HOUR)[3:5] == (1, 1)


def test_the_silence_of_the_outbox_means_nothing(ledger):
    _unknown(ledger, "a", outcome=Outcome.ACCEPTED, provider="outbox")
    assert _settle(ledger, NOW + 25 * HOUR).accepted_without_event == 0


# --- release -------------------------------------------------------------------------------------------------------


def test_a_person_releases_and_it_is_sent_as_a_new_attempt_through_every_gate(ledger):
    _unknown(ledger, "a")
    _release(ledger, "a")
    with ledger.writing() as connection:
        (message,) = claims.claim(connection, limit=9, now=NOW, owner="s2").messages
    assert (message.customer_id, message.attempt_no) == ("a", 2)


def test_a_release_stands_in_the_audit_log(ledger):
    _unknown(ledger, "a")
    _release(ledger, "a")
    with ledger.reading() as connection:
        (line,) = diary.read_entries(connection, subject=_id("a"))
    assert (line.actor, line.action, json.loads(line.before)["state"]) == ("cli:ann", "release", "unknown")
    assert json.loads(line.after) == {"state": "planned", "reason": "asked them"}


def test_what_is_too_old_by_then_expires_instead_of_being_sent(ledger):
    _unknown(ledger, "a")
    _release(ledger, "a", now=NOW + 40 * HOUR)
    with ledger.writing() as connection:
        assert claims.claim(connection, limit=9, now=NOW + 40 * HOUR, owner="s2").refused == {"step_missed": 1}


def test_while_the_sender_lives_nobody_releases(ledger):
    _unknown(ledger, "a")
    with ledger.lock("s1"), pytest.raises(GuardRefused, match="still alive"):
        _release(ledger, "a")
    assert _state(ledger, "a") == "unknown"
    _release(ledger, "a")


def test_what_the_provider_spoke_of_is_not_released(ledger):
    rows.populate(ledger, "a")
    told = Receipt(_id("a"), "sendgrid", "opened", NOW)
    with ledger.writing() as connection:
        claims.claim(connection, limit=9, now=NOW, owner="dead")
        receipts.record_receipts(connection, [told], now=NOW, today=NIGHT, pepper=PEPPER)
        queue.recover(connection, is_alive=lambda _owner: False, now=NOW)
    with pytest.raises(GuardRefused, match="winback settle"):
        _release(ledger, "a")


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED])
def test_only_what_is_in_doubt_is_released(ledger, outcome):
    _unknown(ledger, "a", outcome=outcome)
    with pytest.raises(UsageError, match="not unknown"):
        _release(ledger, "a")


def test_a_release_of_nothing_or_without_a_reason_is_a_mistake(ledger):
    _unknown(ledger, "a")
    with pytest.raises(UsageError, match="no message"):
        _release(ledger, "nobody")
    with pytest.raises(UsageError, match="--reason"):
        _release(ledger, "a", reason=" ")
    assert _state(ledger, "a") == "unknown"
