"""A writer that is killed leaves the generation before it or the one it made, never anything between."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import numpy as np
import pandas as pd
from activity_world import ZONE, Event, at, expected_profiles, feed, on

from winback.activity.store import ActivityStore

KILLS = 10
CUSTOMERS = 40
LONGEST_LIFE_SECONDS = 1.0
# Not forked: there is one fork server, and senders that did not find theirs warm took ten times as long to be killed.
PROCESSES = multiprocessing.get_context("spawn")


def night(number):
    """Return what happens in a night: everybody comes once, and one event of days ago arrives late."""
    today = [Event(f"customer-{one}", "visit", at(number), None, f"{number}-{one}") for one in range(CUSTOMERS)]
    return [*today, Event(f"customer-{number % CUSTOMERS}", "purchase", at(max(0, number - 5)), None, f"{number}-late")]


def work(root, begun, committed):
    """Live night after night until somebody kills this process; ``committed`` is released after each."""
    store = ActivityStore.open(Path(root), zone=ZONE, shards=3)
    begun.release()
    while True:
        number = store.generation
        with store.writing() as writer:
            writer.ingest("shop", feed(night(number)))
            writer.fold(on(number))
        committed.release()


def test_a_killed_writer_leaves_the_old_generation_or_the_new_one(tmp_path):
    delays = np.random.default_rng(2).uniform(0, LONGEST_LIFE_SECONDS, KILLS)
    nights = 0
    for turn, delay in enumerate(delays):
        begun, committed = PROCESSES.Semaphore(0), PROCESSES.Semaphore(0)
        writer = PROCESSES.Process(target=work, args=(str(tmp_path / "activity"), begun, committed))
        writer.start()
        assert begun.acquire(timeout=120)
        # Every other writer lives through a night first, so that there is something to lose on a slow machine too.
        assert turn % 2 or committed.acquire(timeout=120)
        writer.join(delay)
        writer.kill()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL

        store = ActivityStore.open(tmp_path / "activity", zone=ZONE, shards=3)
        assert store.generation >= nights + (turn + 1) % 2
        nights = store.generation
        events = [event for number in range(nights) for event in night(number)]
        assert store.counts()["events"] == len(events)
        assert store.folded_through == (on(nights - 1) if nights else None)
        pd.testing.assert_frame_equal(store.profiles(on(nights)), expected_profiles(events, on(nights)))

    with store.writing():
        pass
    stored = {part.file for part in store._manifest.files} | set(store._manifest.retired)
    found = {path.relative_to(tmp_path / "activity").as_posix() for path in (tmp_path / "activity").rglob("*.parquet")}
    assert found == stored
