"""Plans a night may be carried out by, and who agreed to them: one row a hash, without pandas.

A plan is stored when somebody has to agree to it, and when it is carried out. Must never happen: an agreement that is
changed, or one that belongs to another hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from winback.ledger import diary
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.night_tables import plans

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


def approve_plan(connection: Connection, plan_hash: str, *, at: datetime, by: str) -> bool:
    """Note who agreed to a plan, once; return False when there is no such plan or it was approved before."""
    change = plans.update().where(plans.c.plan_hash == plan_hash, plans.c.approved_at.is_(None))
    done = bool(connection.execute(change.values(approved_at=at, approved_by=by)).rowcount)
    if done:
        diary.record(connection, at=at, actor=by, action="approve", subject=plan_hash)
    return done


def _plans() -> Select[Any]:
    return select(*(plans.c[name] for name in Plan._fields))
