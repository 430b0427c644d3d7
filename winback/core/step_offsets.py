"""The offsets of a cycle's steps as a cycle keeps them: `0,30,60`, days after its anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core.matching import named

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas.api.extensions import ExtensionArray as Texts


def offsets_of(texts: NDArray[np.object_], *, steps: int) -> NDArray[np.float64]:
    """Return days after the anchor, a row a cycle and a column a step, NaN for a step that it does not have."""
    found = np.full((len(texts), steps), np.nan)
    if len(texts):
        parts = pd.Series(texts).astype("str").str.split(",", expand=True).iloc[:, :steps].apply(pd.to_numeric)
        found[:, : parts.shape[1]] = parts.to_numpy(np.float64)
    return found


def offset_texts(offsets: NDArray[np.float64], wanted: NDArray[np.bool_]) -> Texts:
    """Return each cycle's offsets as text, e.g. `0,30,60` or, of one step, `0`; empty where none is wanted."""
    distinct, which = np.unique(np.nan_to_num(offsets[wanted], nan=-np.inf), axis=0, return_inverse=True)
    texts = [",".join(str(int(day)) if np.isfinite(day) else "" for day in row).rstrip(",") for row in distinct]
    codes = np.zeros(len(offsets), dtype=np.int64)
    codes[wanted] = which + 1
    return named(codes, ["", *texts])
