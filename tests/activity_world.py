"""A small world of events for the tests of the activity store, and what its profiles must be, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from winback.core.buckets import buckets
from winback.core.rhythm import LOG_UNIT, MONTH_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ZONE = ZoneInfo("Europe/Berlin")
# The days around this one hold a night of 23 hours in Berlin.
START_ON = date(2024, 3, 28)


class Event(NamedTuple):
    """One event; ``at`` is an aware instant."""

    customer_id: str
    behaviour: str
    at: datetime
    amount: float | None = None
    event_id: str | None = None


def at(day: int, hour: float = 12.0) -> datetime:
    """Return an instant: ``hour`` in UTC on the ``day``-th day of the world."""
    return datetime(START_ON.year, START_ON.month, START_ON.day, tzinfo=UTC) + timedelta(days=day, hours=hour)


def on(day: int) -> date:
    """Return the ``day``-th business day of the world."""
    return START_ON + timedelta(days=day)


def purchase(customer_id: str, day: int, event_id: str | None = None, amount: float | None = 10.0) -> Event:
    """Return a purchase at noon."""
    return Event(customer_id, "purchase", at(day), amount, event_id)


def feed(events: Sequence[Event]) -> pd.DataFrame:
    """Return events as a source hands them over, numbered from 1."""
    return pd.DataFrame(
        {
            "customer_id": pd.Series([event.customer_id for event in events], dtype="str"),
            "behaviour": pd.Series([event.behaviour for event in events], dtype="str"),
            "occurred_at": pd.Series([event.at for event in events], dtype="datetime64[us, UTC]"),
            "amount": pd.Series([event.amount for event in events], dtype="float64"),
            "event_id": pd.Series([event.event_id for event in events], dtype="str"),
            "row_number": pd.Series(range(1, len(events) + 1), dtype="int64"),
        }
    )


def expected_profiles(events: Iterable[Event], as_of: date) -> pd.DataFrame:
    """Return the profiles of some events, one customer after the other."""
    days = defaultdict(set)
    for event in events:
        day = event.at.astimezone(ZONE).date()
        if day <= as_of:
            days[event.customer_id, event.behaviour].add(day)
    rows = []
    for (customer_id, behaviour), active in days.items():
        ordered = sorted(active)
        logs = [float(np.log((later - sooner).days)) for sooner, later in pairwise(ordered)]
        months = [sum(day.month == month for day in ordered) for month in range(1, 13)]
        sums = [sum(round(log * LOG_UNIT) for log in logs), sum(round(log * log * LOG_UNIT) for log in logs)]
        first_gap_days = (ordered[1] - ordered[0]).days if len(ordered) > 1 else 0
        rows.append([customer_id, behaviour, len(ordered), ordered[0], ordered[-1], *sums, first_gap_days, *months])
    rows.sort(key=lambda row: (int(buckets([row[0]])[0]), row[0], row[1]))
    numbers = ["n", "log_gap_sum", "log_gap_square_sum", "first_gap_days", *MONTH_COLUMNS]
    names = ["customer_id", "behaviour", "n", "first_on", "last_on", *numbers[1:]]
    types = {"first_on": "datetime64[s]", "last_on": "datetime64[s]", "customer_id": "str", "behaviour": "str"}
    return pd.DataFrame(rows, columns=names).astype(types | dict.fromkeys(numbers, "int64"))
