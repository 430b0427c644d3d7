"""The tables of the outbox: messages, attempts to send them, what came back, what was spent.

What must never happen is decided here and nowhere else: two messages for one step, two messages to one address on one
day.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Integer, Table, UniqueConstraint

from winback.ledger.columns import (
    REGISTER,
    String,
    bucket,
    day,
    flag,
    instant,
    integer,
    number,
    partial_index,
    text,
    texts,
)

messages = Table(
    "messages",
    REGISTER,
    text("message_id", key=True),
    text("programme"),
    text("customer_id"),
    *(integer(name) for name in ("cycle", "step")),
    text("channel"),
    bucket(),
    day("as_of", index=True),
    *texts("template", "template_hash"),
    text("locale", optional=True),
    text("state"),
    text("reason", optional=True),
    *(instant(name) for name in ("not_before_at", "expires_at")),
    text("address_hmac", optional=True),
    day("local_day"),
    *texts("policy_hash", "plan_hash"),
    number("cost"),
    integer("segments", optional=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    *texts("provider", "provider_id", optional=True),
    instant("planned_at"),
    instant("accepted_at", optional=True),
    *texts("last_error", "owner", optional=True),
    instant("lease_until", optional=True),
    # How far the receipts have brought it: the furthest of their kinds, and when it arrived.
    text("progress", optional=True),
    instant("delivered_at", optional=True),
    Column("reserved_cost", Double, nullable=False, server_default="0"),
    # The customer first: it is found by, too, and an index less to keep is 40 % more rows a second (PostgreSQL).
    UniqueConstraint("customer_id", "programme", "cycle", "step"),
    UniqueConstraint("address_hmac", "local_day"),
)
partial_index("ix_messages_due", messages.c.not_before_at, where="state = 'planned'")
partial_index("ix_messages_owner", messages.c.owner, where="state = 'sending'")
partial_index("ix_messages_unknown", messages.c.message_id, where="state = 'unknown'")

attempts = Table(
    "attempts",
    REGISTER,
    Column("message_id", String, ForeignKey("messages.message_id"), primary_key=True),
    integer("attempt_no", key=True),
    text("owner"),
    instant("started_at"),
    instant("finished_at", optional=True),
    *texts("outcome", "provider_id", "error", optional=True),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    REGISTER,
    # No foreign key: what a provider says about a message that is not in the table is kept, and counted.
    text("message_id", key=True),
    text("kind", key=True),
    instant("occurred_at", key=True),
    text("code", key=True),  # '' where the provider names none
    text("provider"),
    text("provider_id", optional=True),
    instant("received_at"),
    text("detail"),
    flag("is_machine"),
    text("consequence", optional=True),
    # Why it is not worked into its message yet: "stray" (there is none), "sending" (its sender may still be at work).
    text("pending", optional=True),
    sqlite_with_rowid=False,
)
partial_index("ix_receipts_pending", receipts.c.message_id, where="pending IS NOT NULL")

spending = Table(
    "spending",
    REGISTER,
    text("scope", key=True),  # "night 2026-03-10", "month 2026-03"
    integer("sends"),
    Column("cost_micros", BigInteger, nullable=False),
)
