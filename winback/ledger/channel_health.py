"""How the messages of a channel have been taken of late: what kill switches go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from winback.core.flow_control import Feedback
from winback.ledger.message_tables import messages, receipts

if TYPE_CHECKING:
    from datetime import date

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
