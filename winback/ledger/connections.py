"""Connections to the ledger's database, set up so that nothing committed can be lost.

In: a URL. Out: a SQLAlchemy engine. SQLite: WAL, every commit on disk before it is answered (``synchronous=FULL``),
write transactions take the lock at their start, the file is its owner's only. PostgreSQL: UTC, commits on disk.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import SingletonThreadPool

from winback.errors import Fault, SettingsError, StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg
    from sqlalchemy import Executable, Table

BUSY_TIMEOUT_SECONDS = 10
MOST_GLANCING_THREADS = 64
"""A thread more, and the pool closes the connection of one of the others; a web app has 40 and one."""
_VARIABLE = "WINBACK_DATABASE_URL"
_LOUD = ("sqlalchemy", "sqlalchemy.engine", "sqlalchemy.engine.Engine")
_BUSY_SIGNS = ("locked", "lock timeout", "deadlock", "could not serialize")


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn what a driver says about an unusable database into our own errors, without anybody's values in them.

    Frames are written by the driver itself, so its errors come as they are, and wrapped by SQLAlchemy.
    """
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except (DBAPIError, driver.Error) as problem:
        cause = problem.orig if isinstance(problem, DBAPIError) else problem
        if not isinstance(cause, driver.OperationalError) and type(cause) is not driver.DatabaseError:
            raise
        raise _unusable(engine.url, str(cause).strip()) from problem


def _unusable(url: URL, said: str) -> StoreBusy | StoreUnavailable:
    said = said.splitlines()[0] if said else "no answer"
    where = url.render_as_string(hide_password=True)
    if any(sign in said for sign in _BUSY_SIGNS):
        what = f"the database {where} is in use by another process ({said}): try again when it has finished"
        return StoreBusy(what)
    return StoreUnavailable(f"the database {where} cannot be used: {said}. Check {_VARIABLE}, the file and the server")


def _parsed(url: str) -> URL:
    """Return the URL, or say what is wrong with it (never showing a password)."""
    try:
        parsed = make_url(url)
    except ArgumentError as problem:
        what = "not a database URL: expected sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
        raise SettingsError([Fault("environment", 0, _VARIABLE, what)]) from problem
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        what = f"unknown kind of database {parsed.drivername!r}: expected sqlite or postgresql+psycopg"
        raise SettingsError([Fault("environment", 0, _VARIABLE, what)])
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        what = "a database in memory forgets who said stop: name a file (sqlite:///FILE)"
        raise SettingsError([Fault("environment", 0, _VARIABLE, what)])
    return parsed


def database_file(url: URL) -> Path:
    """Return the file of a SQLite URL."""
    return Path(str(url.database))


def make_engine(url: str, *, create: bool) -> Engine:
    """Return the engine of a database URL; with ``create`` a missing SQLite file is made.

    Raises
    ------
    SettingsError
        If the URL names no database winback knows, or its driver is not installed.
    StoreUnavailable
        If the file is missing, or cannot be made.
    """
    parsed = _parsed(url)
    # At DEBUG it prints whole rows, whatever hide_parameters says; an engine reads the level when it is made.
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    if parsed.get_backend_name() == "sqlite":
        _prepare_file(database_file(parsed), create=create)
        engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {"connect_timeout": 10, "application_name": "winback"}
    try:
        engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=True, connect_args=arguments)
    except ImportError as problem:
        what = "the PostgreSQL driver is missing: install winback[postgres]"
        raise SettingsError([Fault("environment", 0, _VARIABLE, what)]) from problem
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def make_glancing_engine(url: URL) -> Engine:
    """Return an engine for single questions to a SQLite file: one connection a thread, which can only read."""
    engine = create_engine(
        url,
        hide_parameters=True,
        poolclass=SingletonThreadPool,
        pool_size=MOST_GLANCING_THREADS,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
    )
    event.listen(engine, "connect", _configure_glances)
    return engine


def _prepare_file(file: Path, *, create: bool) -> None:
    """Make the file for its owner only, before SQLite would make it for everybody."""
    if not file.exists() and not create:
        raise StoreUnavailable(f"there is no database at {file}: run `winback db upgrade`, or name another project")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
    except OSError as problem:
        raise StoreUnavailable(f"the database {file} cannot be made: {problem}") from problem
    with suppress(OSError):  # another owner's file keeps its mode
        file.chmod(0o600)


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, in _begin_sqlite
    cursor = connection.cursor()
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _configure_glances(connection: sqlite3.Connection, record: object) -> None:
    _configure_sqlite(connection, record)
    connection.execute("PRAGMA query_only = ON").close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    is_writing = options.get("winback_writing", False)
    if options.get("winback_rebuilding", False):
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if is_writing else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _configure_postgresql(connection: psycopg.Connection, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
        cursor.execute("SET synchronous_commit = on")
    connection.commit()


def new_insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_counted(
    connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None
) -> int:
    """Run an INSERT, once or for each of some rows, and return how many rows it wrote.

    SQLAlchemy does not keep the number unless it is told to.
    """
    return int(connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount)
