"""Fixtures that all tests share: a migrated ledger on each of the two databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import databases
import pytest
from hypothesis import settings

from winback.ledger.engine import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from winback.ledger.engine import Ledger

# The machine's speed is no property of the code.
settings.register_profile("winback", deadline=None, print_blob=True)
settings.load_profile("winback")

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server; a test that needs a whole database takes ``empty_url`` or ``database_url``."""
    with databases.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    with databases.postgres_database(postgres_server) as url:
        yield databases.migrated(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    return databases.migrated(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'template.db'}")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database: a test that takes this runs once for each."""
    return request.param


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables (on SQLite: without a file)."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'var' / 'winback.db'}"
        return
    with databases.postgres_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with our tables, empty."""
    if backend == "sqlite":
        yield databases.copy_sqlite(request.getfixturevalue("sqlite_template"), tmp_path)
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with databases.postgres_database(server, template=template) as url:
        yield url


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An open ledger, once on SQLite and once on PostgreSQL."""
    with open_ledger(database_url, pepper=databases.PEPPER) as opened:
        yield opened
