"""The summary that lifetime models start from (frequency, recency, age), against a plain pandas groupby.

Ours is read from the stored profiles of one behaviour, once they are folded; the floor is pandas over all its events,
already in memory. Both summaries must be equal before any time is looked at.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pandas as pd

from bench._made_events import LAST_ON, made_events
from bench._rounds import Round, checksum, measured, medians, same
from winback.activity.store import ActivityStore

if TYPE_CHECKING:
    from datetime import date

ZONE = ZoneInfo("UTC")
BEHAVIOUR = "purchase"


def summary(days: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Return frequency (active days after the first), recency (first to last, in days) and age, by customer id."""
    end = pd.Timestamp(as_of)
    return pd.DataFrame(
        {
            "customer_id": days["customer_id"].astype("str"),
            "frequency": days["n"].astype("int64") - 1,
            "recency_days": (days["last_on"] - days["first_on"]).dt.days,
            "age_days": (end - days["first_on"]).dt.days,
        }
    ).sort_values("customer_id", ignore_index=True)


def from_profiles(store: ActivityStore, as_of: date) -> pd.DataFrame:
    """Return the summary from folded profiles."""
    profiles = store.profiles(as_of)
    return summary(profiles[profiles["behaviour"] == BEHAVIOUR], as_of)


def from_events(events: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Return the summary by grouping all events."""
    mine = events.loc[events["behaviour"] == BEHAVIOUR, ["customer_id", "occurred_at"]]
    days = mine["occurred_at"].dt.tz_localize(None).dt.normalize()
    active = mine.assign(day=days).drop_duplicates(["customer_id", "day"])
    grouped = active.groupby("customer_id")["day"].agg(n="count", first_on="min", last_on="max").reset_index()
    return summary(grouped, as_of)


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 3) -> dict[str, Any]:
    """Run the case."""
    table = made_events(customers=customers, events_per_customer=events_per_customer)
    events = table.to_pandas()
    with tempfile.TemporaryDirectory() as folder:
        store = ActivityStore.open(Path(folder) / "activity", zone=ZONE)
        with store.writing() as writer:
            writer.ingest("shop", table)
            writer.fold(LAST_ON)
        rounds = []
        for _ in range(repetitions):
            floor, _wall, plain = measured(from_events, events, LAST_ON)
            cpu, wall, ours = measured(from_profiles, store, LAST_ON)
            rounds.append(Round(cpu, wall, floor, same(checksum(plain), checksum(ours))))
    return {"case": "rfm", "customers": customers, **medians(rounds)}
