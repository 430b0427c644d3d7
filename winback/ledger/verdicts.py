"""What a night decided: plans, one decision a contact, and the messages that follow from them.

Everything here may be written any number of times: what is there already stays as it was first written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from sqlalchemy import func, select

from winback.core.buckets import BUCKETS, buckets
from winback.core.reasons import Action, Reason
from winback.ledger import bulk, diary, keys
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import decisions, plans
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection, Select

_RECENT = ("message_id", "programme", "customer_id", "cycle", "step", "channel", "state", "address_hmac", "local_day")


class Plan(NamedTuple):
    """A stored plan; ``summary`` is JSON."""

    plan_hash: str
    as_of: date
    created_at: datetime
    approved_at: datetime | None
    approved_by: str | None
    summary: str


class Queued(NamedTuple):
    """What became of a frame of messages: how many are new, were there already, or may not be sent.

    ``same_address`` ones had a message to their address on that day: they are kept, cancelled, to be seen.
    """

    new: int
    repeated: int
    same_address: int


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


def write_decisions(connection: Connection, frame: pd.DataFrame) -> int:
    """Store decisions and return how many are new; the bucket is worked out here.

    Parameters
    ----------
    frame : one row a customer: the columns of the table, ``facts`` as JSON text
    """
    return bulk.insert_new(connection, decisions, with_bucket(frame))


def has_decisions(connection: Connection, as_of: date) -> bool:
    """Return whether anything was decided for a night."""
    return connection.scalar(select(decisions.c.as_of).where(decisions.c.as_of == as_of).limit(1)) is not None


def withdraw_decisions(connection: Connection, as_of: date, *, low: int, high: int) -> int:
    """Take back a night's decisions that changed nothing, so that the night can be decided anew; return how many.

    What was sent, withheld from a control group or sunset stays decided as it was.
    """
    within = decisions.c.bucket >= low, decisions.c.bucket < high
    changed = [Action.SEND.value, Action.HOLD_OUT.value, Action.SUNSET.value]
    statement = decisions.delete().where(decisions.c.as_of == as_of, *within, decisions.c.action.not_in(changed))
    return int(connection.execute(statement).rowcount)


def read_decisions(
    connection: Connection,
    as_of: date,
    *,
    low: int = 0,
    high: int = BUCKETS,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the decisions of a night for the buckets ``[low, high)``, by customer id in order of code points."""
    wanted = [decisions.c[name] for name in columns or decisions.columns.keys()]
    within = decisions.c.bucket >= low, decisions.c.bucket < high
    query = select(*wanted).where(decisions.c.as_of == as_of, *within).order_by(decisions.c.customer_id)
    return bulk.read_frame(connection, query)


def read_history(connection: Connection, customer_id: str) -> pd.DataFrame:
    """Return all decisions ever taken about one customer, the oldest first."""
    where = decisions.c.customer_id == customer_id, decisions.c.as_of.in_(decided_days())
    return bulk.read_frame(connection, select(decisions).where(*where).order_by(decisions.c.as_of))


def count_decisions(connection: Connection, as_of: date, *, by: Sequence[str] = ("action", "reason")) -> pd.DataFrame:
    """Return how many decisions of a night there are for each combination of columns, in order, and their ``count``."""
    columns = [decisions.c[name] for name in by]
    query = select(*columns, func.count().label("count")).where(decisions.c.as_of == as_of).group_by(*columns)
    return bulk.read_frame(connection, query).astype({"count": "int64"}).sort_values(list(by), ignore_index=True)


def decided_days() -> Select[Any]:
    """Return a query for the nights that have decisions: one seek each, where DISTINCT would read every row."""
    days = select(func.min(decisions.c.as_of).label("as_of")).cte("days", recursive=True)
    later = select(func.min(decisions.c.as_of)).where(decisions.c.as_of > days.c.as_of).scalar_subquery()
    days = days.union_all(select(later).where(days.c.as_of.is_not(None)))
    return select(days.c.as_of).where(days.c.as_of.is_not(None))


def queue_messages(connection: Connection, frame: pd.DataFrame, *, pepper: bytes) -> Queued:
    """Put planned messages into the outbox, each at most once.

    Parameters
    ----------
    frame : one row a message: ``programme, customer_id, cycle, step, channel, as_of, template, template_hash, locale,
        not_before_at, expires_at, address_hmac, local_day, policy_hash, plan_hash, cost, segments, planned_at``.
        The id, the bucket and the state are worked out here
    """
    if frame.empty:
        return Queued(0, 0, 0)
    parts = zip(frame["programme"], frame["customer_id"], frame["cycle"], frame["step"], strict=True)
    names = "programme", "customer_id", "cycle", "step"
    # A keyed hash has no vectorised form; there are as many of these as messages, not as customers.
    ids = [keys.message_id(pepper, **dict(zip(names, one, strict=True))) for one in parts]
    rows = with_bucket(frame).assign(message_id=pd.array(ids, dtype="str"), state=MessageState.PLANNED.value)
    # In the order in which they are claimed, a claim of 200 writes 30 pages of the database and not 200.
    rows = rows.sort_values("message_id", kind="stable")
    new = bulk.insert_new(connection, messages, rows)
    if new == len(rows):
        return Queued(new, 0, 0)
    nights = pd.to_datetime(rows["as_of"]).dt.date.unique().tolist()
    stored = connection.scalars(select(messages.c.message_id).where(messages.c.as_of.in_(nights))).all()
    missing = rows[~rows["message_id"].isin(stored)]
    cancelled = missing.assign(
        address_hmac=pd.array([None] * len(missing), dtype="str"),
        state=MessageState.CANCELLED.value,
        reason=Reason.FREQUENCY_CAP.value,
    )
    same_address = bulk.insert_new(connection, messages, cancelled)
    return Queued(new, len(rows) - new - same_address, same_address)


def read_messages(
    connection: Connection, *, after: date, before: date, low: int = 0, high: int = BUCKETS
) -> pd.DataFrame:
    """Return the messages planned in the nights ``after < as_of < before``: what frequency caps look back on."""
    where = messages.c.as_of > after, messages.c.as_of < before, messages.c.bucket >= low, messages.c.bucket < high
    query = select(*(messages.c[name] for name in (*_RECENT, "as_of"))).where(*where)
    return bulk.read_frame(connection, query.order_by(messages.c.as_of, messages.c.message_id))


def with_bucket(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the bucket of each customer."""
    return frame.assign(bucket=buckets(frame["customer_id"]))


def _plans() -> Select[Any]:
    return select(*(plans.c[name] for name in Plan._fields))
