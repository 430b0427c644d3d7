"""However events came in and were folded, the profiles are those of a rebuild from history, bit for bit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from activity_world import ZONE, Event, at, expected_profiles, feed, on
from hypothesis import given, settings
from hypothesis import strategies as st

from winback.activity.store import ActivityStore

DAYS = 12
HOURS = [0.0, 12.0, 21.5, 22.5, 23.5]  # in Berlin the last ones fall on the next day, before or after the clock change
EVENTS = st.builds(
    Event,
    customer_id=st.sampled_from(["ann", "bob", "cid", "dot", "eve"]),
    behaviour=st.sampled_from(["purchase", "visit"]),
    at=st.builds(at, st.integers(0, DAYS), st.sampled_from(HOURS)),
    amount=st.sampled_from([None, 10.0]),
    event_id=st.sampled_from([None, None, "e1", "e2", "e3", "e4", "e5"]),
)
FEEDS = st.tuples(
    st.just("ingest"), st.sampled_from(["shop", "app"]), st.sampled_from(["append", "snapshot"]), st.lists(EVENTS)
)
FOLDS = st.tuples(st.just("fold"), st.integers(-1, DAYS + 1))
NIGHTS = st.lists(st.lists(st.one_of(FEEDS, FOLDS), max_size=3), min_size=1, max_size=5)


class Reference:
    """What the store must hold, kept the slow way: per source, each event under what it is known by."""

    def __init__(self):
        self.sources = {"shop": {}, "app": {}}

    def ingest(self, source, mode, events):
        """Return what becomes of the rows: (new, duplicates, row numbers in conflict, corrected, deleted)."""
        before = self.sources[source]
        held = dict(before) if mode == "append" else {}
        duplicates, conflicts = 0, []
        for row_number, event in enumerate(events, start=1):
            known_by = event.event_id or event[:4]
            if known_by not in held:
                held[known_by] = event
            elif held[known_by] == event:
                duplicates += 1
            else:
                conflicts.append(row_number)
        self.sources[source] = held
        corrected = sum(before[key] != held[key] for key in before.keys() & held.keys())
        new, deleted = len(held.keys() - before.keys()), len(before.keys() - held.keys())
        return new, duplicates, conflicts, corrected, deleted

    def events(self):
        return [event for held in self.sources.values() for event in held.values()]


def play(store, nights):
    """Let the store and the reference live through the same nights; their accounts must agree."""
    reference = Reference()
    for night in nights:
        with store.writing() as writer:
            for deed, *details in night:
                if deed == "fold":
                    writer.fold(on(details[0]))
                    continue
                source, mode, events = details
                done = writer.ingest(source, feed(events), mode=mode)
                account = (done.new, done.duplicates, list(done.conflicts.row_number), done.corrected, done.deleted)
                assert account == reference.ingest(source, mode, events)
    return reference.events()


@settings(max_examples=25)
@given(
    nights=NIGHTS,
    as_of=st.integers(-1, DAYS + 1),
    shards=st.sampled_from([2, 5, 7]),
    chance=st.randoms(use_true_random=False),
)
def test_profiles_do_not_depend_on_how_they_came_about(nights, as_of, shards, chance):
    with tempfile.TemporaryDirectory() as folder:
        store = ActivityStore.open(Path(folder) / "lived", zone=ZONE, shards=3)
        events = play(store, nights)
        for day in {on(as_of), on(DAYS), store.folded_through or on(0)}:
            expected = expected_profiles(events, day)
            pd.testing.assert_frame_equal(store.profiles(day), expected)
            parts = [store.profiles(day, shard=shard, shards=shards) for shard in range(shards)]
            pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), expected)

        shuffled = chance.sample(events, len(events))
        rebuilt = ActivityStore.open(Path(folder) / "rebuilt", zone=ZONE, shards=4)
        with rebuilt.writing() as writer:
            for number, event in enumerate(shuffled):
                if event.event_id is not None:
                    shuffled[number] = event._replace(event_id=f"{number}")
            writer.ingest("all", feed(shuffled))
            writer.fold(on(as_of))
        pd.testing.assert_frame_equal(store.profiles(on(as_of)), rebuilt.profiles(on(as_of)))


@settings(max_examples=8)
@given(nights=NIGHTS, as_of=st.integers(0, DAYS))
def test_a_fold_changes_no_answer(nights, as_of):
    with tempfile.TemporaryDirectory() as folder:
        store = ActivityStore.open(Path(folder), zone=ZONE, shards=2)
        play(store, nights)
        days = [on(as_of), on(DAYS + 1)]
        before = [store.profiles(day) for day in days]
        with store.writing() as writer:
            writer.fold(on(as_of))
        assert store.folded_through >= on(as_of)
        assert store.counts()["dirty_customers"] == 0
        for day, profiles in zip(days, before, strict=True):
            pd.testing.assert_frame_equal(store.profiles(day), profiles)
