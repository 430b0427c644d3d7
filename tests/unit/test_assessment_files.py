"""Nightly results are kept as a whole, for a while."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from activity_world import ZONE, on

from winback.activity.store import ActivityStore

CUSTOMERS = [f"customer-{number}" for number in range(40)]


@pytest.fixture
def store(tmp_path):
    return ActivityStore.open(tmp_path / "activity", zone=ZONE)


def frame(customers=CUSTOMERS):
    return pd.DataFrame(
        {
            "customer_id": pd.Series(customers, dtype="str"),
            "threshold_days": np.arange(len(customers), dtype="float64"),
            "last_on": pd.Series([on(1)] * len(customers), dtype="datetime64[s]"),
            "is_weak": [False] * len(customers),
        }
    )


def test_a_frame_comes_back_as_it_was(store):
    assert store.write_assessment(on(1), "rhythms", [frame()]) == 40
    pd.testing.assert_frame_equal(store.read_assessment(on(1), "rhythms"), frame())
    assert store.read_assessment(on(1), "segments") is None
    assert store.read_assessment(on(2), "rhythms") is None


def test_any_number_of_shards_reads_every_row_once(store):
    store.write_assessment(on(1), "rhythms", (frame(part) for part in (CUSTOMERS[:9], [], CUSTOMERS[9:])))
    for shards in (1, 3, 8):
        parts = [store.read_assessment(on(1), "rhythms", shard=shard, shards=shards) for shard in range(shards)]
        assert sorted(pd.concat(parts).customer_id) == sorted(CUSTOMERS)


def test_columns_and_one_customer(store):
    store.write_assessment(on(1), "rhythms", [frame()])
    found = store.read_assessment(on(1), "rhythms", columns=["threshold_days"], customer_id="customer-7")
    assert found.to_dict("list") == {"threshold_days": [7.0]}


def test_an_empty_first_shard_does_not_spoil_the_types(store):
    empty = pd.DataFrame({"customer_id": pd.Series([], dtype="str"), "sentence": pd.Series([], dtype="object")})
    full = pd.DataFrame({"customer_id": ["ann"], "sentence": ["usually every 9 days"]})
    store.write_assessment(on(1), "rhythms", [empty, full])
    assert store.read_assessment(on(1), "rhythms").sentence.tolist() == ["usually every 9 days"]


def test_writing_again_replaces_the_whole(store):
    store.write_assessment(on(1), "rhythms", [frame()])
    store.write_assessment(on(1), "rhythms", [frame(CUSTOMERS[:2])])
    assert len(store.read_assessment(on(1), "rhythms")) == 2


def test_a_failure_half_way_leaves_what_was_there(store):
    store.write_assessment(on(1), "rhythms", [frame()])

    def failing():
        yield frame(CUSTOMERS[:2])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write_assessment(on(1), "rhythms", failing())
    assert len(store.read_assessment(on(1), "rhythms")) == 40
    assert [path.name for path in (store._root / "assessments").rglob("*") if path.is_file()] == ["rhythms.parquet"]


def test_several_keys_in_turns_are_a_file_each(store):
    turns = [(key, frame(part)) for part in (CUSTOMERS[:9], CUSTOMERS[9:]) for key in ("one", "other")]
    assert store.write_assessments(on(1), turns) == 80
    for key in ("one", "other"):
        assert store.read_assessment(on(1), key).customer_id.tolist() == CUSTOMERS


def test_a_failure_in_one_key_leaves_all_as_they_were(store):
    store.write_assessments(on(1), [("one", frame()), ("other", frame())])
    with pytest.raises(ValueError, match="assessment key"):
        store.write_assessments(on(1), [("one", frame(CUSTOMERS[:2])), ("../other", frame())])
    assert len(store.read_assessment(on(1), "one")) == 40
    names = {path.name for path in (store._root / "assessments").rglob("*") if path.is_file()}
    assert names == {"one.parquet", "other.parquet"}


def test_only_the_newest_days_stay(store):
    for day in (5, 1, 3, 4):
        store.write_assessment(on(day), "rhythms", [frame()], keep=2)
    kept = [day for day in range(9) if store.read_assessment(on(day), "rhythms") is not None]
    assert kept == [4, 5]


@pytest.mark.parametrize("key", ["", "../escape", "a/b", ".hidden"])
def test_a_key_is_a_plain_name(store, key):
    with pytest.raises(ValueError, match="assessment key"):
        store.write_assessment(on(1), key, [frame()])
