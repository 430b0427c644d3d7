"""Receipts, the chain of the audit log, and the epochs that tell a restored database from the one that sent.

A migration is a photograph: it repeats the types and the way a line is hashed, because both may change later.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from datetime import datetime

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
BLOCK = 1000
_SAID = "the audit log is only ever added to"


def upgrade() -> None:
    """Add what is new, and chain the lines that were written before."""
    _messages()
    _receipts()
    op.create_table(
        "epochs",
        sa.Column("counter", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("opened_by", TEXT, nullable=False),
    )
    op.add_column("audit", sa.Column("line_hash", TEXT))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER audit_no_update" if is_sqlite else "ALTER TABLE audit DISABLE TRIGGER audit_no_change")
    _chain()
    if is_sqlite:
        op.execute(f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, '{_SAID}'); END")
    else:
        op.execute("ALTER TABLE audit ENABLE TRIGGER audit_no_change")


def _messages() -> None:
    op.add_column("messages", sa.Column("progress", TEXT))
    op.add_column("messages", sa.Column("delivered_at", INSTANT))
    is_unknown = sa.text("state = 'unknown'")
    op.create_index(
        "ix_messages_unknown", "messages", ["message_id"], sqlite_where=is_unknown, postgresql_where=is_unknown
    )


def _receipts() -> None:
    op.create_table(
        "receipts",
        *(sa.Column(name, TEXT, primary_key=True) for name in ("message_id", "kind")),
        sa.Column("occurred_at", INSTANT, primary_key=True),
        sa.Column("code", TEXT, primary_key=True),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("provider_id", TEXT),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("is_machine", sa.Boolean(), nullable=False),
        sa.Column("consequence", TEXT),
        sa.Column("pending", TEXT),
        sqlite_with_rowid=False,
    )
    is_pending = sa.text("pending IS NOT NULL")
    op.create_index(
        "ix_receipts_pending", "receipts", ["message_id"], sqlite_where=is_pending, postgresql_where=is_pending
    )


def _chain() -> None:
    """Give every line its hash, in order, a block at a time; remember the last one in ``meta``."""
    connection = op.get_bind()
    audit = sa.table(
        "audit",
        sa.column("id", SERIAL),
        sa.column("at", INSTANT),
        *(sa.column(name, TEXT) for name in ("actor", "action", "subject", "before", "after", "line_hash")),
    )
    change = audit.update().where(audit.c.id == sa.bindparam("which")).values(line_hash=sa.bindparam("value"))
    last, previous = None, ""
    while True:
        query = sa.select(audit).order_by(audit.c.id).limit(BLOCK)
        lines = connection.execute(query if last is None else query.where(audit.c.id > last)).all()
        if not lines:
            break
        hashes = []
        for line in lines:
            previous = _line_hash(previous, line)
            hashes.append({"which": line.id, "value": previous})
        connection.execute(change, hashes)
        last = lines[-1].id
    if last is not None:
        meta = sa.table("meta", sa.column("key", TEXT), sa.column("value", TEXT))
        connection.execute(meta.insert().values(key="audit_head", value=previous))


def _line_hash(previous: str, line: sa.Row[Any]) -> str:
    content = [_instant(line.at), line.actor, line.action, line.subject, line.before, line.after]
    return hashlib.sha256(f"{previous}\n{json.dumps(content)}".encode()).hexdigest()


def _instant(at: datetime) -> str:
    """Return an instant as both databases agree on it; SQLite keeps UTC without saying so."""
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return aware.isoformat(timespec="microseconds")
