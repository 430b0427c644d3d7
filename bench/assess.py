"""Working out thresholds: fold the events, fit the population, and every customer's rhythm for five programmes.

The floor is a plain DuckDB scan of the columns the profiles are made of, in the same store. Each repetition starts
from the store as the first night's sources left it.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench._made_shop import make_shop
from bench.features import checksum, measured, scan
from winback.night.assess import assess
from winback.night.opening import open_night
from winback.night.run import sync_sources
from winback.settings import load_project, wall_clock

if TYPE_CHECKING:
    from datetime import date


def once(root: Path, as_of: date) -> tuple[float, float, float, str]:
    """Assess a project whose sources are read; return CPU and wall seconds, the floor's CPU, and a checksum."""
    with open_night(load_project(root), as_of=as_of, now=wall_clock()) as night:
        floor, _wall, _none = measured(scan, night.project.activity)
        cpu, wall, _fits = measured(assess, night)
        kept = [night.store.read_assessment(as_of, f"rhythms-{one.programme}") for one in night.programmes]
    return cpu, wall, floor, checksum(pd.concat([rows for rows in kept if rows is not None]))


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 3) -> dict[str, Any]:
    """Run the case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shop"
        as_of = make_shop(root, customers=customers, events_per_customer=events_per_customer)
        sync_sources(load_project(root), as_of=as_of, now=wall_clock())
        rounds = []
        for number in range(repetitions):
            copy = Path(folder) / f"copy-{number}"
            shutil.copytree(root, copy)
            rounds.append(once(copy, as_of))
            shutil.rmtree(copy)
    if len({found for *_, found in rounds}) != 1:
        raise RuntimeError("the same events gave different thresholds")
    return {
        "case": "assess",
        "customers": customers,
        "cpu_seconds": round(statistics.median(cpu for cpu, *_ in rounds), 3),
        "wall_seconds": round(statistics.median(wall for _, wall, *_ in rounds), 3),
        "floor_cpu_seconds": round(statistics.median(floor for _, _, floor, _ in rounds), 3),
        "ratio_to_floor": round(statistics.median(cpu / floor for cpu, _, floor, _ in rounds), 2),
        "checksum": rounds[0][-1],
    }
