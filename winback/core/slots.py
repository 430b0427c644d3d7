"""The hours in which one message may arrive, in every time zone the contact may be in.

In: a place (channel, country, region, stored zone, zones of the number), the hours file, an instant. Out: the first
allowed slot of the 24 hours after it, or that there is none, or that nobody knows the zone. Must never happen: a text
at night because the number was taken home to another coast, or because the clock changed. Imports no pandas: the gate
asks it again for every message that is about to go.

References
----------
`facts/consent.md` section 1, rows 6 to 11; `facts/inputs.md` section 2.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import holidays
from babel.core import get_global

from winback.core.reasons import Reason
from winback.core.send_hours import ANYWHERE, SendHours, overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable

NIGHT_HOURS = 24
SHORTEST_SLOT_MINUTES = 60
"""A slot shorter than this is not worth starting: what is not sent in it would expire."""
ZONE_SEPARATOR = ","
PLACE = ["channel", "country", "region", "timezone", "phone_zones"]

Slot = tuple[datetime, datetime]
Place = tuple[str, ...]
"""The values of :data:`PLACE`, "" for nothing."""
Window = tuple[str, datetime | None, datetime | None]
"""A reason against it, or "" and the slot."""


def window_of(place: Place, *, hours: SendHours, from_at: datetime, business_zone: str) -> Window:
    """Return the first slot of a place in the 24 hours from an instant, or why there is none."""
    if not place[0]:
        return "", None, None
    zones, where = _located(place, hours, business_zone)
    if not zones:
        return Reason.NO_TIMEZONE.value, None, None
    slot = first_slot(zones, hours=hours, place=where, from_at=from_at)
    return ("", *slot) if slot else (Reason.QUIET_HOURS.value, None, None)


def may_arrive(place: Place, *, hours: SendHours, at: datetime, business_zone: str) -> bool:
    """Return whether a message may arrive at a place at an instant; never where nobody knows the time zone."""
    zones, where = _located(place, hours, business_zone)
    return is_allowed(at, zones=zones, hours=hours, place=where)


def local_date(place: Place, *, hours: SendHours, at: datetime, business_zone: str) -> date:
    """Return the day at a place at an instant, the earliest of all zones the contact may be in.

    What is promised for a day is kept to its end: nobody loses hours of it because we do not know where they are.
    """
    zones, _ = _located(place, hours, business_zone)
    return min(at.astimezone(ZoneInfo(zone)).date() for zone in zones or [business_zone])


def _located(place: Place, hours: SendHours, business_zone: str) -> tuple[list[str], tuple[str, str, str]]:
    """Return the candidate zones of a place, and what the hours file calls it: country, region, channel."""
    channel, country, region, stored, phone_zones = place
    country, region = country.upper(), _region(country, region)
    zones = candidate_zones(channel, country, region, stored, phone_zones, hours=hours, business_zone=business_zone)
    return zones, (country or ANYWHERE, region, channel)


def _region(country: str, region: str) -> str:
    """Return a region's code: `us-fl` and `FL` are one; `*` where there is none."""
    return region.upper().removeprefix(f"{country.upper()}-") or ANYWHERE


def candidate_zones(
    channel: str,
    country: str,
    region: str,
    stored: str,
    phone_zones: str,
    *,
    hours: SendHours,
    business_zone: str,
) -> list[str]:
    """Return every time zone a contact may be in, sorted; none where nobody knows.

    The stored zone, else the zones of the stored region, else those of the number, else those of the country, else
    the business's for e-mail only. In the countries the file calls `stricter_of_both`, the number's zones are added
    to the stored ones for calls and texts.
    """
    numbers = _known(phone_zones.split(ZONE_SEPARATOR)) if channel != "email" else []
    choices = (
        _known([stored]),
        _known(hours.zones_of(country, region)),
        numbers,
        _known(get_global("territory_zones").get(country, [])),
        [business_zone] if channel == "email" else [],
    )
    zones = next((choice for choice in choices if choice), [])
    if country in hours.stricter_of_both:
        zones = sorted({*zones, *numbers})
    return zones


def _known(names: Iterable[str]) -> list[str]:
    """Return the names that are time zones of a place (`Etc/Unknown` is none)."""
    return sorted({name for name in names if name in _zone_names() and not name.startswith("Etc/")})


def first_slot(zones: list[str], *, hours: SendHours, place: tuple[str, str, str], from_at: datetime) -> Slot | None:
    """Return the first slot of at least an hour in the 24 hours from ``from_at`` that every zone allows.

    Parameters
    ----------
    zones : candidate time zones
    hours : the allowed hours
    place : country, region, channel
    from_at : aware
    """
    start = int(from_at.timestamp())
    runs = [(start, start + NIGHT_HOURS * 3600)]
    for zone in zones:
        runs = overlaps(runs, _allowed_seconds(ZoneInfo(zone), hours, place, from_at))
    for opens, closes in runs:
        if closes - opens >= SHORTEST_SLOT_MINUTES * 60:
            return datetime.fromtimestamp(opens, UTC), datetime.fromtimestamp(closes, UTC)
    return None


def _allowed_seconds(
    zone: ZoneInfo, hours: SendHours, place: tuple[str, str, str], from_at: datetime
) -> list[tuple[int, int]]:
    """Return the allowed runs in one zone around ``from_at`` in seconds since 1970; runs that touch are one."""
    country, region, channel = place
    first = from_at.astimezone(zone).date()
    runs: list[tuple[int, int]] = []
    for day in (first + timedelta(days=n) for n in range(3)):
        closed = is_public_holiday(country, region, day)
        for opens, closes in hours.allowed(country, region, channel, day=day, is_holiday=closed):
            start, end = _second(zone, day, opens), _second(zone, day, closes)
            if runs and runs[-1][1] == start:
                start = runs.pop()[0]
            runs.append((start, end))
    return runs


def _second(zone: ZoneInfo, day: date, minutes: int) -> int:
    """Return the instant at which the wall clock shows a time; wall time, so that a 23-hour day shifts nothing."""
    days, rest = divmod(minutes, 24 * 60)
    wall = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=days, minutes=rest)
    return int(wall.timestamp())


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    """Return every time zone name; the standard library looks through its files at each call."""
    return frozenset(available_timezones())


@lru_cache(maxsize=4096)
def _public_holidays(country: str, region: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country, or of one of its regions where the region is known."""
    # Asked for by name: a list of all the countries that are known takes 0.5 CPU s to make.
    for subdivision in (None if region == ANYWHERE else region, None):
        with suppress(NotImplementedError):
            return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
    return frozenset()


def is_public_holiday(country: str, region: str, day: date) -> bool:
    """Return whether a day is a public holiday of a country, or of one of its regions where the region is known.

    Unknown countries have none that we know of.
    """
    return day in _public_holidays(country, region, day.year)


def is_allowed(at: datetime, *, zones: list[str], hours: SendHours, place: tuple[str, str, str]) -> bool:
    """Return whether a message may arrive at an instant in all of the zones; 21:00:00 is after a window to 21:00."""
    second = int(at.timestamp())
    return bool(zones) and all(
        any(opens <= second < closes for opens, closes in _allowed_seconds(ZoneInfo(zone), hours, place, at))
        for zone in zones
    )
