"""One trial: a planned night, senders that are killed over and over until nothing is left, and the verdict.

In: where it happens, a seed, what may happen. Out: how many faults landed in the middle of the night, and what the
oracle says. A fault counts only if somebody had been written to by then, somebody had not, and work was left.
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

from sqlalchemy import text

from bench.killing import world
from bench.killing.oracle import Verdict, judge
from bench.killing.sender import POINTS, RANDOM, Order, Running
from winback.core.reasons import Reason
from winback.ledger import epochs, refusals
from winback.ledger.engine import check, open_ledger
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.killing.postgres import OwnServer
    from bench.killing.vendors import Vendors
    from winback.ledger.engine import Ledger

KILLED = -SIGKILL
PAUSED, DATABASE_STOPPED = "paused", "database_stopped"
KINDS = (*POINTS, RANDOM, PAUSED)
_LONGER_THAN_A_LEASE = timedelta(minutes=15)
_MOST_ROUNDS = 400


@dataclass(frozen=True)
class Ground:
    """Where trials happen.

    Attributes
    ----------
    root : of the project
    vendors : running
    fresh : returns the URL of a ledger without rows
    server : of PostgreSQL, where trials may stop it
    """

    root: Path
    vendors: Vendors
    fresh: Callable[[], str]
    server: OwnServer | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a trial is.

    Attributes
    ----------
    number : of the trial: no two share people, and everything random comes from it
    mails, texts : how many people
    kinds : of faults, drawn evenly
    variant : ``module:function`` that breaks every sender on purpose
    refusals : how many people say no in the meantime
    most_faults : after so many that landed, what is left is sent in peace
    """

    number: int
    mails: int = 400
    texts: int = 150
    kinds: Sequence[str] = KINDS
    variant: str = ""
    refusals: int = 6
    most_faults: int = 1_000_000


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
        self.random = random.Random(self.wish.number)  # noqa: S311  not a secret
        self.now = world.NOW
        self.url = self.ground.fresh()
        environment = self.ground.vendors.environment
        self.planned = world.people_of(self.wish.number, mails=self.wish.mails, texts=self.wish.texts)
        self._earlier = set(self.ground.vendors.read_on())
        if self._earlier & {one.address for one in self.planned}:
            raise RuntimeError(f"trial {self.wish.number} was here before: what its people got proves nothing")
        self.project = world.make_project(self.ground.root, environment)
        with open_ledger(self.url, pepper=world.PEPPER) as ledger:
            # A new database in the place of the last one is no backup that was put back: it has no past.
            epochs.twin_file(ledger, self.project.var).unlink(missing_ok=True)
            world.plan(ledger, self.project, self.planned)

    def run(self) -> Trial:
        """Live through the night and judge it."""
        with closing(open_ledger(self.url, pepper=world.PEPPER)) as ledger:
            for _round in range(_MOST_ROUNDS):
                if not self.left(ledger) or self.landed.total() >= self.wish.most_faults:
                    break
                self._say_no(ledger)
                self.fault(self.random.choice(self.wish.kinds), ledger)
            restless = self.finish(ledger)
            rows = read_rows(ledger)
        everything = self.ground.vendors.read_on()
        taken = {address: ids for address, ids in everything.items() if address not in self._earlier}
        self.states = Counter(row["state"] for row in rows)
        self.verdict = judge(self.planned, taken, rows, refused=self.refused)
        self.verdict += Verdict(restless=restless, damages=check(self.url).problems)
        return self

    def left(self, ledger: Ledger) -> int:
        """Return how many messages are on their way or still to go."""
        with ledger.reading() as connection:
            query = "SELECT count(*) FROM messages WHERE state IN ('planned', 'sending') AND reason IS NULL"
            return int(connection.execute(text(query)).scalar_one())

    def start(self, **order: Any) -> Running:  # noqa: ANN401  fields of Order
        """Start a sender."""
        given: dict[str, Any] = {"now": self.now, "variant": self.wish.variant, "share": self.random.random(), **order}
        common: dict[str, Any] = {"root": self.ground.root, "environment": self.ground.vendors.environment}
        return Running(Order(**common, database_url=self.url, pepper=world.PEPPER, **given))

    def fault(self, kind: str, ledger: Ledger) -> None:
        """Let one thing go wrong, and count it where it landed."""
        self.now += timedelta(seconds=20)
        if kind == PAUSED:
            self._pause(ledger)
            return
        kinds = [kind, self.random.choice(POINTS)] if self.random.random() < 0.25 else [kind]  # noqa: PLR2004  sometimes two at once
        if kind == DATABASE_STOPPED:
            self._stop_the_database(ledger)
            return
        senders = [self.start(point=one, number=self._number(one)) for one in kinds]
        for sender in senders:
            if sender.order.point == RANDOM and sender.wait_until_at_work():
                time.sleep(self.random.uniform(0, 0.08))
                sender.signal(SIGKILL)
        for sender in senders:
            code, _counts, problem = sender.end()
            if code not in {KILLED, 0, 1, 4}:
                raise RuntimeError(f"a sender ended with {code}: {problem}")
            self._count(sender.order.point, ledger, has_happened=code == KILLED)

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
        if len(self.refused) >= self.wish.refusals or self.random.random() < 0.5:  # noqa: PLR2004  not all at once
            return
        say_no(ledger, self.random.choice(self.planned), now=self.now, told=self.refused)

    def finish(self, ledger: Ledger) -> tuple[str, ...]:
        """Send what is left in peace, once a day later, and look whether one more run changes anything."""
        for _run in range(20):
            self.now += timedelta(minutes=10)
            self.start().end()
            if not self.left(ledger):
                break
        # A clock that is a day behind, then one a day ahead: nothing may come of it.
        said = self.start(now=world.NOW - timedelta(days=1)).end()[1]
        self.start(now=self.now + timedelta(days=1)).end()
        before, taken = read_rows(ledger), _total(self.ground.vendors)
        said = said or self.start(now=self.now + timedelta(days=1)).end()[1]
        changed = [f"a run at the fixed point said {said}"] if said else []
        if before != read_rows(ledger):
            changed.append("a run at the fixed point changed rows")
        if taken != _total(self.ground.vendors):
            changed.append("a run at the fixed point sent something")
        return tuple(changed)


def say_no(ledger: Ledger, person: world.Person, *, now: Any, told: set[str]) -> None:  # noqa: ANN401  an instant
    """Suppress somebody; note them if their message is still planned once that is committed."""
    with ledger.writing() as connection:
        target = Target(person.channel, customer_id=person.customer_id)
        act = Act(now, world.NIGHT, "one_click", "web")
        refusals.suppress(connection, target, act, pepper=world.PEPPER, reason=Reason.OPTED_OUT)
    with ledger.reading() as connection:
        query = text("SELECT state FROM messages WHERE customer_id = :who")
        if connection.execute(query, {"who": person.customer_id}).scalar_one() == "planned":
            told.add(person.customer_id)


def read_rows(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every message as the database has it."""
    with ledger.reading() as connection:
        return [dict(row) for row in connection.execute(text("SELECT * FROM messages ORDER BY message_id")).mappings()]


def _total(vendors: Vendors) -> int:
    return sum(ids.total() for ids in vendors.read_on().values())
