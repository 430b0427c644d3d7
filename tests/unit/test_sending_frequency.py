"""Silence counted in sends: the Beta-binomial rule and the usual limit."""

from datetime import date
from math import ceil, lgamma

import numpy as np
import pytest

from winback.core.population import fit
from winback.core.rhythm import profiles_of
from winback.core.sending_frequency import (
    DAYS_PER_MONTH,
    answer_prior,
    ignored_days,
    ignored_probability,
    sending_days_per_day,
    usual_limit_days,
)

AS_OF = date(2026, 11, 1)


def readers(clicks):
    """Return profiles of readers: {id: days before AS_OF with a click}."""
    ids = [reader for reader, days in clicks.items() for _ in days]
    days = [np.datetime64(AS_OF) - day for days in clicks.values() for day in days]
    return profiles_of(ids, np.array(days), behaviour="click")


@pytest.mark.parametrize(("sends_per_month", "days"), [(30, 91), (8, 139), (4, 173), (1, 270)])
def test_the_usual_limit_follows_the_published_anchors(sends_per_month, days):
    assert round(usual_limit_days(sends_per_month)) == days


def test_several_sends_a_day_can_be_answered_on_one_active_day():
    assert sending_days_per_day(4) == pytest.approx(4 / DAYS_PER_MONTH)
    assert sending_days_per_day(200) == 1


def test_the_chance_of_ignoring_k_sends_is_a_ratio_of_betas():
    # Beta(1, 1): the chance of k ignored in a row is 1 / (k + 1)
    assert ignored_probability(np.array([0.0, 1.0, 9.0]), 1.0, 1.0) == pytest.approx([1, 1 / 2, 1 / 10])


def test_the_prior_takes_mean_and_variance_from_the_readers():
    # Daily sends; one clicks every 2nd day, one every 10th, over 100 days each.
    frame = readers({"often": range(0, 101, 2), "rare": range(0, 101, 10)})
    found = fit(frame, behaviour="click", as_of=AS_OF)
    a, b = answer_prior(found, sends_per_month=DAYS_PER_MONTH)
    mean, spread = 60 / 200, 0.3 * 0.7
    variance = ((0.5 - 0.3) ** 2 + (0.1 - 0.3) ** 2) / 2 - spread / 100
    strength = spread / variance - 1
    assert (a, b) == pytest.approx((mean * strength, (1 - mean) * strength))


def test_equal_readers_get_the_strongest_prior_and_very_different_ones_the_weakest():
    equal = fit(readers({"a": range(0, 101, 5), "b": range(0, 101, 5)}), behaviour="click", as_of=AS_OF)
    assert sum(answer_prior(equal, sends_per_month=30)) == pytest.approx(200)
    apart = fit(readers({"a": range(101), "b": [0, 1000]}), behaviour="click", as_of=AS_OF)
    assert sum(answer_prior(apart, sends_per_month=30)) == pytest.approx(2)


def test_days_are_the_first_number_of_sends_that_would_hardly_all_be_ignored():
    frame = readers({"often": range(0, 101, 2), "rare": range(0, 101, 10), "once": [7]})
    found = fit(frame, behaviour="click", as_of=AS_OF)
    sends_per_month = 12
    told = ignored_days(frame, fit=found, sends_per_month=sends_per_month, as_of=AS_OF)
    per_day = sends_per_month / DAYS_PER_MONTH
    prior_a, prior_b = answer_prior(found, sends_per_month=sends_per_month)

    def expected(answered, span_days):
        a, b = prior_a + answered, prior_b + max(0, span_days * per_day - answered)
        chance, sends = 1.0, 0
        while chance >= 0.05:
            chance *= (b + sends) / (a + b + sends)
            sends += 1
        return sends / per_day

    by_id = dict(zip(frame["customer_id"], told, strict=True))
    assert by_id["often"] == pytest.approx(expected(50, 100))
    assert by_id["rare"] == pytest.approx(expected(10, 100))
    assert by_id["once"] == pytest.approx(expected(0, 0))
    assert by_id["often"] < by_id["rare"]


def test_a_reader_who_hardly_ever_answers_is_never_flagged_within_ten_years():
    frame = readers({"a": [0, 3000], "b": [0, 3000]})
    found = fit(frame, behaviour="click", as_of=AS_OF)
    told = ignored_days(frame, fit=found, sends_per_month=1, as_of=AS_OF)
    assert (told <= ceil(3650 / DAYS_PER_MONTH) * DAYS_PER_MONTH).all()


def test_the_log_of_the_chance_agrees_with_gamma_functions():
    a, b, k = 1.3, 7.7, 40.0
    logs = lgamma(b + k) + lgamma(a + b) - lgamma(a + b + k) - lgamma(b)
    assert np.log(ignored_probability(np.array([k]), a, b))[0] == pytest.approx(logs)
