"""Guards on a feed: when it looks too strange to act upon.

In: the numbers of one load and of those before. Out: None, or what is held and the one line that overrides it. A quiet
feed is not a quiet customer: what is stale, empty or strange stops the sends that depend on it. Pure: the day is an
argument.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

VOLUME_NIGHTS = 14
# In the few rows a night adds to a feed, this many may be bad whatever share they are: one in fifty says nothing.
SMALL_ADDITION = 20
ACCEPTABLE = ("volume", "empty", "stale", "quarantine")


class Hold(NamedTuple):
    """Why a source is held: ``kind`` is stored, ``detail`` is for people."""

    kind: str
    detail: str


def override_command(kind: str, source: str, as_of: date) -> str:
    """Return the options that accept a source as it is, for one day."""
    if kind == "volume":
        return f"--accept-volume {source}:{as_of}"
    return f"--accept {kind}:{source}:{as_of}"


def _held(kind: str, source: str, as_of: date, what: str) -> Hold:
    return Hold(kind, f"{what} Mend the feed; if it is right, say so with {override_command(kind, source, as_of)}")


def guard_rows(
    source: str, *, as_of: date, rows: int, earlier_rows: Sequence[int], volume: tuple[float, float]
) -> Hold | None:
    """Return a hold when a feed is empty, or far from its usual size.

    Parameters
    ----------
    rows : rows of the whole feed
    earlier_rows : the same of the loads before this day that were not held, newest first; 14 of them count
    volume : (low, high) as multiples of their median
    """
    if rows == 0:
        return _held("empty", source, as_of, "the feed has no rows.")
    known = list(earlier_rows)[:VOLUME_NIGHTS]
    if not known:
        return None
    usual = median(known)
    low, high = volume
    if low * usual <= rows <= high * usual:
        return None
    what = (
        f"the feed has {rows:,} rows, but the usual number is {usual:,.0f} (accepted: {low:g} to {high:g} times that)."
    )
    return _held("volume", source, as_of, what)


def guard_quarantine(
    source: str, *, as_of: date, bad: int, read: int, is_whole: bool, max_share: float, max_rows: int
) -> Hold | None:
    """Return a hold when too many rows are bad.

    Parameters
    ----------
    bad, read : bad rows among the rows read tonight
    is_whole : whether those are the whole feed; of a small addition the share alone says little
    max_share, max_rows : more than either is too many
    """
    allowed = max_share * read if is_whole else max(max_share * read, SMALL_ADDITION)
    if bad <= min(allowed, max_rows):
        return None
    what = (
        f"{bad:,} of {read:,} rows are bad ({bad / read:.1%}); at most {max_share:.1%} and {max_rows:,} may be."
        f" `winback sync` shows the rules they broke."
    )
    return _held("quarantine", source, as_of, what)


def age_hours(newest_at: datetime, *, as_of: date, zone: ZoneInfo) -> float:
    """Return how old the newest event is when the business day ``as_of`` begins; 0 when it is of that day.

    A night runs in the early hours of ``as_of`` and what it can know ends with the day before.
    """
    day_begins_at = datetime.combine(as_of, time(), tzinfo=zone).astimezone(UTC)
    return max(0.0, (day_begins_at - newest_at) / timedelta(hours=1))


def guard_freshness(
    source: str,
    *,
    as_of: date,
    zone: ZoneInfo,
    newest_at: datetime | None,
    max_staleness_hours: float | None,
    what: str = "event",
) -> Hold | None:
    """Return a hold when a feed has stopped: its newest event lies too long before the business day ``as_of``.

    Parameters
    ----------
    zone : the business time zone
    newest_at : the newest event on or before ``as_of`` (aware); None when there is none
    max_staleness_hours : None for a feed that may be of any age
    what : what the instant is of, for the message
    """
    if max_staleness_hours is None:
        return None
    if newest_at is None:
        return _held("stale", source, as_of, f"there is no {what} on or before {as_of}.")
    age = age_hours(newest_at, as_of=as_of, zone=zone)
    if age <= max_staleness_hours:
        return None
    shown = newest_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    told = (
        f"the newest {what} is of {shown}, {age:,.0f} hours before {as_of} began (at most {max_staleness_hours:g}): "
        "the feed may have stopped."
    )
    return _held("stale", source, as_of, told)


def day_ends_at(as_of: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a business day ends (the first of the next day)."""
    return datetime.combine(as_of + timedelta(days=1), time(), tzinfo=zone)
