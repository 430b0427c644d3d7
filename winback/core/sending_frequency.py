"""Opens and clicks are answers: without a message there is nothing to ignore, so silence is counted in sends.

In: how often the programme's readers are written to, and profiles of an answering behaviour. Out: the days of
silence after which an active reader would hardly have ignored so many messages. The figures behind the usual limit
are published rules of thumb, not measured on data of our own. Must never happen: a threshold shorter than the usual
limit for that sending frequency, because a daily sender would otherwise give up on people within a week.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from winback.core.rhythm import silences

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from numpy.typing import NDArray

    from winback.core.population import PopulationFit

    Floats = NDArray[np.float64]

ANSWERS = frozenset({"open", "click"})
"""The behaviours that need a message first."""

DAYS_PER_MONTH = 365.25 / 12
SMALL_CHANCE = 0.05
LONGEST_DAYS = 3650
FEWEST_PRIOR_SENDS, MOST_PRIOR_SENDS = 2.0, 200.0
SMALLEST_ANSWER_SHARE, LARGEST_ANSWER_SHARE = 0.001, 0.95


def usual_limit_days(sends_per_month: float) -> float:
    """Return the usual days of silence for this sending frequency: daily about 91, monthly 270."""
    return float(270 * sends_per_month**-0.32)


def sending_days_per_day(sends_per_month: float) -> float:
    """Return the share of days with a message; several messages of a day can be answered once, as active days."""
    return min(1.0, sends_per_month / DAYS_PER_MONTH)


def answer_prior(fit: PopulationFit, *, sends_per_month: float) -> tuple[float, float]:
    """Return a and b of the Beta distribution of readers' chances to answer a message, by the method of moments.

    The variance between readers is what is left of the observed variance of answer rates after the part that
    chance alone explains; a + b is kept within 2 to 200 messages.
    """
    per_day = sending_days_per_day(sends_per_month)
    mean = min(LARGEST_ANSWER_SHARE, max(SMALLEST_ANSWER_SHARE, fit.rate_per_day / per_day))
    spread = mean * (1 - mean)
    by_chance = spread / max(1.0, per_day * fit.rate_span_days)
    between = fit.rate_variance / per_day**2 - by_chance
    strength = spread / between - 1 if between > 0 else math.inf
    strength = min(MOST_PRIOR_SENDS, max(FEWEST_PRIOR_SENDS, strength))
    return mean * strength, (1 - mean) * strength


def ignored_probability(sends: Floats, a: Floats, b: Floats) -> Floats:
    """Return the chance that an active reader ignores this many messages in a row: B(a, b + k) / B(a, b)."""
    return np.asarray(np.exp(special.betaln(a, b + sends) - special.betaln(a, b)))


def ignored_days(profiles: pd.DataFrame, *, fit: PopulationFit, sends_per_month: float, as_of: date) -> Floats:
    """Return the days after which an active reader would have ignored every message with a chance under .05.

    Parameters
    ----------
    profiles : of an answering behaviour; n, first_on, last_on are used
    fit : the population of that behaviour
    sends_per_month : messages a month
    as_of : any day from the last event on; only spans are taken from it

    Returns
    -------
    days, a whole number of sends each, at most ten years; in the order of the rows

    Notes
    -----
    Between first and last answer a reader had span x frequency messages and answered n - 1 of them: the first
    answer opens the count, as it is the reason the reader is known at all.
    """
    per_day = sending_days_per_day(sends_per_month)
    span_days = silences(profiles["first_on"], as_of) - silences(profiles["last_on"], as_of)
    answered = profiles["n"].to_numpy() - 1.0
    ignored = np.maximum(0.0, span_days * per_day - answered)
    prior_a, prior_b = answer_prior(fit, sends_per_month=sends_per_month)
    a, b = prior_a + answered, prior_b + ignored
    most = math.ceil(LONGEST_DAYS * per_day)
    too_few, enough = np.zeros(len(a)), np.full(len(a), float(most))
    for _ in range(most.bit_length()):
        middle = np.floor((too_few + enough) / 2)
        small = (ignored_probability(middle, a, b) < SMALL_CHANCE) & (middle > too_few)
        too_few, enough = np.where(small, too_few, middle), np.where(small, middle, enough)
    return np.asarray(enough / per_day)
