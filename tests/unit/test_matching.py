"""Ids are looked up as they stand: each once, whatever pandas keeps them in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from winback.core.matching import is_among, named, places, rows_at, values_of


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


def test_rows_that_are_in_their_places_are_only_numbered_anew():
    rows = pd.DataFrame({"n": [1, 2]}, index=[7, 7])
    pd.testing.assert_frame_equal(rows_at(rows, np.array([0, 1])), pd.DataFrame({"n": [1, 2]}))
    assert rows_at(rows, np.array([1, 0]))["n"].tolist() == [2, 1]


def test_each_id_gets_its_value_beside_it():
    ids = pd.Series(["b", "x", "a"], index=[5, 6, 7])
    found = values_of(ids, pd.Series([1, 2], index=["a", "b"]))
    assert found.index.tolist() == [5, 6, 7]
    assert found.fillna(0).tolist() == [2, 0, 1]


def test_a_name_stands_at_its_code_and_the_last_at_none():
    assert named(np.array([1, 0, -1]), ["a", "b", ""]).tolist() == ["b", "a", ""]
