"""The tables of control: who stopped what, the audit trail, the store's own facts, and who may send from it."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from winback.ledger.columns import REGISTER, instant, serial, text, texts

switches = Table(
    "switches",
    REGISTER,
    serial(),
    text("name"),
    instant("pressed_at"),
    text("pressed_by"),
    text("reason", optional=True),
    instant("released_at", optional=True),
    *texts("released_by", "release_reason", optional=True),
)

audit = Table(
    "audit",
    REGISTER,
    serial(),
    instant("at"),
    *texts("actor", "action", "subject"),
    *texts("before", "after", optional=True),
    text("line_hash", optional=True),  # over the hash of the line before and everything in this one
)

meta = Table("meta", REGISTER, text("key", key=True), text("value"))

epochs = Table(
    "epochs",
    REGISTER,
    Column("counter", Integer, primary_key=True, autoincrement=False),
    text("token"),
    instant("opened_at"),
    text("opened_by"),
)
