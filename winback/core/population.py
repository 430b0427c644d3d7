"""The population's fit: what all customers together say about gaps and about stopping.

In: the profiles of one behaviour. Out: a :class:`PopulationFit`, a small stored document with a name of its own
(``fit_id``), so that any threshold can be worked out again later. Must never happen: a fit that depends on the order
of the customers; every sum here is either exactly rounded or taken over sorted numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import special

from winback.core.rhythm import (
    LOG_UNIT,
    LONGEST_LOG_DAYS,
    MONTH_COLUMNS,
    GapPrior,
    Rhythm,
    log_gap_units,
    posterior,
    silences,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

Quality = Literal["fitted", "fitted_small", "too_little"]

BAND_STARTS = (1, 2, 3, 4, 6, 10, 20)
"""Stop probabilities are shared within bands of active days: 1, 2, 3, 4-5, 6-9, 10-19, 20 and more."""

PRIOR_FREEDOM = 4.0
SMALLEST_VARIANCE = 0.05
LOG_GAP_WITHOUT_DATA = math.log(90)
STOP_WITHOUT_DATA = 0.3
EM_ROUNDS = 60
FITTED_CUSTOMERS, FITTED_GAPS = 100, 50
SMALL_CUSTOMERS, SMALL_GAPS = 30, 15
HISTORY_HORIZONS = 2


@dataclass(frozen=True)
class Recalibration:
    """A logistic second layer over the score: intercept and weights of four standardised numbers."""

    horizon_days: int
    intercept: float
    weights: tuple[float, float, float, float]
    means: tuple[float, float, float, float]
    spreads: tuple[float, float, float, float]
    rows: int


@dataclass(frozen=True)
class PopulationFit:
    """The parameters of one behaviour as of one day.

    Attributes
    ----------
    behaviour, fitted_on : what was fitted and on which day's knowledge
    horizon_days : the horizon its ``quality`` is judged for
    mu0, sigma2, tau2 : mean of ln gap; its variance within and between customers
    stop : chance of stopping after an active day, one per band of ``BAND_STARTS``
    customers, gaps, history_days : how much there was to learn from
    month_shares : share of active days in January … December
    rate_per_day, rate_variance, rate_span_days : active days per day of customers with two or more, its variance
        between customers (both weighted by span), and their mean span from first to last active day
    first_gaps, first_gap_mean, first_gap_variance : how many customers came a second time; mean and variance of ln of
        the days that took them
    recalibration : the second layer, where there was enough past to fit one
    season_helps : whether the yearly rhythm improved scores on the own past; None: not tried
    """

    behaviour: str
    fitted_on: date
    horizon_days: int
    mu0: float
    sigma2: float
    tau2: float
    stop: tuple[float, ...]
    customers: int
    gaps: int
    history_days: int
    month_shares: tuple[float, ...]
    rate_per_day: float
    rate_variance: float
    rate_span_days: float
    first_gaps: int = 0
    first_gap_mean: float = 0.0
    first_gap_variance: float = 0.0
    recalibration: Recalibration | None = None
    season_helps: bool | None = None

    @property
    def kappa(self) -> float:
        """How many own gaps weigh as much as the population."""
        return self.sigma2 / self.tau2

    @property
    def nu0(self) -> float:
        """The weight of the population's spread, in gaps."""
        return PRIOR_FREEDOM

    @property
    def prior(self) -> GapPrior:
        """What is known of a customer without gaps."""
        return GapPrior(self.mu0, self.sigma2, self.kappa, self.nu0)

    @property
    def quality(self) -> Quality:
        """Whether there was enough data, for the horizon the fit was made for."""
        return self.quality_for(self.horizon_days)

    def quality_for(self, horizon_days: int) -> Quality:
        """Return whether the data carry a threshold for this horizon.

        *fitted*: at least 100 customers, 50 gaps and a history of two horizons; *fitted_small*: at least 30
        customers and 15 gaps over such a history; *too_little*: less, so that a prior has to stand in.
        """
        if self.history_days < HISTORY_HORIZONS * horizon_days:
            return "too_little"
        if self.customers >= FITTED_CUSTOMERS and self.gaps >= FITTED_GAPS:
            return "fitted"
        return "fitted_small" if self.customers >= SMALL_CUSTOMERS and self.gaps >= SMALL_GAPS else "too_little"

    @property
    def knows_first_gaps(self) -> bool:
        """Whether enough customers came a second time to say how long that takes."""
        return self.first_gaps >= FITTED_GAPS

    def first_gap_days(self, share: float) -> float:
        """Return the days within which this share of those who came a second time did so.

        Log-normal with the moments put in for the truth: with so many first gaps, Student's t with the moments' own
        error in it differs by less than 2 %.
        """
        logs = self.first_gap_mean + math.sqrt(self.first_gap_variance) * float(special.ndtri(share))
        return math.exp(min(LONGEST_LOG_DAYS, logs))

    @cached_property
    def fit_id(self) -> str:
        """16 hex digits that change with any parameter."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the canonical JSON text; equal fits give equal texts."""
        values = asdict(self) | {"fitted_on": self.fitted_on.isoformat()}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PopulationFit:
        """Return the fit that :meth:`to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        layer = values["recalibration"]
        values["fitted_on"] = date.fromisoformat(values["fitted_on"])
        values["stop"], values["month_shares"] = tuple(values["stop"]), tuple(values["month_shares"])
        if layer is not None:
            tuples = {name: tuple(layer[name]) for name in ("weights", "means", "spreads")}
            values["recalibration"] = Recalibration(**(layer | tuples))
        return cls(**values)


def band_of(n: Integers) -> NDArray[np.intp]:
    """Return the index of the band each number of active days falls into."""
    return np.searchsorted(BAND_STARTS, n, side="right") - 1


def rhythm_of(profiles: pd.DataFrame, *, fit: PopulationFit) -> Rhythm:
    """Return the rhythm of each row of profiles (columns n, log_gap_sum, log_gap_square_sum)."""
    n, total, squares = (profiles[name].to_numpy() for name in ("n", "log_gap_sum", "log_gap_square_sum"))
    return posterior(n, total, squares, prior=fit.prior, stop=np.asarray(fit.stop)[band_of(n)])


def fit(
    profiles: pd.DataFrame, *, behaviour: str, as_of: date, fitted_on: date | None = None, horizon_days: int = 90
) -> PopulationFit:
    """Return the population's parameters.

    Parameters
    ----------
    profiles : the profiles as of ``as_of``; rows of other behaviours are ignored
    behaviour : which one to fit
    as_of : the last day whose events the profiles know
    fitted_on : the day to note in the document; default ``as_of``
    horizon_days : the horizon to judge the quality for

    Notes
    -----
    Moments for the gaps, expectation-maximisation for the stop probabilities. Both need the profiles only: of all
    events, those followed by another are certainly no stop and merely counted, and how many of them each band has
    follows from n; only the open silences are evaluated.
    """
    rows = profiles[profiles["behaviour"] == behaviour]
    n = rows["n"].to_numpy().astype(np.int64)
    prior_mu, sigma2, tau2 = _moments(n - 1, rows["log_gap_sum"], rows["log_gap_square_sum"])
    span_days = silences(rows["first_on"], as_of) - silences(rows["last_on"], as_of)
    rate, rate_variance, rate_span_days = _rates(n, span_days)
    first_gaps, first_gap_mean, first_gap_variance = _first_gaps(rows["first_gap_days"].to_numpy())
    by_month = [int(rows[name].sum()) for name in MONTH_COLUMNS]
    unfinished = PopulationFit(
        behaviour=behaviour,
        fitted_on=fitted_on or as_of,
        horizon_days=horizon_days,
        mu0=prior_mu,
        sigma2=sigma2,
        tau2=tau2,
        stop=(STOP_WITHOUT_DATA,) * len(BAND_STARTS),
        customers=len(rows),
        gaps=int((n - 1).sum()),
        history_days=int(silences(rows["first_on"], as_of).max(initial=0)),
        month_shares=tuple(count / max(1, sum(by_month)) for count in by_month),
        rate_per_day=rate,
        rate_variance=rate_variance,
        rate_span_days=rate_span_days,
        first_gaps=first_gaps,
        first_gap_mean=first_gap_mean,
        first_gap_variance=first_gap_variance,
    )
    open_survival = rhythm_of(rows, fit=unfinished).survival(silences(rows["last_on"], as_of))
    return replace(unfinished, stop=_stop_probabilities(n, open_survival))


def _moments(gaps: Integers, log_gap_sum: pd.Series, log_gap_square_sum: pd.Series) -> tuple[float, float, float]:
    """Return mu0, sigma2 and tau2 by the method of moments."""
    has_gaps = gaps > 0
    k = gaps[has_gaps].astype(np.float64)
    total, squares = (sums.to_numpy()[has_gaps] / LOG_UNIT for sums in (log_gap_sum, log_gap_square_sum))
    if not len(k):
        return LOG_GAP_WITHOUT_DATA, 1.0, 1.0
    many = k > 1
    sigma2 = 1.0
    if many.any():
        within = math.fsum((squares - total**2 / k)[many])
        sigma2 = max(SMALLEST_VARIANCE, within / math.fsum(k[many] - 1))
    own = total / k
    weights = 1 / (sigma2 / k + 1)
    rough = math.fsum(weights * own) / math.fsum(weights)
    tau2 = max(SMALLEST_VARIANCE, math.fsum(weights * ((own - rough) ** 2 - sigma2 / k)) / math.fsum(weights))
    weights = 1 / (sigma2 / k + tau2)
    return math.fsum(weights * own) / math.fsum(weights), sigma2, tau2


def _first_gaps(gap_days: Integers) -> tuple[int, float, float]:
    """Return how many first gaps there are, and mean and variance of their logarithms; 0 days are no gap."""
    known = gap_days[gap_days > 0]
    count = len(known)
    if count <= 1:  # one has no variance
        return count, 0.0, 0.0
    total, squares = (int(units.sum()) / LOG_UNIT for units in log_gap_units(known))
    return count, total / count, max(0.0, squares - total**2 / count) / (count - 1)


def _rates(n: Integers, span_days: Integers) -> tuple[float, float, float]:
    """Return the mean and the variance (weighted by span) of the active days per day, and the mean span."""
    repeated = n > 1
    if not repeated.any():
        return 0.0, 0.0, 0.0
    gaps, span = (n[repeated] - 1).astype(np.float64), span_days[repeated].astype(np.float64)
    mean = float(gaps.sum() / span.sum())
    variance = math.fsum(gaps**2 / span) / float(span.sum()) - mean**2
    return mean, max(0.0, variance), float(span.mean())


def _stop_probabilities(n: Integers, open_survival: Floats) -> tuple[float, ...]:
    """Return the chance of stopping in each band by expectation-maximisation.

    A band's estimate is pulled, by half an observation, towards the band below it.
    """
    bands = band_of(n)
    found: list[float] = []
    ends = (*BAND_STARTS[1:], None)
    for band, (start, end) in enumerate(zip(BAND_STARTS, ends, strict=True)):
        reached = np.maximum(n - start + 1, 0)
        rows = int((reached if end is None else np.minimum(reached, end - start)).sum())
        below = found[-1] if found else None
        if not rows:
            found.append(STOP_WITHOUT_DATA if below is None else below)
            continue
        survival = np.sort(np.clip(open_survival[bands == band], 1e-9, 1.0))  # sorted: the same sum in any order
        stop = STOP_WITHOUT_DATA
        for _ in range(EM_ROUNDS):
            stopped = float((stop / (stop + (1 - stop) * survival)).sum())
            stop = (stopped + 0.5 * (0.5 if below is None else below)) / (rows + 0.5)
        found.append(stop)
    return tuple(found)
