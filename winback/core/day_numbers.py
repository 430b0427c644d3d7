"""Days as numbers, so that windows are sums and comparisons of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray


def day_number(value: date) -> int:
    """Return days since 1970-01-01."""
    return int(np.datetime64(value, "D").astype(np.int64))


def day_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Return days since 1970-01-01, NaN where there is no date."""
    values = pd.to_datetime(column).to_numpy("datetime64[D]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64).astype(np.float64))


def dates(days: NDArray[np.float64], *, where: NDArray[np.bool_] | bool = True) -> NDArray[np.datetime64]:
    """Return dates from days since 1970-01-01, NaT where there is no number or none is wanted."""
    known = np.isfinite(days) & where
    found = np.where(known, days, 0).astype(np.int64).astype("datetime64[D]").astype("datetime64[us]")
    return np.where(known, found, np.datetime64("NaT", "us"))
