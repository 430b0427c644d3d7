"""Promises every threshold keeps, for any customers."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from winback.core.ladder import schedule
from winback.core.policy import Ladder, Silence, Threshold
from winback.core.population import Recalibration, fit, rhythm_of
from winback.core.recalibration import inactivity
from winback.core.rhythm import profiles_of
from winback.core.thresholds import assess

AS_OF = date(2026, 11, 1)
TRIGGER = Silence(behaviours=["purchase"])

gaps = st.lists(st.integers(1, 700), max_size=25)
shops = st.lists(st.tuples(gaps, st.integers(0, 900)), min_size=1, max_size=12)
probabilities = st.floats(0.001, 0.9)
fits = st.builds(
    lambda mu0, sigma2, tau2, stop, first_gaps: replace(
        fit(profiles_of([], np.array([], "datetime64[D]"), behaviour="purchase"), behaviour="purchase", as_of=AS_OF),
        mu0=mu0,
        sigma2=sigma2,
        tau2=tau2,
        stop=tuple(sorted(stop, reverse=True)),
        customers=5000,
        gaps=9000,
        history_days=3000,
        season_helps=None,
        **dict(zip(("first_gaps", "first_gap_mean", "first_gap_variance"), first_gaps, strict=True)),
    ),
    st.floats(0, 7),
    st.floats(0.05, 2),
    st.floats(0.05, 2),
    st.lists(probabilities, min_size=7, max_size=7),
    st.tuples(st.sampled_from([0, 500]), st.floats(0, 7), st.floats(0, 5)),
)
layers = st.builds(
    lambda weights, intercept, horizon_days: Recalibration(
        horizon_days, intercept, weights, (0.5, 3.5, 1.0, 3.4), (1.5, 1.2, 0.8, 0.6), 4000
    ),
    st.tuples(st.floats(0, 2), st.floats(-2, 2), st.floats(-1, 1), st.floats(-1, 1)),
    st.floats(-3, 3),
    st.sampled_from([30, 90, 365]),
)


def profiles(shop):
    ids, days = [], []
    for customer, (own, silence_days) in enumerate(shop):
        places = np.cumsum([0, *own])
        ids += [f"{customer:03d}"] * len(places)
        days += list(np.datetime64(AS_OF) - silence_days - places[-1] + places)
    return profiles_of(ids, np.array(days), behaviour="purchase")


def rhythms(frame, population, **threshold):
    return assess(frame, fits={"purchase": population}, threshold=Threshold(**threshold), trigger=TRIGGER, as_of=AS_OF)


@given(shops, fits, st.sampled_from([30, 90, 365]), st.integers(1, 60), st.integers(60, 3000))
@settings(max_examples=60, deadline=None)
def test_thresholds_never_fall_and_keep_to_the_bounds(shop, population, horizon_days, floor_days, ceiling_days):
    found = rhythms(
        profiles(shop), population, horizon_days=horizon_days, floor_days=floor_days, ceiling_days=ceiling_days
    )
    first, second, third = (found[f"threshold_{step}_days"] for step in (1, 2, 3))
    assert (first <= second).all()
    assert (second <= third).all()
    assert first.between(floor_days, ceiling_days).all()
    assert found["return_probability"].between(0, 1).all()
    assert found["sentence"].str.startswith("Threshold ").all()
    assert found["sentence"].str.endswith(".").all()
    one_off = found["n"] == 1
    assert (second[one_off] >= 1.5 * first[one_off] - 2).all()  # whole days
    assert (third[one_off] >= 2 * first[one_off] - 2).all()


@given(shops, fits, layers, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_customer_does_not_depend_on_the_others(shop, population, layer, random):
    frame = profiles(shop)
    population = replace(population, recalibration=layer)
    together = rhythms(frame, population, horizon_days=layer.horizon_days)
    order = list(range(len(frame)))
    random.shuffle(order)
    cut = random.randint(0, len(order))
    parts = [
        rhythms(frame.iloc[rows], population, horizon_days=layer.horizon_days) for rows in (order[:cut], order[cut:])
    ]
    apart = pd.concat([part for part in parts if len(part)]).sort_values("customer_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(apart, together, check_exact=True)


@given(shops, fits, layers)
@settings(max_examples=40, deadline=None)
def test_a_recalibrated_score_never_falls_as_the_silence_grows(shop, population, layer):
    frame = profiles([(own, 0) for own, _ in shop])
    population = replace(population, recalibration=layer)
    silences = [*range(0, 60, 3), 61, 62, 90, 120, 200, 365, 366, 1000, 3000, 12_000]
    scores = np.stack(
        [
            inactivity(frame, fit=population, as_of=AS_OF + timedelta(days=days), horizon_days=layer.horizon_days)
            for days in silences
        ]
    )
    assert (np.diff(scores, axis=0) >= 0).all()


@given(shops, fits)
@settings(max_examples=40, deadline=None)
def test_the_chance_of_having_stopped_only_grows_with_the_silence(shop, population):
    rhythm = rhythm_of(profiles(shop), fit=population)
    chances = np.stack(
        [rhythm.stopped_probability(np.full(len(rhythm), days)) for days in (0, 1, 5, 30, 90, 400, 4000)]
    )
    assert (np.diff(chances, axis=0) >= 0).all()


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(0, 50)), min_size=2, max_size=8
    )
)
@settings(max_examples=40, deadline=None)
def test_time_has_no_unit(shop):
    """Everything three times as slow: gaps and clocks are three times as long, and nobody is likelier to stop."""
    slow = [([3 * gap for gap in own], 3 * silence_days) for own, silence_days in shop]
    fast_frame, slow_frame = profiles(shop), profiles(slow)
    fast_fit, slow_fit = (fit(frame, behaviour="purchase", as_of=AS_OF) for frame in (fast_frame, slow_frame))
    assert np.isclose(slow_fit.mu0, fast_fit.mu0 + np.log(3))
    assert np.allclose([slow_fit.sigma2, slow_fit.tau2], [fast_fit.sigma2, fast_fit.tau2], rtol=1e-6)
    own, other = rhythm_of(fast_frame, fit=fast_fit), rhythm_of(slow_frame, fit=slow_fit)
    assert np.allclose(other.overdue_days(0.75), 3 * own.overdue_days(0.75), rtol=1e-6)


@given(shops, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_fit_does_not_depend_on_the_order_of_the_customers(shop, random):
    frame = profiles(shop)
    order = list(range(len(frame)))
    random.shuffle(order)
    found = fit(frame, behaviour="purchase", as_of=AS_OF)
    assert fit(frame.iloc[order], behaviour="purchase", as_of=AS_OF).fit_id == found.fit_id
    assert all(0 < stop < 1 for stop in found.stop)


@given(
    shops,
    fits,
    st.sampled_from(["anchored", "calendar", "multiple", "probability"]),
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_steps_keep_their_distance_and_the_first_one_is_the_lapse(shop, population, mode, apart, least):
    days = [int(day) for day in 30 + np.cumsum([extra + least for extra in apart])]
    steps = [{"day": day, "kind": "message", "channels": ["email"], "template": "hello"} for day in days]
    ladder = Ladder.model_validate({"mode": mode, "steps": steps, "min_days_between": least, "one_offs": "ladder"})
    found = schedule(rhythms(profiles(shop), population), ladder=ladder, trigger=TRIGGER, as_of=AS_OF)
    due = found[[f"due_{step}_days" for step in range(1, len(days) + 1)]].to_numpy()
    assert len(found) == len(shop)
    assert (np.diff(due, axis=1) >= least).all()
    assert (due[:, 0] == found["threshold_days"]).all()
    lapsed_on = found["last_on"] + pd.to_timedelta(found["threshold_days"], unit="D")
    assert (lapsed_on == found["lapsed_on"]).all()
