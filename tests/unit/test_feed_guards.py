"""When a feed looks too strange to act upon."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from winback.core.feed_guards import age_hours, day_ends_at, guard_freshness, guard_quarantine, guard_rows

DAY = date(2026, 11, 21)
PARIS = ZoneInfo("Europe/Paris")
VOLUME = (0.5, 2.0)


def rows(count, *earlier):
    hold = guard_rows("orders", as_of=DAY, rows=count, earlier_rows=earlier, volume=VOLUME)
    return hold and hold.kind


@pytest.mark.parametrize(
    ("count", "earlier", "kind"),
    [
        (0, (), "empty"),
        (0, (100,), "empty"),
        (1, (), None),
        (100, (100, 100, 100), None),
        (50, (100,), None),
        (49, (100,), "volume"),
        (200, (100,), None),
        (201, (100,), "volume"),
        (100, (10, 100, 1000), None),  # the median, not the mean
        (100, (100,) * 14 + (10_000,) * 50, None),  # the newest 14 count, not all
        (10_000, (100,) * 14 + (10_000,) * 50, "volume"),
    ],
)
def test_a_feed_of_unusual_size_is_held(count, earlier, kind):
    assert rows(count, *earlier) == kind


def test_a_hold_says_the_option_that_accepts_it():
    hold = guard_rows("orders", as_of=DAY, rows=10, earlier_rows=[100], volume=VOLUME)
    assert "--accept-volume orders:2026-11-21" in hold.detail
    assert "10 rows" in hold.detail
    assert "100" in hold.detail
    empty = guard_rows("orders", as_of=DAY, rows=0, earlier_rows=[], volume=VOLUME)
    assert "--accept empty:orders:2026-11-21" in empty.detail


@pytest.mark.parametrize(
    ("bad", "read", "is_whole", "is_held"),
    [
        (0, 0, True, False),
        (1, 100, True, False),
        (2, 100, True, True),
        (2, 100, False, False),  # a hundred rows added last night say nothing about a share
        (20, 100, False, False),
        (21, 100, False, True),
        (1000, 1_000_000, True, False),
        (1001, 1_000_000, True, True),
        (1001, 1_000_000, False, True),
        (100, 10_000, False, False),
        (101, 10_000, False, True),
    ],
)
def test_too_many_bad_rows_hold_a_feed(bad, read, is_whole, is_held):
    hold = guard_quarantine("orders", as_of=DAY, bad=bad, read=read, is_whole=is_whole, max_share=0.01, max_rows=1000)
    assert (hold is not None) == is_held
    if hold:
        assert hold.kind == "quarantine"
        assert "--accept quarantine:orders:2026-11-21" in hold.detail


def local(text, zone=PARIS):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("newest", "hours", "is_held"),
    [
        ("2026-11-21 09:00", 0, False),  # of the day itself
        ("2026-11-20 23:59", 1 / 60, False),
        ("2026-11-20 00:00", 24, False),  # a history of dates that ends yesterday
        ("2026-11-19 22:00", 26, False),
        ("2026-11-19 21:59", 26 + 1 / 60, True),
        ("2026-11-18 00:00", 72, True),  # three days old
        ("1998-06-30 00:00", None, True),
    ],
)
def test_age_is_measured_from_the_beginning_of_the_business_day(newest, hours, is_held):
    moment = local(newest)
    hold = guard_freshness("orders", as_of=DAY, zone=PARIS, newest_at=moment, max_staleness_hours=26)
    assert (hold is not None) == is_held
    if hours is not None:
        assert age_hours(moment.astimezone(UTC), as_of=DAY, zone=PARIS) == pytest.approx(hours)


@pytest.mark.parametrize("as_of", [date(2024, 3, 31), date(2024, 4, 1), date(2024, 10, 27), date(2024, 10, 28)])
def test_a_day_of_23_or_25_hours_holds_no_feed_of_dates(as_of):
    midnight_before = local(f"{as_of - timedelta(days=1)} 00:00")
    assert guard_freshness("orders", as_of=as_of, zone=PARIS, newest_at=midnight_before, max_staleness_hours=26) is None


def test_an_old_night_on_old_data_is_fresh():
    newest = local("1998-06-30 00:00")
    assert (
        guard_freshness("orders", as_of=date(1998, 7, 1), zone=PARIS, newest_at=newest, max_staleness_hours=26) is None
    )


def test_a_feed_without_any_event_is_stale_and_one_that_may_be_old_is_not():
    stale = guard_freshness("orders", as_of=DAY, zone=PARIS, newest_at=None, max_staleness_hours=26)
    assert stale.kind == "stale"
    assert "--accept stale:orders:2026-11-21" in stale.detail
    assert guard_freshness("orders", as_of=DAY, zone=PARIS, newest_at=None, max_staleness_hours=None) is None


def test_a_business_day_ends_where_the_next_begins():
    assert day_ends_at(date(2024, 3, 31), PARIS) == local("2024-04-01 00:00")
    assert day_ends_at(date(2024, 2, 28), PARIS) == local("2024-02-29 00:00")
