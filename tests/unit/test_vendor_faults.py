"""Which request meets which fault: a function of the seed and the number, and of nothing else."""

import pytest

from winback.errors import UsageError
from winback.sample.vendor_faults import FaultKind, fault_plan, share


def met(plan, vendor="sendgrid", numbers=range(1, 101)):
    return [number for number in numbers if plan.fault(vendor, number)]


def test_nothing_goes_wrong_without_rules():
    assert met(fault_plan({}, seed=1)) == []
    assert fault_plan({}, seed=1).refusal("anna@example.org", 400) is None


def test_listed_requests_and_ranges_are_met():
    plan = fault_plan([{"kind": "hang", "requests": [3, 7]}, {"kind": "slow", "first": 95}], seed=1)
    assert met(plan) == [3, 7, *range(95, 101)]
    assert met(fault_plan([{"kind": "hang", "first": 5, "last": 7}], seed=1)) == [5, 6, 7]


def test_the_first_rule_that_meets_a_request_is_its_fault():
    plan = fault_plan([{"kind": "slow", "requests": [2]}, {"kind": "hang", "first": 1}], seed=1)
    assert [plan.fault("twilio", number).kind for number in (1, 2, 3)] == ["hang", "slow", "hang"]


def test_a_rule_may_be_about_one_vendor():
    plan = fault_plan([{"kind": "hang", "vendor": "twilio", "first": 1}], seed=1)
    assert met(plan) == []
    assert met(plan, "twilio") == list(range(1, 101))


def test_a_share_is_met_and_depends_on_seed_vendor_and_place():
    rules = [{"kind": "lost_answer", "probability": 0.1}]
    numbers = range(1, 5001)
    first = met(fault_plan(rules, seed=1), numbers=numbers)
    assert 400 < len(first) < 600
    assert met(fault_plan(rules, seed=1), numbers=numbers) == first
    assert met(fault_plan(rules, seed=1), "twilio", numbers) != first
    assert met(fault_plan(rules, seed=2), numbers=numbers) != first
    apart = fault_plan([{"kind": "hang", "requests": [9999]}, *rules], seed=1)
    assert met(apart, numbers=numbers) != first


def test_a_burst_goes_on_for_as_long_as_it_says():
    alone = met(fault_plan([{"kind": "too_many", "probability": 0.02}], seed=1), numbers=range(1, 1001))
    bursts = met(fault_plan([{"kind": "too_many", "probability": 0.02, "burst": 3}], seed=1), numbers=range(1, 1001))
    assert bursts == sorted({begin + later for begin in alone for later in range(3)} & set(range(1, 1001)))


def test_shares_are_even():
    drawn = [share("x", number) for number in range(10_000)]
    assert 0 <= min(drawn) < max(drawn) < 1
    assert abs(sum(drawn) / 10_000 - 0.5) < 0.02


@pytest.mark.parametrize(
    ("kind", "takes"),
    [(kind, kind in {"lost_answer", "error_after", "slow", "hang", "unreadable", "truncated"}) for kind in FaultKind],
)
def test_which_faults_take_the_messages(kind, takes):
    [rule] = fault_plan([{"kind": kind, "first": 1}], seed=1).rules
    assert rule.is_accepting is takes


def test_addresses_are_refused_with_their_own_code_or_the_usual_one():
    plan = fault_plan({"bad_recipients": {"a@example.org": 21610, "b@example.org": 0}}, seed=1)
    refusals = [plan.refusal(f"{name}@example.org", 400) for name in "abc"]
    assert refusals == [21610, 400, None]
    assert fault_plan({"bad_recipients": ["a@example.org"]}, seed=1).refusal("a@example.org", 7) == 7


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("hang", "JSON object"),
        ({"request": []}, "request is not known"),
        ({"callbacks": {"lost": 1}}, "lost is not known"),
        ([{"kind": "eaten", "first": 1}], "no fault is called 'eaten'"),
        ([{"kind": "hang", "from": 1}], "from is not known"),
        ([{"kind": "hang"}], "never happens"),
        ([{"kind": "cut_body", "first": 1, "accepts": True}], "before anything is accepted"),
        ([{"kind": "error_before", "first": 1, "accepts": True}], "before anything is accepted"),
        ([{"kind": "slow", "first": 1, "accepts": False}], "so they are"),
    ],
)
def test_a_misspelt_fault_is_no_run_without_faults(given, wanted):
    with pytest.raises(UsageError, match=wanted):
        fault_plan(given, seed=1)
