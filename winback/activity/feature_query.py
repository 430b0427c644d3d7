"""The activity features of every customer, as one ibis expression that any engine can run.

In: events of which each counts once (:data:`EVENTS`) and the profiles known before them (:data:`PROFILES`).
Out: the profiles after them. A rebuild from history is the same expression with no prior profiles. Must never happen:
an event dated on or before its customer's prior ``last_on``; the store sends such customers through a rebuild.

A night runs the expression as SQL stored beside the other data (``data/queries/``), because importing ibis and
compiling cost 0.5 CPU s. ``python -m winback.activity.feature_query FILE`` writes it; a test says when it is stale.

Logarithms are summed in fixed point, so that a sum does not depend on the order of its terms and a profile that was
folded night by night equals one rebuilt from history bit for bit.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import ibis

from winback.activity.columnar import MONTHS, PROFILE_SCHEMA
from winback.core.rhythm import LOG_UNIT

KEYS = ("bucket", "customer_id", "behaviour")
EVENTS = ibis.schema({"bucket": "int16", "customer_id": "string", "behaviour": "string", "occurred_on": "date"})
PROFILES = ibis.Schema.from_pyarrow(PROFILE_SCHEMA)
ADDED = ("n", "log_gap_sum", "log_gap_square_sum", *MONTHS)


def _new_gaps(events: ibis.Table, prior: ibis.Table) -> ibis.Table:
    """Return one row per active day with the logarithm of its gap to the active day before it, NULL for a first day."""
    days = events.select(*KEYS, "occurred_on").distinct()
    known = prior.select("customer_id", "behaviour", known_on="last_on")
    days = days.left_join(known, ["customer_id", "behaviour"]).select(*KEYS, "occurred_on", "known_on")
    window = ibis.window(group_by=["customer_id", "behaviour"], order_by="occurred_on")
    before_on = ibis.coalesce(days.occurred_on.lag().over(window), days.known_on)
    days = days.mutate(log_gap=days.occurred_on.delta(before_on, unit="day").cast("float64").ln())
    return days.select(*KEYS, "occurred_on", "log_gap")


def _fixed(value: ibis.Value) -> ibis.Value:
    """Return a logarithm as a whole number of 1/LOG_UNIT."""
    return (value * float(LOG_UNIT)).round().cast("int64")


def _total(whole_numbers: ibis.Value) -> ibis.Value:
    """Return the sum of whole numbers, 0 for none."""
    return whole_numbers.sum().fill_null(0)


def _profiles_of(days: ibis.Table) -> ibis.Table:
    """Return the profile of the new active days alone."""
    month = days.occurred_on.month()
    return days.group_by(*KEYS).aggregate(
        n=days.count(),
        first_on=days.occurred_on.min(),
        last_on=days.occurred_on.max(),
        log_gap_sum=_total(_fixed(days.log_gap)),
        log_gap_square_sum=_total(_fixed(days.log_gap * days.log_gap)),
        next_on=days.occurred_on.min(where=days.log_gap.notnull()),
        **{name: days.count(where=month == number) for number, name in enumerate(MONTHS, start=1)},
    )


def fold_profiles(events: ibis.Table, prior: ibis.Table) -> ibis.Table:
    """Return the profiles after ``events``, given those before them.

    Parameters
    ----------
    events : columns of :data:`EVENTS`; several rows a day count once; each day is later than the prior ``last_on``
    prior : columns of :data:`PROFILES`; one row per (customer_id, behaviour), empty for a rebuild

    Returns
    -------
    columns of :data:`PROFILES`, in no order; ``n`` and the months in active days, the sums in 1/2**32
    """
    new = _profiles_of(_new_gaps(events, prior))
    new = new.rename({f"new_{name}": name for name in new.columns})
    same_series = [prior.customer_id == new.new_customer_id, prior.behaviour == new.new_behaviour]
    # A join costs a third less than adding both up by customer: most customers of a night have nothing new.
    both = prior.outer_join(new, same_series)
    later = {name: both[name].fill_null(0) + both[f"new_{name}"].fill_null(0) for name in ADDED}
    keys = {name: ibis.coalesce(both[name], both[f"new_{name}"]) for name in (*KEYS, "first_on")}
    last_on = ibis.coalesce(both.new_last_on, both.last_on)
    # A known first gap stays; where there is none yet (0), the first day that has one before it closes it.
    first_gap_days = both.new_next_on.delta(keys["first_on"], unit="day")
    first_gap_days = ibis.coalesce(both.first_gap_days.nullif(0), first_gap_days, 0)
    return both.select(**keys, last_on=last_on, first_gap_days=first_gap_days, **later).select(*PROFILES)


@cache
def fold_profiles_sql(dialect: str = "duckdb") -> str:
    """Return :func:`fold_profiles` over tables named ``events`` and ``prior``, as SQL of one engine.

    Compiled once a process: compiling costs about as much CPU as folding ten thousand events.
    """
    expression = fold_profiles(ibis.table(EVENTS, name="events"), ibis.table(PROFILES, name="prior"))
    return str(ibis.to_sql(expression, dialect=dialect))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(fold_profiles_sql() + "\n", encoding="utf-8")
