"""Reading the activity store, one generation at a time, and what it says when it cannot."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from activity_world import ZONE, Event, at, expected_profiles, feed, on, purchase

from winback.activity.manifest import spill_directory
from winback.activity.store import ActivityStore
from winback.errors import StoreBusy, StoreUnavailable

NO_PROCESS = 2**22 + 1  # above the largest process number there is
EVENTS = [
    purchase("ann", 1, "e1"),
    purchase("ann", 4, "e2"),
    Event("ann", "visit", at(4, 9), None, "e3"),
    purchase("bob", 2, "e4", None),
    Event("cid", "visit", at(6), None, "e5"),
    Event("cid", "visit", at(6, 15), None, "e6"),
]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "var" / "activity"


@pytest.fixture
def store(root):
    opened = ActivityStore.open(root, zone=ZONE)
    with opened.writing() as writer:
        writer.ingest("shop", feed(EVENTS))
        writer.fold(on(4))
    return opened


def test_an_empty_store_answers_everything_and_writes_nothing(root):
    empty = ActivityStore.open(root, zone=ZONE)
    assert empty.profiles(on(1)).empty
    assert empty.event_days(on(1)).empty
    assert empty.activity_since(on(0), on(1), behaviours=["visit"]).empty
    assert empty.customer_history("ann", on(1)).empty
    assert empty.max_occurred_at("shop", on(1)) is None
    assert empty.behaviours() == []
    assert empty.history_days(on(1)) == {}
    assert empty.read_assessment(on(1), "rhythms") is None
    assert empty.folded_through is None
    assert not root.exists()


@pytest.mark.parametrize("day", [-1, 0, 1, 3, 4, 5, 6, 400])
def test_profiles_as_of_any_day_write_nothing(store, root, day):
    before = sorted(root.rglob("*"))
    profiles = store.profiles(on(day))
    pd.testing.assert_frame_equal(profiles, expected_profiles(EVENTS, on(day)))
    assert sorted(root.rglob("*")) == before


def test_profiles_keep_their_types_when_there_are_none(store):
    pd.testing.assert_series_equal(store.profiles(on(-1)).dtypes, store.profiles(on(9)).dtypes)


def test_event_days(store):
    days = store.event_days(on(6), behaviours=["visit"])
    assert sorted(days.customer_id) == ["ann", "cid"]
    assert days.dtypes.astype(str).to_dict() == {
        "customer_id": "str",
        "behaviour": "str",
        "occurred_on": "datetime64[s]",
    }
    assert len(store.event_days(on(6))) == 5
    assert len(store.event_days(on(5))) == 4
    assert store.event_days(on(6), behaviours=[]).empty
    assert set(store.event_days(on(6), since=on(5))["occurred_on"]) == {pd.Timestamp(on(6))}
    parts = [store.event_days(on(6), shard=shard, shards=3) for shard in range(3)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), store.event_days(on(6)))


def test_activity_since_is_open_below_and_closed_above(store):
    seen = store.activity_since(on(1), on(4), behaviours=["purchase", "visit"]).set_index("customer_id")
    assert seen.first_on.dt.date.to_dict() == {"ann": on(4), "bob": on(2)}
    assert seen.last_on.dt.date.to_dict() == {"ann": on(4), "bob": on(2)}
    assert store.activity_since(on(0), on(9), behaviours=["purchase"]).customer_id.nunique() == 2


def test_customer_history_is_newest_first(store):
    history = store.customer_history("ann", on(9))
    assert history.event_id.tolist() == ["e2", "e3", "e1"]
    assert history.occurred_at[0] == at(4)
    assert history.occurred_on[0].date() == on(4)
    assert store.customer_history("ann", on(9), limit=1).event_id.tolist() == ["e2"]
    assert store.customer_history("ann", on(3)).event_id.tolist() == ["e1"]
    assert store.customer_history("nobody", on(9)).empty


def test_small_questions(store):
    assert store.max_occurred_at("shop", on(9)) == at(6, 15)
    assert store.max_occurred_at("shop", on(5)) == at(4)
    assert store.max_occurred_at("app", on(9)) is None
    assert store.behaviours() == ["purchase", "visit"]
    assert store.history_days(on(6)) == {"purchase": 5, "visit": 2}
    counts = store.counts()
    assert (counts["events"], counts["profiles"], counts["generation"]) == (6, 3, 1)


def test_an_instant_before_1970_keeps_its_microseconds(root):
    instant = datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC)
    store = ActivityStore.open(root, zone=ZONE)
    with store.writing() as writer:
        writer.ingest("shop", feed([Event("ann", "visit", instant)]))
    assert store.max_occurred_at("shop", on(0)) == instant


def test_nothing_is_visible_before_the_commit(store, root):
    with store.writing() as writer:
        writer.ingest("shop", feed([purchase("dot", 5, "e7")]))
        writer.fold(on(9))
        other = ActivityStore.open(root, zone=ZONE)
        assert (other.generation, other.folded_through, other.counts()["events"]) == (1, on(4), 6)
        assert writer.commit().generation == 2
        assert ActivityStore.open(root, zone=ZONE).counts()["events"] == 7
    assert store.generation == 2


def test_an_exception_discards_the_night(store, root):
    files = sorted(root.rglob("*"))

    def failing_night():
        with store.writing() as writer:
            writer.ingest("shop", feed([purchase("dot", 5, "e7")]))
            writer.fold(on(9))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_night()
    assert sorted(root.rglob("*")) == files
    assert (store.generation, store.counts()["events"]) == (1, 6)
    with store.writing() as writer:
        writer.ingest("shop", feed([purchase("dot", 5, "e7")]))
    assert store.counts()["events"] == 7


def test_a_reader_stays_with_its_generation(store, root):
    reader = ActivityStore.open(root, zone=ZONE)
    before = reader.profiles(on(9))
    with store.writing() as writer:
        writer.ingest("shop", feed([purchase("ann", 2, "late")]), mode="snapshot")
        writer.fold(on(9))
    pd.testing.assert_frame_equal(reader.profiles(on(9)), before)
    assert reader.generation == 1
    reader.reload()
    assert reader.profiles(on(9)).n.tolist() == [1]


def test_a_reader_that_was_left_behind_is_told_so(store, root):
    reader = ActivityStore.open(root, zone=ZONE)
    for day in (5, 6):
        with store.writing() as writer:
            writer.ingest("shop", feed([purchase("ann", day, f"more{day}")]), mode="snapshot")
            writer.fold(on(day))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        reader.profiles(on(9))


def test_a_fold_never_goes_back(store):
    with store.writing() as writer:
        writer.fold(on(2))
    assert store.folded_through == on(4)
    with store.writing() as writer:
        writer.fold(on(5))
        writer.fold(on(5))
    assert (store.folded_through, store.counts()["profiles"]) == (on(5), 3)


def test_two_writers_never_meet(store, root):
    other = ActivityStore.open(root, zone=ZONE)
    with store.writing():
        with pytest.raises(StoreBusy, match=r"writer\.lock"), other.writing():
            pass
        with pytest.raises(StoreBusy):
            other.forget("ann")
        with pytest.raises(StoreBusy):
            other.write_assessment(on(4), "rhythms", [pd.DataFrame({"customer_id": ["ann"]})])
    with other.writing() as writer:
        writer.fold(on(9))


@pytest.mark.usefixtures("store")
def test_only_the_owner_may_read(root):
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in root.iterdir() if path.is_dir())


def test_what_a_crash_left_is_removed_by_the_next_writer(store, root):
    (root / "manifest.json.new").write_text('{"generation": 2')
    orphans = [root / "events" / "00000002-00001.parquet", root / "profiles" / "00000002-00009.parquet"]
    for orphan in orphans:
        orphan.write_bytes(b"PAR1 half a file")
    spilled = {alive: spill_directory(root, alive, 1) for alive in (os.getpid(), NO_PROCESS)}
    for directory in spilled.values():
        directory.mkdir()
        (directory / "duckdb_temp_storage-0.tmp").write_bytes(b"rows")
    assert ActivityStore.open(root, zone=ZONE).generation == 1
    with store.writing() as writer:
        writer.ingest("shop", feed([purchase("dot", 5, "e7")]))
    assert not (root / "manifest.json.new").exists()
    assert not orphans[1].exists()
    assert [directory.exists() for directory in spilled.values()] == [True, False]
    assert store.counts()["events"] == 7
    pd.testing.assert_frame_equal(store.profiles(on(9)), expected_profiles([*EVENTS, purchase("dot", 5)], on(9)))


def test_a_manifest_is_replaced_and_never_overwritten(store, root):
    """Whoever has the old one open keeps reading it whole."""
    before = (root / "manifest.json").read_bytes()
    os.link(root / "manifest.json", root / "held-open")
    with store.writing() as writer:
        writer.fold(on(9))
    assert (root / "held-open").read_bytes() == before
    assert (root / "manifest.json").read_bytes() != before


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def garble(path):
    data = bytearray(path.read_bytes())
    data[-8:-4] = b"\xff\xff\xff\x7f"
    path.write_bytes(bytes(data))


DAMAGES = {
    "manifest cut short": ("manifest.json", cut, "manifest.json is damaged"),
    "manifest of another program": ("manifest.json", lambda path: path.write_text("[]"), "manifest.json is damaged"),
    "manifest of a later version": (
        "manifest.json",
        lambda path: path.write_text(path.read_text().replace('"version": 2', '"version": 3')),
        "version",
    ),
    "manifest of the version before, whose profiles lack a column": (
        "manifest.json",
        lambda path: path.write_text(path.read_text().replace('"version": 2', '"version": 1')),
        "version",
    ),
    "manifest gone": ("manifest.json", os.unlink, "there are data files but no manifest.json"),
    "manifest a directory": ("manifest.json", lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    "events gone": ("events/*", os.unlink, "events/.* is missing"),
    "events cut short": ("events/*", cut, "events/.* bytes where"),
    "profiles gone": ("profiles/*", os.unlink, "profiles/.* is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_with_its_remedy(store, root, damage):
    pattern, spoil, words = DAMAGES[damage]
    spoil(next(iter(sorted(root.glob(pattern)))))
    with pytest.raises(StoreUnavailable, match=words) as told:
        ActivityStore.open(root, zone=ZONE)
    assert "restore the directory from a backup" in str(told.value)
    with pytest.raises(StoreUnavailable), store.writing():
        pass


@pytest.mark.usefixtures("store")
def test_damage_within_a_file_is_named_when_it_is_read(root):
    for path in [*root.glob("events/*"), *root.glob("profiles/*")]:
        garble(path)
    opened = ActivityStore.open(root, zone=ZONE)
    for read in (lambda: opened.profiles(on(4)), lambda: opened.profiles(on(2)), opened.behaviours):
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            read()


@pytest.mark.usefixtures("store")
def test_another_time_zone_is_refused(root):
    with pytest.raises(StoreUnavailable, match=r"counted in Europe/Berlin, but .* Asia/Tokyo"):
        ActivityStore.open(root, zone=ZoneInfo("Asia/Tokyo"))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "activity").write_text("a file where the directory should be")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        ActivityStore.open(tmp_path / "activity" / "below", zone=ZONE)
    store = ActivityStore.open(tmp_path / "new", zone=ZONE)
    (tmp_path / "new").write_text("in the way since")
    with pytest.raises(StoreUnavailable, match="cannot be made"), store.writing():
        pass


def test_forget_leaves_no_trace(store, root):
    frame = pd.DataFrame({"customer_id": ["ann", "bob"], "sentence": ["ann buys daily", "bob buys weekly"]})
    store.write_assessment(on(4), "rhythms", [frame])
    with store.writing() as writer:
        writer.ingest("app", feed([Event("ann", "visit", at(2), None, "late")]))
    assert store.counts()["dirty_customers"] == 1
    assert store.forget("ann") == 4
    assert store.counts()["dirty_customers"] == 0
    rest = [event for event in EVENTS if event.customer_id != "ann"]
    pd.testing.assert_frame_equal(store.profiles(on(9)), expected_profiles(rest, on(9)))
    assert store.read_assessment(on(4), "rhythms").customer_id.tolist() == ["bob"]
    tables = [pd.read_parquet(path) for path in root.rglob("*.parquet")]
    assert tables
    assert not any((table.customer_id == "ann").any() for table in tables)
    assert store.forget("nobody") == 0
