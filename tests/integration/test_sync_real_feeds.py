"""The data sets that lie beside a checkout go in whole, as feeds of events."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from sync_world import DAY, NOW, Shop

SHARED = Path(os.environ.get("WINBACK_SHARED") or Path(__file__).resolve().parents[2].parent / "shared") / "data"
SETS = [
    ("cdnow", date(1998, 7, 1), 67_591),
    ("grocery_elog", date(2007, 12, 31), 10_483),
    ("online_retail", date(2011, 12, 10), 16_763),
    ("rails_commits", date(2026, 8, 23), 38_657),
]


@pytest.mark.shared
@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(("name", "day", "rows"), SETS)
def test_a_real_feed_goes_in_whole_and_only_once(tmp_path, ledger, name, day, rows):
    path = SHARED / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout (WINBACK_SHARED names the directory)")
    shop = Shop(tmp_path, ledger)
    columns = {"occurred_at": "timestamp"}
    shop.sources["events"] = [
        {"name": name, "kind": "csv", "path": str(path), "behaviour": "purchase", "timezone": "UTC", "columns": columns}
    ]
    found, _ = shop.night(day, now=NOW)
    assert (found[name].read, found[name].new, found[name].quarantined, found[name].held) == (rows, rows, 0, None)
    assert shop.events() == rows
    again, _ = shop.night(day, now=NOW)
    assert (again[name].read, again[name].new) == (rows, 0)
    assert shop.night(DAY, now=NOW)[0][name].held == "stale"
