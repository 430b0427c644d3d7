"""Opening a project for one night: its programmes, its rules and both stores, in one place.

In: a :class:`~winback.settings.Project`, a date and the present instant. Out: a :class:`Night`, closed again when the
``with`` block ends.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from winback.activity.store import ActivityStore
from winback.core.buckets import BUCKETS
from winback.errors import UsageError
from winback.ledger import contact_rows, cycles
from winback.night.check import load_programmes
from winback.night.pepper import open_project_ledger, read_pepper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    from winback.core.policy import Programme
    from winback.ledger.engine import Ledger
    from winback.settings import Project

NIGHT_BEGINS = time(4, 30)
"""When a night is due, local time; later than the hours that daylight saving repeats or leaves out."""


CONTACTS_PER_SHARD = 50_000
"""A shard costs about 0.4 CPU seconds a programme however small it is, and about 2 KiB a contact and programme."""


def be_silent(_stage: str, _done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """Everything the steps of one night work on.

    Attributes
    ----------
    programmes : the policies that take part
    as_of : the business day this night is about
    now : the instant it runs at (aware)
    begins_at : the instant sending may begin: when this day's night was first run, so that repeating it decides alike
    asked_shards : into how many parts the customers are split; None: as many as suit their number
    progress : called with (stage, done, total)
    """

    project: Project
    programmes: tuple[Programme, ...]
    ledger: Ledger
    store: ActivityStore
    pepper: bytes = field(repr=False)
    as_of: date
    now: datetime
    begins_at: datetime
    asked_shards: int | None = None
    progress: Callable[[str, int, int], None] = be_silent

    @cached_property
    def shards(self) -> int:
        """Into how many parts the customers are split; changes speed and memory, never a decision.

        Asked for the first time after the sources were read, so that the first night is split as well.
        """
        if self.asked_shards is not None:
            return self.asked_shards
        with self.ledger.reading() as connection:
            present = contact_rows.count_contacts(connection)["present"]
        return min(BUCKETS, 1 + present // CONTACTS_PER_SHARD)

    @property
    def is_backdated(self) -> bool:
        """Whether the night is about a day before yesterday: such a night only plans, unless told otherwise."""
        return is_backdated(self.as_of, self.project.business_date(self.now))


def is_backdated(as_of: date, today: date) -> bool:
    """Whether a night is about a day before yesterday."""
    return as_of < today - timedelta(days=1)


def open_store(project: Project) -> ActivityStore:
    """Return the project's activity store."""
    return ActivityStore.open(project.activity, zone=project.zone)


def usual_start(project: Project, as_of: date) -> datetime:
    """Return the instant at which the night of a day is due."""
    return datetime.combine(as_of, NIGHT_BEGINS, tzinfo=project.zone)


@contextmanager
def open_night(
    project: Project,
    *,
    as_of: date,
    now: datetime,
    programmes: Sequence[str] | None = None,
    shards: int | None = None,
    begins_at: datetime | None = None,
    progress: Callable[[str, int, int], None] = be_silent,
) -> Iterator[Night]:
    """Yield the night of one business day, with both stores open.

    Parameters
    ----------
    programmes : names of those that take part; None means all
    begins_at : when sending may begin, if a plan says so; a night that was run before keeps to its own

    Raises
    ------
    UsageError
        If the day has not come, or a programme of that name does not exist.
    PolicyError
        With every fault of every policy.
    StoreError
        If a store cannot be opened.
    """
    today = project.business_date(now)
    if as_of > today:
        raise UsageError(f"{as_of} is in the future: today is {today} in {project.config.business.timezone}")
    taking_part = _named(load_programmes(project.root), programmes)
    ledger = open_project_ledger(project)
    try:
        with ledger.reading() as connection:
            before = cycles.read_night(connection, as_of)
        wanted_at = begins_at or (usual_start(project, as_of) if is_backdated(as_of, today) else now)
        yield Night(
            project=project,
            programmes=taking_part,
            ledger=ledger,
            store=open_store(project),
            pepper=read_pepper(project),
            as_of=as_of,
            now=now,
            begins_at=wanted_at if before is None else before.started_at,
            asked_shards=shards,
            progress=progress,
        )
    finally:
        ledger.close()


def _named(programmes: tuple[Programme, ...], wanted: Sequence[str] | None) -> tuple[Programme, ...]:
    if wanted is None:
        return programmes
    known = {programme.programme for programme in programmes}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise UsageError(f"no programme {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return tuple(programme for programme in programmes if programme.programme in wanted)
