"""Columns of sources that have types, in the few types the rules of the border know.

In: Arrow tables of Parquet files and query results. Out: chunks whose columns are texts, times or numbers. Must never
happen: an id that gains a ``.0`` on its way, or a row that is lost because another one holds broken text.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from winback.core.sieve import NO_FAULTS, faults_frame
from winback.errors import SourceMalformed
from winback.sources.feeds import ROW_NUMBER, Chunk

TIME_COLUMNS = frozenset({"occurred_at", "recorded_at"})
NUMBER_COLUMNS = frozenset({"amount"})
ID_COLUMNS = frozenset({"customer_id", "event_id"})


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_expected(name: str, kind: pa.DataType) -> bool:
    """Return whether a column of this name may have this type."""
    if pa.types.is_null(kind) or _is_text(kind):
        return True
    if name in TIME_COLUMNS:
        return _is_time(kind)
    if name in NUMBER_COLUMNS:
        return _is_number(kind)
    if name in ID_COLUMNS:
        return bool(pa.types.is_integer(kind))
    return _is_time(kind) or _is_number(kind) or bool(pa.types.is_boolean(kind))


def _wanted_type(name: str, kind: pa.DataType) -> pa.DataType:
    """Return the type a column is handed on in."""
    if name in TIME_COLUMNS and _is_time(kind):
        return pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None)
    if name in NUMBER_COLUMNS and _is_number(kind):
        return pa.float64()
    return pa.string()


def check_types(source: str, schema: pa.Schema) -> None:
    """Refuse a feed in which a column has drifted to a type it cannot have.

    Raises
    ------
    SourceMalformed
        Naming the column and its type.
    """
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not _is_expected(column.name, kind):
            what = f"column {column.name!r} is of type {kind}: hand it on as text, or as the type its name promises"
            raise SourceMalformed(source, what)


def as_chunk(source: str, table: pa.Table, *, first_row: int, place: str = "") -> Chunk:
    """Return an Arrow table as a chunk.

    Parameters
    ----------
    source : its name, for the messages
    table : columns under canonical names, of types that :func:`check_types` allows
    first_row : the number of its first row
    place : the file, where a feed has several

    Raises
    ------
    SourceMalformed
        If a column cannot be turned into the type it has to have.
    """
    numbers = np.arange(first_row, first_row + table.num_rows)
    columns = {}
    is_broken = np.zeros(table.num_rows, dtype=bool)
    broken_in = np.full(table.num_rows, "", dtype=object)
    for name in table.column_names:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if _is_text(column.type):
            column, is_bad = _readable(column)
            broken_in[is_bad & ~is_broken] = name
            is_broken |= is_bad
        try:
            column = column.cast(_wanted_type(name, column.type), safe=False)
            columns[name] = column.to_pandas()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, ValueError) as problem:
            raise SourceMalformed(source, f"column {name!r} cannot be read: {problem}") from problem
    rows = pd.DataFrame(columns)
    rows.insert(0, ROW_NUMBER, numbers)
    if not is_broken.any():
        return Chunk(rows, NO_FAULTS, place)
    faults = faults_frame(numbers[is_broken], broken_in[is_broken], "bad_utf8", "")
    return Chunk(rows[~is_broken].reset_index(drop=True), faults, place)


def _readable(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Return a text column in which every value is UTF-8, and which values were not (they are empty now)."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        texts = [_decoded(value) for value in column.cast(pa.binary()).to_pylist()]
        given = column.is_valid().to_numpy(zero_copy_only=False)
        fixed = pa.chunked_array([pa.array(texts, pa.string())])
        return fixed, given & pc.is_null(fixed).to_numpy(zero_copy_only=False)
    return column, np.zeros(len(column), dtype=bool)


def _decoded(value: bytes | None) -> str | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None
