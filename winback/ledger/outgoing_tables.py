"""The table of what other tools are told: one row an event and listener.

Must never happen, and is decided here: one event that waits twice for one listener.
"""

from __future__ import annotations

from sqlalchemy import Table

from winback.ledger.columns import REGISTER, day, instant, integer, partial_index, text, texts

outgoing = Table(
    "outgoing",
    REGISTER,
    text("event_id", key=True),  # the same for every listener, and however often it is posted
    text("listener", key=True),  # its name in winback.yaml
    *texts("kind", "reason"),  # kind: lapse, return, sunset, suppression, lift
    text("customer_id", index=True),
    *texts("programme", "channel", "arm", optional=True),
    integer("cycle_no", optional=True),
    day("occurred_on"),
    instant("made_at"),
    instant("due_at", optional=True),  # of the next attempt; none once it was taken or given up
    integer("attempts"),
    *(instant(name, optional=True) for name in ("delivered_at", "given_up_at")),
    text("fault", optional=True),
    sqlite_with_rowid=False,
)
partial_index("ix_outgoing_due", outgoing.c.listener, outgoing.c.due_at, where="due_at IS NOT NULL")
