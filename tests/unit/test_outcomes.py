"""Differences between the arms, checked against the Hillstrom experiment."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from winback.core import outcomes

HILLSTROM_CONTROL = (21306, 2262)


@pytest.mark.parametrize(
    ("treated", "difference", "low", "high"),
    [((21307, 3894), 0.0766, 0.0700, 0.0832), ((21387, 3238), 0.0452, 0.0389, 0.0516)],
)
def test_the_effect_on_visits_is_the_published_one(treated, difference, low, high):
    found = outcomes.lift({"treated": treated, "control": HILLSTROM_CONTROL}, control_share=0.5, planned=40_000)
    assert (round(found.difference, 4), round(found.low, 4), round(found.high, 4)) == (difference, low, high)
    assert found.verdict == "enough"
    assert found.ratio_p > 0.05


@pytest.mark.parametrize(
    ("counts", "planned", "verdict"),
    [
        ({"treated": (500, 60), "control": (500, 50)}, 1000, "enough"),
        ({"treated": (500, 60), "control": (500, 50)}, 1001, "not_enough_data"),
        ({"treated": (600, 60), "control": (400, 50)}, 1000, "sample_ratio"),
        ({"treated": (500, 60)}, 100, "no_control"),
        ({"control": (500, 60), "global_control": (10, 1)}, 100, "no_control"),
        ({}, 100, "no_control"),
    ],
)
def test_a_difference_is_not_announced_before_it_may_be_read(counts, planned, verdict):
    assert outcomes.lift(counts, control_share=0.5, planned=planned).verdict == verdict


def test_without_a_control_group_there_is_no_number_to_quote():
    found = outcomes.lift({"treated": (500, 60)}, control_share=0.5, planned=100)
    assert all(math.isnan(number) for number in (found.difference, found.low, found.high, found.detectable))


def test_small_arms_and_no_returns_still_have_an_interval():
    found = outcomes.lift({"treated": (10, 0), "control": (10, 0)}, control_share=0.5, planned=10)
    assert found.difference == 0
    assert -0.3 < found.low < 0 < found.high < 0.3


@pytest.mark.parametrize("counts", [{"treated": (5, 6)}, {"control": (5, 6), "treated": (5, 1)}])
def test_more_returns_than_contacts_is_an_error(counts):
    with pytest.raises(ValueError, match="more returns than contacts"):
        outcomes.lift(counts, control_share=0.5, planned=100)


@pytest.mark.parametrize(
    ("base_rate", "relative", "published"),
    [(0.01, 0.10, 326_000), (0.01, 0.50, 15_000), (0.03, 0.25, 18_000), (0.05, 0.20, 16_000)],
)
def test_the_contacts_needed_are_those_of_the_model_sheet(base_rate, relative, published):
    needed = outcomes.contacts_needed(base_rate=base_rate, difference=base_rate * relative, control_share=0.5)
    assert needed == pytest.approx(published, rel=0.05)


def test_the_detectable_difference_is_what_the_contacts_needed_would_find():
    found = outcomes.detectable_difference(10_000, 10_000, base_rate=0.05)
    assert outcomes.contacts_needed(base_rate=0.05, difference=found, control_share=0.5) == pytest.approx(
        20_000, rel=0.1
    )


def test_each_contact_counts_once_in_the_arm_first_drawn_for_it():
    cycles = pd.DataFrame(
        [
            {"customer_id": "a", "opened_on": "2026-02-01", "arm": "control", "has_returned": True},
            {"customer_id": "a", "opened_on": "2026-01-01", "arm": "treated", "has_returned": False},
            {"customer_id": "b", "opened_on": "2026-01-01", "arm": "treated", "has_returned": True},
            {"customer_id": "c", "opened_on": "2026-01-01", "arm": "global_control", "has_returned": True},
        ]
    )
    assert outcomes.count(cycles) == {"treated": (2, 1), "global_control": (1, 1)}


def test_a_split_far_from_the_planned_one_raises_the_alarm():
    assert outcomes.sample_ratio_p(900, 100, control_share=0.1) > 0.9
    assert outcomes.sample_ratio_p(800, 200, control_share=0.1) < outcomes.RATIO_ALARM
    assert math.isnan(outcomes.sample_ratio_p(0, 0, control_share=0.1))
