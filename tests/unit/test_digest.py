"""One number for what a frame holds."""

from __future__ import annotations

import pandas as pd
import pytest

from winback.core.digest import combine, digest


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": ["a", "b", "c", None],
            "n": [1, 2, 3, 4],
            "share": [0.5, None, -0.0, 1e300],
            "on": pd.to_datetime(["2026-01-01", None, "1969-12-31", "2026-01-01"]),
            "at": pd.to_datetime(["2026-01-01T00:00:00Z", None, "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"]),
            "is_it": [True, False, True, False],
        }
    )


def test_the_number_is_known_and_never_changes():
    assert digest(rows()) == 6954746312291801941
    assert digest(rows().iloc[:0]) == 0


def test_neither_order_nor_index_nor_shards_matter():
    whole = digest(rows())
    assert digest(rows().iloc[::-1].set_index(pd.Index([7, 7, 7, 7]))) == whole
    assert digest(rows()[["at", "is_it", "on", "n", "who", "share"]]) == whole
    assert combine([digest(rows().iloc[2:]), digest(rows().iloc[:2])]) == whole


@pytest.mark.parametrize(
    ("column", "same"),
    [
        ("who", rows()["who"].astype(object)),
        ("who", rows()["who"].astype("category")),
        ("who", pd.Series(["a", "b", "c", float("nan")], dtype=object)),
        ("n", rows()["n"].astype("int32")),
        ("n", rows()["n"].astype("Int64")),
        ("share", pd.Series([0.5, float("nan"), 0.0, 1e300])),
        ("on", rows()["on"].astype("datetime64[s]")),
        ("on", rows()["on"].astype("datetime64[ns]")),
        ("at", rows()["at"].dt.tz_convert("Europe/Paris").astype("datetime64[us, Europe/Paris]")),
        ("is_it", rows()["is_it"].astype("boolean")),
    ],
)
def test_two_ways_to_hold_the_same_values_give_the_same_number(column, same):
    assert digest(rows().assign(**{column: same})) == digest(rows())


@pytest.mark.parametrize(
    "changed",
    [
        rows().assign(who=["a", "b", "c", ""]),
        rows().assign(who=["a", "b", "d", None]),
        rows().assign(n=[1, 2, 3, 5]),
        rows().assign(share=[0.5, 0.0, 0.0, 1e300]),
        rows().assign(on=pd.to_datetime(["2026-01-01", None, "1969-12-31", "2026-01-02"])),
        rows().assign(is_it=[True, False, True, True]),
        rows().rename(columns={"who": "on", "on": "who"}),
        rows().iloc[[0, 0, 1, 2, 3]],
        rows().iloc[[0, 0, 0, 1, 2, 3]],
        rows().iloc[:3],
    ],
)
def test_any_other_value_gives_another_number(changed):
    assert digest(changed) != digest(rows())


def test_values_that_change_places_between_rows_show():
    turned = rows().assign(n=[2, 1, 3, 4])
    assert digest(turned) != digest(rows())
    assert digest(turned, ["n"]) == digest(rows(), ["n"])


def test_a_missing_column_is_an_error():
    with pytest.raises(KeyError, match="nothing"):
        digest(rows(), ["nothing"])


@pytest.mark.parametrize("kind", ["object", "str", "float64", "datetime64[us]"])
def test_no_rows_have_a_digest_whatever_the_type_of_their_columns(kind):
    assert digest(pd.DataFrame({"name": pd.Series([], dtype=kind)})) == 0
    with pytest.raises(KeyError):
        digest(pd.DataFrame({"name": pd.Series([], dtype=kind)}), ["other"])
