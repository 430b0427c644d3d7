"""The back-test on real data, judged by what really happened: the figures the model has to reach."""

import gzip
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from winback.night.backtest import backtest

SHARED = Path(os.environ.get("WINBACK_SHARED", Path(__file__).parents[2].parent / "shared"))
SCORER = SHARED / "tools" / "backtest.py"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SCORER.exists(), reason=f"needs the data sets and the scorer in {SHARED} (WINBACK_SHARED)"),
]

BARS = [
    ("cdnow", 90, "1997-10-01 1998-01-01 1998-04-01", 0.805, 0.107),
    ("grocery_elog", 60, "2006-10-01 2007-02-01 2007-06-01 2007-10-30", 0.922, 0.077),
    ("online_retail", 60, "2011-07-01 2011-08-15 2011-10-01", 0.740, 0.207),
    ("rails_commits", 180, "2010-01-01 2013-01-01 2016-01-01 2019-01-01 2022-01-01 2025-06-01", 0.900, 0.024),
]


def events_of(name):
    return SHARED / "data" / f"{name}.csv.gz"


@pytest.mark.parametrize(("name", "horizon_days", "days", "area", "brier"), BARS, ids=[bar[0] for bar in BARS])
def test_scores_reach_the_bars(tmp_path, name, horizon_days, days, area, brier):
    as_of = [date.fromisoformat(day) for day in days.split()]
    found = backtest(events_of(name), horizon_days=horizon_days, as_of=as_of)
    found.to_csv(tmp_path / "decisions.csv", index=False)
    options = ["--horizon", str(horizon_days), "--prob", "--full-population", "--json", "--boot", "2"]
    done = subprocess.run(
        [sys.executable, SCORER, events_of(name), tmp_path / "decisions.csv", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["auc"] >= area
    assert scores["brier"] <= brier
    assert scores["threshold_agrees_with_flag"] == 1


@pytest.mark.parametrize(("name", "horizon_days", "days"), [bar[:3] for bar in BARS], ids=[bar[0] for bar in BARS])
def test_no_figure_uses_an_event_after_its_day(tmp_path, name, horizon_days, days):
    day = days.split()[1]
    with gzip.open(events_of(name), "rt", encoding="utf-8") as whole:
        header, *rows = whole
    cut = tmp_path / "cut.csv"
    cut.write_text(header + "".join(row for row in rows if row.split(",")[1][:10] <= day), encoding="utf-8")
    as_of = [date.fromisoformat(day)]
    known = backtest(events_of(name), horizon_days=horizon_days, as_of=as_of)
    assert len(cut.read_text(encoding="utf-8").splitlines()) < len(rows)
    assert backtest(cut, horizon_days=horizon_days, as_of=as_of).equals(known)
