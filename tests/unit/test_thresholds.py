"""Thresholds per customer: both clocks by brute force, bounds, priors, and which rule is said to have applied."""

from dataclasses import replace
from math import ceil, exp, log, sqrt

import numpy as np
import pandas as pd
import pytest
from rhythm_world import AS_OF, profiles
from scipy import stats

from winback.core.policy import Bounds, Silence, Threshold
from winback.core.population import fit
from winback.core.thresholds import RHYTHM_COLUMNS, assess

PURCHASES = Silence(behaviours=["purchase"])
CLICKS = Silence(behaviours=["click"])


def population(behaviour="purchase", **changes):
    """Return a large shop's fit with round parameters: usual gap 36 days."""
    empty = fit(profiles({}), behaviour=behaviour, as_of=AS_OF)
    values = {"mu0": log(36), "sigma2": 0.8, "tau2": 0.4, "stop": (0.5, 0.25, 0.15, 0.1, 0.05, 0.01, 0.004)}
    size = {"customers": 5000, "gaps": 20_000, "history_days": 900}
    return replace(empty, **(values | size | changes))


def rhythms(profiles, *, shop=None, trigger=PURCHASES, categories=None, **threshold):
    shop = shop or population()
    return assess(
        profiles,
        fits={shop.behaviour: shop},
        threshold=Threshold(**({"ceiling_days": 5000, "floor_days": 1} | threshold)),
        trigger=trigger,
        categories=categories,
        as_of=AS_OF,
    )


def clocks_by_hand(gaps, shop, *, horizon_days):
    """Return overdue days and the three thresholds by the sheet's formulas and a walk in hundredths of a day."""
    k, kappa, logs = len(gaps), shop.sigma2 / shop.tau2, [log(gap) for gap in gaps]
    mean = sum(logs) / k if k else 0
    mu = (sum(logs) + kappa * shop.mu0) / (k + kappa)
    within = sum((value - mean) ** 2 for value in logs)
    variance = (4 * shop.sigma2 + within + k * kappa / (k + kappa) * (mean - shop.mu0) ** 2) / (4 + k)
    spread = sqrt(variance * (1 + 1 / (k + kappa)))
    band = next(i for i, end in enumerate((1, 2, 3, 5, 9, 19, 10**9)) if k + 1 <= end)
    days = np.arange(0.5, 15 * horizon_days, 0.01)
    now, later = (stats.t.sf((np.log(value) - mu) / spread, df=4 + k) for value in (days, days + horizon_days))
    stopped = shop.stop[band] / (shop.stop[band] + (1 - shop.stop[band]) * now)
    none = 1 - (1 - stopped) * (1 - later / now)
    overdue = exp(mu + spread * stats.t.ppf(0.75, df=4 + k))
    clocks = [days[np.argmax((none > share) & (days >= overdue))] for share in (0.5, 0.75, 0.9)]
    found = [max(overdue, clock) for clock in clocks]
    return overdue, [found[0], max(found[1], 1.5 * found[0]), max(found[2], 2 * found[0])] if not k else found


GROCERY = [7, 6, 8, 7, 14, 7, 7, 6, 7, 8, 7, 7]
CAR = [1400, 1700]


@pytest.mark.parametrize(
    ("gaps", "changes", "horizon_days"),
    [
        (GROCERY, {}, 60),
        ([20, 40, 25, 31, 19, 33, 22], {}, 90),
        ([10], {}, 90),
        ([], {}, 90),
        ([], {"stop": (0.05,) * 7}, 90),
        (CAR, {"mu0": log(1500), "sigma2": 0.1, "tau2": 0.05, "history_days": 6000}, 365),
        ([1] * 25, {"mu0": log(2), "stop": (0.02,) * 7}, 30),
    ],
    ids=["grocery", "eight", "two", "one", "one_that_rarely_stops", "car", "daily_visitor"],
)
def test_thresholds_are_the_later_of_the_two_clocks(gaps, changes, horizon_days):
    shop = population(**changes)
    row = rhythms(profiles({"a": gaps}), shop=shop, horizon_days=horizon_days).iloc[0]
    overdue, expected = clocks_by_hand(gaps, shop, horizon_days=horizon_days)
    assert row["overdue_days"] == pytest.approx(overdue)
    told = [row[f"threshold_{step}_days"] for step in (1, 2, 3)]
    assert told == pytest.approx([ceil(days) for days in expected], abs=1)
    assert row["basis"] == (
        "one_off" if not gaps else "return_clock" if expected[0] > overdue + 0.02 else "overdue_clock"
    )


def test_a_single_purchase_spreads_its_thresholds():
    row = rhythms(profiles({"a": []})).iloc[0]
    first = row["overdue_days"]  # with half of the customers stopping, the return clock never rules
    assert [row[f"threshold_{step}_days"] for step in (1, 2, 3)] == [ceil(first), ceil(1.5 * first), ceil(2 * first)]


FIRST_GAPS = {"first_gaps": 50, "first_gap_mean": log(80), "first_gap_variance": 0.25}
FIRST_GAP_CLOCK = 80 * exp(0.67449 * 0.5)  # 112.1 days


def first_three(row):
    return [row[f"threshold_{step}_days"] for step in (1, 2, 3)]


def test_a_single_purchase_waits_as_long_as_others_did_for_their_second():
    frame = profiles({"once": [], "twice": [20]})
    # So few stop and so long are the gaps that the return clock would wait much longer.
    loyal = {"mu0": log(400), "sigma2": 0.1, "tau2": 0.05, "stop": (0.01,) * 7}
    before = rhythms(frame, shop=population(**loyal), horizon_days=365).set_index("customer_id")
    found = rhythms(frame, shop=population(**loyal, **FIRST_GAPS), horizon_days=365).set_index("customer_id")
    assert found.loc["once", "overdue_days"] == pytest.approx(FIRST_GAP_CLOCK, rel=1e-5)
    assert found.loc["once", "threshold_1_days"] == ceil(FIRST_GAP_CLOCK)
    assert found.loc["once", "threshold_1_days"] < before.loc["once", "threshold_1_days"]
    assert found["basis"].to_dict() == {"once": "one_off", "twice": "overdue_clock"}
    assert first_three(found.loc["twice"]) == first_three(before.loc["twice"])
    # The clock moves, the score does not.
    assert found["return_probability"].tolist() == before["return_probability"].tolist()
    assert "return within 365 days" in found.loc["once", "sentence"]
    assert "fewer than half" not in found.loc["once", "sentence"]  # at 113 days most of them still come


def test_too_few_first_gaps_leave_the_shops_usual_gap():
    frame = profiles({"once": []})
    few = rhythms(frame, shop=population(**(FIRST_GAPS | {"first_gaps": 49})))
    assert first_three(few.iloc[0]) == first_three(rhythms(frame).iloc[0])


def test_the_later_thresholds_of_a_single_purchase_are_spread_from_its_first():
    row = rhythms(profiles({"once": []}), shop=population(**FIRST_GAPS)).iloc[0]
    clock = FIRST_GAP_CLOCK
    assert first_three(row) == [ceil(clock), ceil(1.5 * clock), ceil(2 * clock)]


@pytest.mark.parametrize(
    ("bounds", "days", "basis"),
    [
        ({"floor_days": 200}, [200, 300, 400], "floor"),
        ({"ceiling_days": 60}, [60, 90, 120], "ceiling"),
    ],
)
def test_floor_and_ceiling_bind_a_single_purchase_too(bounds, days, basis):
    row = rhythms(profiles({"once": []}), shop=population(**FIRST_GAPS), **bounds).iloc[0]
    assert (first_three(row), row["basis"]) == (days, basis)


def test_too_little_data_goes_before_first_gaps():
    row = rhythms(profiles({"once": []}), shop=population(**FIRST_GAPS, customers=10), default_days=80).iloc[0]
    assert (row["threshold_1_days"], row["basis"]) == (80, "default_days")


def test_the_numbers_behind_a_threshold_are_stored():
    row = rhythms(profiles({"a": [20, 40], "b": []}, silence_days=33)).set_index("customer_id")
    assert tuple(rhythms(profiles({"a": []})).columns) == RHYTHM_COLUMNS
    assert row.loc["a", "n"] == 3
    assert row.loc["a", "silence_days"] == 33
    assert row.loc["a", "own_gap_days"] == pytest.approx(sqrt(20 * 40))
    assert np.isnan(row.loc["b", "own_gap_days"])
    kappa = 0.8 / 0.4
    assert row.loc["a", "usual_gap_days"] == pytest.approx(exp((log(20) + log(40) + kappa * log(36)) / (2 + kappa)))
    assert row["population_gap_days"].tolist() == pytest.approx([36, 36])
    assert row["stop_probability"].tolist() == [0.15, 0.5]
    assert row["fit_id"].tolist() == [population().fit_id] * 2
    assert row["is_weak"].tolist() == [False, False]


@pytest.mark.parametrize(("n", "has_nudge"), [(9, False), (10, True)])
def test_the_nudge_is_for_ten_active_days_and_more(n, has_nudge):
    row = rhythms(profiles({"a": [10] * (n - 1)})).iloc[0]
    assert np.isfinite(row["nudge_days"]) == has_nudge
    if has_nudge:
        assert row["nudge_days"] > row["overdue_days"]


def test_floor_and_ceiling_bind_the_first_and_in_proportion_the_later_thresholds():
    frame = profiles({"fast": [1] * 30, "slow": [80] * 12})
    row = rhythms(frame, floor_days=31, ceiling_days=60).set_index("customer_id")
    first_to_third = ["threshold_1_days", "threshold_2_days", "threshold_3_days"]
    assert row.loc["fast", "threshold_1_days"] == 31
    assert row.loc["fast", "threshold_2_days"] >= 47  # 1.5 x 31, whole days
    assert row.loc["fast", "threshold_3_days"] >= 62
    assert row.loc["slow", first_to_third].tolist() == [60, 90, 120]
    assert row["basis"].tolist() == ["floor", "ceiling"]
    assert "raised to the policy's floor from" in row.loc["fast", "sentence"]
    assert "lowered to the policy's ceiling from" in row.loc["slow", "sentence"]
    assert "% of customers like this return" in row.loc["slow", "sentence"]  # too early for "fewer than half"


def test_bounds_of_a_category_go_before_the_policys():
    frame = profiles({"a": [1] * 30, "b": [1] * 30, "c": [1] * 30, "d": [400, 500]})
    categories = pd.Series({"a": "fresh", "b": "other", "d": "fresh"})
    by_category = {"fresh": Bounds(floor_days=20, ceiling_days=50)}
    row = rhythms(frame, floor_days=31, by_category=by_category, categories=categories)
    assert row["threshold_1_days"].tolist() == [20, 31, 31, 50]


def test_too_little_data_takes_the_policys_days():
    row = rhythms(profiles({"a": [5] * 9, "b": []}), shop=population(customers=10), default_days=80)
    assert row["threshold_1_days"].tolist() == [80, 80]
    assert row["threshold_2_days"].tolist() == [120, 120]
    assert row["threshold_3_days"].tolist() == [160, 160]
    assert row["basis"].tolist() == ["default_days"] * 2
    assert row["nudge_days"].isna().all()
    assert "too little data" in row["sentence"].iloc[0]


def test_a_behaviour_without_a_fit_reads_as_too_little_data():
    frame = profiles({"a": [5] * 9})
    row = assess(frame, fits={}, threshold=Threshold(), trigger=PURCHASES, as_of=AS_OF).iloc[0]
    assert (row["basis"], row["threshold_1_days"]) == ("default_days", 90)
    assert 0 <= row["return_probability"] <= 1


def test_a_small_population_is_used_and_said():
    row = rhythms(profiles({"a": [5] * 9}), shop=population(customers=45)).iloc[0]
    assert row["basis"] in {"overdue_clock", "return_clock"}
    assert "only 45 customers to learn from" in row["sentence"]


@pytest.mark.parametrize(
    ("sends_per_month", "days"), [(30, [91, 137, 182]), (1, [270, 405, 540])], ids=["daily", "monthly"]
)
def test_newsletters_without_data_take_the_usual_limit(sends_per_month, days):
    frame = profiles({"a": [], "b": [1] * 5}, behaviour="click")
    shop = population("click", customers=10)
    row = rhythms(frame, shop=shop, trigger=CLICKS, sends_per_month=sends_per_month)
    for _, reader in row.iterrows():
        assert [reader[f"threshold_{step}_days"] for step in (1, 2, 3)] == days
        assert reader["basis"] == "sending_frequency"


def test_a_reader_who_answers_rarely_gets_longer_than_the_usual_limit():
    # Daily sends, answered about once in 90 days: ignoring 91 of them is nothing unusual.
    shop = population("click", rate_per_day=1 / 90, rate_variance=0.0, rate_span_days=400.0)
    frame = profiles({"rare": [90] * 4, "keen": [2] * 40}, behaviour="click")
    row = rhythms(frame, shop=shop, trigger=CLICKS, sends_per_month=365.25 / 12).set_index("customer_id")
    limit_days = ceil(270 * (365.25 / 12) ** -0.32)
    assert row.loc["keen", "threshold_1_days"] == limit_days
    assert row.loc["rare", "threshold_1_days"] > 2 * limit_days
    assert row["basis"].tolist() == ["sends", "sends"]
    assert "never before 91 days" in row.loc["rare", "sentence"]


def test_without_a_sending_frequency_clicks_are_like_any_behaviour():
    row = rhythms(profiles({"a": [9, 9]}, behaviour="click"), shop=population("click"), trigger=CLICKS).iloc[0]
    assert row["basis"] in {"overdue_clock", "return_clock"}


def test_only_behaviours_of_the_trigger_are_assessed_and_weak_ones_marked():
    kinds = ("purchase", "open", "visit")
    frame = pd.concat([profiles({"a": [9, 9], "b": []}, behaviour=kind) for kind in kinds], ignore_index=True)
    row = assess(
        frame.iloc[[3, 0, 2, 4, 1, 5]],
        fits={kind: population(kind) for kind in kinds},
        threshold=Threshold(),
        trigger=Silence(behaviours=["purchase"], weak=["open"]),
        as_of=AS_OF,
    )
    assert row[["customer_id", "behaviour", "is_weak"]].to_numpy().tolist() == [
        ["a", "purchase", False],
        ["b", "purchase", False],
        ["a", "open", True],
        ["b", "open", True],
    ]


def test_the_season_is_let_in_by_the_policy_and_by_the_gate():
    frame = profiles({"a": [365, 365, 365], "b": [20, 40, 30]})
    shares = dict.fromkeys(range(12), 1 / 12)
    shop = population(month_shares=tuple(shares.values()))
    chances = {
        (seasonal, helps): rhythms(frame, shop=replace(shop, season_helps=helps), seasonal=seasonal)[
            "return_probability"
        ]
        for seasonal in (True, False)
        for helps in (True, False, None)
    }
    plain = chances[False, None]
    lifted = chances.pop((True, True))
    assert all((other == plain).all() for other in chances.values())
    assert not (lifted == plain).any()


def test_nobody_to_assess_gives_the_columns():
    assert tuple(rhythms(profiles({})).columns) == RHYTHM_COLUMNS
    nobody, somebody = rhythms(profiles({})), rhythms(profiles({"a": [1, 9, 20]}))
    assert nobody.empty
    # Columns without a type make the whole night's facts untyped where a shard holds nobody.
    assert nobody.dtypes.to_dict() == somebody.dtypes.to_dict()
