"""The return clock: the days of silence after which the chance of coming back alone is too low.

In: customers' rhythms. Out: days. The clock is found by bisection, which asks for the survival function some fifty
times a customer; Student's distribution is far too slow for that over a million customers, so ln S is tabulated once
for each number of degrees of freedom and interpolated (cubic Hermite in asinh of the argument, with the exact slope).
The error is far below the resolution of the bisection. Must never happen: a result that depends on the other
customers in the same call; every number of the table belongs to one number of degrees of freedom alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from winback.core.rhythm import SHORTEST_SILENCE_DAYS, Rhythm, stopped

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BISECTIONS = 18
LONGEST_HORIZONS = 15
"""The clock looks at most this many horizons ahead; that value reads "not reached"."""

_KNOT_STEP = 0.05
_KNOTS = np.arange(-140, 141) * _KNOT_STEP  # asinh(u) for |u| up to 548 standard deviations
_SMALLEST_SURVIVAL = 1e-300
_CHUNK_ROWS = 1 << 15  # temporaries of a chunk stay in the processor's cache


class SurvivalTable:
    """ln S of Student's t, tabulated for every distinct number of degrees of freedom among some customers.

    Parameters
    ----------
    rhythm : the customers the table will be asked about
    """

    def __init__(self, rhythm: Rhythm) -> None:
        distinct, self._table_rows = np.unique(rhythm.freedom, return_inverse=True)
        self._rhythm = rhythm
        self._coefficients = _hermite_coefficients(distinct)

    def log_survival(self, rows: NDArray[np.intp], silence_days: Floats) -> Floats:
        """Return ln S of the customers at ``rows``."""
        logs = np.log(np.maximum(silence_days, SHORTEST_SILENCE_DAYS))
        place = np.arcsinh((logs - self._rhythm.mu[rows]) / self._rhythm.scale[rows])
        position = (np.clip(place, _KNOTS[0], _KNOTS[-1]) - _KNOTS[0]) / _KNOT_STEP
        intervals = len(_KNOTS) - 1
        interval = np.minimum(position.astype(np.intp), intervals - 1)
        part = position - interval
        cubic = self._coefficients[self._table_rows[rows] * intervals + interval]
        return np.asarray(((cubic[:, 0] * part + cubic[:, 1]) * part + cubic[:, 2]) * part + cubic[:, 3])

    def return_probability(self, rows: NDArray[np.intp], silence_days: Floats, *, horizon_days: float) -> Floats:
        """Return the chance of coming back alone within the horizon, for the customers at ``rows``."""
        now = self.log_survival(rows, silence_days)
        later = self.log_survival(rows, silence_days + horizon_days)
        lasting = np.exp(np.minimum(0.0, later - now))
        return np.asarray((1 - stopped(self._rhythm.stop[rows], np.exp(now))) * (1 - lasting))


def _hermite_coefficients(freedom: Floats) -> Floats:
    """Return the cubic of each interval between two knots, for each number of degrees of freedom, one row each."""
    nu = freedom[:, None]
    u = np.sinh(_KNOTS)[None, :]
    survival = special.stdtr(nu, -u)
    reached = survival > _SMALLEST_SURVIVAL
    values = np.log(np.maximum(survival, _SMALLEST_SURVIVAL))
    log_density = (
        special.gammaln((nu + 1) / 2)
        - special.gammaln(nu / 2)
        - np.log(nu * np.pi) / 2
        - (nu + 1) / 2 * np.log1p(u**2 / nu)
    )
    slopes = np.where(reached, -np.exp(log_density - values) * np.sqrt(1 + u**2), 0.0) * _KNOT_STEP
    left, right = values[:, :-1], values[:, 1:]
    leaving, arriving = slopes[:, :-1], slopes[:, 1:]
    cubic = (2 * (left - right) + leaving + arriving, 3 * (right - left) - 2 * leaving - arriving, leaving, left)
    return np.stack(cubic, axis=-1).reshape(-1, 4)


def return_clock(
    rhythm: Rhythm,
    *,
    share: float,
    horizon_days: float,
    start_days: ArrayLike = 0.0,
    table: SurvivalTable | None = None,
) -> Floats:
    """Return the first silence at which at least ``share`` of customers like this would not return within the horizon.

    Parameters
    ----------
    rhythm : the customers
    share : c, the share that does not return
    horizon_days : H
    start_days : where to look from. Where the chance is low at once, the start itself is the answer
    table : the survival table of ``rhythm``, to share it between calls

    Returns
    -------
    days of silence, at least ``start_days``; 15 horizons (or the start, if later) where it is not reached before

    Notes
    -----
    18 bisections on [start, 15 H]. With ``start_days`` the overdue clock O, the result is max(O, return clock).
    """
    table = table or SurvivalTable(rhythm)
    start = np.broadcast_to(np.asarray(start_days, dtype=np.float64), len(rhythm)).copy()
    result = np.maximum(start, LONGEST_HORIZONS * horizon_days)
    for first in range(0, len(rhythm), _CHUNK_ROWS):
        rows = np.arange(first, min(first + _CHUNK_ROWS, len(rhythm)))
        gone = 1 - table.return_probability(rows, start[rows], horizon_days=horizon_days) > share
        result[rows[gone]] = start[rows[gone]]
        rows = rows[~gone]
        low, high = start[rows], result[rows]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            gone = 1 - table.return_probability(rows, middle, horizon_days=horizon_days) > share
            low, high = np.where(gone, low, middle), np.where(gone, middle, high)
        result[rows] = high
    return np.asarray(result)
