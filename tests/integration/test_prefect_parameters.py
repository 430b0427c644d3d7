"""What a run is about: its business day and its name, whenever a worker happens to pick it up."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from winback.errors import UsageError
from winback.sample.scaffold import scaffold
from winback.settings import load_project

asking = pytest.importorskip("tasks.asking")
runtime = pytest.importorskip("prefect.runtime.flow_run")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("empty") / "project"
    scaffold(root, customers=0, ends_on=date(2026, 11, 20))
    return load_project(root)


@pytest.fixture
def scheduled(monkeypatch):
    """Say when a run was scheduled, outside of one, in the way Prefect's own runtime module asks for."""

    def at(instant):
        monkeypatch.setattr(runtime, "scheduled_start_time", datetime.fromisoformat(instant), raising=False)

    return at


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-11-21T03:30:00+00:00", date(2026, 11, 21)),  # 04:30 in Paris
        ("2026-11-21T22:59:00+00:00", date(2026, 11, 21)),
        ("2026-11-21T23:00:00+00:00", date(2026, 11, 22)),  # past midnight in Paris
        ("2026-07-01T22:00:00+00:00", date(2026, 7, 2)),  # summer time
    ],
)
def test_the_business_day_is_the_one_the_run_was_scheduled_for(project, scheduled, instant, day):
    scheduled(instant)
    assert asking.business_day(project, None) == day


def test_a_day_that_was_asked_for_wins(project, scheduled):
    scheduled("2026-11-21T03:30:00+00:00")
    assert asking.business_day(project, date(2026, 11, 3)) == date(2026, 11, 3)


def test_a_future_day_is_refused(project, scheduled):
    scheduled("2026-11-21T03:30:00+00:00")
    with pytest.raises(UsageError, match="2026-11-22 lies in the future"):
        asking.business_day(project, date(2026, 11, 22))


@pytest.mark.parametrize(("days_back", "is_past"), [(0, False), (1, False), (2, True)])
def test_a_day_before_yesterday_is_past(project, scheduled, days_back, is_past):
    scheduled("2026-11-21T03:30:00+00:00")
    assert asking.is_past(project, date(2026, 11, 21) - timedelta(days=days_back)) is is_past


def test_the_project_comes_from_the_worker_unless_it_is_named(project, monkeypatch, tmp_path):
    monkeypatch.setenv("WINBACK_PROJECT", str(project.root))
    assert asking.open_project("").root == project.root
    assert asking.open_project(str(project.root)).root == project.root
    with pytest.raises(Exception, match="winback init"):
        asking.open_project(str(tmp_path))
