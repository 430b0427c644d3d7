"""One customer's posterior, clocks and chances, against arithmetic done by hand or by scipy.stats."""

from datetime import date
from math import exp, log, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from winback.core.rhythm import LOG_UNIT, PROFILE_COLUMNS, GapPrior, log_gap_units, posterior, profiles_of, silences

PRIOR = GapPrior(mu=log(30), sigma2=0.6, kappa=1.5, freedom=4.0)


def rhythm_after(gaps, *, prior=PRIOR, stop=0.2):
    units = [log_gap_units(np.array(gaps, dtype=np.int64))[square].sum() for square in (0, 1)]
    n = np.array([len(gaps) + 1])
    return posterior(n, np.array([units[0]]), np.array([units[1]]), prior=prior, stop=np.array([stop]))


def test_without_gaps_the_posterior_is_the_population():
    rhythm = rhythm_after([])
    assert rhythm.mu[0] == pytest.approx(log(30))
    assert rhythm.freedom[0] == 4
    assert rhythm.scale[0] == pytest.approx(sqrt(0.6 * (1 + 1 / 1.5)))  # v = nu0 sigma2 / nu0


def test_one_gap_moves_mean_and_spread_towards_itself():
    rhythm = rhythm_after([10])
    # k = 1: mu = (ln 10 + 1.5 ln 30) / 2.5; the single gap adds nothing within, kappa/(1+kappa) (ln 10 - ln 30)^2 apart
    assert rhythm.mu[0] == pytest.approx((log(10) + 1.5 * log(30)) / 2.5)
    variance = (4 * 0.6 + 1.5 / 2.5 * (log(10) - log(30)) ** 2) / 5
    assert rhythm.scale[0] == pytest.approx(sqrt(variance * (1 + 1 / 2.5)))
    assert rhythm.freedom[0] == 5


def test_three_gaps_add_their_own_spread():
    rhythm = rhythm_after([5, 10, 20])
    mean = log(10)
    within = 2 * log(2) ** 2
    variance = (4 * 0.6 + within + 3 * 1.5 / 4.5 * (mean - log(30)) ** 2) / 7
    assert rhythm.mu[0] == pytest.approx((3 * mean + 1.5 * log(30)) / 4.5)
    assert rhythm.scale[0] == pytest.approx(sqrt(variance * (1 + 1 / 4.5)))


def test_survival_is_the_upper_tail_of_student_in_log_days():
    rhythm = rhythm_after([5, 10, 20])
    expected = stats.t.sf((log(40) - rhythm.mu[0]) / rhythm.scale[0], df=7)
    assert rhythm.survival(40)[0] == pytest.approx(expected, rel=1e-12)


def test_a_silence_of_no_day_counts_as_half_a_day():
    rhythm = rhythm_after([1, 1])
    assert rhythm.survival(0)[0] == rhythm.survival(0.5)[0] == rhythm.survival(0.2)[0]
    assert rhythm.survival(1)[0] < rhythm.survival(0.5)[0]


@pytest.mark.parametrize("share", [0.75, 0.975])
def test_the_overdue_clock_is_the_quantile_of_the_own_silences(share):
    rhythm = rhythm_after([5, 10, 20])
    days = rhythm.overdue_days(share)[0]
    assert days == pytest.approx(exp(rhythm.mu[0] + rhythm.scale[0] * stats.t.ppf(share, df=7)))
    assert rhythm.survival(days)[0] == pytest.approx(1 - share)


def test_the_overdue_clock_ends_at_exp_12_days():
    slow = rhythm_after([], prior=GapPrior(mu=11.9, sigma2=4.0, kappa=1.0, freedom=4.0))
    assert slow.overdue_days(0.975)[0] == pytest.approx(exp(12))


def test_return_probability_is_alive_times_a_gap_that_ends_in_time():
    rhythm = rhythm_after([5, 10, 20], stop=0.1)
    now, later = (stats.t.sf((log(days) - rhythm.mu[0]) / rhythm.scale[0], df=7) for days in (45, 45 + 60))
    stopped = 0.1 / (0.1 + 0.9 * now)
    assert rhythm.stopped_probability(45)[0] == pytest.approx(stopped)
    assert rhythm.return_probability(45, horizon_days=60)[0] == pytest.approx((1 - stopped) * (1 - later / now))


def test_a_silence_beyond_all_numbers_has_no_return_and_no_nan():
    steady = rhythm_after([1] * 2000, stop=1e-4)
    assert steady.return_probability(5000, horizon_days=90)[0] == 0


def test_profiles_count_active_days_and_sum_whole_day_gaps():
    days = ["2026-01-31", "2026-01-01", "2026-01-01", "2026-03-02", "2026-05-10"]
    frame = profiles_of(["007", "007", "007", "007", "8"], np.array(days, dtype="datetime64[D]"), behaviour="visit")
    assert list(frame.columns) == list(PROFILE_COLUMNS)
    assert list(frame["customer_id"]) == ["007", "8"]
    assert list(frame["n"]) == [3, 1]
    assert list(frame["behaviour"]) == ["visit", "visit"]
    assert frame["first_on"].tolist() == [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-05-10")]
    assert frame["last_on"].tolist() == [pd.Timestamp("2026-03-02"), pd.Timestamp("2026-05-10")]
    assert frame["log_gap_sum"].tolist() == [2 * round(log(30) * LOG_UNIT), 0]  # both gaps are 30 days
    assert frame["log_gap_square_sum"].tolist() == [2 * round(log(30) ** 2 * LOG_UNIT), 0]
    assert frame["first_gap_days"].tolist() == [30, 0]
    assert frame[["month_01", "month_03", "month_05"]].to_numpy().tolist() == [[2, 1, 0], [0, 0, 1]]


def test_profiles_of_nothing_are_an_empty_frame():
    frame = profiles_of([], np.array([], dtype="datetime64[D]"), behaviour="visit")
    assert list(frame.columns) == list(PROFILE_COLUMNS)
    assert frame.empty


def test_silence_is_whole_days_to_the_day_of_the_question():
    last_on = pd.Series(pd.to_datetime(["2026-11-21", "2026-11-20", "2025-11-21"]))
    assert silences(last_on, date(2026, 11, 21)).tolist() == [0, 1, 365]
