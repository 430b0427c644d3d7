"""One trial: a planned night, senders that are killed over and over until nothing is left, and the verdict.

In: where it happens, a seed, what may happen. Out: how many faults landed in the middle of the night, and what the
oracle says: after every fault about what must hold at any moment, at the end about all of it. A fault counts only if
somebody had been written to by then, somebody had not, and work was left.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from signal import SIGCONT, SIGKILL
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, text

from bench.killing import world
from bench.killing.oracle import Verdict, judge, judge_hours, judge_log, judge_steps
from bench.killing.reports import Reports
from bench.killing.sender import POINTS, RANDOM, Order, Running
from bench.killing.shifts import Shifts
from bench.killing.wishes import DATABASE_STOPPED, DAY, PAUSED
from winback.core.reasons import Reason
from winback.ledger import epochs, refusals
from winback.ledger.columns import Instant
from winback.ledger.engine import check, open_ledger
from winback.ledger.message_tables import messages
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from datetime import datetime

    from bench.killing.vendors import Vendors
    from bench.killing.wishes import Ground, Wish
    from winback.ledger.engine import Ledger

KILLED = -SIGKILL
_LONGER_THAN_A_LEASE = timedelta(minutes=15)
_MOST_ROUNDS = 400
_QUIET_RUNS = 20
_SECOND_SENDER, _NOBODY_SAYS_NO = 0.25, 0.5
_UNDER_WAY = (
    messages.c.state.in_(["planned", "sending"]),
    or_(messages.c.reason.is_(None), messages.c.reason.in_(["quiet_hours", "source_held"])),
)
"""What may still go in this night; what the limits of the night kept back may not."""


@dataclass
class Trial:
    """One trial under way, and what came of it.

    Attributes
    ----------
    landed : faults that took effect in the middle of the night, by kind
    missed : faults that did not
    refused : customers who said no before their claim
    states : messages by state at the end
    verdict : of the oracle
    """

    ground: Ground
    wish: Wish
    landed: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)

    def __post_init__(self) -> None:
        """Draw what will happen, and plan the night."""
        self.random = random.Random(self.wish.number)  # noqa: S311  a trial must be repeatable by its number; it protects nothing
        self.now = self.wish.begins_at
        self.url = self.ground.fresh()
        self.shifts, self.reports = Shifts(), Reports(self.random, pepper=world.PEPPER)
        environment = self.ground.vendors.environment
        counts = {"mails": self.wish.mails, "texts": self.wish.texts}
        self.planned = world.people_of(self.wish.number, **counts, homes=self.wish.homes)
        self._seen: set[str] = set()
        self.ground.vendors.turn_the_page({one.address for one in self.planned})
        self.project = world.make_project(self.ground.root, environment, self.wish.limits)
        with open_ledger(self.url, pepper=world.PEPPER) as ledger:
            # A new database in the place of the last one is no backup that was put back: it has no past.
            epochs.twin_file(ledger, self.project.var).unlink(missing_ok=True)
            world.plan(ledger, self.project, self.planned, now=self.now)
            self._states = _states(read_rows(ledger))

    def run(self) -> Trial:
        """Live through the night and judge it."""
        with closing(open_ledger(self.url, pepper=world.PEPPER)) as ledger:
            for _round in range(_MOST_ROUNDS):
                if not self.left(ledger) or self.landed.total() >= self.wish.most_faults:
                    break
                self._go_on(ledger)
                self._say_no(ledger)
                self.fault(self.random.choice(self.wish.kinds), ledger)
                self.reports.tell(ledger, now=self.now)
                self.look(ledger)
            restless = self.finish(ledger)
            rows = self.look(ledger)
        self.states = Counter(row["state"] for row in rows)
        self.verdict += judge(self.planned, self.taken(), rows, reported=self.reports.expected())
        self.verdict += Verdict(restless=restless, damages=check(self.url).problems)
        return self

    def taken(self) -> dict[str, Counter[str]]:
        """Return what the vendors took in this trial, by address."""
        return self.ground.vendors.read_on()

    def look(self, ledger: Ledger) -> list[dict[str, Any]]:
        """Judge what must hold at any moment; return the rows of all messages."""
        taken, rows = self.taken(), read_rows(ledger)
        self.verdict += judge_log(self.planned, taken, refused=self.refused, limits=self.wish.limits)
        fresh = [one for one in self.planned if one.address in taken and one.address not in self._seen]
        self.verdict += judge_hours(fresh, self.ground.vendors.taken_seconds, self.shifts)
        self._seen |= {one.address for one in fresh}
        states = _states(rows)
        self.verdict += judge_steps(self._states, states)
        self._states = states
        if self.wish.are_reported:
            for one in fresh:
                for message_id in taken[one.address]:
                    self.reports.hear(one.address, message_id, now=self.now)
        return rows

    def left(self, ledger: Ledger) -> int:
        """Return how many messages are on their way or still to go."""
        with ledger.reading() as connection:
            query = select(func.count()).select_from(messages).where(*_UNDER_WAY)
            return int(connection.execute(query).scalar_one())

    def _go_on(self, ledger: Ledger) -> None:
        """Let time pass: the usual step, or until shortly before the next message is due where none is."""
        self.now += self.wish.step
        with ledger.reading() as connection:
            query = select(func.min(messages.c.not_before_at, type_=Instant())).where(*_UNDER_WAY)
            due_at = connection.execute(query).scalar_one()
        if due_at is not None and due_at > self.now:
            self.now = max(self.now, due_at - self.wish.step / 2)
        if self.wish.has_weather:
            self.ground.vendors.change_weather(self.random)

    def start(
        self,
        *,
        now: datetime | None = None,
        point: str = "",
        number: int = 1,
        is_stopped: bool = False,
        largest_file_bytes: int | None = None,
    ) -> Running:
        """Start a sender; the fields are those of its order."""
        order = Order(
            project=self.project,
            database_url=self.url,
            pepper=world.PEPPER,
            now=now or self.now,
            point=point,
            number=number,
            is_stopped=is_stopped,
            share=self.random.random(),
            variant=self.wish.variant,
            largest_file_bytes=largest_file_bytes,
        )
        sender = Running(order)
        self.shifts.begin(sender)
        return sender

    def fault(self, kind: str, ledger: Ledger) -> None:
        """Let one thing go wrong, and count it where it landed."""
        if kind == PAUSED:
            self._pause(ledger)
        elif kind == DATABASE_STOPPED:
            self._stop_the_database(ledger)
        else:
            is_joined = self.random.random() < _SECOND_SENDER
            self._kill([kind, self.random.choice(POINTS)] if is_joined else [kind], ledger)
        self.shifts.end_the_dead()

    def _kill(self, points: list[str], ledger: Ledger) -> None:
        """Start senders at once, one a point, and let each die there."""
        senders = [self.start(now=self._clock(), point=one, number=self._number(one)) for one in points]
        for sender in senders:
            if sender.order.point == RANDOM and sender.wait_until_at_work():
                self.reports.tell(ledger, now=self.now)
                time.sleep(self.random.uniform(0, 0.08))
                sender.signal(SIGKILL)
        for sender in senders:
            code, _counts, problem = sender.end()
            if code not in {KILLED, 0, 1, 4}:
                raise RuntimeError(f"a sender ended with {code}: {problem}")
            self._count(sender.order.point, ledger, has_happened=code == KILLED)

    def _clock(self) -> datetime:
        """Return what time a sender believes it is: now, or the same a day before or after."""
        if self.random.random() >= self.wish.jumps:
            return self.now
        return self.now + self.random.choice((-DAY, DAY))

    def _number(self, point: str) -> int:
        """Return at the how-manieth time a sender dies at a point: soon, so that a night has many deaths."""
        return self.random.randint(1, 15) if point == "after_claim" else self.random.randint(1, 2)

    def _count(self, kind: str, ledger: Ledger, *, has_happened: bool) -> None:
        taken = self.ground.vendors.read_on()
        reached = sum(one.address in taken for one in self.planned)
        is_amid = has_happened and 0 < reached < len(self.planned) and self.left(ledger) > 0
        (self.landed if is_amid else self.missed)[kind] += 1

    def _pause(self, ledger: Ledger) -> None:
        """Stop a sender just before or after a call, let another go on past its lease, then let it continue and die."""
        stopped = self.start(point=self.random.choice(("before_call", "after_answer")), is_stopped=True)
        if not stopped.wait_until_at_work():
            stopped.end()
            self.missed[PAUSED] += 1
            return
        time.sleep(0.01)  # from the word that it stops to the stop
        other = self.start(now=self.now + _LONGER_THAN_A_LEASE, point="after_record", number=2)
        other.end()
        self._count(PAUSED, ledger, has_happened=True)
        stopped.signal(SIGCONT)
        time.sleep(self.random.uniform(0.02, 0.06))
        stopped.signal(SIGKILL)
        stopped.end()

    def _stop_the_database(self, ledger: Ledger) -> None:
        """Stop PostgreSQL at once while senders work, and start it again."""
        if self.ground.server is None:
            raise RuntimeError("this PostgreSQL is not ours to stop")
        senders = [self.start(point=RANDOM) for _ in range(self.random.randint(1, 2))]
        are_at_work = [sender.wait_until_at_work() for sender in senders]
        time.sleep(self.random.uniform(0, 0.08))
        are_alive = any(sender.process.is_alive() for sender in senders)
        self.ground.server.stop_at_once()
        codes = [sender.end()[0] for sender in senders]
        self.ground.server.start()
        ledger.engine.dispose()
        self._count(DATABASE_STOPPED, ledger, has_happened=any(are_at_work) and are_alive and any(codes))

    def _say_no(self, ledger: Ledger) -> None:
        """Let somebody say no whose message is still planned once that is committed: before any claim of it."""
        if len(self.refused) >= self.wish.refusals or self.random.random() < _NOBODY_SAYS_NO:
            return
        say_no(ledger, self.random.choice(self.planned), now=self.now, told=self.refused)

    def finish(self, ledger: Ledger) -> tuple[str, ...]:
        """Send what is left in peace, once a day later, and look whether one more run changes anything."""
        self.ground.vendors.clear()
        for _run in range(_QUIET_RUNS):
            self.now += timedelta(minutes=10)
            self._end(self.start())
            if not self.left(ledger):
                break
            self._go_on(ledger)
        self.look(ledger)
        self.reports.tell(ledger, now=self.now, share=1.0)
        # A clock that is a day behind, then one a day ahead: nothing may come of it.
        said = self._end(self.start(now=self.wish.begins_at - DAY))
        self._end(self.start(now=self.now + DAY))
        self.look(ledger)
        self.reports.tell(ledger, now=self.now + DAY, share=1.0)
        before, taken = read_rows(ledger), _total(self.ground.vendors)
        said = said or self._end(self.start(now=self.now + DAY))
        changed = [f"a run at the fixed point said {said}"] if said else []
        if before != read_rows(ledger):
            changed.append("a run at the fixed point changed rows")
        if taken != _total(self.ground.vendors):
            changed.append("a run at the fixed point sent something")
        return tuple(changed)

    def _end(self, sender: Running) -> dict[str, int]:
        """Wait for a sender that nobody kills, and return its counts."""
        counts = sender.end()[1]
        self.shifts.end_the_dead()
        return counts


def say_no(ledger: Ledger, person: world.Person, *, now: datetime, told: set[str]) -> None:
    """Suppress somebody; note them if their message is still planned once that is committed."""
    with ledger.writing() as connection:
        target = Target(person.channel, customer_id=person.customer_id)
        act = Act(now, now.date(), "one_click", "web")
        refusals.suppress(connection, target, act, pepper=world.PEPPER, reason=Reason.OPTED_OUT)
    with ledger.reading() as connection:
        query = text("SELECT state FROM messages WHERE customer_id = :who")
        if connection.execute(query, {"who": person.customer_id}).scalar_one() == "planned":
            told.add(person.customer_id)


def read_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every message as the database has it."""
    with ledger.reading() as connection:
        return [dict(row) for row in connection.execute(text("SELECT * FROM messages ORDER BY message_id")).mappings()]


def _states(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["customer_id"]: row["state"] for row in rows}


def _total(vendors: Vendors) -> int:
    return sum(ids.total() for ids in vendors.read_on().values())
