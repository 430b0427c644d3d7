"""Working out thresholds: fold the events, fit the population, and every customer's rhythm for five programmes.

The floor is a plain DuckDB scan of the columns the profiles are made of, in the same store. Each repetition starts
from the store as the first night's sources left it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench._made_shop import make_shop
from bench._rounds import Round, checksum, measured, medians
from bench.features import scan
from winback.night.assess import assess
from winback.night.opening import open_night
from winback.night.run import sync_sources
from winback.settings import load_project, wall_clock

if TYPE_CHECKING:
    from datetime import date


def once(root: Path, as_of: date) -> Round:
    """Assess a project whose sources are read."""
    with open_night(load_project(root), as_of=as_of, now=wall_clock()) as night:
        floor, _wall, _none = measured(scan, night.project.activity)
        cpu, wall, _fits = measured(assess, night)
        kept = [night.store.read_assessment(as_of, f"rhythms-{one.programme}") for one in night.programmes]
    return Round(cpu, wall, floor, checksum(pd.concat([rows for rows in kept if rows is not None])))


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
    return {"case": "assess", "customers": customers, **medians(rounds)}
