"""What becomes of each row of a feed."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from activity_world import ZONE, Event, at, feed, on, purchase

from winback.activity.intake import FEED_COLUMNS, read_feed
from winback.activity.store import ActivityStore

ANN_1, ANN_2 = purchase("ann", 1, "e1"), purchase("ann", 2, "e2")
WITHOUT_ID = purchase("bob", 1)


@pytest.fixture
def store(tmp_path):
    return ActivityStore.open(tmp_path / "activity", zone=ZONE, shards=3)


def take_in(store, events, *, mode="append", source="shop"):
    with store.writing() as writer:
        return writer.ingest(source, events if isinstance(events, pa.Table) else feed(events), mode=mode)


def account(done):
    return done.new, done.duplicates, len(done.conflicts), done.corrected, done.deleted


@pytest.mark.parametrize(
    ("mode", "before", "rows", "expected"),
    [
        ("append", [], [ANN_1, ANN_2, WITHOUT_ID], (3, 0, 0, 0, 0)),
        ("append", [], [], (0, 0, 0, 0, 0)),
        ("append", [], [ANN_1, ANN_1], (1, 1, 0, 0, 0)),
        ("append", [], [WITHOUT_ID, WITHOUT_ID, WITHOUT_ID], (1, 2, 0, 0, 0)),
        ("append", [ANN_1, WITHOUT_ID], [ANN_1, ANN_2, WITHOUT_ID], (1, 2, 0, 0, 0)),
        # One id, two bodies: whatever differs, the first stays.
        ("append", [], [ANN_1, ANN_1._replace(customer_id="bob")], (1, 0, 1, 0, 0)),
        ("append", [], [ANN_1, ANN_1._replace(behaviour="visit")], (1, 0, 1, 0, 0)),
        ("append", [], [ANN_1, ANN_1._replace(at=at(1, 13))], (1, 0, 1, 0, 0)),
        ("append", [], [ANN_1, ANN_1._replace(amount=11.0)], (1, 0, 1, 0, 0)),
        ("append", [], [ANN_1, ANN_1._replace(amount=None)], (1, 0, 1, 0, 0)),
        ("append", [ANN_1], [ANN_1._replace(amount=11.0)], (0, 0, 1, 0, 0)),
        # The stored event is the first one: a later row that repeats it is a duplicate, not a conflict.
        ("append", [ANN_1], [ANN_1._replace(amount=11.0), ANN_1], (0, 1, 1, 0, 0)),
        ("append", [ANN_1._replace(amount=None)], [ANN_1._replace(amount=None)], (0, 1, 0, 0, 0)),
        ("append", [], [ANN_1._replace(amount=None), ANN_1._replace(amount=None)], (1, 1, 0, 0, 0)),
        ("snapshot", [ANN_1._replace(amount=None)], [ANN_1._replace(amount=None)], (0, 0, 0, 0, 0)),
        # No amount equals no amount; a row without an id never equals one with an id.
        ("append", [WITHOUT_ID._replace(amount=None)], [WITHOUT_ID._replace(amount=None)], (0, 1, 0, 0, 0)),
        ("append", [ANN_1], [ANN_1._replace(event_id=None)], (1, 0, 0, 0, 0)),
        ("snapshot", [], [ANN_1, ANN_1, ANN_1._replace(amount=1.0)], (1, 1, 1, 0, 0)),
        ("snapshot", [ANN_1, WITHOUT_ID], [ANN_1, WITHOUT_ID], (0, 0, 0, 0, 0)),
        ("snapshot", [ANN_1, ANN_2], [ANN_1], (0, 0, 0, 0, 1)),
        ("snapshot", [ANN_1, WITHOUT_ID], [], (0, 0, 0, 0, 2)),
        ("snapshot", [ANN_1], [ANN_1._replace(amount=11.0)], (0, 0, 0, 1, 0)),
        ("snapshot", [ANN_1], [ANN_1._replace(customer_id="bob")], (0, 0, 0, 1, 0)),
        ("snapshot", [WITHOUT_ID], [WITHOUT_ID._replace(amount=11.0)], (1, 0, 0, 0, 1)),
        ("snapshot", [ANN_1, ANN_2], [ANN_1._replace(at=at(3)), purchase("cid", 1, "e3")], (1, 0, 0, 1, 1)),
    ],
)
def test_every_row_is_accounted_for(store, mode, before, rows, expected):
    take_in(store, before)
    assert account(take_in(store, rows, mode=mode)) == expected


def test_a_file_read_twice_adds_nothing(store):
    rows = [ANN_1, ANN_2, WITHOUT_ID, ANN_1._replace(amount=3.0)]
    take_in(store, rows)
    generation, before = store.generation, store.profiles(on(9))
    assert account(take_in(store, rows)) == (0, 3, 1, 0, 0)
    assert store.generation == generation
    pd.testing.assert_frame_equal(store.profiles(on(9)), before)


def test_a_conflict_names_its_row_and_leaves_the_first(store):
    done = take_in(store, [ANN_1, purchase("bob", 3, "e1"), ANN_2])
    assert done.conflicts.to_dict("records") == [{"row_number": 2, "event_id": "e1"}]
    assert store.event_days(on(9)).customer_id.tolist() == ["ann", "ann"]


def test_the_row_number_decides_which_row_is_first(store):
    rows = feed([ANN_1, ANN_1._replace(customer_id="bob")]).iloc[::-1]
    done = take_in(store, pa.Table.from_pandas(rows, preserve_index=False))
    assert done.conflicts.row_number.tolist() == [2]
    assert store.event_days(on(9)).customer_id.tolist() == ["ann"]


def test_one_id_in_two_sources_is_two_events(store):
    take_in(store, [ANN_1], source="shop")
    assert account(take_in(store, [ANN_1._replace(behaviour="visit")], source="app")) == (1, 0, 0, 0, 0)
    # A snapshot of one source says nothing about another.
    assert account(take_in(store, [], source="app", mode="snapshot")) == (0, 0, 0, 0, 1)
    assert store.behaviours() == ["purchase"]


def test_a_correction_moves_the_event_to_its_new_customer(store):
    take_in(store, [ANN_1, ANN_2])
    with store.writing() as writer:
        writer.fold(on(9))
    take_in(store, [ANN_1._replace(customer_id="bob"), ANN_2], mode="snapshot")
    assert store.counts()["dirty_customers"] == 2
    assert store.profiles(on(9)).set_index("customer_id").n.to_dict() == {"ann": 1, "bob": 1}


def test_two_feeds_of_one_night_know_each_other(store):
    with store.writing() as writer:
        writer.ingest("shop", feed([ANN_1]))
        assert account(writer.ingest("shop", feed([ANN_1, ANN_2]))) == (1, 1, 0, 0, 0)
    assert store.counts()["events"] == 2


@pytest.mark.parametrize(
    ("day", "dirty"), [(2, 1), (3, 1), (4, 0)], ids=["before the fold", "on its last day", "after it"]
)
def test_only_late_events_make_their_customer_dirty(store, day, dirty):
    take_in(store, [ANN_1, WITHOUT_ID])
    with store.writing() as writer:
        writer.fold(on(3))
    take_in(store, [purchase("ann", day, "late")])
    assert store.counts()["dirty_customers"] == dirty
    reopened = ActivityStore.open(store._root, zone=ZONE)
    assert reopened.profiles(on(9)).n.sum() == 3


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2024, 3, 30, 22, 59, 59, tzinfo=UTC), date(2024, 3, 30)),
        (datetime(2024, 3, 30, 23, 0, tzinfo=UTC), date(2024, 3, 31)),
        (datetime(2024, 3, 31, 21, 59, 59, tzinfo=UTC), date(2024, 3, 31)),
        (datetime(2024, 3, 31, 22, 0, tzinfo=UTC), date(2024, 4, 1)),
        (datetime(2024, 10, 27, 22, 59, 59, tzinfo=UTC), date(2024, 10, 27)),
        (datetime(1995, 1, 1, tzinfo=UTC), date(1995, 1, 1)),
    ],
)
def test_days_are_the_business_zones(instant, day):
    rows = read_feed(feed([Event("ann", "visit", instant)]), source="shop", zone=ZONE)
    assert rows["occurred_on"].to_pylist() == [day]


def test_arrow_of_any_width_is_understood(store):
    odd = pa.table(
        {
            "row_number": pa.array([1, 2], pa.int32()),
            "customer_id": pa.array(["ann", "ann"]).dictionary_encode(),
            "behaviour": pa.array(["visit", "visit"], pa.large_string()),
            "occurred_at": pa.array([0, 86_400 * 10**9], pa.timestamp("ns", "Europe/Berlin")),
            "amount": pa.array([np.nan, -0.0]),
            "event_id": pa.nulls(2),
        }
    )
    assert account(take_in(store, odd)) == (2, 0, 0, 0, 0)
    plain = odd.set_column(4, "amount", pa.array([None, 0.0], pa.float64()))
    assert account(take_in(store, plain)) == (0, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns=["amount"]), "missing columns amount"),
        (lambda rows: rows.assign(customer_id=[None]), "customer_id has 1 empty"),
        (lambda rows: rows.assign(occurred_at=pd.NaT), "occurred_at has 1 empty"),
        (lambda rows: rows.assign(occurred_at=pd.Timestamp("2024-01-01")), "no time zone"),
    ],
)
def test_a_feed_that_was_not_checked_is_refused(store, change, words):
    with pytest.raises(ValueError, match=words), store.writing() as writer:
        writer.ingest("shop", change(feed([ANN_1])))
    assert store.counts()["events"] == 0


def test_many_small_feeds_stay_few_parts(store):
    for day in range(20):
        take_in(store, [purchase("ann", day, f"e{day}"), purchase("bob", day, f"f{day}")])
    assert store.counts()["events"] == 40
    assert store.counts()["parts"] <= 8
    assert store.profiles(on(30)).n.tolist() == [20, 20]


def test_an_empty_frame_without_types_is_an_empty_feed(store):
    with store.writing() as writer:
        assert account(writer.ingest("shop", pd.DataFrame(columns=FEED_COLUMNS))) == (0, 0, 0, 0, 0)


def test_an_unknown_mode_is_refused(store):
    with pytest.raises(KeyError), store.writing() as writer:
        writer.ingest("shop", feed([ANN_1]), mode="replace")
