"""Never twice, and no means no, on both databases: a night's whole life against a plain model.

Nights, opt-outs, consents, the red button, claims by two senders (by a clock that is behind, too), answers, lost
answers, deaths, receipts of every kind in any order, settling, giving up, releasing, days that pass.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import databases
import ledger_rows as rows
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from winback.core.reasons import Reason
from winback.errors import GuardRefused
from winback.ledger import claims, cycles, people, queue, receipts, refusals, switches, unknowns, verdicts
from winback.ledger.engine import Ledger, open_ledger
from winback.ledger.message_tables import attempts, messages
from winback.ledger.queue import Outcome, Result
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from sqlalchemy import Connection

PEPPER = rows.PEPPER
CUSTOMERS = ["ann", "bob", "cy"]
ADDRESSES = {"ann": "shared@example.com", "bob": "shared@example.com", "cy": "cy@example.com"}
PROGRAMMES = ["winback", "cars"]
ACTS = ["says_stop", "clicks_unsubscribe", "signs_up_again", "withdraws", "consents", "buys"]

ENDS = {
    "accepted": "accepted",
    "deferred": "accepted",
    "sent": "accepted",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "dropped": "dropped",
    "bounced": "bounced",
    "read": "delivered",
}
"""What a receipt makes of a message, the furthest last."""

WORTH = {kind: kind for kind in ENDS} | dict.fromkeys(("opened", "clicked", "complained", "unsubscribed"), "accepted")
PROVEN_STATES = set(ENDS.values())
TAKEN_STATES = {"sending", "unknown", "abandoned", *PROVEN_STATES}

Key = tuple[str, str, int, int]

customers = st.sampled_from(CUSTOMERS)
keys_of_messages = st.tuples(st.sampled_from(PROGRAMMES), customers, st.integers(1, 2), st.integers(1, 3))
FIRST_NIGHT = {
    (programme, customer_id, 1, step): 2 * step + place
    for place, programme in enumerate(PROGRAMMES)
    for customer_id in CUSTOMERS
    for step in (1, 2, 3)
}
"""Each message and the day it is for; Ann's and Bob's meet at their address, so one of each pair is cancelled."""


def _end_of(kinds: set[str]) -> str:
    """The state that receipts of these kinds come to."""
    return ENDS[max((WORTH[kind] for kind in kinds), key=list(ENDS).index)]


class Outbox(RuleBasedStateMachine):
    """What must hold, said in dictionaries; ``ledger`` is set by the test."""

    ledger: Ledger
    owners = Bundle("owners")

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 3, 10, 9, tzinfo=rows.NOW.tzinfo)
        self.posted: dict[str, list[Key]] = defaultdict(list)  # what left, by message id
        self.posted_on: dict[tuple[str, date], int] = defaultdict(int)
        self.posted_at: dict[str, datetime] = {}
        self.opted_out: set[str] = set()  # addresses
        self.withdrawn: set[str] = set()
        self.closed: set[tuple[str, str, int]] = set()
        self.intended: set[Key] = set()
        self.held: dict[str, list[claims.Claimed]] = {}  # claimed and not yet answered, by owner
        self.taken: set[str] = set()  # what the vendor holds, whether or not we were told
        self.proven: set[str] = set()  # of these, what it reported
        self.told: dict[str, set[str]] = defaultdict(set)  # the kinds of receipts
        self.is_stopped = False
        self.in_doubt: dict[str, datetime] = {}  # what nobody told us about, and when it was posted
        with self.ledger.writing() as connection:
            frame = rows.contacts(*CUSTOMERS, email_key=[ADDRESSES[one] for one in CUSTOMERS])
            people.replace_contacts(connection, frame, pepper=PEPPER, as_of=self.today)
            people.add_consents(connection, rows.consents(*CUSTOMERS), pepper=PEPPER)
            for programme in PROGRAMMES:
                for number in (1, 2):
                    opened = rows.open_cycles(*CUSTOMERS, programme=programme, cycle_no=number)
                    cycles.open_cycles(connection, opened)
        self._queue(FIRST_NIGHT)

    @property
    def today(self) -> date:
        return self.now.date()

    def _act(self) -> Act:
        return Act(self.now, self.today, "one_click", "web")

    # --- what happens ------------------------------------------------------------------------------------------

    @rule(wanted=st.dictionaries(keys_of_messages, st.integers(0, 9), min_size=1, max_size=9))
    def a_night_queues(self, wanted: dict[Key, int]) -> None:
        self._queue(wanted)

    def _queue(self, wanted: dict[Key, int]) -> None:
        frames = [
            rows.messages(
                customer_id,
                programme=programme,
                cycle=cycle,
                step=step,
                address=ADDRESSES[customer_id],
                as_of=pd.Timestamp(self.today),
                local_day=pd.Timestamp(self.today) + pd.Timedelta(days=days),
                not_before_at=rows.instants([self.now]),
                planned_at=rows.instants([self.now]),
                expires_at=rows.instants([self.now + timedelta(days=1)]),
            )
            for (programme, customer_id, cycle, step), days in wanted.items()
        ]
        with self.ledger.writing() as connection:
            queued = verdicts.queue_messages(connection, pd.concat(frames, ignore_index=True), pepper=PEPPER)
        assert sum(queued) == len(wanted)
        assert queued.repeated == len(self.intended & set(wanted))
        self.intended |= set(wanted)

    @rule(
        target=owners,
        owner=st.sampled_from(["s1", "s2"]),
        limit=st.integers(1, 3),
        hours_behind=st.sampled_from([0, 0, 0, 5]),
    )
    def a_sender_claims(self, owner: str, limit: int, hours_behind: int) -> str:
        now = self.now - timedelta(hours=hours_behind)
        with self.ledger.writing() as connection:
            claim = claims.claim(connection, limit=limit, now=now, owner=owner)
        assert claim.is_stopped == self.is_stopped
        assert not (self.is_stopped and (claim.messages or claim.refused))
        for message in claim.messages:
            self._post(message)
            self.posted_at[message.message_id] = now
        self.held.setdefault(owner, []).extend(claim.messages)
        return owner

    def _post(self, message: claims.Claimed) -> None:
        """From here on a message may have reached the person."""
        key = message.programme, message.customer_id, message.cycle, message.step
        assert message.address == f"{message.customer_id}@example.com"
        assert ADDRESSES[message.customer_id] not in self.opted_out, "no means no"
        assert message.customer_id not in self.withdrawn
        assert key[:3] not in self.closed
        self.posted[message.message_id].append(key)

    @rule(owner=owners, outcome=st.sampled_from(Outcome), has_arrived=st.booleans())
    def the_vendor_answers(self, owner: str, outcome: Outcome, *, has_arrived: bool) -> None:
        claimed = self.held.pop(owner, [])
        if outcome in {Outcome.DEFERRED, Outcome.REJECTED} and any(one.message_id in self.taken for one in claimed):
            outcome = Outcome.ACCEPTED  # what a vendor has reported on it does not refuse
        results = [Result(one.message_id, one.attempt_no, outcome, "p", not_before_at=self.now) for one in claimed]
        with self.ledger.writing() as connection:
            lost = queue.record_results(connection, results, owner=owner, now=self.now)
        assert lost == [], "nobody else ever had them"
        for one in claimed:
            if outcome is Outcome.DEFERRED:  # provably did not reach the person
                self.posted[one.message_id].pop()
            elif outcome is Outcome.ACCEPTED:
                self.taken.add(one.message_id)
            elif outcome is Outcome.UNKNOWN:
                self._doubt(one.message_id, has_arrived=has_arrived)

    @rule(owner=owners, has_arrived=st.booleans())
    def the_sender_dies(self, owner: str, *, has_arrived: bool) -> None:
        claimed = self.held.pop(owner, [])
        with self.ledger.writing() as connection:
            found = queue.recover(connection, is_alive=lambda name: name != owner, now=self.now)
        assert found == len(claimed)
        for one in claimed:
            self._doubt(one.message_id, has_arrived=has_arrived)

    @rule(owner=owners, outcome=st.sampled_from(Outcome), has_arrived=st.booleans())
    def a_sender_taken_for_dead_answers(self, owner: str, outcome: Outcome, *, has_arrived: bool) -> None:
        """Its lock went with the database's connection, it did not: it knows best, but nothing goes out again by it."""
        claimed = self.held.pop(owner, [])
        if any(one.message_id in self.taken for one in claimed):
            outcome = Outcome.ACCEPTED
        results = [Result(one.message_id, one.attempt_no, outcome, "p", not_before_at=self.now) for one in claimed]
        with self.ledger.writing() as connection:
            queue.recover(connection, is_alive=lambda name: name != owner, now=self.now)
        with self.ledger.writing() as connection:
            lost = queue.record_results(connection, results, owner=owner, now=self.now)
        is_final = outcome in {Outcome.ACCEPTED, Outcome.REJECTED}
        assert lost == ([] if is_final else [one.message_id for one in claimed])
        for one in claimed:
            if outcome is Outcome.ACCEPTED:
                self.taken.add(one.message_id)
            elif not is_final:
                self._doubt(one.message_id, has_arrived=has_arrived and outcome is Outcome.UNKNOWN)

    def _doubt(self, message_id: str, *, has_arrived: bool) -> None:
        self.in_doubt[message_id] = self.posted_at[message_id]
        if has_arrived:
            self.taken.add(message_id)

    @rule(data=st.data(), kind=st.sampled_from(sorted(WORTH)), minutes_ago=st.integers(0, 600))
    def the_vendor_reports(self, data: st.DataObject, kind: str, minutes_ago: int) -> None:
        """Late, twice and in any order, and sometimes before it has answered."""
        under_way = {one.message_id for claimed in self.held.values() for one in claimed}
        if not self.taken | under_way:
            return
        message_id = data.draw(st.sampled_from(sorted(under_way or self.taken)))
        at = self.now - timedelta(minutes=minutes_ago)
        with self.ledger.writing() as connection:
            one = receipts.Receipt(message_id, "p", kind, at)
            receipts.record_receipts(connection, [one, one], now=self.now, today=self.today, pepper=PEPPER)
        self.taken.add(message_id)
        self.proven.add(message_id)
        self.told[message_id].add(kind)
        if message_id not in under_way:
            self.in_doubt.pop(message_id, None)
        if kind in {"complained", "unsubscribed"} and not minutes_ago:
            self.now += timedelta(seconds=1)
            ((_, customer_id, *_),) = self.posted[message_id]
            self.opted_out.add(ADDRESSES[customer_id])

    @rule()
    def the_ledger_is_settled(self) -> None:
        with self.ledger.writing() as connection:
            assert queue.recover(connection, is_alive=self.held.__contains__, now=self.now) == 0
            receipts.settle_pending(connection, now=self.now, today=self.today, pepper=PEPPER)
            given_up = unknowns.abandon(connection, now=self.now)
        under_way = {one.message_id for claimed in self.held.values() for one in claimed}
        self.in_doubt = {one: at for one, at in self.in_doubt.items() if one not in self.proven - under_way}
        old = {one for one, at in self.in_doubt.items() if at <= self.now - unknowns.GIVEN_UP_AFTER}
        assert given_up == len(old)
        states = self._states()
        assert {states[one] for one in old} <= {"abandoned"}
        for one in self.proven - under_way:
            assert states[one] == _end_of(self.told[one])
        for one in old:
            del self.in_doubt[one]

    @precondition(lambda self: self.in_doubt)
    @rule(data=st.data())
    def a_person_releases(self, data: st.DataObject) -> None:
        """Somebody who knows that it never arrived; what the vendor has reported on nobody may release."""
        told_of = self.in_doubt.keys() & self.proven  # its sender was at work when the vendor spoke
        message_id = data.draw(st.sampled_from(sorted(told_of or self.in_doubt)))
        if message_id in self.taken - self.proven:
            return
        try:
            with self.ledger.writing() as connection:
                unknowns.release(
                    connection,
                    message_id,
                    is_alive=self.held.__contains__,
                    reason="they never got it",
                    actor="somebody",
                    now=self.now,
                )
        except GuardRefused:
            owners_at_work = {owner for owner, claimed in self.held.items() if claimed}
            assert message_id in self.proven or owners_at_work
        else:
            assert message_id not in self.proven
            del self.in_doubt[message_id]
            self.posted[message_id].pop()

    def _states(self) -> dict[str, str]:
        with self.ledger.reading() as connection:
            return {one["message_id"]: one["state"] for one in queue.list_messages(connection)}

    @rule(act=st.sampled_from(ACTS), customer_id=customers, programme=st.sampled_from(PROGRAMMES))
    def a_person_acts(self, act: str, customer_id: str, programme: str) -> None:
        self.now += timedelta(seconds=1)
        with self.ledger.writing() as connection:
            getattr(self, f"_{act}")(connection, customer_id, programme)

    def _says_stop(self, connection: Connection, customer_id: str, _programme: str) -> None:
        target = Target("email", customer_id=customer_id)
        refusals.suppress(connection, target, self._act(), pepper=PEPPER, reason=Reason.OPTED_OUT)
        self.opted_out.add(ADDRESSES[customer_id])

    def _clicks_unsubscribe(self, connection: Connection, customer_id: str, _programme: str) -> None:
        target = Target("email", address=ADDRESSES[customer_id])
        refusals.suppress(connection, target, self._act(), pepper=PEPPER, reason=Reason.OPTED_OUT)
        self.opted_out.add(ADDRESSES[customer_id])

    def _signs_up_again(self, connection: Connection, customer_id: str, _programme: str) -> None:
        refusals.lift(connection, Target("email", address=ADDRESSES[customer_id]), self._act(), pepper=PEPPER)
        self.opted_out.discard(ADDRESSES[customer_id])

    def _withdraws(self, connection: Connection, customer_id: str, _programme: str) -> None:
        people.add_consents(connection, rows.consents(customer_id, status="withdrawn", at=self.now), pepper=PEPPER)
        self.withdrawn.add(customer_id)

    def _consents(self, connection: Connection, customer_id: str, _programme: str) -> None:
        people.add_consents(connection, rows.consents(customer_id, at=self.now), pepper=PEPPER)
        self.withdrawn.discard(customer_id)

    def _buys(self, connection: Connection, customer_id: str, programme: str) -> None:
        closing = {"programme": programme, "customer_id": [customer_id], "cycle_no": 1, "close_reason": "returned"}
        cycles.close_cycles(connection, pd.DataFrame({**closing, "closed_on": pd.Timestamp(self.today)}))
        self.closed.add((programme, customer_id, 1))

    @rule()
    def somebody_presses_the_red_button(self) -> None:
        """Or lets it go; what is under way goes on, and is recorded."""
        with self.ledger.writing() as connection:
            if self.is_stopped:
                assert switches.release(connection, at=self.now, by="somebody", reason="mended")
            else:
                assert switches.press(connection, at=self.now, by="somebody")
        self.is_stopped = not self.is_stopped

    @precondition(lambda self: not self.held)
    @rule(hours=st.sampled_from([1, 2, 5, 30, 80]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    # --- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def no_message_left_twice(self) -> None:
        assert all(len(times) <= 1 for times in self.posted.values())
        sent = [key for times in self.posted.values() for key in times]
        assert len(sent) == len(set(sent))

    @invariant()
    def every_intended_message_is_in_a_named_state(self) -> None:
        with self.ledger.reading() as connection:
            found = queue.list_messages(connection)
        assert {(one["programme"], one["customer_id"], one["cycle"], one["step"]) for one in found} == self.intended
        assert len(found) == len(self.intended)
        assert {one["state"] for one in found} <= set(queue.MessageState)
        for one in found:
            if one["state"] in {"suppressed", "cancelled", "expired"}:
                assert one["reason"]
            if one["message_id"] in self.posted and self.posted[one["message_id"]]:
                assert one["state"] in {*TAKEN_STATES, "rejected"}
            if one["message_id"] in self.taken:
                assert one["state"] in TAKEN_STATES
        self._receipts_come_to_one_state({one["message_id"]: one["state"] for one in found})

    def _receipts_come_to_one_state(self, states: dict[str, str]) -> None:
        """The furthest of what was told, in any order; while its sender is at work, a message is left to it."""
        under_way = {one.message_id for claimed in self.held.values() for one in claimed}
        for message_id, kinds in self.told.items():
            if message_id in under_way:
                assert states[message_id] == "sending"
            elif states[message_id] not in {"accepted", "unknown"}:  # the next settling works in what had to wait
                assert states[message_id] == _end_of(kinds)

    @invariant()
    def one_address_one_message_a_day(self) -> None:
        taken = messages.c.address_hmac, messages.c.local_day
        with self.ledger.reading() as connection:
            found = connection.execute(select(*taken).where(messages.c.address_hmac.is_not(None))).all()
            tried = set(connection.scalars(select(attempts.c.message_id)))
        assert len(found) == len(set(found))
        assert {message_id for message_id, times in self.posted.items() if times} <= tried


def _run(make_ledger, examples: int) -> None:
    class Fresh(Outbox):
        def __init__(self) -> None:
            self.ledger = make_ledger()
            super().__init__()

        def teardown(self) -> None:
            self.ledger.close()

    run_state_machine_as_test(
        Fresh,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_never_twice_on_sqlite(sqlite_template, tmp_path):
    def make_ledger() -> Ledger:
        for leftover in (tmp_path / "var").glob("*"):
            leftover.unlink()
        return open_ledger(databases.copy_sqlite(sqlite_template, tmp_path), pepper=PEPPER)

    _run(make_ledger, examples=18)


@pytest.mark.postgres
def test_never_twice_on_postgresql(postgres_shared):
    def make_ledger() -> Ledger:
        databases.empty(postgres_shared)
        return open_ledger(postgres_shared, pepper=PEPPER)

    _run(make_ledger, examples=11)
