"""When each step is due: from thresholds per behaviour to one schedule per customer.

In: rhythms and the policy's ladder. Out: one row a customer with the day the silence becomes a lapse and the days of
silence at which each step is due. Silences of different behaviours are compared as dates: a customer lapses on the
day the last behaviour passes its threshold, and that behaviour decides. Must never happen: a lapse that only a weak
behaviour speaks for, or two steps closer together than the policy allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core import population, sentences
from winback.core.matching import places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from winback.core.policy import Ladder, Silence
    from winback.core.population import PopulationFit

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Dates = NDArray[np.datetime64]

THRESHOLDS = ("threshold_1_days", "threshold_2_days", "threshold_3_days")
FALLBACK_RATIOS = (1.0, 1.5, 2.0)
_LONG_AGO, _FAR_AHEAD = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31", "D")

SCHEDULE_COLUMNS = (
    *("customer_id", "behaviour", "silence_days", "last_on", "last_strong_on", "first_on", "n"),
    *("threshold_days", "threshold_2_days", "threshold_3_days", "overdue_days", "nudge_days", "return_probability"),
    *("stop_probability", "usual_gap_days", "own_gap_days", "population_gap_days", "basis", "fit_id", "sentence"),
    *("lapsed_on", "is_touched_once"),
)
"""The columns beside ``due_1_days`` … ``due_K_days``."""


def schedule(rhythms: pd.DataFrame, *, ladder: Ladder, trigger: Silence, as_of: date) -> pd.DataFrame:
    """Return when each customer lapses and when each step is due.

    Parameters
    ----------
    rhythms : from :func:`winback.core.thresholds.assess`
    ladder : mode, steps and the least distance between them
    trigger : the counted and the weak behaviours; others are ignored
    as_of : the day silences are measured to

    Returns
    -------
    one row per customer with at least one counted behaviour, in the order of the rhythms: ``SCHEDULE_COLUMNS`` and
    ``due_1_days`` … ``due_K_days``. Everything in days of silence counts from ``last_on``, the latest counted or weak
    active day. ``behaviour`` is the deciding one, the last to pass its threshold (a counted one before a weak one);
    n, gaps, basis and sentence are its own; ``first_on`` and ``return_probability`` are the earliest and the highest
    over the counted behaviours. ``is_touched_once``: no counted behaviour has a second active day, and the policy keeps
    such contacts to step 1; their later due days are NaN.

    Notes
    -----
    In mode *calendar* the silence itself is the rule: the lapse comes at the first step's day of silence, and the
    steps' days stand in for the three thresholds.
    """
    days = [step.day for step in ladder.steps]
    is_calendar = ladder.mode == "calendar"
    deciding = _deciding(rhythms, trigger, calendar=days if is_calendar else None)
    # How much earlier than the latest sign of life the deciding behaviour's own clock started.
    ahead = (_days(deciding["last_on"]) - _days(deciding["own_last_on"])).astype(np.int64)
    own = deciding[list(THRESHOLDS)].to_numpy().astype(np.int64).T
    due = _due_days(own - ahead, own[0], ahead, ladder=ladder, days=days)
    is_touched_once = (deciding["most_active_days"] == 1) & (ladder.one_offs == "touch")
    facts = deciding.assign(
        is_touched_once=is_touched_once,
        silence_days=(np.datetime64(as_of) - _days(deciding["last_on"])).astype(np.int64),
        sentence=_sentences(deciding, ahead, first_day=days[0] if is_calendar else None),
        overdue_days=deciding["overdue_days"] - ahead,
        nudge_days=deciding["nudge_days"] - ahead,
        **dict(zip(("threshold_days", *THRESHOLDS[1:]), own - ahead, strict=True)),
        due_1_days=due[0],
        **{f"due_{step}_days": np.where(is_touched_once, np.nan, later) for step, later in enumerate(due[1:], start=2)},
    )
    return facts[[*SCHEDULE_COLUMNS, *(f"due_{step}_days" for step in range(1, len(days) + 1))]]


def share_returning_alone(
    profiles: pd.DataFrame,
    *,
    fits: Mapping[str, PopulationFit],
    trigger: Silence,
    days: Sequence[int],
    horizon_days: int,
) -> list[float]:
    """Return which share would come back without any message, of all customers who reach each day of silence.

    Parameters
    ----------
    profiles, fits : as for the thresholds
    trigger : its counted behaviours are looked at; a customer counts with the liveliest of them
    days : days of silence, as of a calendar ladder's steps
    horizon_days : within how many days after the step

    Returns
    -------
    one share a step: the warning that belongs to a calendar ladder. NaN without any customer

    Notes
    -----
    Each customer weighs as much as the chance that a silence of theirs lasts that long.
    """
    lasting, returning, owners = [], [], []
    for behaviour in trigger.behaviours:
        rows = profiles[profiles["behaviour"] == behaviour]
        if behaviour not in fits or rows.empty:
            continue
        rhythm = population.rhythm_of(rows, fit=fits[behaviour])
        owners.append(rows["customer_id"])
        lasting.append(np.stack([rhythm.stop + (1 - rhythm.stop) * rhythm.survival(day) for day in days]))
        returning.append(np.stack([rhythm.return_probability(day, horizon_days=horizon_days) for day in days]))
    if not owners:
        return [float("nan")] * len(days)
    keys = pd.concat(owners).to_numpy()
    weights = pd.DataFrame(np.concatenate(lasting, axis=1).T).groupby(keys).min().to_numpy()
    chances = pd.DataFrame(np.concatenate(returning, axis=1).T).groupby(keys).max().to_numpy()
    return [float(share) for share in (weights * chances).sum(axis=0) / weights.sum(axis=0)]


def _deciding(rhythms: pd.DataFrame, trigger: Silence, *, calendar: Sequence[int] | None) -> pd.DataFrame:
    """Return the deciding row of each customer; the days of a calendar stand in for the thresholds."""
    ranks = places(rhythms["behaviour"], pd.Index([*trigger.behaviours, *trigger.weak]))
    rows = rhythms if (ranks >= 0).all() else rhythms[ranks >= 0]
    if calendar is not None:
        rows = rows.assign(
            **dict(zip(THRESHOLDS, _calendar_thresholds(calendar), strict=True)),
            basis=pd.Series("calendar", index=rows.index, dtype="str"),
        )
    lapse_on = _days(rows["last_on"]) + rows[THRESHOLDS[0]].to_numpy().astype("timedelta64[D]")
    deciding = _deciding_rows(rows, lapse_on, ranks[ranks >= 0], counted=len(trigger.behaviours))
    return deciding.reset_index(drop=True)


def _calendar_thresholds(days: Sequence[int]) -> Integers:
    """Return the days of the first three steps; a short ladder is continued at 1.5 and 2 times its first day."""
    continued = [np.ceil(ratio * days[0]) for ratio in FALLBACK_RATIOS]
    return np.maximum.accumulate(np.asarray([*days[:3], *continued[len(days) :]], dtype=np.int64))


def _deciding_rows(rows: pd.DataFrame, lapse_on: Dates, ranks: Integers, *, counted: int) -> pd.DataFrame:
    """Return one row per customer who has a counted behaviour: the behaviour that passes its threshold last.

    Of two that pass on the same day, the one the policy names first decides (``ranks``, by row), and counted ones, the
    first ``counted`` of them, before weak ones.
    """
    if rows.empty:
        return rows.assign(
            **dict.fromkeys(("last_strong_on", "own_last_on", "lapsed_on"), rows["last_on"]),
            most_active_days=rows["n"],
        )
    codes, _ = pd.factorize(rows["customer_id"])
    order = np.lexsort((ranks, -lapse_on.astype(np.int64), codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    strong = ranks[order] < counted
    is_counted = np.maximum.reduceat(strong, starts)
    last_on, first_on = (_days(rows[name])[order] for name in ("last_on", "first_on"))
    chance, n = (np.where(strong, rows[name].to_numpy()[order], 0) for name in ("return_probability", "n"))
    last_strong_on, first_strong_on = np.where(strong, last_on, _LONG_AGO), np.where(strong, first_on, _FAR_AHEAD)
    deciding = rows.iloc[order[starts][is_counted]]
    return deciding.assign(
        own_last_on=deciding["last_on"],
        last_on=_stamps(np.maximum.reduceat(last_on, starts)[is_counted]),
        last_strong_on=_stamps(np.maximum.reduceat(last_strong_on, starts)[is_counted]),
        first_on=_stamps(np.minimum.reduceat(first_strong_on, starts)[is_counted]),
        return_probability=np.maximum.reduceat(chance, starts)[is_counted],
        most_active_days=np.maximum.reduceat(n, starts)[is_counted],
        lapsed_on=_stamps(lapse_on[order][starts][is_counted]),
    )


def _due_days(
    thresholds: Integers, own_threshold: Integers, ahead: Integers, *, ladder: Ladder, days: Sequence[int]
) -> list[Integers]:
    """Return the days of silence at which each step is due, never closer together than the policy allows."""
    due: list[Integers] = []
    for step, day in enumerate(days):
        if ladder.mode == "anchored":
            wanted = thresholds[0] + (day - days[0])
        elif ladder.mode == "calendar":
            wanted = np.full(len(ahead), day)
        elif ladder.mode == "multiple":
            wanted = np.ceil(own_threshold * day / days[0]).astype(np.int64) - ahead
        else:
            wanted = thresholds[step]
        due.append(np.maximum(wanted, due[-1] + ladder.min_days_between) if due else wanted)
    return due


def _sentences(deciding: pd.DataFrame, ahead: Integers, *, first_day: int | None) -> pd.Series:
    """Return the sentence of the deciding behaviour, with what this ladder adds to it."""
    told = deciding["sentence"]
    if first_day is not None:
        return f"Calendar ladder, from {first_day} days of silence on, whatever the own rhythm. " + told
    if not ahead.any():
        return told
    since = sentences.as_text(sentences.counted(ahead, "day", "days")).set_axis(told.index)
    return told.where(
        ahead == 0,
        told + " It counts from this behaviour's own last day, " + since + " earlier than the latest sign of life.",
    )


def _days(dates: pd.Series) -> Dates:
    """Return dates as whole days."""
    return np.asarray(dates.to_numpy().astype("datetime64[D]"))


def _stamps(days: Dates) -> NDArray[np.datetime64]:
    """Return whole days as pandas keeps them."""
    return days.astype("datetime64[s]")
