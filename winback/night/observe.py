"""Look at a night from outside, in counts: thresholds, refused rows, how many people said stop, whether it happened.

In: an open night, or a ledger. Out: plain counts for artifacts, events and reports. Writes nothing. Must never
happen: a row about one customer.
"""

from __future__ import annotations

import statistics
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from sqlalchemy import func, select

from winback.core.reasons import Reason
from winback.ledger import cycles, quarantined_rows
from winback.ledger.people_tables import suppressions
from winback.reports import threshold_groups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from winback.ledger.engine import Ledger
    from winback.night.opening import Night

SAID_STOP = (str(Reason.OPTED_OUT), str(Reason.COMPLAINED))
USUAL_OVER_DAYS = 14
SPIKE_RATIO = 3
SPIKE_LEAST = 20


class Refusals(NamedTuple):
    """How many people said stop on a day, how many do on a usual one, and whether that is a spike."""

    on_the_day: int
    usual: float
    is_spike: bool


def thresholds(night: Night) -> list[dict[str, Any]]:
    """Return the night's thresholds by behaviour by frequency by lifecycle, over all its programmes."""
    columns = ["customer_id", *threshold_groups.COLUMNS]
    frames = [
        night.store.read_assessment(night.as_of, f"rhythms-{programme.programme}", columns=columns)
        for programme in night.programmes
    ]
    found = [frame for frame in frames if frame is not None]
    if not found:
        return []
    # Programmes may count the same behaviour with other bounds; the first one speaks for the customer.
    rhythms = pd.concat(found, ignore_index=True).drop_duplicates(["customer_id", "behaviour"])
    return threshold_groups.group_thresholds(rhythms)


def refused_rows(ledger: Ledger, as_of: date) -> list[dict[str, Any]]:
    """Return how many rows were refused for a business day: source, rule, rows."""
    with ledger.reading() as connection:
        counts = quarantined_rows.count_quarantine(connection, as_of)
    return [{"source": source, "rule": rule, "rows": rows} for (source, rule), rows in counts.items()]


def refusals(ledger: Ledger, as_of: date) -> Refusals:
    """Return how many people said stop or complained on a day, against the fortnight before it."""
    first = as_of - timedelta(days=USUAL_OVER_DAYS)
    query = (
        select(suppressions.c.effective_on, func.count())
        .where(suppressions.c.reason.in_(SAID_STOP), suppressions.c.effective_on.between(first, as_of))
        .group_by(suppressions.c.effective_on)
    )
    with ledger.reading() as connection:
        by_day = dict(connection.execute(query).tuples().all())
    before = [by_day.get(as_of - timedelta(days=back), 0) for back in range(1, USUAL_OVER_DAYS + 1)]
    return judge_refusals(by_day.get(as_of, 0), before)


def judge_refusals(on_the_day: int, before: Sequence[int]) -> Refusals:
    """Tell whether a day's refusals are a spike: at least 20, and more than three times the usual (at least one)."""
    usual = float(statistics.median(before)) if before else 0.0
    is_spike = on_the_day >= SPIKE_LEAST and on_the_day > SPIKE_RATIO * max(usual, 1.0)
    return Refusals(on_the_day, usual, is_spike)


def was_carried_out(ledger: Ledger, as_of: date) -> bool:
    """Tell whether the night of a business day was applied to its end."""
    with ledger.reading() as connection:
        night = cycles.read_night(connection, as_of)
    return night is not None and night.applied_at is not None
