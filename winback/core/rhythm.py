"""How one customer's silences usually run: the gap model behind every threshold.

In: per customer and behaviour the number of active days and two sums over the gaps between them (a *profile*), and
the population's prior. Out: a posterior per customer, with the chances and clocks that follow from it. The gap in
days is log-normal with the customer's own mean and spread, pulled towards the population; a customer may also have
stopped for good, with a probability that depends on how many active days there were. Must never happen: a number
that depends on which other customers were looked at in the same call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

LOG_UNIT = 2**32
"""The gap sums are whole numbers of 1/LOG_UNIT, so that adding them up is exact in any order."""

SHORTEST_SILENCE_DAYS = 0.5
LONGEST_LOG_DAYS = 12.0
MONTH_COLUMNS = tuple(f"month_{month:02d}" for month in range(1, 13))
PROFILE_COLUMNS = (
    *("customer_id", "behaviour", "n", "first_on", "last_on", "log_gap_sum", "log_gap_square_sum"),
    "first_gap_days",
    *MONTH_COLUMNS,
)


class GapPrior(NamedTuple):
    """What the population says about a customer nobody has seen yet: ln gap ~ N(mu, sigma2), shrunk by kappa."""

    mu: float
    sigma2: float
    kappa: float
    freedom: float


@dataclass(frozen=True, eq=False)
class Rhythm:
    """The posterior of many customers, one array element a customer.

    Attributes
    ----------
    mu : mean of ln(gap in days)
    scale, freedom : ln of the next gap is Student's t with these around ``mu``
    stop : chance that the customer stopped for good at the last active day
    """

    mu: Floats
    scale: Floats
    freedom: Floats
    stop: Floats

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Rhythm:
        """Return the posterior of some of the customers."""
        return Rhythm(self.mu[rows], self.scale[rows], self.freedom[rows], self.stop[rows])

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.mu)

    def survival(self, silence_days: ArrayLike) -> Floats:
        """Return the chance that a silence of a customer who is still active lasts longer than this."""
        logs = np.log(np.maximum(silence_days, SHORTEST_SILENCE_DAYS))
        return np.asarray(special.stdtr(self.freedom, -(logs - self.mu) / self.scale))

    def overdue_days(self, share: float) -> Floats:
        """Return the overdue clock: the days that only ``1 - share`` of the own silences outlast by chance."""
        # A quantile costs 0.3 µs; degrees of freedom there are few of, one for each number of active days.
        distinct, places = np.unique(self.freedom, return_inverse=True)
        logs = self.mu + self.scale * special.stdtrit(distinct, share)[places]
        return np.asarray(np.exp(np.minimum(LONGEST_LOG_DAYS, logs)))

    def stopped_probability(self, silence_days: ArrayLike) -> Floats:
        """Return the chance that the customer has stopped for good, given the silence so far."""
        return stopped(self.stop, self.survival(silence_days))

    def return_probability(self, silence_days: ArrayLike, *, horizon_days: float) -> Floats:
        """Return the chance of coming back alone within the horizon, given the silence so far."""
        now = self.survival(silence_days)
        later = self.survival(np.maximum(silence_days, 0) + horizon_days)
        # A survival of 0 is a silence no active customer ever keeps: stopped for certain, whatever the ratio.
        lasting = np.minimum(1.0, later / np.maximum(now, np.finfo(float).tiny))
        return np.asarray((1 - stopped(self.stop, now)) * (1 - lasting))


def stopped(stop: float | Floats, survival: float | Floats) -> Floats:
    """Return the chance of having stopped: Bayes' rule with prior ``stop`` and likelihood ``survival`` if active."""
    return np.asarray(stop / (stop + (1 - stop) * survival), dtype=np.float64)


def posterior(
    n: Integers, log_gap_sum: Integers, log_gap_square_sum: Integers, *, prior: GapPrior, stop: Floats
) -> Rhythm:
    """Return each customer's rhythm.

    Parameters
    ----------
    n : active days, at least 1
    log_gap_sum, log_gap_square_sum : Σ ln g and Σ (ln g)² over the n - 1 gaps, in 1/LOG_UNIT
    prior : the population's
    stop : chance of stopping after the n-th active day

    Returns
    -------
    one element a customer, in the order given
    """
    gaps = np.asarray(n, dtype=np.float64) - 1
    total = np.asarray(log_gap_sum, dtype=np.float64) / LOG_UNIT
    squares = np.asarray(log_gap_square_sum, dtype=np.float64) / LOG_UNIT
    divisor = np.maximum(gaps, 1)  # without gaps both terms below are 0 anyway
    within = np.where(gaps > 0, np.maximum(0.0, squares - total**2 / divisor), 0.0)
    apart = gaps * prior.kappa / (gaps + prior.kappa) * (total / divisor - prior.mu) ** 2
    freedom = prior.freedom + gaps
    variance = (prior.freedom * prior.sigma2 + within + apart) / freedom
    return Rhythm(
        mu=(total + prior.kappa * prior.mu) / (gaps + prior.kappa),
        scale=np.sqrt(variance * (1 + 1 / (gaps + prior.kappa))),
        freedom=freedom,
        stop=np.asarray(stop, dtype=np.float64),
    )


def log_gap_units(gap_days: Integers) -> tuple[Integers, Integers]:
    """Return ln g and (ln g)² of whole-day gaps (at least 1), in units of 1/LOG_UNIT.

    Every engine that folds gaps takes these numbers: another library's logarithm may differ in its last bit, and
    then a rebuilt profile would differ from a folded one.
    """
    logs = np.log(np.asarray(gap_days, dtype=np.float64))
    return np.rint(logs * LOG_UNIT).astype(np.int64), np.rint(logs**2 * LOG_UNIT).astype(np.int64)


def profiles_of(customer_ids: ArrayLike, days: ArrayLike, *, behaviour: str) -> pd.DataFrame:
    """Return the profiles of plain day lists: the reference that the activity store is tested against.

    Parameters
    ----------
    customer_ids : one id an event
    days : the day of each event, anything numpy reads as ``datetime64[D]``; several events of a day count once
    behaviour : what all these events are

    Returns
    -------
    one row a customer, ordered by id: customer_id, behaviour, n, first_on, last_on, log_gap_sum,
    log_gap_square_sum, first_gap_days (between the first two active days; 0 after a single one), month_01 … month_12
    """
    ids, codes = np.unique(np.asarray(customer_ids, dtype=object).astype(str), return_inverse=True)
    dates = np.asarray(days, dtype="datetime64[D]")
    order = np.lexsort((dates, codes))
    codes, dates = codes[order], dates[order]
    fresh = np.ones(len(codes), dtype=bool)
    fresh[1:] = (codes[1:] != codes[:-1]) | (dates[1:] != dates[:-1])
    codes, dates = codes[fresh], dates[fresh]
    same = codes[1:] == codes[:-1]
    gaps = np.where(same, np.diff(dates).astype(np.int64), 1)  # ln 1 = 0: a border between customers adds nothing
    sums = [_add_up(codes[1:], units, len(ids)) for units in log_gap_units(gaps)]
    starts = np.flatnonzero(np.r_[True, ~same][: len(codes)])
    ends = np.r_[starts[1:], len(codes)] - 1 if len(starts) else starts
    months = dates.astype("datetime64[M]").astype(np.int64) % 12
    by_month = np.bincount(codes * 12 + months, minlength=len(ids) * 12).reshape(len(ids), 12)
    frame = pd.DataFrame(
        {
            "customer_id": pd.Series(ids, dtype="str"),
            "behaviour": pd.Series([behaviour] * len(ids), dtype="str"),
            "n": np.bincount(codes, minlength=len(ids)).astype(np.int64),
            "first_on": dates[starts].astype("datetime64[s]"),
            "last_on": dates[ends].astype("datetime64[s]"),
            "log_gap_sum": sums[0],
            "log_gap_square_sum": sums[1],
            "first_gap_days": (dates[np.minimum(starts + 1, ends)] - dates[starts]).astype(np.int64),
        }
    )
    return frame.assign(**{name: by_month[:, month].astype(np.int64) for month, name in enumerate(MONTH_COLUMNS)})


def _add_up(codes: NDArray[np.intp], units: Integers, groups: int) -> Integers:
    """Return the exact sum of ``units`` per group."""
    totals = np.zeros(groups, dtype=np.int64)
    np.add.at(totals, codes, units)
    return totals


def silences(last_on: pd.Series, as_of: object) -> Integers:
    """Return the whole days between each last active day and ``as_of``."""
    today = np.datetime64(str(as_of), "D")
    days: Integers = (today - last_on.to_numpy().astype("datetime64[D]")).astype(np.int64)
    return days
