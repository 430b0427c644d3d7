"""How long a silence is too long, for each customer and behaviour.

In: profiles, the population's fits, and what the policy says about thresholds. Out: one row per customer and
behaviour with three thresholds, every number behind them, and a sentence. A threshold is the later of two clocks:
overdue for this customer, and unlikely to come back alone. Must never happen: thresholds that fall from one step to
the next, or that depend on which other customers are in the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core import population, sentences
from winback.core.recalibration import inactivity
from winback.core.return_clock import SurvivalTable, return_clock
from winback.core.rhythm import LOG_UNIT, silences
from winback.core.sending_frequency import ANSWERS, ignored_days, sending_days_per_day, usual_limit_days

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from numpy.typing import NDArray

    from winback.core.policy import Silence, Threshold
    from winback.core.population import PopulationFit
    from winback.core.rhythm import Rhythm

    Floats = NDArray[np.float64]

OVERDUE_SHARE = 0.75
NUDGE_SHARE = 0.975
NUDGE_ACTIVE_DAYS = 10
GONE_SHARES = (0.50, 0.75, 0.90)
STEP_RATIOS = (1.0, 1.5, 2.0)
"""Second and third threshold as multiples of the first, where a rule gives one number only."""

RHYTHM_COLUMNS = (
    *("customer_id", "behaviour", "is_weak", "n", "first_on", "last_on", "silence_days"),
    *("usual_gap_days", "own_gap_days", "population_gap_days", "stop_probability", "overdue_days", "nudge_days"),
    *("threshold_1_days", "threshold_2_days", "threshold_3_days", "return_probability", "basis", "fit_id", "sentence"),
)


def assess(
    profiles: pd.DataFrame,
    *,
    fits: Mapping[str, PopulationFit],
    threshold: Threshold,
    trigger: Silence,
    categories: pd.Series | None = None,
    as_of: date,
) -> pd.DataFrame:
    """Return the thresholds of every customer for every behaviour the trigger names.

    Parameters
    ----------
    profiles : one row per customer and behaviour, counting events up to ``as_of``
    fits : the population's fit of each behaviour; a missing one reads as too little data
    threshold : horizon, floors, ceilings, sending frequency and defaults of the policy
    trigger : the counted and the weak behaviours
    categories : category of each customer, indexed by customer_id; needed where the policy has ``by_category``
    as_of : the day of the question

    Returns
    -------
    the columns ``RHYTHM_COLUMNS``, in the order of the profiles. Thresholds are whole days (int64): the customer has
    crossed one when ``silence_days`` has reached it. ``nudge_days`` is NaN under 10 active days, ``own_gap_days``
    under 2. ``basis`` names the rule that set the first threshold: overdue_clock, return_clock, one_off, sends,
    sending_frequency, default_days, floor or ceiling.

    Notes
    -----
    Floor and ceiling bind the first threshold, 1.5 and 2 times floor and ceiling the second and the third, so that a
    bound neither reorders the steps nor makes them fall together.
    """
    parts = [
        _assess_behaviour(
            rows,
            fit=fits.get(behaviour) or population.fit(rows[:0], behaviour=behaviour, as_of=as_of),
            threshold=threshold,
            categories=categories,
            as_of=as_of,
        ).assign(is_weak=behaviour in trigger.weak)
        for behaviour in (*trigger.behaviours, *trigger.weak)
        if len(rows := profiles[profiles["behaviour"] == behaviour])
    ]
    if not parts:
        return _nobody()
    joined = parts[0] if len(parts) == 1 else pd.concat(parts).sort_index(kind="stable")
    return joined[list(RHYTHM_COLUMNS)].reset_index(drop=True)


def _nobody() -> pd.DataFrame:
    """Return no row, with every column of its type: a small shard may hold nobody who does what a trigger counts."""
    kinds = dict.fromkeys(("customer_id", "behaviour", "basis", "fit_id", "sentence"), "str")
    kinds |= {"is_weak": "bool"} | dict.fromkeys(("first_on", "last_on"), "datetime64[s]")
    whole = ("n", "silence_days", "threshold_1_days", "threshold_2_days", "threshold_3_days")
    kinds |= dict.fromkeys(whole, "int64")
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "float64")) for name in RHYTHM_COLUMNS})


def overdue_clock(rhythm: Rhythm, n: NDArray[np.int64], *, fit: PopulationFit) -> Floats:
    """Return the days that a quarter of the silences outlast by chance.

    The own silences; after a single active day those between the first and the second day of others, where enough came
    a second time. All gaps together would mislead: they are mostly those of frequent customers.
    """
    days = rhythm.overdue_days(OVERDUE_SHARE)
    return np.where(n == 1, fit.first_gap_days(OVERDUE_SHARE), days) if fit.knows_first_gaps else days


def own_thresholds(
    rhythm: Rhythm, n: NDArray[np.int64], *, fit: PopulationFit, horizon_days: int
) -> tuple[Floats, Floats]:
    """Return the overdue clock and the three thresholds of the model, before any policy.

    Parameters
    ----------
    rhythm : the customers
    n : their active days; after a single one the three thresholds would fall together and are spread out
    fit : the population the customers were drawn from
    horizon_days : H

    Returns
    -------
    overdue days (customers), thresholds in days (3 x customers), T_k = max(overdue, return clock)

    Notes
    -----
    After a single active day T_1 is the overdue clock alone where that is the one of first gaps: where many never come
    a second time the return clock is earlier anyway, and only one touch follows.
    """
    overdue_days = overdue_clock(rhythm, n, fit=fit)
    # Customers of a single active day are all alike, and often the most: the first of them is asked for all.
    asked = np.r_[np.flatnonzero(n == 1)[:1], np.flatnonzero(n > 1)]
    answers = np.zeros(len(n), dtype=np.intp)
    answers[asked] = np.arange(len(asked))
    table = SurvivalTable.of(rhythm[asked])
    days = overdue_days[asked]
    found = []
    for share in GONE_SHARES:
        days = return_clock(rhythm[asked], share=share, horizon_days=horizon_days, start_days=days, table=table)
        found.append(days[answers])
    thresholds = np.stack(found)
    if fit.knows_first_gaps:
        thresholds[0] = np.where(n == 1, overdue_days, thresholds[0])
    spread = np.where(n == 1, np.asarray(STEP_RATIOS)[:, None] * thresholds[0], thresholds)
    return overdue_days, np.maximum(thresholds, spread)


def _assess_behaviour(
    profiles: pd.DataFrame, *, fit: PopulationFit, threshold: Threshold, categories: pd.Series | None, as_of: date
) -> pd.DataFrame:
    """Return the rhythms of one behaviour, with the index of the profiles."""
    horizon_days = threshold.horizon_days
    rhythm = population.rhythm_of(profiles, fit=fit)
    n = profiles["n"].to_numpy()
    seasonal = threshold.seasonal and fit.season_helps is True
    score = inactivity(profiles, fit=fit, as_of=as_of, horizon_days=horizon_days, seasonal=seasonal)
    own_gap_days = np.exp(profiles["log_gap_sum"].to_numpy() / LOG_UNIT / np.maximum(n - 1, 1))
    rows = profiles[["customer_id", "behaviour", "n", "first_on", "last_on"]].assign(
        silence_days=silences(profiles["last_on"], as_of),
        usual_gap_days=np.exp(rhythm.mu),
        own_gap_days=np.where(n > 1, own_gap_days, np.nan),
        population_gap_days=float(np.exp(fit.mu0)),
        stop_probability=rhythm.stop,
        return_probability=1 - score,
        fit_id=pd.Series(fit.fit_id, index=profiles.index, dtype="str"),
    )
    rows, days, basis = _apply_rule(rows, rhythm, fit=fit, threshold=threshold, as_of=as_of)
    model_days = np.ceil(np.round(days, 6)).astype(np.int64)  # the first whole day of silence past the clock
    bounded = _bound(model_days, profiles["customer_id"], threshold=threshold, categories=categories)
    for step, step_days in enumerate(bounded, start=1):
        rows[f"threshold_{step}_days"] = step_days
    is_raised, is_lowered = bounded[0] > model_days[0], bounded[0] < model_days[0]
    basis = sentences.choose(is_raised, "floor", sentences.choose(is_lowered, "ceiling", basis))
    told = _tell(rows, rhythm, fit=fit, threshold=threshold, is_moved=is_raised | is_lowered)
    told = sentences.finish(told, threshold_days=bounded[0], model_days=model_days[0])
    texts = {"basis": basis, "sentence": told}
    return rows.assign(**{name: sentences.as_text(text).set_axis(rows.index) for name, text in texts.items()})


def _apply_rule(
    rows: pd.DataFrame, rhythm: Rhythm, *, fit: PopulationFit, threshold: Threshold, as_of: date
) -> tuple[pd.DataFrame, Floats, sentences.Text]:
    """Return the rows with overdue_days and nudge_days, the three thresholds in days, and the rule that set them."""
    n, sends_per_month = rows["n"].to_numpy(), threshold.sends_per_month
    ratios = np.asarray(STEP_RATIOS)[:, None]
    if fit.quality_for(threshold.horizon_days) == "too_little":
        known = sends_per_month is not None
        limit_days = usual_limit_days(sends_per_month) if sends_per_month is not None else float(threshold.default_days)
        days = np.full(len(rows), limit_days)
        basis = "sending_frequency" if known else "default_days"
        return rows.assign(overdue_days=days, nudge_days=np.nan), ratios * days, basis
    nudge_days = np.where(n >= NUDGE_ACTIVE_DAYS, rhythm.overdue_days(NUDGE_SHARE), np.nan)
    if fit.behaviour in ANSWERS and sends_per_month is not None:
        ignored = ignored_days(rows, fit=fit, sends_per_month=sends_per_month, as_of=as_of)
        days = np.maximum(ignored, usual_limit_days(sends_per_month))
        overdue_days = overdue_clock(rhythm, n, fit=fit)
        ruled = rows.assign(overdue_days=overdue_days, nudge_days=nudge_days, ignored_days=ignored)
        return ruled, ratios * days, "sends"
    overdue_days, days = own_thresholds(rhythm, n, fit=fit, horizon_days=threshold.horizon_days)
    clock = sentences.choose(days[0] > overdue_days, "return_clock", "overdue_clock")
    basis = sentences.choose(n == 1, "one_off", clock)
    return rows.assign(overdue_days=overdue_days, nudge_days=nudge_days), days, basis


def _bound(
    days: NDArray[np.int64], customer_ids: pd.Series, *, threshold: Threshold, categories: pd.Series | None
) -> NDArray[np.int64]:
    """Return the thresholds (3 x customers) within the floor and the ceiling of each customer's category."""
    floor = np.full(len(customer_ids), threshold.floor_days)
    ceiling = np.full(len(customer_ids), threshold.ceiling_days)
    if threshold.by_category and categories is not None:
        own = categories.reindex(customer_ids).to_numpy()
        for category, bounds in threshold.by_category.items():
            floor[own == category], ceiling[own == category] = bounds.floor_days, bounds.ceiling_days
    ratios = np.asarray(STEP_RATIOS)[:, None]
    return np.clip(days, np.ceil(ratios * floor), np.ceil(ratios * ceiling)).astype(np.int64)


def _tell(
    rows: pd.DataFrame, rhythm: Rhythm, *, fit: PopulationFit, threshold: Threshold, is_moved: NDArray[np.bool_]
) -> object:
    """Return the sentence of each row, still open at its end."""
    quality = fit.quality_for(threshold.horizon_days)
    sends_per_month = threshold.sends_per_month
    if quality == "too_little":
        return sentences.prior_sentences(rows, fit=fit, sends_per_month=sends_per_month)
    if "ignored_days" in rows and sends_per_month is not None:
        sends = rows["ignored_days"] * sending_days_per_day(sends_per_month)
        return sentences.answer_sentences(
            rows.assign(ignored_sends=sends),
            behaviour=fit.behaviour,
            sends_per_month=sends_per_month,
            limit_days=usual_limit_days(sends_per_month),
        )
    # The return clock itself makes it fewer than half, where it was asked and no floor or ceiling moved the threshold.
    is_open = is_moved | ((rows["n"].to_numpy() == 1) & fit.knows_first_gaps)
    back = np.zeros(len(rows))
    open_days = rows["threshold_1_days"].to_numpy()[is_open]
    back[is_open] = rhythm[is_open].return_probability(open_days, horizon_days=threshold.horizon_days)
    return sentences.rhythm_sentences(
        rows.assign(return_at_threshold=back),
        fit=fit,
        horizon_days=threshold.horizon_days,
        is_small=quality == "fitted_small",
    )
