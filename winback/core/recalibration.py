"""The second layer over the score, and the yearly rhythm: both learnt from the own past only.

In: a fit and *snapshots*, profiles as they stood on earlier days together with who came back afterwards. Out: a fit
that carries a logistic layer, and the score: the chance of no event within the horizon. Somebody else reads the
history; nothing here can look past the frames it is given. Must never happen: a label from after the day of the fit,
or a recalibrated score that falls while a silence grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from winback.core.monotone_score import bounded_logit, monotone_logit
from winback.core.population import HISTORY_HORIZONS, PopulationFit, Recalibration, fit, rhythm_of
from winback.core.rhythm import MONTH_COLUMNS, silences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SNAPSHOT_HORIZONS = (1.0, 1.5, 2.0, 2.5)
SMALLEST_POPULATION = 1000
RIDGE = 5.0
SEASON_DAYS = 730
SEASON_STRENGTH = 3.0
SEASON_GAIN = 0.005
"""A smaller gain in the area under the curve means nothing."""

_NEWTON_ROUNDS = 50
_SMALL = 1e-9


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What was known on an earlier day, and what happened next.

    Attributes
    ----------
    as_of : the day
    profiles : of one behaviour, counting events up to ``as_of`` only
    returned : for each row of ``profiles``, whether there was an event in (as_of, as_of + horizon]
    """

    as_of: date
    profiles: pd.DataFrame
    returned: NDArray[np.bool_]


def snapshot_dates(as_of: date, *, horizon_days: int) -> list[date]:
    """Return the earlier days to learn from: 1, 1.5, 2 and 2.5 horizons back, so that every outcome is known."""
    return [as_of - timedelta(days=math.ceil(horizons * horizon_days)) for horizons in SNAPSHOT_HORIZONS]


def can_calibrate(base: PopulationFit, *, horizon_days: int) -> bool:
    """Return whether there is enough past: at least 1,000 customers and a history of two horizons."""
    return base.customers >= SMALLEST_POPULATION and base.history_days >= HISTORY_HORIZONS * horizon_days


def calibrate(
    base: PopulationFit, profiles: pd.DataFrame, snapshots: Sequence[Snapshot], *, as_of: date, horizon_days: int
) -> PopulationFit:
    """Return the fit with its second layer, or unchanged where there is too little past.

    Parameters
    ----------
    base : the fit of ``as_of``
    profiles : what it was fitted on
    snapshots : the own past at :func:`snapshot_dates`; days before the first event may be left out
    as_of : today
    horizon_days : the horizon of the labels and of the scores to be corrected

    Returns
    -------
    the same fit with ``recalibration`` and, after two years of history, ``season_helps`` set

    Raises
    ------
    ValueError
        If the outcome of a snapshot is not known yet.
    """
    if any(snapshot.as_of + timedelta(days=horizon_days) > as_of for snapshot in snapshots):
        raise ValueError("a snapshot lies within one horizon of today: its outcomes are not known yet")
    past = [snapshot for snapshot in snapshots if 0 < snapshot.returned.sum() < len(snapshot.returned)]
    if not (can_calibrate(base, horizon_days=horizon_days) and past):
        return base
    fits = [_as_ignorant(snapshot, base.behaviour, horizon_days=horizon_days) for snapshot in past]
    layer = _learn_layer(base, profiles, past, fits, as_of=as_of, horizon_days=horizon_days)
    calibrated = replace(base, recalibration=layer)
    if base.history_days < SEASON_DAYS:
        return calibrated
    return replace(calibrated, season_helps=season_gain(past, fits, horizon_days=horizon_days) >= SEASON_GAIN)


def inactivity(
    profiles: pd.DataFrame, *, fit: PopulationFit, as_of: date, horizon_days: int, seasonal: bool = False
) -> Floats:
    """Return the score of each customer: the probability of no event within the horizon after ``as_of``.

    Parameters
    ----------
    profiles : of the fit's behaviour, as of ``as_of``
    fit : its second layer is used if it was learnt for this horizon
    as_of, horizon_days : (as_of, as_of + horizon_days] is the time asked about
    seasonal : let the yearly rhythm multiply the odds of return (needs two years of history)

    Returns
    -------
    float64 in [0, 1], in the order of the rows. With a second layer it never falls as the silence grows, all else
    being equal; without one it is 1 - R as the model gives it.
    """
    layer = fit.recalibration
    if layer is not None and layer.horizon_days == horizon_days:
        score = special.expit(monotone_logit(profiles, fit=fit, layer=layer, as_of=as_of))
    else:
        silence_days = silences(profiles["last_on"], as_of)
        score = 1 - rhythm_of(profiles, fit=fit).return_probability(silence_days, horizon_days=horizon_days)
    if not seasonal or fit.history_days < SEASON_DAYS:
        return np.asarray(score)
    odds = _season_odds(profiles, fit=fit, as_of=as_of, horizon_days=horizon_days)
    return np.asarray(score / (score + odds * (1 - score)))


def season_gain(snapshots: Sequence[Snapshot], fits: Sequence[PopulationFit], *, horizon_days: int) -> float:
    """Return by how much the yearly rhythm raises the area under the curve, on average over the own past.

    The gate of the seasonal odds: only a gain of at least ``SEASON_GAIN`` is worth anything.
    """
    gains = []
    for snapshot, own in zip(snapshots, fits, strict=True):
        if own.history_days < SEASON_DAYS or snapshot.returned.all() or not snapshot.returned.any():
            continue
        plain, lifted = (
            inactivity(snapshot.profiles, fit=own, as_of=snapshot.as_of, horizon_days=horizon_days, seasonal=seasonal)
            for seasonal in (False, True)
        )
        gains.append(area_under_curve(~snapshot.returned, lifted) - area_under_curve(~snapshot.returned, plain))
    return float(np.mean(gains)) if gains else 0.0


def area_under_curve(happened: NDArray[np.bool_], score: Floats) -> float:
    """Return the chance that a score is higher where it happened than where it did not (ties count half)."""
    yes = int(happened.sum())
    no = len(happened) - yes
    ranks = pd.Series(score).rank().to_numpy()
    return float((ranks[happened].sum() - yes * (yes + 1) / 2) / (yes * no))


def _as_ignorant(snapshot: Snapshot, behaviour: str, *, horizon_days: int) -> PopulationFit:
    """Return the fit of an earlier day, from what was known then."""
    return fit(snapshot.profiles, behaviour=behaviour, as_of=snapshot.as_of, horizon_days=horizon_days)


def _learn_layer(
    base: PopulationFit,
    profiles: pd.DataFrame,
    past: Sequence[Snapshot],
    fits: Sequence[PopulationFit],
    *,
    as_of: date,
    horizon_days: int,
) -> Recalibration:
    """Return the second layer of a fit.

    Ridge logistic regression (penalty 5, standardised) on logit P(none), ln(1 + silence), ln n and the mean of
    ln gap. Each snapshot has its own population fit, so the layer is learnt from scores that were just as ignorant
    of the future as today's, and its own free intercept: the share that comes back drifts from day to day (season,
    growth, a history that was short then), and that drift must not be taken for a property of customers. What is
    learnt is who is likelier than whom; the level stays the model's own, so that the mean score of today's
    customers is what it was without the layer.
    """
    features = [
        _features(snapshot.profiles, fit=own, as_of=snapshot.as_of, horizon_days=horizon_days)
        for snapshot, own in zip(past, fits, strict=True)
    ]
    rows = profiles[profiles["behaviour"] == base.behaviour]
    today = _features(rows, fit=base, as_of=as_of, horizon_days=horizon_days)
    return _fit_layer(features, [~snapshot.returned for snapshot in past], today=today, horizon_days=horizon_days)


def _features(profiles: pd.DataFrame, *, fit: PopulationFit, as_of: date, horizon_days: int) -> Floats:
    """Return the four numbers the second layer looks at, one row a customer."""
    rhythm = rhythm_of(profiles, fit=fit)
    silence_days = silences(profiles["last_on"], as_of)
    none = 1 - rhythm.return_probability(silence_days, horizon_days=horizon_days)
    return np.column_stack([bounded_logit(none), np.log1p(silence_days), np.log(profiles["n"].to_numpy()), rhythm.mu])


def _fit_layer(
    features: Sequence[Floats], silent: Sequence[NDArray[np.bool_]], *, today: Floats, horizon_days: int
) -> Recalibration:
    """Return the second layer: weights from the past, the level from today's own scores."""
    from scipy import optimize  # noqa: PLC0415  0.4 CPU s that six nights of seven can do without

    sizes = [len(block) for block in features]
    days = np.repeat(np.arange(len(sizes)), sizes)
    numbers, outcome = np.concatenate(features), np.concatenate(silent).astype(np.float64)
    # A fixed order of the rows makes every sum below the same, however the customers were given.
    order = np.lexsort((outcome, *numbers.T, days))
    numbers, outcome, days = numbers[order], outcome[order], days[order]
    means, spreads = numbers.mean(axis=0), numbers.std(axis=0)
    spreads = np.where(spreads > 0, spreads, 1.0)
    design = np.column_stack([np.eye(len(sizes))[days], (numbers - means) / spreads])
    penalty = np.r_[np.zeros(len(sizes)), np.full(numbers.shape[1], RIDGE)]
    weights = _ridge_logistic(design, outcome, penalty)[len(sizes) :]
    relative = np.sort((today - means) / spreads @ weights)
    level = float(np.sort(special.expit(today[:, 0])).mean())
    intercept = optimize.brentq(lambda shift: special.expit(relative + shift).mean() - level, -100, 100)
    return Recalibration(
        horizon_days=horizon_days,
        intercept=float(intercept),
        weights=_four(weights),
        means=_four(means),
        spreads=_four(spreads),
        rows=len(numbers),
    )


def _four(values: Floats) -> tuple[float, float, float, float]:
    """Return four numbers as a tuple."""
    first, second, third, fourth = map(float, values)
    return first, second, third, fourth


def _ridge_logistic(design: Floats, outcome: Floats, penalty: Floats) -> Floats:
    """Return the weights that minimise log-loss + penalty · weights² / 2, by Newton's method with halved steps."""
    weights = np.zeros(design.shape[1])

    def loss(candidate: Floats) -> float:
        linear = design @ candidate
        return float(np.logaddexp(0, linear).sum() - outcome @ linear + penalty @ candidate**2 / 2)

    current = loss(weights)
    for _ in range(_NEWTON_ROUNDS):
        expected = special.expit(design @ weights)
        slope = design.T @ (outcome - expected) - penalty * weights
        curvature = (design.T * (expected * (1 - expected))) @ design + np.diag(penalty + _SMALL)
        step = np.linalg.solve(curvature, slope)
        while (reached := loss(weights + step)) > current and np.abs(step).max() > _SMALL:
            step = step / 2
        if np.abs(step).max() <= _SMALL:
            break
        weights, current = weights + step, reached
    return weights


def _season_odds(profiles: pd.DataFrame, *, fit: PopulationFit, as_of: date, horizon_days: int) -> Floats:
    """Return the factor on the odds of return: own over usual share of active days in the coming months."""
    days = np.datetime64(as_of.isoformat()) + np.arange(1, horizon_days + 1)
    months = np.unique(days.astype("datetime64[M]").astype(np.int64) % 12)
    usual = float(np.asarray(fit.month_shares)[months].sum())
    if usual <= 0:
        return np.ones(len(profiles))
    own = profiles[[MONTH_COLUMNS[month] for month in months]].to_numpy().sum(axis=1)
    n = profiles["n"].to_numpy()
    return np.asarray((own + SEASON_STRENGTH * usual) / (n + SEASON_STRENGTH) / usual)
