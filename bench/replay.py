"""Three nights in a row, each in a process of its own, with the days between them played.

The floor is a plain DuckDB scan of the feeds as they are before the first night. What a later night costs beyond the
first night's floor is the work of deciding; what the first one costs beyond the later ones is taking in the history.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench._made_shop import decisions_digest, live_day, live_night, make_shop, scan_feeds
from bench._rounds import measured

NIGHTS = 3


def run(*, customers: int = 20_000, events_per_customer: int = 20, repetitions: int = 1) -> dict[str, Any]:
    """Run the case; one replay is long enough to be repeated by running the case again."""
    del repetitions
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shop"
        first_on = make_shop(root, customers=customers, events_per_customer=events_per_customer)
        floor, _wall, events = measured(scan_feeds, root)
        days = [first_on + timedelta(days=number) for number in range(NIGHTS)]
        nights = []
        for day in days:
            nights.append(live_night(root, day))
            live_day(root, day)
        checksum = decisions_digest(root, days)
    cpu = sum(night.cpu_seconds for night in nights)
    return {
        "case": "replay",
        "customers": customers,
        "events": events,
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(sum(night.wall_seconds for night in nights), 2),
        "peak_rss_mib": max(night.peak_rss_mib for night in nights),
        "floor_cpu_seconds": round(floor, 3),
        "ratio_to_floor": round(cpu / floor, 1),
        "cpu_seconds_by_night": [round(night.cpu_seconds, 2) for night in nights],
        "messages_by_night": [night.report["new_messages"] for night in nights],
        "checksum": checksum,
    }
