"""Who followed the links of messages, and what that was taken to be.

A migration is a photograph: it repeats the types, because they may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "visits",
        sa.Column("visit_id", TEXT, primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("message_id", "link", "source", "method")),
        sa.Column("seen_at", INSTANT, nullable=False),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("is_open", "is_prefetch", "is_told")),
        *(sa.Column(name, TEXT) for name in ("network", "agent")),
        *(sa.Column(name, TEXT, nullable=False) for name in ("verdict", "why", "verdict_version")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_visits_message_id", "visits", ["message_id"])
    is_whole = sa.text("network IS NOT NULL")
    for name, columns in (("ix_visits_whole", ["seen_at"]), ("ix_visits_version", ["verdict_version", "seen_at"])):
        op.create_index(name, "visits", columns, sqlite_where=is_whole, postgresql_where=is_whole)
