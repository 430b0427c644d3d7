"""The second layer: learnt from the past alone, never falling as a silence grows, off where it has no ground."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy import optimize, special

from winback.core.population import Recalibration, fit, rhythm_of
from winback.core.recalibration import (
    Snapshot,
    _features,
    _fit_layer,
    _ridge_logistic,
    area_under_curve,
    calibrate,
    can_calibrate,
    inactivity,
    season_gain,
    snapshot_dates,
)
from winback.core.rhythm import MONTH_COLUMNS, profiles_of, silences

AS_OF = date(2026, 11, 1)
HORIZON_DAYS = 60


def shop(*, customers=1200, seed=5, years=1.2, as_of=AS_OF):
    """Return ids and days of a seeded shop in which some customers stop."""
    random = np.random.default_rng(seed)
    ids, days = [], []
    for customer in range(customers):
        day, usual = random.integers(0, int(200 * years)), np.exp(random.normal(3.3, 0.5))
        while day <= years * 365:
            ids.append(f"{customer:05d}")
            days.append(day)
            if random.random() < 0.25:
                break
            day += 1 + int(random.exponential(usual))
    start = np.datetime64(as_of) - int(years * 365)
    return np.array(ids, dtype=object), start + np.array(days)


def as_known(ids, days, on):
    known = days <= np.datetime64(on)
    return profiles_of(ids[known], days[known], behaviour="purchase")


def snapshot(ids, days, on, horizon_days=HORIZON_DAYS):
    profiles = as_known(ids, days, on)
    soon = (days > np.datetime64(on)) & (days <= np.datetime64(on) + horizon_days)
    return Snapshot(on, profiles, profiles["customer_id"].isin(np.unique(ids[soon])).to_numpy())


@pytest.fixture(scope="module")
def learnt():
    ids, days = shop()
    profiles = as_known(ids, days, AS_OF)
    base = fit(profiles, behaviour="purchase", as_of=AS_OF, horizon_days=HORIZON_DAYS)
    past = [snapshot(ids, days, on) for on in snapshot_dates(AS_OF, horizon_days=HORIZON_DAYS)]
    return profiles, base, past, calibrate(base, profiles, past, as_of=AS_OF, horizon_days=HORIZON_DAYS)


def test_the_past_is_1_15_2_and_25_horizons_back():
    back = [(AS_OF - on).days for on in snapshot_dates(AS_OF, horizon_days=45)]
    assert back == [45, 68, 90, 113]  # half days are rounded away from today, so that the outcome is known


@pytest.mark.parametrize(
    ("customers", "history_days", "allowed"), [(1000, 120, True), (999, 120, False), (1000, 119, False)]
)
def test_it_needs_1000_customers_and_two_horizons(learnt, customers, history_days, allowed):
    base = replace(learnt[1], customers=customers, history_days=history_days)
    assert can_calibrate(base, horizon_days=60) is allowed


def test_without_enough_past_the_fit_stays_as_it_is(learnt):
    profiles, base, past, _ = learnt
    small = replace(base, customers=999)
    assert calibrate(small, profiles, past, as_of=AS_OF, horizon_days=HORIZON_DAYS) is small
    assert calibrate(base, profiles, [], as_of=AS_OF, horizon_days=HORIZON_DAYS) is base


def test_an_outcome_that_is_not_known_yet_is_refused(learnt):
    profiles, base, past, _ = learnt
    early = Snapshot(AS_OF - timedelta(days=HORIZON_DAYS - 1), past[0].profiles, past[0].returned)
    with pytest.raises(ValueError, match="not known yet"):
        calibrate(base, profiles, [early], as_of=AS_OF, horizon_days=HORIZON_DAYS)


def test_the_four_numbers_it_looks_at(learnt):
    profiles, base, _, _ = learnt
    rhythm, silent = rhythm_of(profiles, fit=base), silences(profiles["last_on"], AS_OF)
    none = 1 - rhythm.return_probability(silent, horizon_days=HORIZON_DAYS)
    features = _features(profiles, fit=base, as_of=AS_OF, horizon_days=HORIZON_DAYS)
    inside = (none > 1e-6) & (none < 1 - 1e-6)
    assert features[inside, 0] == pytest.approx(np.log(none / (1 - none))[inside])
    assert features[:, 1] == pytest.approx(np.log(1 + silent))
    assert features[:, 2] == pytest.approx(np.log(profiles["n"]))
    assert features[:, 3] == pytest.approx(rhythm.mu)


def test_weights_minimise_the_penalised_loss_with_a_free_intercept_per_day():
    random = np.random.default_rng(1)
    blocks = [random.normal(size=(300, 4)) * [1, 2, 3, 4] + shift for shift in (0, 1)]
    silent = [
        random.random(300) < special.expit(block[:, 0] - 0.1 * block[:, 3] + shift)
        for shift, block in enumerate(blocks)
    ]
    layer = _fit_layer(blocks, silent, today=blocks[1], horizon_days=60)
    numbers, outcome = np.concatenate(blocks), np.concatenate(silent)
    scaled = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)

    def loss(values):
        linear = np.repeat(values[:2], 300) + scaled @ values[2:]
        return np.logaddexp(0, linear).sum() - linear[outcome].sum() + 5 / 2 * (values[2:] ** 2).sum()

    best = optimize.minimize(loss, np.zeros(6), method="BFGS").x
    assert layer.weights == pytest.approx(best[2:], abs=1e-4)
    # The level is the model's own: the mean of today's scores is what it was.
    today = (blocks[1] - layer.means) / layer.spreads @ layer.weights + layer.intercept
    assert special.expit(today).mean() == pytest.approx(special.expit(blocks[1][:, 0]).mean())


def test_a_newton_step_that_overshoots_is_halved():
    # A rare outcome and heavy tails: full steps run off to infinity on these rows.
    random = np.random.default_rng(2936)
    rows = int(random.integers(20, 200))
    numbers = random.standard_t(1.2, size=(rows, 4))
    outcome = (random.random(rows) < random.random() * 0.2).astype(float)
    design, penalty = np.column_stack([np.ones(rows), numbers]), np.array([0.0, 5, 5, 5, 5])
    weights = _ridge_logistic(design, outcome, penalty)
    slope = design.T @ (outcome - special.expit(design @ weights)) - penalty * weights
    assert np.abs(slope).max() < 1e-6


def test_separable_outcomes_do_not_run_away():
    numbers = np.column_stack([np.linspace(-9, 9, 400)] * 4)
    layer = _fit_layer([numbers], [numbers[:, 0] > 0], today=numbers, horizon_days=60)
    assert np.abs(layer.weights).max() < 20


def test_the_order_of_customers_changes_nothing(learnt):
    profiles, base, past, fitted = learnt
    random = np.random.default_rng(0)
    mixed = []
    for one in past:
        order = random.permutation(len(one.profiles))
        mixed.append(Snapshot(one.as_of, one.profiles.iloc[order], one.returned[order]))
    shuffled = profiles.sample(frac=1, random_state=1)
    again = fit(shuffled, behaviour="purchase", as_of=AS_OF, horizon_days=HORIZON_DAYS)
    assert again.fit_id == base.fit_id
    assert calibrate(again, shuffled, mixed, as_of=AS_OF, horizon_days=HORIZON_DAYS).fit_id == fitted.fit_id


def test_scores_stay_close_to_the_layer_itself(learnt):
    profiles, base, _, fitted = learnt
    layer = fitted.recalibration
    features = _features(profiles, fit=base, as_of=AS_OF, horizon_days=HORIZON_DAYS)
    plain = special.expit((features - layer.means) / layer.spreads @ layer.weights + layer.intercept)
    told = inactivity(profiles, fit=fitted, as_of=AS_OF, horizon_days=HORIZON_DAYS)
    assert np.abs(told - plain).mean() < 0.01


def test_a_layer_for_another_horizon_is_not_used(learnt):
    profiles, base, _, fitted = learnt
    told = inactivity(profiles, fit=fitted, as_of=AS_OF, horizon_days=90)
    rhythm, silent = rhythm_of(profiles, fit=base), silences(profiles["last_on"], AS_OF)
    assert told == pytest.approx(1 - rhythm.return_probability(silent, horizon_days=90))


@pytest.mark.parametrize("recency_weight", [-3.0, -0.5, 0.0, 1.0])
def test_a_longer_silence_never_lowers_the_score(learnt, recency_weight):
    profiles, base, _, fitted = learnt
    layer = fitted.recalibration
    weights = (layer.weights[0], recency_weight, *layer.weights[2:])
    odd = replace(base, recalibration=replace(layer, weights=weights))
    some = profiles.sort_values("n").iloc[[0, 300, 800, -20, -1]]
    last = date(2026, 1, 1)
    # The same customers, looked at later and later.
    scores = np.stack(
        [
            inactivity(
                some.assign(last_on=np.datetime64(last, "s")), fit=odd, as_of=last + timedelta(days=s), horizon_days=60
            )
            for s in [*range(120), 150, 200, 365, 1000, 5000, 20_000]
        ]
    )
    assert (np.diff(scores, axis=0) >= 0).all()


def test_the_dip_after_the_last_active_day_is_flat_and_then_the_maximum_runs():
    # A clockwork customer with a gap of 100 days and a horizon of 30: right after an active day no return is due.
    day = np.datetime64("2026-01-01")
    steady = profiles_of(["a"] * 12, day + 100 * np.arange(-11, 1), behaviour="purchase")
    base = replace(
        fit(steady, behaviour="purchase", as_of=date(2026, 1, 1)),
        stop=(0.05,) * 7,
        recalibration=Recalibration(30, 0.0, (1.0, 0.0, 0.0, 0.0), (0.0,) * 4, (1.0,) * 4, 1),
    )
    raw, told = {}, {}
    for silent in (0, 30, 60, 90, 97, 110, 140, 200):
        as_of = date(2026, 1, 1) + timedelta(days=silent)
        told[silent] = inactivity(steady, fit=base, as_of=as_of, horizon_days=30)[0]
        raw[silent] = 1 - rhythm_of(steady, fit=base).return_probability(silent, horizon_days=30)[0]
    assert raw[0] > raw[60] > raw[90]  # the formula alone falls first
    assert told[0] == told[30] == told[60]
    assert told[0] == pytest.approx(min(raw.values()), abs=0.05)
    assert told[200] == pytest.approx(raw[200], abs=0.01)


def test_area_under_curve_counts_ties_half():
    happened = np.array([True, False, True, False])
    assert area_under_curve(happened, np.array([0.9, 0.1, 0.5, 0.5])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)


def test_season_multiplies_the_odds_of_return():
    ids = ["winter"] * 6 + ["summer"] * 6
    days = [f"{year}-{month}" for month in ("12-20", "06-20") for year in range(2020, 2026)]
    profiles = profiles_of(ids, np.array(days, dtype="datetime64[D]"), behaviour="purchase")
    as_of = date(2026, 5, 31)
    base = fit(profiles, behaviour="purchase", as_of=as_of, horizon_days=30)
    plain = inactivity(profiles, fit=base, as_of=as_of, horizon_days=30)
    lifted = inactivity(profiles, fit=base, as_of=as_of, horizon_days=30, seasonal=True)
    # The coming 30 days are June: half of all active days. Summer: (6 + 1.5) / 9 / .5; winter: (0 + 1.5) / 9 / .5
    odds = lifted / (1 - lifted) / (plain / (1 - plain))
    assert odds == pytest.approx([9 * 0.5 / 7.5, 9 * 0.5 / 1.5])


def test_season_needs_two_years():
    profiles = profiles_of(
        ["a"] * 3, np.array(["2025-01-01", "2025-06-01", "2026-01-01"], "datetime64[D]"), behaviour="purchase"
    )
    base = fit(profiles, behaviour="purchase", as_of=date(2026, 12, 30), horizon_days=30)
    ask = {"fit": base, "as_of": date(2026, 12, 30), "horizon_days": 30}
    assert base.history_days == 728
    assert inactivity(profiles, **ask, seasonal=True) == pytest.approx(inactivity(profiles, **ask))


def test_a_month_nobody_buys_in_changes_nothing():
    profiles = profiles_of(
        ["a"] * 3, np.array(["2023-01-01", "2024-01-01", "2025-01-01"], "datetime64[D]"), behaviour="purchase"
    )
    ask = {
        "fit": fit(profiles, behaviour="purchase", as_of=date(2025, 5, 31)),
        "as_of": date(2025, 5, 31),
        "horizon_days": 30,
    }
    assert inactivity(profiles, **ask, seasonal=True) == pytest.approx(inactivity(profiles, **ask))


@pytest.mark.parametrize("yearly", [True, False])
def test_the_gate_lets_the_season_in_only_where_it_helped(yearly):
    random = np.random.default_rng(3)
    ids, days = [], []
    for customer in range(1200):
        month = random.integers(0, 12)
        if yearly:  # always the same month, but not every year: the silence alone does not tell
            own = [365 * year + 30 * month + random.integers(0, 25) for year in range(7) if random.random() < 0.6]
        else:
            own = np.cumsum(random.exponential(400, size=12)).astype(int)
        ids += [f"{customer:04d}"] * len(own)
        days += [np.datetime64("2019-01-01") + int(day) for day in own]
    ids, days = np.array(ids, dtype=object), np.array(days)
    as_of = date(2025, 6, 1)
    profiles = as_known(ids, days, as_of)
    base = fit(profiles, behaviour="purchase", as_of=as_of, horizon_days=60)
    known = days <= np.datetime64(as_of)
    past = [snapshot(ids[known], days[known], on) for on in snapshot_dates(as_of, horizon_days=60)]
    assert calibrate(base, profiles, past, as_of=as_of, horizon_days=60).season_helps is yearly


def test_the_gate_ignores_days_without_both_outcomes(learnt):
    one = learnt[2][0]
    nobody = Snapshot(one.as_of, one.profiles, np.zeros(len(one.profiles), dtype=bool))
    long_known = replace(learnt[1], history_days=1000)
    assert season_gain([nobody], [long_known], horizon_days=60) == 0


def test_months_are_the_twelve_columns():
    assert (MONTH_COLUMNS[0], MONTH_COLUMNS[11], len(MONTH_COLUMNS)) == ("month_01", "month_12", 12)
