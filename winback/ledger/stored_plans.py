"""Plans a night may be carried out by, and who agreed to them: one row a hash, without pandas.

A plan is stored when somebody has to agree to it, and when it is carried out. Must never happen: an agreement that is
changed, or one that belongs to another hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from winback.ledger import diary
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.night_tables import nights, plans

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection, Select


class Plan(NamedTuple):
    """A stored plan; ``summary`` is JSON."""

    plan_hash: str
    as_of: date
    created_at: datetime
    approved_at: datetime | None
    approved_by: str | None
    summary: str


def save_plan(connection: Connection, *, plan_hash: str, as_of: date, created_at: datetime, summary: str) -> bool:
    """Store a plan; return False when it was stored before."""
    values = {"plan_hash": plan_hash, "as_of": as_of, "created_at": created_at, "summary": summary}
    return bool(insert_counted(connection, new_insert(connection, plans).values(values).on_conflict_do_nothing()))


def read_plan(connection: Connection, plan_hash: str) -> Plan | None:
    """Return a plan, or None."""
    row = connection.execute(_plans().where(plans.c.plan_hash == plan_hash)).one_or_none()
    return None if row is None else Plan(*row)


def read_plans(connection: Connection, *, as_of: date) -> list[Plan]:
    """Return the plans of a night, the newest last."""
    order = plans.c.created_at, plans.c.plan_hash
    return [Plan(*row) for row in connection.execute(_plans().where(plans.c.as_of == as_of).order_by(*order))]


def newest_plans(connection: Connection, *, limit: int) -> list[tuple[Plan, datetime | None]]:
    """Return the plans made last, the newest first, and when each was carried out."""
    of_plan = (nights.c.plan_hash == plans.c.plan_hash) & (nights.c.as_of == plans.c.as_of)
    query = _plans().add_columns(nights.c.applied_at).outerjoin(nights, of_plan)
    rows = connection.execute(query.order_by(plans.c.created_at.desc(), plans.c.plan_hash).limit(limit))
    return [(Plan(*row[:-1]), row.applied_at) for row in rows]


def last_applied(connection: Connection, *, before: date) -> Plan | None:
    """Return the plan of the newest night before a day that was carried out to its end, or None."""
    of_plan = (nights.c.plan_hash == plans.c.plan_hash) & (nights.c.as_of == plans.c.as_of)
    done = nights.c.applied_at.is_not(None), nights.c.as_of < before
    query = _plans().join(nights, of_plan).where(*done).order_by(nights.c.as_of.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Plan(*row)


def approve_plan(connection: Connection, plan_hash: str, *, at: datetime, by: str) -> bool:
    """Note who agreed to a plan, once; return False when there is no such plan or it was approved before."""
    change = plans.update().where(plans.c.plan_hash == plan_hash, plans.c.approved_at.is_(None))
    done = bool(connection.execute(change.values(approved_at=at, approved_by=by)).rowcount)
    if done:
        diary.record(connection, at=at, actor=by, action="approve", subject=plan_hash)
    return done


def _plans() -> Select[Any]:
    return select(*(plans.c[name] for name in Plan._fields))
