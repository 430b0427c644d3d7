"""What a night decided: plans, one decision a contact, and the messages that follow from them.

Everything here may be written any number of times: what is there already stays as it was first written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from sqlalchemy import func, select

from winback.core.buckets import BUCKETS, buckets
from winback.core.reasons import Action, Reason
from winback.ledger import bulk, keys
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import decisions
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

_STEP = "programme", "customer_id", "cycle", "step"
_RECENT = ("message_id", "programme", "customer_id", "cycle", "step", "channel", "state", "address_hmac", "local_day")


class Queued(NamedTuple):
    """What became of a frame of messages: how many are new, were there already, or may not be sent.

    ``same_address`` ones had a message to their address on that day: they are kept, cancelled, to be seen.
    """

    new: int
    repeated: int
    same_address: int


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


def count_decisions(connection: Connection, as_of: date, *, by: Sequence[str] = ("action", "reason")) -> pd.DataFrame:
    """Return how many decisions of a night there are for each combination of columns, in order, and their ``count``."""
    columns = [decisions.c[name] for name in by]
    query = select(*columns, func.count().label("count")).where(decisions.c.as_of == as_of).group_by(*columns)
    return bulk.read_frame(connection, query).astype({"count": "int64"}).sort_values(list(by), ignore_index=True)


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
    # A keyed hash has no vectorised form; there are as many of these as messages, not as customers.
    ids = keys.message_ids(pepper, zip(*(frame[name].tolist() for name in _STEP), strict=True))
    rows = with_bucket(frame).assign(message_id=pd.array(ids, dtype="str"), state=MessageState.PLANNED.value)
    # As they lie they are claimed. In the order of their ids a claim of 200 writes 30 pages of the database, not 200.
    rows = rows.sort_values("message_id", kind="stable")
    new = bulk.insert_new(connection, messages, rows)
    if new == len(rows):
        return Queued(new, 0, 0)
    stored = connection.scalars(select(messages.c.message_id).where(among(messages.c.message_id)), {"these": ids}).all()
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
