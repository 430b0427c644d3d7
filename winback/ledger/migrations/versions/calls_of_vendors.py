"""What vendors called to say, as it came.

A migration is a photograph: it repeats the types, because they may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "webhook_calls",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("vendor", TEXT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("receipts", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
        sa.Column("query", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sqlite_with_rowid=False,
    )
    is_kept = sa.text("body IS NOT NULL")
    op.create_index(
        "ix_webhook_calls_kept", "webhook_calls", ["received_at"], sqlite_where=is_kept, postgresql_where=is_kept
    )
