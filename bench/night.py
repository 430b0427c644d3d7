"""A whole first night of a shop and its next night, each by the command line in a process of its own.

The floor is a plain DuckDB scan of the feeds the first night reads. The shop is the simulated one with its five
programmes; between the nights one day passes, with the customers' answers to what was sent.
"""

from __future__ import annotations

import statistics
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench._made_shop import decisions_digest, live_day, live_night, make_shop, scan_feeds
from bench._rounds import measured


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 1) -> dict[str, Any]:
    """Run the case; every repetition makes the same shop anew."""
    rounds, sums, events = [], set(), 0
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "shop"
            as_of = make_shop(root, customers=customers, events_per_customer=events_per_customer)
            floor, _wall, events = measured(scan_feeds, root)
            first = live_night(root, as_of)
            live_day(root, as_of)
            following = live_night(root, as_of + timedelta(days=1))
            sums.add(decisions_digest(root, [as_of, as_of + timedelta(days=1)]))
        rounds.append((floor, first, following))
    if len(sums) != 1:
        raise RuntimeError(f"the same shop gave different decisions: {sorted(sums)}")
    return {
        "case": "night",
        "customers": customers,
        "events": events,
        "cpu_seconds": round(statistics.median(first.cpu_seconds for _, first, _ in rounds), 2),
        "wall_seconds": round(statistics.median(first.wall_seconds for _, first, _ in rounds), 2),
        "peak_rss_mib": max(night.peak_rss_mib for _, *nights in rounds for night in nights),
        "floor_cpu_seconds": round(statistics.median(floor for floor, _, _ in rounds), 3),
        "ratio_to_floor": round(statistics.median(first.cpu_seconds / floor for floor, first, _ in rounds), 1),
        "next_night_cpu_seconds": round(statistics.median(following.cpu_seconds for *_, following in rounds), 2),
        "ratio_next_to_first": round(
            statistics.median(following.cpu_seconds / first.cpu_seconds for _, first, following in rounds), 3
        ),
        "checksum": sums.pop(),
    }
