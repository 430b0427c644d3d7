"""Activity features of every customer from their whole history, against a plain scan of the same columns.

The floor is what DuckDB needs to read the three columns and add them up. Both run in this process on the same files,
interleaved; the ratio is the median over the repetitions.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench._made_events import LAST_ON, made_events
from bench._rounds import Round, checksum, measured, medians
from winback.activity.columnar import EVENT_SCHEMA, connection, relation
from winback.activity.manifest import read_manifest
from winback.activity.store import ActivityStore

SCAN = "count(*), sum(length(customer_id)), sum(length(behaviour)), sum(occurred_on - DATE '1970-01-01')"


def scan(root: Path) -> None:
    """Read and add up the three columns the features are made of."""
    manifest = read_manifest(root)
    with connection(root) as engine:
        relation(engine, root, manifest.parts if manifest else (), EVENT_SCHEMA).aggregate(SCAN).fetchall()


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 3) -> dict[str, Any]:
    """Run the case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "activity"
        store = ActivityStore.open(root, zone=ZoneInfo("Europe/Berlin"))
        with store.writing() as writer:
            writer.ingest("shop", made_events(customers=customers, events_per_customer=events_per_customer))
        rounds = []
        for _ in range(repetitions):
            floor, _wall, _none = measured(scan, root)
            # Nothing is folded yet, so the profiles come from the events.
            cpu, wall, profiles = measured(store.profiles, LAST_ON)
            rounds.append(Round(cpu, wall, floor, checksum(profiles)))
    return {"case": "features", **medians(rounds)}
