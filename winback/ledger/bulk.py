"""Whole frames into the ledger and out of it, as fast as each database allows.

SQLite: prepared statements over blocks of tuples. PostgreSQL: ``COPY`` into the table itself where all rows are new,
else into a temporary one, then one statement. Values go through Arrow, so that both databases get, and give back, the
same ones. Must never happen: a Python step a row.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import BigInteger, Date, Double, Integer, SmallInteger, Text

from winback.ledger.binary_copy import binary_copy
from winback.ledger.columns import Instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Select, Table
    from sqlalchemy.types import TypeEngine

_BLOCK_ROWS = 10_000
# What Python makes of so few rows is gone before the next come: 0.23 CPU s for 33,000 contacts, and 0.32 in one go.
_FETCHED_ROWS = 1_000
_ARROW_TYPES: tuple[tuple[type[TypeEngine[Any]], pa.DataType], ...] = (
    (Date, pa.date32()),
    (Instant, pa.timestamp("us", tz="UTC")),
    (SmallInteger, pa.int16()),
    (BigInteger, pa.int64()),
    (Integer, pa.int32()),
    (Double, pa.float64()),
    (Text, pa.string()),
)
# How they are read: a frame has one kind of whole numbers, and its texts may be more than 2 GiB together.
_WIDE = {pa.int16(): pa.int64(), pa.int32(): pa.int64(), pa.string(): pa.large_string()}


def insert_new(connection: Connection, table: Table, frame: pd.DataFrame) -> int:
    """Insert the rows that break no unique rule, and return how many those were.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    table : one of :mod:`winback.ledger.schema`
    frame : columns named as the table's; those left out get their default

    Raises
    ------
    ValueError
        If a column is none of the table's, an instant is naive, or a number does not fit into its column.
    """
    return _write(connection, table, frame, into=_insert(connection, table, frame, "DO NOTHING"), may_all_be_new=True)


def upsert(connection: Connection, table: Table, frame: pd.DataFrame, *, update: Sequence[str]) -> int:
    """Insert rows; where the primary key is there already, set the columns ``update`` instead. Return the rows written.

    No key may stand in the frame twice.
    """
    quote = connection.dialect.identifier_preparer.quote
    key = ", ".join(quote(column.name) for column in table.primary_key)
    setting = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in update)
    return _write(connection, table, frame, into=_insert(connection, table, frame, f"({key}) DO UPDATE SET {setting}"))


def update_rows(
    connection: Connection, table: Table, frame: pd.DataFrame, *, key: Sequence[str], only_where: str = ""
) -> int:
    """Set every column of the frame that is not in ``key``, in the rows that ``key`` names; return how many.

    ``only_where`` is a further condition in SQL on the table's columns, written in our code, never from outside.
    """
    quote = connection.dialect.identifier_preparer.quote
    values = [str(name) for name in frame.columns if name not in key]
    guard = f" AND {only_where}" if only_where else ""
    if connection.dialect.name == "sqlite":
        frame = frame[[*values, *key]]  # in the order of the question marks
        setting = ", ".join(f"{quote(name)} = ?" for name in values)
        where = " AND ".join(f"{quote(name)} = ?" for name in key)
    else:
        setting = ", ".join(f"{quote(name)} = incoming.{quote(name)}" for name in values) + " FROM incoming"
        where = " AND ".join(f"{table.name}.{quote(name)} = incoming.{quote(name)}" for name in key)
    statement = f"UPDATE {table.name} SET {setting} WHERE {where}{guard}"  # noqa: S608  names of our own schema
    return _write(connection, table, frame, into=statement)


def read_frame(connection: Connection, statement: Select[Any]) -> pd.DataFrame:
    """Return what a SELECT gives, as a frame.

    Returns
    -------
    one column an expression of the SELECT, by its name. Text: ``str``. Dates: ``datetime64[us]``, naive midnights.
    Instants: ``datetime64[us, UTC]``. Whole numbers: ``int64`` where the column may not be NULL, ``Int64`` elsewhere.
    Other numbers: ``float64``. Equal on both databases.
    """
    columns = list(statement.selected_columns)
    kinds = [_arrow_type(column.type) for column in columns]
    kinds = [_WIDE.get(kind, kind) for kind in kinds]
    cursor: Any = connection.execute(statement).cursor
    parts: list[list[pa.Array]] = [[pa.array([], kind)] for kind in kinds]
    while rows := cursor.fetchmany(_FETCHED_ROWS):
        for found, values, kind in zip(parts, zip(*rows, strict=True), kinds, strict=True):
            found.append(_read_array(values, kind))
    series = {
        column.name: _to_series(pa.concat_arrays(found), is_optional=getattr(column, "nullable", True))
        for column, found in zip(columns, parts, strict=True)
    }
    return pd.DataFrame(series, columns=list(series))


def _read_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return what a database gave. SQLite hands dates and instants over as text, psycopg as objects."""
    is_moment = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    if not is_moment or not isinstance(next((value for value in values if value is not None), None), str):
        return pa.array(values, kind)
    texts = pa.array(values, pa.string())
    return texts.cast(kind) if pa.types.is_date(kind) else texts.cast(pa.timestamp("us")).cast(kind)


def _to_series(array: pa.Array, *, is_optional: bool) -> pd.Series:
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    if pa.types.is_integer(array.type) and is_optional:
        return pd.Series(pd.Int64Dtype().__from_arrow__(array))
    return array.to_pandas()


def _arrow_type(kind: TypeEngine[Any]) -> pa.DataType:
    for known, arrow in _ARROW_TYPES:
        if isinstance(kind, known):
            return arrow
    message = f"no frame column for the database type {kind!r}"
    raise ValueError(message)


def _to_arrow(table: Table, frame: pd.DataFrame) -> pa.Table:
    """Return the frame with the types of the table's columns."""
    unknown = sorted(set(frame.columns) - set(table.columns.keys()))
    if unknown:
        message = f"{table.name} has no column {', '.join(unknown)}"
        raise ValueError(message)
    return pa.table({name: _to_array(table, str(name), frame[name]) for name in frame.columns})


def _to_array(table: Table, name: str, series: pd.Series) -> pa.Array:
    kind = _arrow_type(table.columns[name].type)
    if pa.types.is_timestamp(kind) and isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC")
    elif pa.types.is_timestamp(kind) and series.notna().any():
        series = pd.to_datetime(series, utc=True) if series.dtype == object else _refuse_naive(table, name)
    array = pa.Array.from_pandas(series)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    array = array.cast(kind, safe=False) if pa.types.is_date(kind) else array.cast(kind)
    if pa.types.is_string(kind) and _may_hold_nul(array):
        # PostgreSQL cannot store this character; both databases must hold the same.
        array = pc.replace_substring(array, "\0", "\N{REPLACEMENT CHARACTER}")
    return array


def _may_hold_nul(texts: pa.Array) -> bool:
    """Return whether a NUL may stand in some texts: a look at 38 MB of bytes takes 2 CPU ms, to search each text 65."""
    data = texts.buffers()[-1]
    return data is not None and not np.frombuffer(data, dtype=np.uint8).all()


def _refuse_naive(table: Table, name: str) -> pd.Series:
    message = f"{table.name}.{name} needs aware instants"
    raise ValueError(message)


def _insert(connection: Connection, table: Table, frame: pd.DataFrame, conflict: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(str(name)) for name in frame.columns)
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(frame.columns))
        return f"INSERT INTO {table.name} ({names}) VALUES ({places}) ON CONFLICT {conflict}"  # noqa: S608  names of our own schema; values are bound
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM incoming ON CONFLICT {conflict}"  # noqa: S608  names of our own schema


def _write(
    connection: Connection, table: Table, frame: pd.DataFrame, *, into: str, may_all_be_new: bool = False
) -> int:
    """Run the statement ``into`` for every row of the frame and return how many rows of the table it changed."""
    if frame.empty:
        return 0
    data = _to_arrow(table, frame)
    if connection.dialect.name == "sqlite":
        return _run_sqlite(connection, data, into)
    if may_all_be_new and _copy_straight(connection, data, table):
        return int(data.num_rows)
    return _copy_aside(connection, data, table, into)


def _run_sqlite(connection: Connection, data: pa.Table, statement: str) -> int:
    raw: Any = connection.connection.dbapi_connection
    before = raw.total_changes
    cursor = raw.cursor()
    try:
        for rows in _blocks(data):
            cursor.executemany(statement, rows)
    finally:
        cursor.close()
    return int(raw.total_changes - before)


def _blocks(data: pa.Table) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Yield the rows as tuples of what sqlite3 stores: text for dates and instants, None for what is missing."""
    for start in range(0, data.num_rows, _BLOCK_ROWS):
        yield zip(*map(_for_sqlite, data.slice(start, _BLOCK_ROWS).columns), strict=True)


def _for_sqlite(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.string())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pandas(integer_object_nulls=True).to_numpy(dtype=object, na_value=None).tolist()
    return values


def _copy_straight(connection: Connection, data: pa.Table, table: Table) -> bool:
    """Copy rows into the table; False, and nothing is written, where one of them breaks a unique rule.

    A row that is there already is usually the first one: a night that is repeated. 15 µs a message where the detour by
    another table takes 27.
    """
    errors: Any = connection.dialect.loaded_dbapi.errors
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute("SAVEPOINT straight")
        try:
            _copy_into(cursor, table.name, _names(connection, data), data)
        except errors.UniqueViolation:
            cursor.execute("ROLLBACK TO SAVEPOINT straight")
            return False
        cursor.execute("RELEASE SAVEPOINT straight")
    return True


def _copy_aside(connection: Connection, data: pa.Table, table: Table, statement: str) -> int:
    """Copy rows into a table ``incoming``, run a statement that reads it, and return how many rows that changed."""
    names = _names(connection, data)
    with closing(connection.connection.cursor()) as cursor:
        shape = f"SELECT {names} FROM {table.name} WITH NO DATA"  # noqa: S608  names of our own schema
        cursor.execute(f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS {shape}")
        _copy_into(cursor, "incoming", names, data)
        cursor.execute(statement)
        written = int(cursor.rowcount)
        cursor.execute("DROP TABLE incoming")
    return written


def _names(connection: Connection, data: pa.Table) -> str:
    return ", ".join(map(connection.dialect.identifier_preparer.quote, data.column_names))


def _copy_into(cursor: Any, name: str, columns: str, data: pa.Table) -> None:  # noqa: ANN401  psycopg is an extra: its types may not be there
    with cursor.copy(f"COPY {name} ({columns}) FROM STDIN (FORMAT binary)") as copy:
        for part in binary_copy(data):
            copy.write(part)
