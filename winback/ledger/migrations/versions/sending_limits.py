"""What nights and months have spent, and what customers did since their messages were planned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "spending",
        sa.Column("scope", TEXT, primary_key=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "signs_of_life",
        sa.Column("customer_id", TEXT, primary_key=True),
        sa.Column("behaviour", TEXT, primary_key=True),
        sa.Column("newest_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
    )
    op.add_column("messages", sa.Column("reserved_cost", sa.Double(), nullable=False, server_default="0"))
