"""Opening the ledger, and its transactions.

In: a database URL. Out: a :class:`Ledger`, whose ``writing()`` and ``reading()`` are one transaction each. Must never
happen: a program that works on tables of another version, a write that is lost at a power cut, an error that shows
somebody's address.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

from sqlalchemy import column, inspect, select, table

from winback.errors import Fault, GuardRefused, MigrationNeeded, SettingsError, StoreBusy, StoreUnavailable
from winback.ledger import locks, outgoing, schema
from winback.ledger.connections import database_file, make_engine, make_glancing_engine, translated
from winback.ledger.control_tables import meta

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine


class Check(NamedTuple):
    """What :func:`check` found; ``revision`` is None in an empty database."""

    revision: str | None
    expected: str
    problems: tuple[str, ...]


class Ledger:
    """An open ledger.

    Parameters
    ----------
    engine : of :func:`open_ledger`
    pepper : the secret of all keyed hashes; None where none is needed (reading only)
    """

    def __init__(self, engine: Engine, *, pepper: bytes | None) -> None:
        self.engine = engine
        self._pepper = pepper
        self._has_glanced = False
        self.listeners: Mapping[str, Sequence[str]] = {}
        """Who is told of which kind of event (:mod:`winback.ledger.outgoing`); nobody, unless the project says so."""

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def pepper(self) -> bytes:
        """The secret of all keyed hashes.

        Raises
        ------
        SettingsError
            If the ledger was opened without one.
        """
        if not self._pepper:
            what = "not set: without it nobody's refusal can be found again. Set it to a long random text, and keep it"
            raise SettingsError([Fault("environment", 0, "WINBACK_PEPPER", what)])
        return self._pepper

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write; on SQLite it is the only one (``BEGIN IMMEDIATE``).

        Raises
        ------
        StoreBusy
            If another process kept the database locked for ten seconds.
        StoreUnavailable
            If the database cannot be reached or written.
        """
        with translated(self.engine), self.engine.connect() as connection:
            connection.execution_options(winback_writing=True, **{outgoing.OPTION: self.listeners})
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that sees one state of the ledger and cannot write; it never waits for a writer."""
        with translated(self.engine), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """One question that reads: no transaction around it, and on SQLite a connection that nobody else waits for.

        A third of what :meth:`reading` costs. Of two questions the second may see a later state.
        """
        if not self.is_sqlite:
            with self.reading() as connection:
                yield connection
            return
        with translated(self.engine), self._glances.connect() as connection:
            yield connection

    @contextmanager
    def lock(self, name: str, *, is_used_once: bool = False) -> Iterator[None]:
        """Hold the lock ``name`` ("night", or a sender's id) until the block ends or this process dies.

        Parameters
        ----------
        is_used_once : nobody will ask for this name again once the block has ended

        Raises
        ------
        StoreBusy
            If another process (or another thread) holds it.
        """
        holding = (
            locks.file_lock(database_file(self.engine.url), name, is_used_once=is_used_once)
            if self.is_sqlite
            else self._advisory_lock(name)
        )
        with holding as is_held:
            if not is_held:
                raise StoreBusy(f"another winback holds the lock {name!r} on this ledger: wait until it has finished")
            yield

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds the lock ``name``; if not, whoever held it has ended or died."""
        if self.is_sqlite:
            return locks.is_file_locked(database_file(self.engine.url), name)
        with self._advisory_lock(name) as is_free:
            return not is_free

    @contextmanager
    def _advisory_lock(self, name: str) -> Iterator[bool]:
        with translated(self.engine), self.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            with locks.advisory_lock(connection, name) as is_held:
                yield is_held

    def scrub(self) -> None:
        """Make what was deleted unreadable in the SQLite file by rebuilding it; PostgreSQL vacuums by itself."""
        if not self.is_sqlite:
            return
        with translated(self.engine):
            self.engine.dispose()
            raw = self.engine.raw_connection()
            try:
                for statement in ("PRAGMA query_only = OFF", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    raw.cursor().execute(statement)
            finally:
                raw.close()

    @cached_property
    def _glances(self) -> Engine:
        self._has_glanced = True
        return make_glancing_engine(self.engine.url)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if self._has_glanced:
            self._glances.dispose()


def open_ledger(url: str, *, pepper: bytes | None, create: bool = False) -> Ledger:
    """Return the ledger at ``url``.

    Parameters
    ----------
    url : ``sqlite:///FILE`` or ``postgresql+psycopg://...``
    pepper : the secret of all keyed hashes (``WINBACK_PEPPER``); None to read only what needs none
    create : make the file, and the tables of an empty database

    Raises
    ------
    SettingsError
        If the URL names no database winback knows.
    StoreUnavailable
        If there is no database, or it cannot be read, or the file is no database.
    MigrationNeeded
        If its tables are of another version.
    GuardRefused
        If the pepper is not the one this ledger was written with.
    """
    ledger = Ledger(make_engine(url, create=create), pepper=pepper)
    try:
        _require_version(ledger, create=create)
        if pepper:
            _require_pepper(ledger, pepper)
    except BaseException:
        ledger.close()
        raise
    return ledger


def upgrade(url: str) -> str:
    """Bring the database to this program's version, all or nothing, and return the revision."""
    ledger = Ledger(make_engine(url, create=True), pepper=None)
    try:
        _migrate(ledger)
    finally:
        ledger.close()
    return schema.REVISION


def check(url: str) -> Check:
    """Return the version of the database, and all that is wrong with its tables and its file."""
    from winback.ledger import migrations  # noqa: PLC0415  Alembic would cost half of a sender's start

    ledger = Ledger(make_engine(url, create=False), pepper=None)
    try:
        with ledger.reading() as connection:
            revision = _revision(connection)
            problems = migrations.differences(connection) if revision == schema.REVISION else []
            if ledger.is_sqlite:
                found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
                problems += [line for line in found if line != "ok"]
    finally:
        ledger.close()
    return Check(revision, schema.REVISION, tuple(problems))


def _migrate(ledger: Ledger) -> None:
    """Bring the tables to this program's version in one transaction.

    SQLite changes a rule of a table by copying it into a new one, which the rows that point to it would forbid. So on
    this one connection it does not ask where they point; the migrations ask at their end.
    """
    from winback.ledger import migrations  # noqa: PLC0415  Alembic would cost half of a sender's start

    with translated(ledger.engine), ledger.engine.connect() as connection:
        connection.execution_options(winback_writing=True, winback_rebuilding=True)
        with connection.begin():
            migrations.upgrade(connection)
    ledger.engine.dispose()


def _revision(connection: Connection) -> str | None:
    """Return the revision the database says it has."""
    if not inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    found = connection.scalar(select(column("version_num")).select_from(table(schema.VERSION_TABLE)))
    return None if found is None else str(found)


def _require_version(ledger: Ledger, *, create: bool) -> None:
    with ledger.reading() as connection:
        revision = _revision(connection)
        strangers = set(inspect(connection).get_table_names()) & set(schema.METADATA.tables) if not revision else set()
    if strangers:
        what = f"the database holds tables that are not winback's ({', '.join(sorted(strangers))}): use an empty one"
        raise StoreUnavailable(what)
    if revision is None and create:
        _migrate(ledger)
    elif revision != schema.REVISION:
        found = f"has version {revision}" if revision else "is empty"
        what = f"the database {found}, this winback needs {schema.REVISION}: run `winback db upgrade`"
        if revision and revision > schema.REVISION:
            what = f"the database {found}, newer than this winback's {schema.REVISION}: install the newer winback"
        raise MigrationNeeded(what)


def _require_pepper(ledger: Ledger, pepper: bytes) -> None:
    """Refuse another pepper than the one the keyed hashes in this ledger were made with: no refusal would match."""
    proof = hmac.new(pepper, b"winback pepper", hashlib.sha256).hexdigest()
    stored = select(meta.c.value).where(meta.c.key == "pepper")
    with ledger.reading() as connection:
        known = connection.scalar(stored)
    if known is None:
        with ledger.writing() as connection:
            known = connection.scalar(stored)
            if known is None:
                connection.execute(meta.insert().values(key="pepper", value=proof))
                return
    if not hmac.compare_digest(known, proof):
        what = (
            "WINBACK_PEPPER is not the one this ledger was written with, so nobody's refusal would be recognised: "
            "set it back to the old value"
        )
        raise GuardRefused(what)
