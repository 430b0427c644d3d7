"""Rows of any database SQLAlchemy can reach, by a query that cannot write.

In: a URL from the environment and a query. Out: a :class:`~winback.sources.feeds.Reading`. Must never happen: a write
to somebody's shop, a query that runs for ever, a password in a message.

A query that holds ``:since`` is given the newest instant that was stored from it so far (1990 at first), in UTC or, for
a database without time zones, in the source's own zone. Where the database knows read-only transactions the query
runs in one; on SQLite the file is opened read-only. Nothing is ever committed.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy
from sqlalchemy import exc

from winback.core.instants import OLDEST
from winback.core.sieve import NO_FAULTS, faults_frame
from winback.errors import SourceMalformed, SourceUnavailable
from winback.sources.feeds import ROW_NUMBER, Ask, Chunk, Reading, lay_out
from winback.sources.typed_columns import NUMBER_COLUMNS, TIME_COLUMNS, as_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

CHUNK_ROWS = 50_000
_SINCE = re.compile(r"(?<![:\w]):since\b")
_READS = re.compile(r"^\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_PLAIN_TYPES = (str, int, float, Decimal, datetime, date, bool, type(None))
# What the database does to the session first; the time-out in milliseconds.
_SESSION = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {}", "SET LOCAL TIME ZONE 'UTC'"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION max_execution_time = {}", "SET time_zone = '+00:00'"),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"),
    "oracle": ("SET TRANSACTION READ ONLY",),
}
_ZONELESS = frozenset({"sqlite"})


def uses_since(query: str) -> bool:
    """Return whether a query asks for rows since the last night only."""
    return _SINCE.search(query) is not None


def read_query(ask: Ask, query: str, *, url: str, timeout_seconds: int, zone: ZoneInfo | None) -> Reading:
    """Return the rows of a query.

    Parameters
    ----------
    ask : its mark holds ``total`` rows, and ``max_occurred_at`` (ISO text)
    query : one SELECT; ``:since`` stands for the newest instant stored so far
    url : SQLAlchemy URL
    timeout_seconds : after this time the database gives up
    zone : of times without offset

    Raises
    ------
    SourceUnavailable
        If the database cannot be reached, or gives up. (Also while the chunks are read.)
    SourceMalformed
        If the query is none that only reads, fails, or has not the columns declared. (Also while the chunks are read.)
    """
    source, mark = ask.source, ask.mark if ask.may_resume else None
    if not _READS.match(query) or ";" in query.rstrip().rstrip(";"):
        raise SourceMalformed(source, "query must be one SELECT (or WITH … SELECT), and nothing after it")
    engine = _engine(source, url)
    resumes = uses_since(query) and mark is not None
    reading = Reading(iter(()), mark["total"] if resumes and mark is not None else 0, is_whole=not resumes)
    newest = mark.get("max_occurred_at") if mark is not None else None
    since = datetime.fromisoformat(newest) if newest else OLDEST
    statement = sqlalchemy.text(query.rstrip().rstrip(";"))
    if uses_since(query):
        statement = statement.bindparams(_since(since, zone, is_zoneless=engine.dialect.name in _ZONELESS))
    reading.chunks = _chunks(ask, engine, statement, timeout_seconds, reading)
    return reading


def _since(since: datetime, zone: ZoneInfo | None, *, is_zoneless: bool) -> sqlalchemy.BindParameter[Any]:
    """Return the instant as the database compares it; SQLite compares texts, so there the second is enough."""
    if not is_zoneless:
        return sqlalchemy.bindparam("since", since.astimezone(UTC), sqlalchemy.DateTime(timezone=True))
    local = since.astimezone(zone or UTC).replace(tzinfo=None, microsecond=0)
    return sqlalchemy.bindparam("since", local.isoformat(" "), sqlalchemy.String())


def _engine(source: str, url: str) -> sqlalchemy.Engine:
    """Return an engine that keeps no connection open; SQLite files are opened read-only."""
    try:
        parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
            place = f"file:{quote(str(parsed.database))}?mode=ro"
            return sqlalchemy.create_engine(
                "sqlite://", creator=lambda: sqlite3.connect(place, uri=True), poolclass=sqlalchemy.NullPool
            )
        return sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.NullPool)
    except exc.ArgumentError as problem:
        raise SourceUnavailable(source, "its URL is none SQLAlchemy understands (dialect://user@host/db)") from problem
    except ModuleNotFoundError as problem:
        what = f"the driver of this database is not installed ({problem.name}): install it beside winback"
        raise SourceUnavailable(source, what) from problem


@contextmanager
def _translated(source: str) -> Iterator[None]:
    """Turn what the driver raises into the branch that says whether trying again helps."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError) as problem:
        reason = _first_line(problem)
        if re.search(r"no such (table|column)|syntax error|near \"", reason):
            raise SourceMalformed(source, f"the query failed: {reason}") from problem
        raise SourceUnavailable(source, f"the database did not answer: {reason}") from problem
    except exc.SQLAlchemyError as problem:
        raise SourceMalformed(source, f"the query failed: {_first_line(problem)}") from problem


def _first_line(problem: exc.SQLAlchemyError) -> str:
    """Return what the database said, without the statement and its values."""
    told = str(problem.orig) if isinstance(problem, exc.DBAPIError) else str(problem)
    return told.strip().split("\n", 1)[0]


@contextmanager
def _connection(source: str, engine: sqlalchemy.Engine, timeout_seconds: int) -> Iterator[sqlalchemy.Connection]:
    """Yield a connection that cannot write and gives up in time; nothing is committed."""
    with _translated(source), engine.connect() as connection:
        for statement in _SESSION.get(engine.dialect.name, ()):
            connection.exec_driver_sql(statement.format(timeout_seconds * 1000))
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            deadline = time.monotonic() + timeout_seconds
            raw.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            raw.text_factory = _text_or_bytes
        yield connection
        connection.rollback()


def _text_or_bytes(value: bytes) -> str | bytes:
    """Return a text; bytes that are no UTF-8 stay bytes, so that the row alone is bad."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _chunks(
    ask: Ask, engine: sqlalchemy.Engine, statement: sqlalchemy.TextClause, timeout_seconds: int, reading: Reading
) -> Iterator[Chunk]:
    """Yield the rows of a query; leaves in the reading how many there were."""
    row = 1
    with _connection(ask.source, engine, timeout_seconds) as connection:
        options = {"stream_results": True, "yield_per": CHUNK_ROWS}
        with closing(connection.execution_options(**options).execute(statement)) as result:
            layout = lay_out(ask, list(result.keys()))
            for records in result.partitions():
                yield _as_chunk(ask.source, records, layout.places, row)
                row += len(records)
    reading.mark["total"] = reading.rows_before + row - 1


def _as_chunk(source: str, records: Sequence[Any], places: Sequence[tuple[int, str]], first_row: int) -> Chunk:
    """Return query rows as a chunk; a row in which a text is no UTF-8 is a fault of its own."""
    values = list(zip(*records, strict=True))
    broken = {row: name for place, name in places for row, value in enumerate(values[place]) if _is_bytes(value)}
    table = pa.table({name: _column(name, values[place]) for place, name in places})
    chunk = as_chunk(source, table, first_row=first_row)
    if not broken:
        return chunk
    numbers = [first_row + row for row in broken]
    rows = chunk.rows[~chunk.rows[ROW_NUMBER].isin(numbers)].reset_index(drop=True)
    faults = faults_frame(numbers, list(broken.values()), "bad_utf8", "")
    return Chunk(rows, faults if chunk.faults is NO_FAULTS else chunk.faults)


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | memoryview)


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    """Return the values of one column as Arrow array; what has no common type becomes text."""
    plain = [value if isinstance(value, _PLAIN_TYPES) else None if _is_bytes(value) else str(value) for value in values]
    try:
        array = pa.array(plain)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        array = None
    kind = array.type if array is not None else None
    is_typed = name in TIME_COLUMNS and kind is not None and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
    is_typed |= name in NUMBER_COLUMNS and kind is not None and not pa.types.is_boolean(kind)
    if is_typed or (kind is not None and (pa.types.is_string(kind) or pa.types.is_integer(kind))):
        return array
    return pa.array([None if value is None else _text(value) for value in plain], pa.string())


def _text(value: object) -> str:
    """Return a value of another type as text; lone surrogates are replaced, because nothing can store them."""
    return str(value).encode(errors="replace").decode()
