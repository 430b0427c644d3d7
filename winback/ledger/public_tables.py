"""The tables behind the public app: where links lead, what people answered, coupons, and what vendors called to say.

Must never happen, and is decided here: a coupon that two messages hold, two rows for one answer or for one call.
"""

from __future__ import annotations

from sqlalchemy import Index, Table, UniqueConstraint
from sqlalchemy import text as sql

from winback.ledger.columns import REGISTER, blob, day, flag, instant, integer, partial_index, text

links = Table(
    "links",
    REGISTER,
    # One row only for messages that do not lead to one of our own pages. A short code is the head of the message's id.
    text("message_id", key=True),
    text("target"),  # https, on an allowed host, fixed when the message was planned
    instant("made_at"),
    sqlite_with_rowid=False,
)

engagements = Table(
    "engagements",
    REGISTER,
    text("message_id", key=True),
    text("kind", key=True),  # survey, contest, coupon, preferences, click, re_permission
    text("customer_id"),
    instant("occurred_at"),
    flag("is_qualified"),  # whether it shows that a person is there: only such a row moves anybody
    text("detail"),  # JSON: the answer
    Index("ix_engagements_customer_id", "customer_id"),
)

preferences = Table(
    "preferences",
    REGISTER,
    text("customer_id", key=True),
    flag("wants_fewer"),
    day("paused_until", optional=True),  # the first day on which a message may go again
    text("language", optional=True),
    instant("updated_at"),
)

coupons = Table(
    "coupons",
    REGISTER,
    text("pool", key=True),
    text("code", key=True),
    instant("added_at"),
    day("expires_on", optional=True),
    text("message_id", optional=True),  # of the one message it is reserved for
    instant("reserved_at", optional=True),
    instant("bound_at", optional=True),
    instant("revealed_at", optional=True),
    instant("redeemed_at", optional=True),
    UniqueConstraint("message_id"),
)
_FREE = sql("message_id IS NULL")
Index("ix_coupons_free", coupons.c.pool, coupons.c.code, sqlite_where=_FREE, postgresql_where=_FREE)

webhook_calls = Table(
    "webhook_calls",
    REGISTER,
    text("digest", key=True),  # SHA-256 of vendor, query and body: the same call again finds its row
    text("vendor"),
    instant("received_at"),
    integer("receipts"),  # what could be read of it
    integer("unreadable"),  # and what not
    text("query"),  # of the address it came to
    blob("body", optional=True),  # as it came; emptied after a time, and whenever somebody is forgotten
    sqlite_with_rowid=False,
)
partial_index("ix_webhook_calls_kept", webhook_calls.c.received_at, where="body IS NOT NULL")
