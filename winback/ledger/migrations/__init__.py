"""The steps from one version of the tables to the next, run by Alembic inside one transaction of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from winback.errors import StoreUnavailable
from winback.ledger import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; the migrations run on ``connection``, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", "winback.ledger:migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version; two programs that start at once take turns.

    Raises
    ------
    StoreUnavailable
        If rows point to rows that are not there (SQLite).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('winback.upgrade'))"))
    command.upgrade(configuration(connection), "head")
    if connection.dialect.name == "sqlite" and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        named = ", ".join(sorted({str(row[0]) for row in lost}))
        raise StoreUnavailable(f"rows of {named} belong to rows that are not there: nothing was upgraded")


def differences(connection: Connection) -> list[str]:
    """Return in what the tables differ from the modules that describe them; empty when they do not."""
    options = {"compare_type": True, "compare_server_default": True, "version_table": schema.VERSION_TABLE}
    context = MigrationContext.configure(connection, opts={**options, "include_name": _is_ours})
    return [str(difference) for difference in compare_metadata(context, schema.METADATA)]


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out tables of other programs in the same database."""
    return kind != "table" or name in schema.METADATA.tables
