"""A night's 1 % of new events, taken in, folded and committed, against doing it all again from the first event.

Both end with the same events; their profiles must be equal before any time is looked at.
"""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bench._made_events import LAST_ON, made_events
from bench._rounds import Round, checksum, measured, medians, same
from winback.activity.store import ActivityStore

if TYPE_CHECKING:
    import pyarrow as pa

ZONE = ZoneInfo("Europe/Berlin")
NEW_SHARE = 0.01
# The last instants of the last day may be the first of the next one in the shop's zone.
AS_OF = LAST_ON + timedelta(days=1)


def night(store: ActivityStore, events: pa.Table, as_of: date) -> None:
    """Take in events and fold them, committed."""
    with store.writing() as writer:
        writer.ingest("shop", events)
        writer.fold(as_of)


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 3) -> dict[str, Any]:
    """Run the case."""
    events = made_events(customers=customers, events_per_customer=events_per_customer)
    known = events.num_rows - max(1, int(events.num_rows * NEW_SHARE))
    # The night before: the day the new events begin on is not over yet.
    before = events["occurred_at"][known].as_py().astimezone(ZONE).date() - timedelta(days=1)
    rounds = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            grown = ActivityStore.open(Path(folder) / "grown", zone=ZONE)
            night(grown, events.slice(0, known), before)
            again = ActivityStore.open(Path(folder) / "again", zone=ZONE)
            floor, _wall, _none = measured(night, again, events, AS_OF)
            cpu, wall, _none = measured(night, grown, events.slice(known), AS_OF)
            result = same(checksum(grown.profiles(AS_OF)), checksum(again.profiles(AS_OF)))
            rounds.append(Round(cpu, wall, floor, result))
    return {"case": "increment", **medians(rounds)}
