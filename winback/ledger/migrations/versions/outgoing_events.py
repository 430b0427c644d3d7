"""What other tools are told.

A migration is a photograph: it repeats the types, because they may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outgoing",
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("listener", TEXT, primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("kind", "reason", "customer_id")),
        *(sa.Column(name, TEXT) for name in ("programme", "channel", "arm")),
        sa.Column("cycle_no", sa.Integer()),
        sa.Column("occurred_on", sa.Date(), nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *(sa.Column(name, INSTANT) for name in ("delivered_at", "given_up_at")),
        sa.Column("fault", TEXT),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_outgoing_customer_id", "outgoing", ["customer_id"])
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_outgoing_due", "outgoing", ["listener", "due_at"], sqlite_where=is_due, postgresql_where=is_due)
