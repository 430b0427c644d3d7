"""Scores every customer as of past days, using only what was known then.

In: a CSV of events. Out: one row per customer and day. Must never happen: a number that an event after its day had a
part in; the events are cut before anything else looks at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core import population, recalibration
from winback.core.rhythm import profiles_of, silences
from winback.core.thresholds import own_thresholds
from winback.documents import nearest
from winback.errors import SourceMalformed, SourceUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

COLUMNS = ("customer_id", "as_of", "score", "inactive", "threshold_days")


def backtest(
    events: Path,
    *,
    horizon_days: int,
    as_of: Sequence[date],
    behaviour: str = "purchase",
    category: str | None = None,
) -> pd.DataFrame:
    """Return scores and thresholds of every customer known on each day.

    Parameters
    ----------
    events : CSV (plain or .gz) with customer_id, timestamp and, optionally, behaviour and category
    horizon_days : H of the question "no event in the next H days?", at least 1
    as_of : the days to score; an event on that day is known. Days are calendar days in UTC
    behaviour : what the events are; where the file has a column ``behaviour``, only such rows count
    category : only rows whose column ``category`` says so

    Returns
    -------
    customer_id (text), as_of (YYYY-MM-DD), score (probability of no event within the horizon), inactive (1 once the
    silence is longer than the threshold), threshold_days (the model's own, before any policy's floor and ceiling)

    Raises
    ------
    UsageError
        If the horizon is under a day, no day was given, or there is no event up to one of the days.
    SourceUnavailable, SourceMalformed
        If the file cannot be read, lacks a column, or has times that are no times.
    """
    if horizon_days < 1:
        raise UsageError(f"--horizon {horizon_days}: expected at least 1 day")
    if not as_of:
        raise UsageError("no day to score: give --as-of YYYY-MM-DD at least once")
    customer_ids, days = _read_events(events, behaviour=behaviour, category=category)
    parts = []
    for day in dict.fromkeys(as_of):
        known = days <= np.datetime64(day.isoformat(), "D")
        if not known.any():
            first = days.min() if len(days) else "none"
            raise UsageError(f"--as-of {day}: no event up to that day in {events} (the first is on {first})")
        parts.append(
            _score_day(customer_ids[known], days[known], horizon_days=horizon_days, as_of=day, behaviour=behaviour)
        )
    return pd.concat(parts, ignore_index=True)


def _score_day(
    customer_ids: np.ndarray, days: np.ndarray, *, horizon_days: int, as_of: date, behaviour: str
) -> pd.DataFrame:
    """Return the rows of one day; the events given are those up to that day."""
    profiles = profiles_of(customer_ids, days, behaviour=behaviour)
    base = population.fit(profiles, behaviour=behaviour, as_of=as_of, horizon_days=horizon_days)
    fit = base
    if recalibration.can_calibrate(base, horizon_days=horizon_days):
        past = [
            _snapshot(customer_ids, days, horizon_days=horizon_days, as_of=earlier, behaviour=behaviour)
            for earlier in recalibration.snapshot_dates(as_of, horizon_days=horizon_days)
        ]
        fit = recalibration.calibrate(base, profiles, past, as_of=as_of, horizon_days=horizon_days)
    rhythm = population.rhythm_of(profiles, fit=fit)
    _, (threshold_days, *_) = own_thresholds(rhythm, profiles["n"].to_numpy(), fit=fit, horizon_days=horizon_days)
    return pd.DataFrame(
        {
            "customer_id": profiles["customer_id"],
            "as_of": as_of.isoformat(),
            "score": recalibration.inactivity(profiles, fit=fit, as_of=as_of, horizon_days=horizon_days),
            "inactive": (silences(profiles["last_on"], as_of) > threshold_days).astype(np.int64),
            "threshold_days": threshold_days,
        },
        columns=list(COLUMNS),
    )


def _snapshot(
    customer_ids: np.ndarray, days: np.ndarray, *, horizon_days: int, as_of: date, behaviour: str
) -> recalibration.Snapshot:
    """Return what was known on an earlier day and who came back within the horizon."""
    then = np.datetime64(as_of.isoformat(), "D")
    known = days <= then
    profiles = profiles_of(customer_ids[known], days[known], behaviour=behaviour)
    after = ~known & (days <= then + horizon_days)
    returned = profiles["customer_id"].isin(np.unique(customer_ids[after])).to_numpy()
    return recalibration.Snapshot(as_of=as_of, profiles=profiles, returned=returned)


def _read_events(events: Path, *, behaviour: str, category: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and UTC days of the events that count."""
    try:
        rows = pd.read_csv(events, dtype="str", keep_default_na=False)
    except (OSError, EOFError) as problem:
        raise SourceUnavailable(
            str(events), f"cannot be read ({problem}); give the path of a CSV or CSV.gz"
        ) from problem
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as problem:
        raise SourceMalformed(str(events), f"is no CSV with a header line: {problem}") from problem
    rows.columns = rows.columns.str.strip()
    wanted = ["customer_id", "timestamp", *(["category"] if category is not None else [])]
    for name in wanted:
        if name not in rows:
            found = ", ".join(rows.columns)
            raise SourceMalformed(
                str(events), f"has no column {name!r}{nearest(name, list(rows.columns))}; it has {found}"
            )
    for name, value in (("behaviour", behaviour), ("category", category)):
        if name in rows and value is not None:
            rows = _only(rows, name, value, events)
    ids = rows["customer_id"].str.strip()
    if (ids == "").any():
        raise SourceMalformed(str(events), f"line {int(ids.index[ids.eq('')][0]) + 2}: customer_id is empty")
    return ids.to_numpy(dtype=object), _utc_days(rows["timestamp"], events)


def _only(rows: pd.DataFrame, name: str, value: str, events: Path) -> pd.DataFrame:
    """Return the rows whose column says so."""
    kept = rows[rows[name] == value]
    if kept.empty and len(rows):
        known = sorted(rows[name].unique())
        raise UsageError(
            f"--{name} {value}: no such row in {events}{nearest(value, known)}; it has {', '.join(known[:10])}"
        )
    return kept


def _utc_days(timestamps: pd.Series, events: Path) -> np.ndarray:
    """Return the UTC calendar day of each ISO time; times without a zone are UTC."""
    instants = pd.to_datetime(timestamps.str.strip(), utc=True, format="ISO8601", errors="coerce")
    bad = instants.isna()
    if bad.any():
        line = int(timestamps.index[bad][0]) + 2
        raise SourceMalformed(
            str(events),
            f"{int(bad.sum())} timestamps are no ISO times, the first on line {line}: "
            f"{timestamps[bad].iloc[0]!r}; expected e.g. 2026-05-02 or 2026-05-02T10:00:00+02:00",
        )
    return np.asarray(instants.dt.tz_localize(None).to_numpy().astype("datetime64[D]"))
