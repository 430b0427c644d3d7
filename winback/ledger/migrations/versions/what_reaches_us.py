"""Texts that a person has to read, and events that are heard at once.

A migration is a photograph: it repeats the types, because they may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "reviews",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("address_hmac", TEXT, nullable=False),
        sa.Column("number_hmac", TEXT, nullable=False),
        sa.Column("customer_id", TEXT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("said", TEXT),
        sa.Column("settled_at", INSTANT),
        sa.Column("settled_by", TEXT),
        sa.Column("outcome", TEXT),
    )
    is_open = sa.text("settled_at IS NULL")
    for name, column in (("customer", "customer_id"), ("number", "number_hmac")):
        op.create_index(f"ix_reviews_open_{name}", "reviews", [column], sqlite_where=is_open, postgresql_where=is_open)
    op.create_table(
        "heard_events",
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("customer_id", TEXT, nullable=False),
        sa.Column("behaviour", TEXT, nullable=False),
        sa.Column("occurred_at", TEXT, nullable=False),
        sa.Column("amount", TEXT, nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.UniqueConstraint(
            "source", "customer_id", "behaviour", "occurred_at", "amount", name="uq_heard_events_meaning"
        ),
    )
    op.create_index("ix_heard_events_customer_id", "heard_events", ["customer_id"])
    op.create_index("ix_heard_events_heard_at", "heard_events", ["heard_at"])
