"""Where links lead, what people answered on the public pages and chose there, and coupons.

A migration is a photograph: it repeats the types, because they may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "links",
        sa.Column("message_id", TEXT, primary_key=True),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engagements",
        sa.Column("message_id", TEXT, primary_key=True),
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("customer_id", TEXT, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("is_qualified", sa.Boolean(), nullable=False),
        sa.Column("detail", TEXT, nullable=False),
    )
    op.create_index("ix_engagements_customer_id", "engagements", ["customer_id"])
    op.create_table(
        "preferences",
        sa.Column("customer_id", TEXT, primary_key=True),
        sa.Column("wants_fewer", sa.Boolean(), nullable=False),
        sa.Column("paused_until", sa.Date()),
        sa.Column("language", TEXT),
        sa.Column("updated_at", INSTANT, nullable=False),
    )
    _coupons()


def _coupons() -> None:
    op.create_table(
        "coupons",
        sa.Column("pool", TEXT, primary_key=True),
        sa.Column("code", TEXT, primary_key=True),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("expires_on", sa.Date()),
        sa.Column("message_id", TEXT),
        *(sa.Column(name, INSTANT) for name in ("reserved_at", "bound_at", "revealed_at", "redeemed_at")),
        sa.UniqueConstraint("message_id", name="uq_coupons_message_id"),
    )
    is_free = sa.text("message_id IS NULL")
    op.create_index("ix_coupons_free", "coupons", ["pool", "code"], sqlite_where=is_free, postgresql_where=is_free)
