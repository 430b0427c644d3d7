"""The return clock: the days of silence after which the chance of coming back alone is too low.

In: customers' rhythms. Out: days. The clock is found by bisection, which asks for the survival function some fifty
times a customer; Student's distribution is far too slow for that over a million customers, so ln S is tabulated once
for each number of degrees of freedom and interpolated (cubic Hermite in asinh of the argument, with the exact slope).
The error is far below the resolution of the bisection. Must never happen: a result that depends on the other
customers in the same call; every number of the table belongs to one number of degrees of freedom alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
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
_INTERVALS = len(_KNOTS) - 1
_NO_CUBICS = np.empty((0, 4))
_SMALLEST_SURVIVAL = 1e-300
_CHUNK_ROWS = 1 << 15  # temporaries of a chunk stay in the processor's cache


@dataclass(frozen=True)
class SurvivalTable:
    """ln S of Student's t, tabulated for every distinct number of degrees of freedom among some customers.

    Attributes
    ----------
    rhythm : the customers the table can be asked about
    cubics : the cubic of each interval between two knots, for one number of degrees of freedom after the other
    first_cubics : where those of each customer begin
    """

    rhythm: Rhythm
    cubics: Floats
    first_cubics: NDArray[np.intp]

    @classmethod
    def of(cls, rhythm: Rhythm) -> SurvivalTable:
        """Return the table of some customers."""
        distinct, table_rows = np.unique(rhythm.freedom, return_inverse=True)
        cubics = np.concatenate([_NO_CUBICS, *map(_hermite_coefficients, distinct.tolist())])
        return cls(rhythm, cubics, table_rows * _INTERVALS)

    def among(self, rows: NDArray[np.intp]) -> SurvivalTable:
        """Return the table of the customers at ``rows`` alone, for questions asked again and again."""
        return replace(self, rhythm=self.rhythm[rows], first_cubics=self.first_cubics[rows])

    def log_survival(self, rows: NDArray[np.intp] | slice, silence_days: ArrayLike) -> Floats:
        """Return ln S of the customers at ``rows``, after one silence each or the same for all."""
        logs = np.log(np.maximum(silence_days, SHORTEST_SILENCE_DAYS))
        place = np.arcsinh((logs - self.rhythm.mu[rows]) / self.rhythm.scale[rows])
        position = (np.clip(place, _KNOTS[0], _KNOTS[-1]) - _KNOTS[0]) / _KNOT_STEP
        interval = np.minimum(position.astype(np.intp), _INTERVALS - 1)
        part = position - interval
        # take: 1 ns a row of four numbers where square brackets need 9, the half of the whole sum.
        cubic = self.cubics.take(self.first_cubics[rows] + interval, axis=0)
        return np.asarray(((cubic[:, 0] * part + cubic[:, 1]) * part + cubic[:, 2]) * part + cubic[:, 3])

    def return_probability(
        self, rows: NDArray[np.intp] | slice, silence_days: float | Floats, *, horizon_days: float
    ) -> Floats:
        """Return the chance of coming back alone within the horizon, for the customers at ``rows``."""
        now = self.log_survival(rows, silence_days)
        later = self.log_survival(rows, silence_days + horizon_days)
        lasting = np.exp(np.minimum(0.0, later - now))
        return np.asarray((1 - stopped(self.rhythm.stop[rows], np.exp(now))) * (1 - lasting))


@lru_cache(maxsize=1024)  # 9 kB each: a night asks for some hundred numbers, in every behaviour and shard for the same
def _hermite_coefficients(freedom: float) -> Floats:
    """Return the cubic of each interval between two knots for one number of degrees of freedom, one row each."""
    u = np.sinh(_KNOTS)
    survival = special.stdtr(freedom, -u)
    reached = survival > _SMALLEST_SURVIVAL
    values = np.log(np.maximum(survival, _SMALLEST_SURVIVAL))
    log_density = (
        special.gammaln((freedom + 1) / 2)
        - special.gammaln(freedom / 2)
        - np.log(freedom * np.pi) / 2
        - (freedom + 1) / 2 * np.log1p(u**2 / freedom)
    )
    slopes = np.where(reached, -np.exp(log_density - values) * np.sqrt(1 + u**2), 0.0) * _KNOT_STEP
    left, right = values[:-1], values[1:]
    leaving, arriving = slopes[:-1], slopes[1:]
    cubic = (2 * (left - right) + leaving + arriving, 3 * (right - left) - 2 * leaving - arriving, leaving, left)
    return np.stack(cubic, axis=-1)


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
    table = table or SurvivalTable.of(rhythm)
    start = np.broadcast_to(np.asarray(start_days, dtype=np.float64), len(rhythm)).copy()
    result = np.maximum(start, LONGEST_HORIZONS * horizon_days)
    for first in range(0, len(rhythm), _CHUNK_ROWS):
        rows = np.arange(first, min(first + _CHUNK_ROWS, len(rhythm)))
        gone = 1 - table.return_probability(rows, start[rows], horizon_days=horizon_days) > share
        result[rows[gone]] = start[rows[gone]]
        rows = rows[~gone]
        asked = table.among(rows)
        low, high = start[rows], result[rows]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            gone = 1 - asked.return_probability(slice(None), middle, horizon_days=horizon_days) > share
            low, high = np.where(gone, low, middle), np.where(gone, middle, high)
        result[rows] = high
    return np.asarray(result)
