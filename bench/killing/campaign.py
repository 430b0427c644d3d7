"""Trials until so many faults have landed, and their sum."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from bench.killing.oracle import Verdict
from bench.killing.trial import Trial
from bench.killing.wishes import DATABASE_STOPPED
from winback.ledger.engine import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.killing.wishes import Ground, Wish

_MOST_TRIALS = 10_000
_DATABASES = ("killed_template", "killed")


@dataclass
class Sum:
    """What many trials came to.

    Attributes
    ----------
    trials : how many
    people : how many messages were planned in them
    landed, missed : faults by kind: in the middle of a night, and not
    states : messages by state at the end
    refused : people who said no before their claim
    verdict : of all of them
    seconds : they took
    """

    trials: int = 0
    people: int = 0
    landed: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0

    def add(self, trial: Trial) -> None:
        """Count one trial."""
        self.trials += 1
        self.people += len(trial.planned)
        self.landed += trial.landed
        self.missed += trial.missed
        self.states += trial.states
        self.refused += len(trial.refused)
        self.verdict += trial.verdict

    def told(self) -> dict[str, Any]:
        """Return it as JSON has it; of what is wrong the count, and the first lines."""
        wrong = {each.name: getattr(self.verdict, each.name) for each in fields(self.verdict)}
        kinds = sorted((self.landed + self.missed) or ())
        return {
            "effective_kills": self.landed.total() - self.landed[DATABASE_STOPPED],
            "attempts": self.landed.total() + self.missed.total(),
            "database_stops": self.landed[DATABASE_STOPPED],
            **{name: len(lines) for name, lines in wrong.items()},
            "by_kill_point": {
                one: {"effective": self.landed[one], "attempts": self.landed[one] + self.missed[one]} for one in kinds
            },
            "trials": self.trials,
            "messages": self.people,
            "states": dict(sorted(self.states.items())),
            "refused_before_their_claim": self.refused,
            "examples": [line for lines in wrong.values() for line in lines[:3]],
            "kills_per_minute": round(60 * self.landed.total() / self.seconds, 1) if self.seconds else None,
        }

    def __add__(self, other: Sum) -> Sum:
        """Return both."""
        return Sum(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def run(ground: Ground, wishes: Callable[[int], Wish], *, landed: int, first: int = 0) -> Sum:
    """Run trials until so many faults have landed, or something is wrong.

    Parameters
    ----------
    ground : where
    wishes : the trial of each number
    landed : how many faults
    first : number of the first trial
    """
    found, begun = Sum(), time.monotonic()
    for number in range(first, first + _MOST_TRIALS):
        found.add(Trial(ground, wishes(number)).run())
        found.seconds = time.monotonic() - begun
        if found.landed.total() >= landed or not found.verdict.is_clean:
            return found
    raise RuntimeError(f"{_MOST_TRIALS} trials, and only {found.landed.total()} faults landed")


@contextmanager
def sqlite_ledgers(folder: Path) -> Iterator[Callable[[], str]]:
    """Yield what makes a new SQLite ledger, each in a folder of its own, which goes when the next one comes."""
    template, place = folder / "template.db", folder / "ledger"
    upgrade(f"sqlite:///{template}")

    def fresh() -> str:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        shutil.copy(template, place / "winback.db")
        return f"sqlite:///{place / 'winback.db'}"

    yield fresh


@contextmanager
def postgres_ledgers(url: str) -> Iterator[Callable[[], str]]:
    """Yield what makes a new database on a PostgreSQL server of ours; it goes when the next one comes.

    Parameters
    ----------
    url : of the server's administrator
    """
    server = make_url(url)
    template, place = (server.set(database=name).render_as_string(hide_password=False) for name in _DATABASES)
    _administer(url, f"CREATE DATABASE {_DATABASES[0]}")
    upgrade(template)

    def fresh() -> str:
        _administer(url, f"DROP DATABASE IF EXISTS {_DATABASES[1]} WITH (FORCE)")
        _administer(url, f"CREATE DATABASE {_DATABASES[1]} TEMPLATE {_DATABASES[0]}")
        return place

    yield fresh


def _administer(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
