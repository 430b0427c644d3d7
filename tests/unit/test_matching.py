"""Ids are looked up as they stand: each once, whatever pandas keeps them in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from winback.core.matching import is_among, places, rows_at


@pytest.mark.parametrize("kind", ["str", object, "category"])
def test_ids_are_found_where_they_stand(kind):
    ids = pd.Series(["b", "x", None, "a", "b"], dtype=kind)
    assert places(ids, pd.Series(["a", "b", "c"], dtype="str")).tolist() == [1, -1, -1, 0, 1]
    assert places(pd.Index(ids), pd.Index(["c", "a"])).tolist() == [-1, -1, -1, 1, -1]
    assert is_among(ids, pd.Series(["x"], dtype=kind)).tolist() == [False, True, False, False, False]


def test_a_missing_id_matches_no_missing_id():
    assert places(pd.Series([None, "a"], dtype="str"), pd.Series([None, "a"], dtype="str")).tolist() == [-1, 1]


def test_of_two_rows_with_one_id_the_first_is_taken():
    assert places(pd.Series(["a"]), pd.Series(["b", "a", "a"])).tolist() == [1]


@pytest.mark.parametrize("nothing", [pd.Series([], dtype="str"), pd.Series([], dtype=object)])
def test_among_nobody_is_nobody(nothing):
    assert places(pd.Series(["a", "b"]), nothing).tolist() == [-1, -1]
    assert places(nothing, pd.Series(["a"])).tolist() == []


def test_rows_are_taken_and_missing_ones_are_missing():
    rows = pd.DataFrame({"n": [1, 2], "on": pd.to_datetime(["2026-01-01", "2026-01-02"])}, index=[7, 7])
    taken = rows_at(rows, np.array([1, -1, 1]))
    assert taken.index.tolist() == [0, 1, 2]
    assert taken["n"].tolist()[::2] == [2.0, 2.0]
    assert taken.loc[1].isna().all()
    assert rows_at(rows.iloc[:0], np.array([-1])).isna().all(axis=None)
