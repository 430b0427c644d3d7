"""Receipts: any order and any number of times give one result, and what they say about people holds at once."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

import ledger_rows as rows
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from winback.core.reasons import Reason
from winback.ledger import (
    claims,
    diary,
    erasure,
    keys,
    message_tables,
    people,
    people_tables,
    queue,
    receipts,
    refusals,
    verdicts,
    who_refused,
)
from winback.ledger.queue import MessageState, Outcome, Result
from winback.ledger.receipts import Receipt, Recorded
from winback.ledger.refusals import Act, Target

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
LATER = NOW + timedelta(hours=3)
STATES = [one.value for one in MessageState if one is not MessageState.SENDING]


def _at(minutes: float):
    return NOW + timedelta(minutes=minutes)


def _id(customer: str, step: int = 1) -> str:
    return keys.message_id(PEPPER, programme="winback", customer_id=customer, cycle=1, step=step)


def _receipt(customer: str, kind: str, minutes: float = 1, **columns: object) -> Receipt:
    given_columns = {"message_id": _id(customer), "provider": "sendgrid", "provider_id": f"sg-{customer}", **columns}
    return Receipt(kind=kind, occurred_at=_at(minutes), **given_columns)


def _record(ledger, *found: Receipt, now=LATER) -> Recorded:
    with ledger.writing() as connection:
        return receipts.record_receipts(connection, found, now=now, today=NIGHT, pepper=PEPPER)


def _settle(ledger, *, is_alive=lambda _owner: False) -> Recorded:
    with ledger.writing() as connection:
        queue.recover(connection, is_alive=is_alive, now=LATER)
        return receipts.settle_pending(connection, now=LATER, today=NIGHT, pepper=PEPPER)


def _message(ledger, customer: str) -> dict[str, object]:
    with ledger.reading() as connection:
        (row,) = queue.list_messages(connection, customer_id=customer)
    return row


def _claim(ledger, owner: str = "s1") -> None:
    with ledger.writing() as connection:
        assert claims.claim(connection, limit=100, now=NOW, owner=owner).messages


def _end(ledger, customer: str, outcome: Outcome = Outcome.ACCEPTED, **columns: object) -> None:
    with ledger.writing() as connection:
        result = Result(_id(customer), 1, outcome, "sendgrid", **columns)
        assert queue.record_results(connection, [result], owner="s1", now=NOW) == []


def _sent(ledger, *customers: str, outcome: Outcome = Outcome.ACCEPTED) -> None:
    rows.populate(ledger, *customers)
    _claim(ledger)
    for customer in customers:
        _end(ledger, customer, outcome)


def _force(ledger, customer: str, state: str) -> None:
    with ledger.writing() as connection:
        connection.execute(
            message_tables.messages.update()
            .where(message_tables.messages.c.customer_id == customer)
            .values(state=state)
        )


def _holds(ledger, customer: str) -> list[tuple[str, str]]:
    with ledger.reading() as connection:
        found = who_refused.refusals_of(connection, customer, pepper=PEPPER)
    return sorted({(one.kind, one.reason.value) for one in found})


# --- states --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "state", "progress"),
    [
        (["accepted"], "accepted", "accepted"),
        (["deferred", "accepted"], "accepted", "deferred"),
        (["sent", "deferred"], "accepted", "sent"),
        (["delivered", "sent", "accepted"], "delivered", "delivered"),
        (["undelivered", "sent"], "undelivered", "undelivered"),
        (["dropped"], "dropped", "dropped"),
        (["bounced", "delivered"], "bounced", "bounced"),  # some servers take a message and send it back
        (["read", "delivered"], "delivered", "read"),
        (["opened"], "accepted", "accepted"),
        (["complained", "delivered"], "delivered", "delivered"),
    ],
)
def test_a_message_goes_as_far_as_its_receipts_say(ledger, kinds, state, progress):
    _sent(ledger, "a")
    for kind in kinds:
        _record(ledger, _receipt("a", kind))
    row = _message(ledger, "a")
    assert (row["state"], row["progress"]) == (state, progress)
    assert (row["delivered_at"] is not None) == (state == "delivered")


@pytest.mark.parametrize("state", STATES)
def test_a_receipt_proves_acceptance_whatever_was_thought_before(ledger, state):
    rows.populate(ledger, "a")
    _force(ledger, "a", state)
    assert _record(ledger, _receipt("a", "sent")).moved == (state != "accepted")
    row = _message(ledger, "a")
    assert (row["state"], row["accepted_at"], row["provider_id"]) == ("accepted", _at(1), "sg-a")
    with ledger.writing() as connection:
        assert claims.claim(connection, limit=10, now=NOW, owner="s2").is_drained, "it is not sent again"


@pytest.mark.parametrize("kind", ["refused", "stopped", "started"])
@pytest.mark.parametrize("state", ["planned", "unknown", "rejected"])
def test_what_is_about_the_person_proves_nothing_about_the_message(ledger, kind, state):
    rows.populate(ledger, "a")
    _force(ledger, "a", state)
    _record(ledger, _receipt("a", kind))
    assert _message(ledger, "a")["state"] == state


def test_an_unknown_is_settled_with_its_attempt(ledger):
    _sent(ledger, "a", outcome=Outcome.UNKNOWN)
    _record(ledger, _receipt("a", "accepted"))
    with ledger.reading() as connection:
        assert connection.scalar(select(message_tables.attempts.c.outcome)) == "accepted"


def test_while_its_sender_lives_a_message_is_left_to_it_and_settled_afterwards(ledger):
    rows.populate(ledger, "a")
    _claim(ledger)
    assert _record(ledger, _receipt("a", "delivered")).moved == 0
    assert _settle(ledger, is_alive=lambda _owner: True).moved == 0
    assert _message(ledger, "a")["state"] == "sending"
    _end(ledger, "a", provider_id="X-1", cost=0.1)
    assert _settle(ledger, is_alive=lambda _owner: True).moved == 1
    row = _message(ledger, "a")
    assert (row["state"], row["provider_id"], row["cost"]) == ("delivered", "X-1", 0.1)
    assert _settle(ledger).moved == 0


def test_what_a_dead_sender_left_is_settled_by_a_receipt_that_came_meanwhile(ledger):
    rows.populate(ledger, "a", "b")
    _claim(ledger)
    _record(ledger, _receipt("a", "delivered"))
    assert _settle(ledger).moved == 1
    assert (_message(ledger, "a")["state"], _message(ledger, "b")["state"]) == ("delivered", "unknown")


def test_repetitions_are_counted_and_change_nothing(ledger):
    _sent(ledger, "a")
    found = _receipt("a", "delivered"), _receipt("a", "opened", 2), _receipt("a", "opened", 3)
    assert _record(ledger, *found) == Recorded(new=3, moved=1)
    before = _message(ledger, "a")
    assert _record(ledger, *found, *found) == Recorded(repeated=3)
    assert _message(ledger, "a") == before


def test_more_receipts_than_one_statement_takes(ledger):
    _sent(ledger, "a", "b")
    many = [_receipt("ab"[number % 2], "opened", number) for number in range(1300)]
    assert _record(ledger, *many, _receipt("a", "delivered")).new == 1301
    assert _record(ledger, *many).repeated == 1300


def test_a_kind_nobody_knows_is_refused_and_nothing_is_stored(ledger):
    _sent(ledger, "a")
    with pytest.raises(ValueError, match="exploded"):
        _record(ledger, _receipt("a", "delivered"), _receipt("a", "exploded"))
    assert _record(ledger, _receipt("a", "delivered")).new == 1


# --- receipts without a message ------------------------------------------------------------------------------------


def test_a_receipt_without_a_message_is_kept_apart_until_the_message_appears(ledger):
    """A restored backup plans again what it has forgotten: the receipts know that it went out."""
    rows.populate(ledger, "a", send=False)
    assert _record(ledger, _receipt("a", "delivered"), _receipt("a", "complained", 2)) == Recorded(new=2, strays=2)
    with ledger.reading() as connection:
        assert receipts.count_strays(connection) == 2
    assert _settle(ledger) == Recorded()
    with ledger.writing() as connection:
        verdicts.queue_messages(connection, rows.messages("a"), pepper=PEPPER)
    assert _settle(ledger).moved == 1
    assert _message(ledger, "a")["state"] == "delivered"
    assert ("customer", "complained") in _holds(ledger, "a")
    with ledger.reading() as connection:
        assert receipts.count_strays(connection) == 0


def test_messages_nobody_ever_heard_of_are_counted(ledger):
    _sent(ledger, "a", "b")
    _record(ledger, _receipt("a", "deferred"))
    with ledger.reading() as connection:
        assert receipts.count_silent(connection, before=NOW) == 0
        assert receipts.count_silent(connection, before=_at(1)) == 1


# --- what they say about people ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "consequence", "held"),
    [
        ("complained", None, [("address", "complained"), ("customer", "complained")]),
        ("complained", "withdraw", [("address", "complained"), ("customer", "complained")]),
        ("unsubscribed", None, [("address", "opted_out"), ("customer", "opted_out")]),
        ("stopped", None, [("address", "opted_out"), ("customer", "opted_out")]),
        ("dropped", "withdraw", [("address", "opted_out"), ("customer", "opted_out")]),
        ("bounced", "suppress", [("address", "invalid_address")]),
        ("refused", "suppress", [("address", "invalid_address")]),
        ("bounced", "transient", []),
        ("bounced", None, []),  # an unknown code suppresses nobody
        ("undelivered", "soft", []),
        ("undelivered", "content", []),
        ("opened", None, []),
    ],
)
def test_what_each_says_about_the_person(ledger, kind, consequence, held):
    _sent(ledger, "a", "b")
    told = _record(ledger, _receipt("a", kind, consequence=consequence))
    assert _holds(ledger, "a") == held
    assert _holds(ledger, "b") == []
    assert told.suppressed == len(held)


def test_a_dead_address_is_the_one_the_message_went_to(ledger):
    _sent(ledger, "a")
    moved = rows.contacts("a", email_key=["new@example.com"], email=["new@example.com"])
    with ledger.writing() as connection:
        people.replace_contacts(connection, moved, pepper=PEPPER, as_of=NIGHT)
    _record(ledger, _receipt("a", "bounced", consequence="suppress"))
    assert _holds(ledger, "a") == [], "the new address was never tried"
    with ledger.reading() as connection:
        stored = connection.execute(select(people_tables.suppressions.c.kind, people_tables.suppressions.c.key)).all()
    assert stored == [("address", keys.address_key(PEPPER, "email", "a@example.com"))]


def test_a_complaint_stands_in_the_audit_log_and_names_nobody(ledger):
    _sent(ledger, "a")
    _record(ledger, _receipt("a", "complained"))
    with ledger.reading() as connection:
        (line,) = diary.read_entries(connection)
        assert diary.verify(connection).broken is None
    assert (line.actor, line.action) == ("webhook:sendgrid", "suppress")
    assert line.subject == keys.customer_key(PEPPER, "a")
    assert json.loads(line.after)["reason"] == "complained"


def test_no_act_of_a_person_lies_in_the_future(ledger):
    _sent(ledger, "a")
    _record(ledger, _receipt("a", "unsubscribed", 60 * 24 * 365))
    with ledger.reading() as connection:
        assert set(connection.scalars(select(people_tables.suppressions.c.created_at))) == {LATER}


def test_of_somebody_who_was_forgotten_with_their_address_nobody_is_left_to_suppress(ledger):
    _sent(ledger, "a")
    with ledger.writing() as connection:
        connection.execute(message_tables.messages.update().values(customer_id="erased-1", address_hmac=None))
    assert _record(ledger, _receipt("a", "complained")).suppressed == 0
    with ledger.reading() as connection:
        assert connection.execute(select(people_tables.suppressions)).all() == []


def test_an_erased_customer_leaves_no_trace_in_receipts(ledger):
    _sent(ledger, "a")
    _record(ledger, _receipt("a", "bounced", detail="550 a@example.com unknown"))
    with ledger.writing() as connection:
        counts = erasure.forget(connection, "a", Act(NOW, NIGHT, "cli", "cli:ann"), pepper=PEPPER)
    assert counts["receipts"] == 1
    assert _record(ledger, _receipt("a", "complained", 5, provider_id=None)).suppressed == 1, "by address only"
    late = _receipt("a", "delivered", 6, detail="250 taken for a@example.com", provider_id="sg-a-late")
    assert _record(ledger, late).moved == 0, "it bounced, which says more"
    with ledger.reading() as connection:
        stored = connection.execute(select(message_tables.receipts)).all()
        stored += connection.execute(select(message_tables.messages)).all()
        kinds = connection.scalars(
            select(people_tables.suppressions.c.kind).where(people_tables.suppressions.c.reason == "complained")
        )
        assert set(kinds) == {"address"}
    assert "a@example.com" not in str(stored)
    assert "sg-a" not in str(stored)


# --- soft failures -------------------------------------------------------------------------------------------------


def _write_to(ledger, *days: int) -> list[str]:
    """Queue one message to ``a`` on each of these days, and return their ids."""
    with ledger.writing() as connection:
        for step, day in enumerate(days, start=2):
            frame = rows.messages("a", step=step, local_day=pd.Timestamp(NIGHT) + pd.Timedelta(days=day))
            assert verdicts.queue_messages(connection, frame, pepper=PEPPER).new == 1
    return [_id("a", step) for step in range(2, 2 + len(days))]


@pytest.mark.parametrize(
    ("days", "is_dead"),
    [
        ((1, 31), False),
        ((1, 2, 30), False),  # 29 days
        ((1, 2, 31), True),
        ((31, 1, 15), True),
        ((1, 2, 3, 4, 5), False),
        ((1, 2, 3, 4, 32), True),
        ((1, 200, 366), True),
        ((1, 200, 367), False),  # years apart: a mailbox may be full now and then
    ],
)
def test_three_soft_failures_over_thirty_days_are_a_dead_address(ledger, days, is_dead):
    rows.populate(ledger, "a", send=False)
    for message_id, day in zip(_write_to(ledger, *days), days, strict=True):
        occurred_at = NOW + timedelta(days=day)
        one = Receipt(message_id, "twilio", "undelivered", occurred_at, code="30003", consequence="soft")
        again = one._replace(occurred_at=one.occurred_at + timedelta(days=40))
        _record(ledger, one, now=NOW + timedelta(days=999))
        if not is_dead:
            _record(ledger, again, now=NOW + timedelta(days=999))  # the same message failing again is no second failure
    assert (_holds(ledger, "a") == [("address", "invalid_address")]) is is_dead


# --- stop and start ------------------------------------------------------------------------------------------------


def _words(ledger, *told: tuple[str, int]) -> list[tuple[str, str]]:
    _sent(ledger, "a")
    for kind, minutes in told:
        _record(ledger, _receipt("a", kind, minutes))
    return _holds(ledger, "a")


OUT = [("address", "opted_out"), ("customer", "opted_out")]


@pytest.mark.parametrize(
    ("told", "held"),
    [
        ([("stopped", 1), ("started", 2)], []),
        ([("started", 2), ("stopped", 1)], []),
        ([("started", 1), ("stopped", 2)], OUT),
        ([("stopped", 1), ("started", 1)], OUT),  # a tie goes to the no
        ([("stopped", 1), ("stopped", 3), ("started", 2)], OUT),
        ([("stopped", 3), ("stopped", 1), ("started", 2)], OUT),
        ([("unsubscribed", 1), ("started", 2)], OUT),  # START gives back what STOP took, nothing else
        ([("stopped", 1), ("unsubscribed", 2), ("started", 3)], OUT),
        ([("unsubscribed", 1), ("stopped", 2), ("started", 3)], OUT),
        ([("complained", 1), ("started", 2)], [("address", "complained"), ("customer", "complained")]),
        ([("started", 1)], []),
    ],
)
def test_start_gives_back_what_stop_took(ledger, told, held):
    assert _words(ledger, *told) == held


def test_start_gives_back_no_word_that_was_not_its_own_and_no_sunset_of_other_channels(ledger):
    _sent(ledger, "a")
    with ledger.writing() as connection:
        refusals.sunset(connection, ["a"], at=NOW, effective_on=NIGHT)
        act = Act(NOW, NIGHT, "one_click", "web")
        refusals.suppress(connection, Target("sms", customer_id="a"), act, pepper=PEPPER, reason=Reason.OPTED_OUT)
    _record(ledger, _receipt("a", "stopped"), _receipt("a", "started", 2))
    assert _holds(ledger, "a") == [("address", "opted_out"), ("customer", "opted_out"), ("customer", "sunset")]
    with ledger.reading() as connection:
        held = who_refused.refusals_of(connection, "a", pepper=PEPPER)
    assert {one.channel for one in held if one.reason is Reason.OPTED_OUT} == {"sms"}


def test_what_was_effective_at_once_is_not_made_effective_again_when_the_message_settles(ledger):
    rows.populate(ledger, "a")
    _claim(ledger)
    _record(ledger, _receipt("a", "unsubscribed"))
    with ledger.writing() as connection:
        act = Act(_at(2), NIGHT, "preferences", "web")
        assert refusals.lift(connection, Target("email", customer_id="a"), act, pepper=PEPPER) == 2
    assert _settle(ledger).moved == 1
    assert _holds(ledger, "a") == [], "the person has changed their mind since"


def test_the_newest_no_counts_even_when_an_older_one_comes_later(ledger):
    _sent(ledger, "a")
    for kind, minutes in (("stopped", 3), ("started", 4), ("stopped", 1)):
        _record(ledger, _receipt("a", kind, minutes))
    with ledger.reading() as connection:
        assert set(connection.scalars(select(people_tables.suppressions.c.created_at))) == {_at(3)}


# --- any order -----------------------------------------------------------------------------------------------------

TOLD = st.tuples(
    st.sampled_from(sorted(receipts.KINDS)),
    st.integers(-5, 5),
    st.sampled_from([None, "withdraw", "suppress", "soft", "transient"]),
    st.sampled_from(["", "30003"]),
)
NUMBERS = itertools.count()


def _end_state(ledger, customer: str) -> tuple[object, ...]:
    """Everything that may not depend on the order."""
    row = _message(ledger, customer)
    told = tuple(row[name] for name in ("state", "progress", "delivered_at", "accepted_at", "provider_id", "reason"))
    names = "channel", "kind", "reason", "created_at", "source", "lifted_at"
    theirs = {customer: "customer", row["address_hmac"]: "address"}
    with ledger.reading() as connection:
        query = select(people_tables.suppressions).where(people_tables.suppressions.c.key.in_(theirs))
        held = sorted(tuple(str(one[name]) for name in names) for one in connection.execute(query).mappings())
    return (*told, tuple(held))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(TOLD, max_size=6, unique_by=lambda one: (one[0], one[1], one[3])),
    state=st.sampled_from(["planned", "unknown", "accepted", "abandoned"]),
    data=st.data(),
)
def test_any_order_and_any_number_of_repetitions_give_the_same_state(ledger, told, state, data):
    place = next(NUMBERS)
    first, second = f"c{place}a", f"c{place}b"
    rows.populate(ledger, first, second)
    for customer in (first, second):
        _force(ledger, customer, state)
    _record(ledger, *(_of(first, one, first) for one in told))
    repeated = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)) if told else st.just([]))]))
    while repeated:
        size = data.draw(st.integers(1, len(repeated)))
        _record(ledger, *(_of(second, one, first) for one in repeated[:size]))
        repeated = repeated[size:]
    assert _end_state(ledger, first) == _end_state(ledger, second)


def _of(customer: str, told: tuple[str, int, str | None, str], provider_id: str) -> Receipt:
    kind, minutes, consequence, code = told
    return _receipt(customer, kind, minutes, consequence=consequence, code=code, provider_id=provider_id)
