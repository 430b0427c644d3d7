"""Times as feeds write them: every spelling, every zone fault, every calendar edge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from winback.core.instants import read_instants

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def read(*values: object, zone: ZoneInfo | None = None, now: datetime = NOW, dtype: str = "str"):
    return read_instants(pd.Series(values, dtype=dtype), zone=zone, now=now)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T10:30:00Z", "2024-02-29T10:30:00+00:00"),
        ("2024-02-29 10:30:00z", "2024-02-29T10:30:00+00:00"),
        ("2024-02-29t10:30Z", "2024-02-29T10:30:00+00:00"),
        ("2024-02-29T10:30:00.123456789+02:00", "2024-02-29T08:30:00.123456+00:00"),
        ("2024-02-29 10:30:00+0530", "2024-02-29T05:00:00+00:00"),
        ("2024-02-29 10:30:00-03", "2024-02-29T13:30:00+00:00"),
        ("2024-02-29 10:30:00 +0100", "2024-02-29T09:30:00+00:00"),
        ("2024-02-29 10:30:00 UTC", "2024-02-29T10:30:00+00:00"),
        ("2024-12-31T23:59:59-01:00", "2025-01-01T00:59:59+00:00"),
        ("1990-01-01T00:00:00Z", "1990-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_with_an_offset_needs_no_zone(text, expected):
    got = read(text)
    assert got.utc[0].isoformat() == expected
    assert not got.is_naive.any()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "timestamp_missing"),
        ("2023-02-29", "timestamp_impossible"),
        ("2024-02-30T10:00:00Z", "timestamp_impossible"),
        ("2100-02-29", "timestamp_impossible"),
        ("2024-01-01T24:30:00Z", "timestamp_impossible"),
        ("2024-01-01T10:00:00+99:00", "timestamp_impossible"),
        ("45321", "timestamp_excel_serial"),
        ("45321.75", "timestamp_excel_serial"),
        ("45321,75", "timestamp_excel_serial"),
        ("1700000000", "timestamp_epoch"),
        ("1700000000000", "timestamp_epoch"),
        ("31/12/2024", "timestamp_unparsable"),
        ("yesterday", "timestamp_unparsable"),
        ("now", "timestamp_unparsable"),
        ("2024-01", "timestamp_unparsable"),
        ("1989-12-31T23:59:59Z", "timestamp_ancient"),
        ("0001-01-01T00:00:00Z", "timestamp_ancient"),
        ("2026-11-21T12:05:01Z", "timestamp_future"),
        ("9999-12-31T23:59:59Z", "timestamp_future"),
    ],
)
def test_each_bad_time_breaks_its_own_rule(text, rule):
    got = read(text, zone=PARIS)
    assert got.fault[0] == rule
    assert pd.isna(got.utc[0])


def test_five_minutes_of_a_fast_clock_are_forgiven():
    assert read("2026-11-21T12:05:00Z").fault[0] == ""


def test_a_naive_time_without_a_declared_zone_is_never_read():
    got = read("2024-01-01 10:00:00", "2024-01-01", "2024-01-01T10:00:00Z", "rubbish")
    assert got.is_naive.tolist() == [True, True, False, False]
    assert got.fault.tolist() == ["timestamp_naive", "timestamp_naive", "", "timestamp_unparsable"]
    assert got.utc.isna().tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("zone", "local", "utc", "folds", "gaps"),
    [
        ("Europe/Paris", "2024-03-31 01:59:59", "2024-03-31T00:59:59+00:00", 0, 0),
        ("Europe/Paris", "2024-03-31 02:30:00", "2024-03-31T01:30:00+00:00", 0, 1),
        ("Europe/Paris", "2024-03-31 03:00:00", "2024-03-31T01:00:00+00:00", 0, 0),
        ("Europe/Paris", "2024-10-27 02:30:00", "2024-10-27T00:30:00+00:00", 1, 0),
        ("Europe/Paris", "2024-10-27 03:00:00", "2024-10-27T02:00:00+00:00", 0, 0),
        ("America/New_York", "2024-11-03 01:30:00", "2024-11-03T05:30:00+00:00", 1, 0),
        ("America/New_York", "2024-03-10 02:30:00", "2024-03-10T07:30:00+00:00", 0, 1),
        ("Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06T14:45:00+00:00", 1, 0),
        ("Australia/Lord_Howe", "2024-10-06 02:15:00", "2024-10-05T15:45:00+00:00", 0, 1),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00+00:00", 0, 1),  # midnight did not exist that day
        ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30T22:00:00+00:00", 0, 1),  # that day did not exist
        ("Asia/Kolkata", "2024-02-29", "2024-02-28T18:30:00+00:00", 0, 0),
        ("UTC", "2024-10-27 02:30:00", "2024-10-27T02:30:00+00:00", 0, 0),
    ],
)
def test_a_local_time_is_read_as_its_first_occurrence_and_counted(zone, local, utc, folds, gaps):
    got = read(local, zone=ZoneInfo(zone))
    assert (got.utc[0].isoformat(), got.folds, got.gaps) == (utc, folds, gaps)
    typed = read(pd.Timestamp(local), zone=ZoneInfo(zone), dtype="datetime64[us]")
    assert (typed.utc[0].isoformat(), typed.folds, typed.gaps) == (utc, folds, gaps)


def test_the_first_occurrence_is_what_python_calls_fold_0():
    start = datetime.fromisoformat("2024-10-26 22:00")
    locals_ = [start + timedelta(minutes=10 * step) for step in range(60)]
    got = read(*[moment.isoformat(" ") for moment in locals_], zone=PARIS)
    expected = [moment.replace(tzinfo=PARIS, fold=0).astimezone(UTC) for moment in locals_]
    assert [moment.to_pydatetime() for moment in got.utc] == expected
    assert got.folds == 6


def test_times_that_arrive_as_times_obey_the_same_rules():
    aware = read("2024-01-01T10:00:00+02:00", "1980-01-01T00:00:00Z", None, dtype="datetime64[ns, UTC]")
    assert aware.utc[0].isoformat() == "2024-01-01T08:00:00+00:00"
    assert aware.fault.tolist() == ["", "timestamp_ancient", "timestamp_missing"]
    naive = read("2024-01-01T10:00:00", None, dtype="datetime64[s]")
    assert naive.is_naive.tolist() == [True, False]
    assert naive.utc.isna().all()


@pytest.mark.parametrize("day", [date(2024, 2, 29), date(2023, 12, 31), date(2024, 1, 1), date(2023, 2, 28)])
def test_a_date_alone_is_the_beginning_of_that_local_day(day):
    got = read(day.isoformat(), zone=PARIS)
    assert got.utc[0].tz_convert(PARIS).isoformat()[:19] == f"{day}T00:00:00"


def test_good_times_survive_beside_bad_ones():
    got = read("2024-01-01T10:00:00Z", "x", "2024-01-02", "", "2024-01-03 10:00", zone=PARIS)
    assert got.utc.notna().tolist() == [True, False, True, False, True]
    assert str(got.utc.dtype) == "datetime64[us, UTC]"
