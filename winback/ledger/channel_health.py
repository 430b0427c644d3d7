"""How the messages of a channel have been taken of late: what kill switches go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from winback.core.flow_control import Feedback
from winback.ledger.held_steps import HeldStep
from winback.ledger.message_tables import messages, receipts

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection


def channel_feedback(connection: Connection, channel: str, *, since: date) -> Feedback:
    """Return how many messages of a channel were delivered, bounced for good and complained about since a day."""
    mine = messages.c.channel == channel, messages.c.local_day >= since
    counts = select(messages.c.state, func.count().label("messages")).where(*mine).group_by(messages.c.state)
    by_state = {row.state: row.messages for row in connection.execute(counts)}
    complaints = (
        select(func.count(receipts.c.message_id.distinct()))
        .select_from(receipts.join(messages, receipts.c.message_id == messages.c.message_id))
        .where(*mine, receipts.c.kind == "complained")
    )
    return Feedback(
        delivered=by_state.get("delivered", 0),
        bounced=by_state.get("bounced", 0),
        complained=int(connection.scalar(complaints) or 0),
    )


def step_feedback(
    connection: Connection, *, since: date, after: datetime | None = None, only: HeldStep | None = None
) -> dict[HeldStep, Feedback]:
    """Return, for each step and channel, how many messages were delivered and complained about since a day.

    Parameters
    ----------
    after : leave out what was accepted up to this instant: what a person has looked at already
    only : one step
    """
    mine = [messages.c.local_day >= since]
    mine += [messages.c.accepted_at > after] if after else []
    mine += [messages.c[name] == value for name, value in only._asdict().items()] if only else []
    by_step = [messages.c[name] for name in HeldStep._fields]
    complained = select(receipts.c.message_id).where(
        receipts.c.message_id == messages.c.message_id, receipts.c.kind == "complained"
    )
    counts = select(
        *by_step,
        func.count().filter(messages.c.state == "delivered").label("delivered"),
        func.count().filter(complained.exists()).label("complained"),
    ).where(*mine)
    return {
        HeldStep(*row[:3]): Feedback(delivered=row.delivered, complained=row.complained)
        for row in connection.execute(counts.group_by(*by_step).order_by(*by_step))
    }
