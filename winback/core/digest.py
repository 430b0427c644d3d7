"""One number for the content of a frame, whatever the order of its rows and the number of its shards.

In: a frame and the names of the columns that matter. Out: an integer below 2^64; the digests of the shards add up to
the digest of the whole. Must never happen: two stores that hold the same facts, and give two digests because one
reads a date in other units, sorts otherwise, or writes a missing text as None and the other as NaN.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MODULUS = 1 << 64
_MISSING = np.uint64(0x9E3779B97F4A7C15)


def _stir(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits of each number (the finaliser of SplitMix64), so that sums of rows do not cancel out."""
    stirred = values
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        stirred = (stirred ^ (stirred >> np.uint64(shift))) * np.uint64(factor)
    return stirred ^ (stirred >> np.uint64(31))


def _numbers(column: pd.Series[Any]) -> NDArray[np.uint64]:
    """Return one number a value: dates in microseconds, booleans as 0 and 1, texts by SipHash."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return np.asarray(column, dtype="datetime64[us]").view(np.uint64)
    if pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.fillna(value=False), dtype=bool).astype(np.uint64)
    if pd.api.types.is_integer_dtype(column.dtype):
        return np.asarray(column.fillna(0), dtype=np.int64).view(np.uint64)
    if pd.api.types.is_float_dtype(column.dtype):
        # Adding 0.0 turns -0.0 into 0.0; a missing number is marked by the caller.
        return (np.asarray(column.fillna(0), dtype=np.float64) + 0.0).view(np.uint64)
    if not isinstance(column.dtype, pd.StringDtype):
        column = column.astype(object).where(column.notna(), "").map(str)
    # Each distinct text is hashed once; pandas would look for them among Python objects, at three times the cost.
    texts = pa.chunked_array([pa.array(column, from_pandas=True)]).combine_chunks().fill_null("").dictionary_encode()
    distinct = texts.dictionary.to_pandas().astype(object).to_numpy()
    numbers = pd.util.hash_array(distinct, categorize=False)[texts.indices.to_numpy()]
    return np.asarray(numbers, dtype=np.uint64)


def row_digests(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.uint64]:
    """Return one 64-bit digest a row over the named columns.

    Parameters
    ----------
    frame : rows; the index is ignored
    columns : names; each value is mixed with its column's name, so that swapping two columns shows

    Raises
    ------
    KeyError
        If a column is missing.
    """
    rows = np.zeros(len(frame), dtype=np.uint64)
    if frame[list(columns)].empty:  # columns of no values have no type either: a ledger on its first day
        return rows
    for name in columns:
        salt = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        numbers = np.where(frame[name].isna().to_numpy(bool), _MISSING, _numbers(frame[name]))
        rows += _stir(numbers ^ np.uint64(salt))
    return _stir(rows)


def digest(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> int:
    """Return the 64-bit digest of a frame's content: the sum of its rows' digests, modulo 2^64.

    A sum, not an exclusive or, so that a row that stands twice differs from a row that is not there. An integer
    column and a float column that hold the same numbers differ: the caller fixes the types it compares.

    Parameters
    ----------
    frame : rows in any order
    columns : which ones count, in any order; default all
    """
    names = list(frame.columns) if columns is None else list(columns)
    return int(row_digests(frame, names).sum(dtype=np.uint64))


def combine(digests: Iterable[int]) -> int:
    """Return the digest of a whole from the digests of its shards, in any order."""
    return sum(digests) % MODULUS
