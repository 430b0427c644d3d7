"""Silences that became cycles, the steps that were taken, and the nights that did it.

State is read "as before D": what the night of D wrote is no input to D, which is what makes a night repeatable.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from sqlalchemy import and_, or_, select

from winback.core.buckets import BUCKETS
from winback.ledger import bulk
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, night_shards, nights, steps
from winback.ledger.verdicts import with_bucket

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date, datetime

    from sqlalchemy import Connection, Select

_KEY = ["programme", "customer_id", "cycle_no"]
_NOT_ARRIVED = (
    *("suppressed", "expired", "cancelled", "held", "rejected", "bounced", "undelivered", "dropped"),
    *("unknown", "abandoned"),  # may have arrived; unknown is not ignored
)
_SETTLED_AFTER = timedelta(days=3)


class Night(NamedTuple):
    """One night that was begun; ``applied_at`` is None until it is done, ``summary`` is JSON."""

    as_of: date
    plan_hash: str
    run_id: str
    started_at: datetime
    applied_at: datetime | None
    summary: str | None


def open_cycles(connection: Connection, frame: pd.DataFrame) -> int:
    """Open cycles, each once, and return how many are new; the arm given first stays.

    Parameters
    ----------
    frame : ``programme, customer_id, cycle_no, opened_on, lapsed_on, anchored_on, arm, threshold_days, step_offsets,
        policy_hash``
    """
    return bulk.insert_new(connection, cycles, with_bucket(frame))


def close_cycles(connection: Connection, frame: pd.DataFrame) -> int:
    """Close cycles that are open, and return how many were.

    Parameters
    ----------
    frame : ``programme, customer_id, cycle_no, closed_on, close_reason``
    """
    columns = [*_KEY, "closed_on", "close_reason"]
    return bulk.update_rows(connection, cycles, frame[columns], key=_KEY, only_where="cycles.closed_on IS NULL")


def take_steps(connection: Connection, frame: pd.DataFrame) -> int:
    """Note steps as taken (sent, or withheld from a control group), each once, and return how many are new.

    Parameters
    ----------
    frame : ``programme, customer_id, cycle_no, step, taken_on, arm, channel``
    """
    return bulk.insert_new(connection, steps, with_bucket(frame))


def read_cycles(connection: Connection, *, as_of: date, low: int = 0, high: int = BUCKETS) -> pd.DataFrame:
    """Return the cycles opened before ``as_of``; one that was closed on that day or later counts as open."""
    within = cycles.c.bucket >= low, cycles.c.bucket < high
    query = select(cycles).where(cycles.c.opened_on < as_of, *within)
    found = bulk.read_frame(connection, query.order_by(*(cycles.c[name] for name in _KEY)))
    is_closed = found["closed_on"] < pd.Timestamp(as_of)
    return found.assign(
        closed_on=found["closed_on"].where(is_closed), close_reason=found["close_reason"].where(is_closed)
    )


def unheard(
    connection: Connection,
    *,
    as_of: date,
    low: int = 0,
    high: int = BUCKETS,
    rehearsals: Collection[date] = (),
) -> pd.DataFrame:
    """Return the cycles open before ``as_of`` whose messages did not arrive, none of them, as far as is known.

    Parameters
    ----------
    rehearsals : nights whose messages were not for people

    Returns
    -------
    ``programme, customer_id, cycle_no``
    """
    theirs = select(messages.c.message_id).where(
        messages.c.programme == cycles.c.programme,
        messages.c.customer_id == cycles.c.customer_id,
        messages.c.cycle == cycles.c.cycle_no,
    )
    is_lost = or_(messages.c.state.in_(_NOT_ARRIVED), messages.c.as_of.in_(rehearsals))
    # What is not settled yet says nothing, and would make a plan of this morning another one by noon.
    is_fresh = messages.c.as_of > as_of - _SETTLED_AFTER
    is_open = or_(cycles.c.closed_on.is_(None), cycles.c.closed_on >= as_of)
    query = select(*(cycles.c[name] for name in _KEY)).where(
        and_(cycles.c.bucket >= low, cycles.c.bucket < high, cycles.c.opened_on < as_of, is_open),
        # Asked cycle by cycle, so that the few open ones are looked up and not all messages there ever were.
        theirs.exists(),
        ~theirs.where(or_(~is_lost, is_fresh)).exists(),
    )
    return bulk.read_frame(connection, query.order_by(*(cycles.c[name] for name in _KEY)))


def read_steps(connection: Connection, *, as_of: date, low: int = 0, high: int = BUCKETS) -> pd.DataFrame:
    """Return the steps taken before ``as_of``."""
    within = steps.c.bucket >= low, steps.c.bucket < high
    query = select(steps).where(steps.c.taken_on < as_of, *within)
    return bulk.read_frame(connection, query.order_by(*(steps.c[name] for name in (*_KEY, "step"))))


def begin_night(connection: Connection, *, as_of: date, plan_hash: str, run_id: str, started_at: datetime) -> Night:
    """Note that a night is being applied, and return it; one that was begun before stays as it was."""
    values = {"as_of": as_of, "plan_hash": plan_hash, "run_id": run_id, "started_at": started_at}
    connection.execute(new_insert(connection, nights).values(values).on_conflict_do_nothing())
    return Night(*connection.execute(_nights(as_of)).one())


def end_night(connection: Connection, as_of: date, *, applied_at: datetime, summary: str) -> None:
    """Note that a night is done, and what it did; done again, the first time stays and the summary is the newer."""
    change = nights.update().where(nights.c.as_of == as_of)
    connection.execute(change.values(summary=summary))
    connection.execute(change.where(nights.c.applied_at.is_(None)).values(applied_at=applied_at))


def read_night(connection: Connection, as_of: date) -> Night | None:
    """Return one night, or None."""
    row = connection.execute(_nights(as_of)).one_or_none()
    return None if row is None else Night(*row)


def last_night(connection: Connection, *, before: date | None = None) -> Night | None:
    """Return the newest night that was applied, before a day if one is given."""
    query = select(nights.c.as_of).where(nights.c.applied_at.is_not(None))
    if before is not None:
        query = query.where(nights.c.as_of < before)
    newest: Any = connection.scalar(query.order_by(nights.c.as_of.desc()).limit(1))
    return None if newest is None else read_night(connection, newest)


def nights_before(connection: Connection, as_of: date) -> list[Night]:
    """Return the nights that were applied before a day, the oldest first."""
    applied = select(*(nights.c[name] for name in Night._fields)).where(nights.c.applied_at.is_not(None))
    return [Night(*row) for row in connection.execute(applied.where(nights.c.as_of < as_of).order_by(nights.c.as_of))]


def mark_shard(
    connection: Connection, *, as_of: date, plan_hash: str, low: int, high: int, written_at: datetime
) -> bool:
    """Note, in its transaction, that the buckets ``[low, high)`` are written; return False when they were before."""
    values = {"as_of": as_of, "plan_hash": plan_hash, "low": low, "high": high, "written_at": written_at}
    return bool(
        insert_counted(connection, new_insert(connection, night_shards).values(values).on_conflict_do_nothing())
    )


def written_shards(connection: Connection, *, as_of: date, plan_hash: str) -> set[tuple[int, int]]:
    """Return which runs of buckets are written."""
    where = night_shards.c.as_of == as_of, night_shards.c.plan_hash == plan_hash
    query = select(night_shards.c.low, night_shards.c.high).where(*where)
    return {(row.low, row.high) for row in connection.execute(query)}


def _nights(as_of: date) -> Select[Any]:
    return select(*(nights.c[name] for name in Night._fields)).where(nights.c.as_of == as_of)
