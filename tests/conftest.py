"""Fixtures that all tests share: a migrated ledger on each of the two databases."""

from __future__ import annotations

import os
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
# Continuous integration repeats the same examples, so that a change is judged by what it changed.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("WINBACK_CI") else "winback")

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server; a test that needs a whole database takes ``empty_url`` or ``database_url``."""
    with databases.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_shared(postgres_server: str) -> Iterator[str]:
    """The URL of the one migrated database that tests share; each finds it empty."""
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
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with our tables, empty. A test that changes the tables takes ``own_database_url``."""
    if backend == "sqlite":
        return databases.copy_sqlite(request.getfixturevalue("sqlite_template"), tmp_path)
    url = request.getfixturevalue("postgres_shared")
    databases.empty(url)
    return url


@pytest.fixture
def own_database_url(empty_url: str) -> str:
    """The URL of a migrated database that no other test sees."""
    return databases.migrated(empty_url)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An open ledger, once on SQLite and once on PostgreSQL."""
    with open_ledger(database_url, pepper=databases.PEPPER) as opened:
        yield opened
