"""Activity features of every customer from their whole history, against a plain scan of the same columns.

The floor is what DuckDB needs to read the three columns and add them up. Both run in this process on the same files,
interleaved; the ratio is the median over the repetitions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from bench._made_events import LAST_ON, made_events
from winback.activity.columnar import EVENT_SCHEMA, connection, relation
from winback.activity.manifest import read_manifest
from winback.activity.store import ActivityStore

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = "count(*), sum(length(customer_id)), sum(length(behaviour)), sum(occurred_on - DATE '1970-01-01')"


def measured(work: Callable[..., Any], *arguments: object) -> tuple[float, float, Any]:
    """Return the CPU seconds and wall seconds of a piece of work, and what it returned."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall, result


def checksum(profiles: pd.DataFrame) -> str:
    """Return a digest of all values of a frame that does not depend on the order of its rows."""
    return f"{np.add.reduce(pd.util.hash_pandas_object(profiles, index=False).to_numpy()):016x}"


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
            rounds, sums = [], set()
        for _ in range(repetitions):
            floor, _wall, _none = measured(scan, root)
            # Nothing is folded yet, so the profiles come from the events.
            cpu, wall, profiles = measured(store.profiles, LAST_ON)
            rounds.append((cpu, wall, floor, cpu / floor))
            sums.add(checksum(profiles))
    if len(sums) != 1:
        raise RuntimeError(f"the same events gave different profiles: {sorted(sums)}")
    cpu, wall, floor, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "case": "features",
        "cpu_seconds": round(cpu, 3),
        "wall_seconds": round(wall, 3),
        "floor_cpu_seconds": round(floor, 3),
        "ratio_to_floor": round(ratio, 2),
        "checksum": sums.pop(),
    }
