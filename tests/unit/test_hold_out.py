"""The draw of the control groups: uniform, independent, stable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from winback.core import hold_out
from winback.core.policy import HoldOut

IDS = [f"customer {number}" for number in range(20_000)]
GIVEN = {"programme": "winback", "salt": "1", "share": 0.1, "pepper": "a secret"}


def test_the_draw_is_known_and_never_changes():
    arms = hold_out.assign(["a", "b", "c", "d", "e", "f"], **{**GIVEN, "share": 0.5})
    draws = hold_out.draws(["a", "b"], pepper="a secret", purpose="arm|winback|1")
    assert list(arms) == ["control", "treated", "control", "treated", "control", "treated"]
    assert np.round(draws, 6).tolist() == [0.23893, 0.66535]


def test_the_draws_are_uniform():
    draws = hold_out.draws(IDS, pepper="a secret", purpose="arm|winback|1")
    assert (draws >= 0).all()
    assert (draws < 1).all()
    assert stats.kstest(draws, "uniform").pvalue > 0.001
    assert abs((hold_out.assign(IDS, **GIVEN) == "control").mean() - 0.1) < 0.007


@pytest.mark.parametrize("other", [{"programme": "another"}, {"salt": "2"}, {"pepper": "another secret"}])
def test_two_programmes_salts_or_secrets_draw_independently(other):
    one = hold_out.assign(IDS, **{**GIVEN, "share": 0.5}) == "control"
    two = hold_out.assign(IDS, **{**GIVEN, "share": 0.5, **other}) == "control"
    both = np.array([[np.sum(one & two), np.sum(one & ~two)], [np.sum(~one & two), np.sum(~one & ~two)]])
    assert stats.chi2_contingency(both).pvalue > 0.001


def test_a_contacts_arm_depends_on_nobody_else():
    whole = dict(zip(IDS, hold_out.assign(IDS, **GIVEN), strict=True))
    some = IDS[100:50:-1]
    assert list(hold_out.assign(some, **GIVEN)) == [whole[one] for one in some]


def test_a_larger_share_only_adds_people():
    small = hold_out.assign(IDS, **GIVEN) == "control"
    large = hold_out.assign(IDS, **{**GIVEN, "share": 0.5}) == "control"
    assert not (small & ~large).any()


def test_the_global_group_is_the_same_people_everywhere_and_wins():
    one = hold_out.assign(IDS, **GIVEN, global_share=0.05) == "global_control"
    two = hold_out.assign(IDS, **{**GIVEN, "programme": "another"}, global_share=0.05) == "global_control"
    assert (one == two).all()
    assert abs(one.mean() - 0.05) < 0.005


def test_the_stored_arm_wins_over_any_draw():
    stored = ["control", "treated", "global_control", None, "", float("nan")]
    arms = hold_out.assign(["a"] * 6, **{**GIVEN, "share": 0.0}, persisted=stored)
    assert list(arms) == ["control", "treated", "global_control", "treated", "treated", "treated"]


@pytest.mark.parametrize(
    ("share", "eligible", "expected"), [("auto", 19_999, 0.5), ("auto", 20_000, 0.1), (0.2, 5, 0.2), (0, 5, 0)]
)
def test_auto_is_half_of_a_small_base_and_a_tenth_of_a_large_one(share, eligible, expected):
    assert hold_out.control_share(HoldOut(share=share), eligible=eligible) == expected
