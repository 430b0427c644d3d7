"""The second layer's score, made so that it cannot fall while a silence grows.

In: profiles, their fit and its second layer. Out: a logit each. Must never happen: a customer called livelier the
longer nothing is heard, or a score that depends on which other customers are in the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from winback.core.population import rhythm_of
from winback.core.return_clock import SurvivalTable
from winback.core.rhythm import silences

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    import pandas as pd
    from numpy.typing import NDArray

    from winback.core.population import PopulationFit, Recalibration

    Floats = NDArray[np.float64]

DIP_SHARE = 0.75
_PROBABILITY_MARGIN = 1e-6
# Silences at which the running maximum is taken: every day at first, then steps of about 23 %, up to 30 years.
_SILENCE_KNOTS = np.unique(np.rint(np.geomspace(1, 11_000, 46))).astype(np.float64)
_KNOTS = np.r_[0.0, _SILENCE_KNOTS]


def bounded_logit(probability: Floats) -> Floats:
    """Return ln(p / (1 - p)), kept finite."""
    return np.asarray(special.logit(np.clip(probability, _PROBABILITY_MARGIN, 1 - _PROBABILITY_MARGIN)))


def monotone_logit(profiles: pd.DataFrame, *, fit: PopulationFit, layer: Recalibration, as_of: date) -> Floats:
    """Return the second layer's logit, as a running maximum over the customer's silence.

    Notes
    -----
    The layer may come out with a negative weight on the silence, and would then call a customer livelier the longer
    nothing is heard. So its value is taken at fixed silences (knots, the same for everybody), made non-decreasing,
    and interpolated in ln(1 + silence): a function that cannot fall, by construction. A customer with a steady
    rhythm is truly less likely to come back at once than in the middle of the rhythm; that dip lies before the
    overdue clock. The running maximum starts at its lowest point, and the score is flat before it: starting at day 0
    would carry the high score of the first days through the whole rhythm.
    """
    rhythm = rhythm_of(profiles, fit=fit)
    silence_days = np.minimum(silences(profiles["last_on"], as_of).astype(np.float64), _KNOTS[-1])
    dip_end = np.searchsorted(_KNOTS, rhythm.overdue_days(DIP_SHARE), side="right") - 1
    # By the last knot they need: the customers who need a knot are a slice, and nothing has to be gathered.
    order = np.argsort(np.maximum(np.searchsorted(_KNOTS, silence_days), dip_end), kind="stable")
    rhythm = rhythm[order]
    scaled = np.asarray(layer.weights) / np.asarray(layer.spreads)
    offset = layer.intercept - float(scaled @ np.asarray(layer.means))
    fixed = offset + scaled[2] * np.log(profiles["n"].to_numpy()[order]) + scaled[3] * rhythm.mu
    table = SurvivalTable.of(rhythm)

    def logit_at(days: float, rows: slice) -> Floats:
        none = 1 - table.return_probability(rows, days, horizon_days=layer.horizon_days)
        return np.asarray(fixed[rows] + scaled[0] * bounded_logit(none) + scaled[1] * np.log1p(days))

    result = np.empty(len(order))
    result[order] = _running_maximum(logit_at, silence_days[order], dip_end[order])
    return result


def _running_maximum(
    logit_at: Callable[[float, slice], Floats], silence_days: Floats, dip_end: NDArray[np.intp]
) -> Floats:
    """Return the running maximum at each silence, of customers ordered by the last knot they need."""
    upper = np.searchsorted(_KNOTS, silence_days)
    needed = np.maximum(upper, dip_end)
    highest, lowest = np.full(len(needed), -np.inf), np.full(len(needed), np.inf)
    result = np.empty(len(needed))
    for knot in range(int(needed.max(initial=-1)) + 1):
        days, rows = float(_KNOTS[knot]), slice(int(np.searchsorted(needed, knot)), None)
        value = logit_at(days, rows)
        dips = (value < lowest[rows]) & (knot <= dip_end[rows])
        before = np.where(dips, value, highest[rows])
        highest[rows] = np.where(dips, value, np.maximum(before, value))
        lowest[rows] = np.where(dips, value, lowest[rows])
        passed = dips & (upper[rows] < knot)
        result[rows][passed] = value[passed]
        here = np.flatnonzero(upper[rows] == knot)
        started = np.log1p(_KNOTS[knot - 1]) if knot else -1.0
        part = (np.log1p(silence_days[rows][here]) - started) / (np.log1p(days) - started)
        between = before[here] + part * (highest[rows][here] - before[here])
        result[rows][here] = np.minimum(between, highest[rows][here])  # rounding must not overshoot the knot
    return result
