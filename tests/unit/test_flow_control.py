"""How fast, and whether at all: every threshold from both sides, and what holds for any sequence of calls."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winback.core.flow_control import (
    AdaptiveLimit,
    Answer,
    Brake,
    CampaignGuard,
    CircuitBreaker,
    Feedback,
    TokenBucket,
    brake_for,
    is_kill_rate,
)

# --- token bucket --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "burst", "takes", "waits"),
    [
        (2, 2, [(0, 1), (0, 1), (0, 1)], [0, 0, 0.5]),
        (2, 2, [(0, 1), (0, 1), (0.5, 1)], [0, 0, 0]),
        (10, 10, [(0, 10), (100, 10), (100, 1)], [0, 0, 0.1]),  # a long rest saves up one burst, no more
        (1, 1, [(0, 8)], [7]),  # a message of 8 segments gets its turn
        (1, 1, [(0, 8), (7, 1)], [7, 1]),  # and nobody overtakes it
        (1, 1, [(5, 1), (4, 1), (5, 1)], [0, 1, 2]),  # a clock that steps back brings nothing
        (1, None, [(0, 1), (0, 1)], [0, 1]),
        (0.5, None, [(0, 1), (0, 1)], [0, 2]),
    ],
)
def test_a_bucket_says_how_long_to_wait(rate, burst, takes, waits):
    bucket = TokenBucket(per_second=rate, burst=burst)
    assert [bucket.take(amount, now_seconds=now) for now, amount in takes] == pytest.approx(waits)


@pytest.mark.parametrize("wrong", [{"per_second": 0}, {"per_second": -1}, {"per_second": 1, "burst": 0}])
def test_a_bucket_that_never_fills_is_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(**wrong)


@pytest.mark.parametrize("amount", [-1, math.inf, math.nan])
def test_no_such_amount(amount):
    with pytest.raises(ValueError, match="0 or more"):
        TokenBucket(per_second=1).take(amount, now_seconds=0)


@given(
    rate=st.integers(1, 50),
    burst=st.integers(1, 50),
    calls=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), min_size=1, max_size=40),
)
def test_no_stretch_of_time_sees_more_than_the_burst_and_the_rate(rate, burst, calls):
    bucket = TokenBucket(per_second=rate, burst=burst)
    now, gone = 0.0, []
    for pause, amount in calls:
        now += pause / 10
        gone.append((now + bucket.take(amount, now_seconds=now), amount))
    at_once = max(burst, *(amount for _, amount in calls))
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            length = gone[last][0] - gone[first][0]
            assert sum(amount for _, amount in gone[first : last + 1]) <= at_once + rate * length + 1e-6


@given(amounts=st.lists(st.integers(0, 20), min_size=1, max_size=40), rate=st.integers(1, 50))
def test_nobody_overtakes(amounts, rate):
    bucket = TokenBucket(per_second=rate)
    waits = [bucket.take(amount, now_seconds=1) for amount in amounts]
    assert waits == sorted(waits)


# --- adaptive limit ------------------------------------------------------------------------------------------------


def test_it_starts_with_eight_and_a_round_of_answers_adds_one():
    limit = AdaptiveLimit()
    assert limit.calls == 8
    for _ in range(9):
        limit.succeeded()
    assert limit.calls == 9


def test_refusals_of_one_round_halve_once_and_those_of_the_next_again():
    limit = AdaptiveLimit()
    for _ in range(8):
        limit.throttled(now_seconds=10)
    assert limit.calls == 4
    limit.throttled(now_seconds=11)
    assert limit.calls == 2


def test_one_call_is_always_left():
    limit = AdaptiveLimit()
    for second in range(10):
        limit.throttled(now_seconds=second)
    assert limit.calls == 1


def test_the_longest_retry_after_holds():
    limit = AdaptiveLimit()
    limit.throttled(now_seconds=0, retry_after_seconds=30)
    limit.throttled(now_seconds=1, retry_after_seconds=2)
    limit.throttled(now_seconds=2)
    assert [limit.wait_seconds(now_seconds=now) for now in (2, 29, 30, 31)] == [28, 1, 0, 0]


def test_bounds_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="floor <= start"):
        AdaptiveLimit(start=2, floor=4)


@given(st.lists(st.booleans(), max_size=300))
def test_it_never_leaves_its_bounds(answers):
    limit = AdaptiveLimit(ceiling=12)
    for second, is_fine in enumerate(answers):
        limit.succeeded() if is_fine else limit.throttled(now_seconds=second)
        assert 1 <= limit.calls <= 12


@given(st.integers(0, 5000))
def test_more_calls_come_one_by_one(number):
    limit = AdaptiveLimit(ceiling=1000)
    for _ in range(number):
        before = limit.calls
        limit.succeeded()
        assert limit.calls - before in {0, 1}


# --- circuit breaker -----------------------------------------------------------------------------------------------


def _calls(breaker: CircuitBreaker, fine: int, failed: int, *, now: float = 0, every: float = 0) -> None:
    for number in range(fine + failed):
        answer = Answer.FINE if number < fine else Answer.FAILED
        breaker.record(answer, now_seconds=now + number * every)


@pytest.mark.parametrize(
    ("fine", "failed", "every", "is_open"),
    [
        (0, 19, 0, False),  # too few to tell
        (0, 20, 0, True),
        (16, 4, 0, False),  # exactly 20 %
        (15, 5, 0, True),
        (79, 20, 0, True),
        (80, 20, 0, False),
        (0, 25, 3, True),  # the last 20 fall into one minute
        (0, 25, 3.2, False),  # only 19 do
    ],
)
def test_a_fifth_of_twenty_calls_in_a_minute(fine, failed, every, is_open):
    breaker = CircuitBreaker()
    _calls(breaker, fine, failed, every=every)
    assert (breaker.openings == 1) is is_open


def test_old_failures_are_forgotten():
    breaker = CircuitBreaker()
    _calls(breaker, 0, 19)
    _calls(breaker, 0, 1, now=60)
    assert breaker.admit(now_seconds=60)


def test_one_denied_call_is_enough():
    breaker = CircuitBreaker()
    breaker.record(Answer.DENIED, now_seconds=100)
    assert not breaker.admit(now_seconds=100)
    assert breaker.wait_seconds(now_seconds=100) == 300


def test_five_ten_twenty_minutes_and_then_never_again():
    breaker, now, waits = CircuitBreaker(), 0.0, []
    while not breaker.is_stopped:
        assert breaker.admit(now_seconds=now)
        breaker.record(Answer.DENIED, now_seconds=now)
        waits.append(breaker.wait_seconds(now_seconds=now))
        assert not breaker.admit(now_seconds=now + waits[-1] - 1)
        now += waits[-1]
    assert waits == [300, 600, 1200, math.inf]
    assert not breaker.admit(now_seconds=1e12)


def test_after_a_pause_one_call_tries_for_all():
    breaker = CircuitBreaker()
    breaker.record(Answer.DENIED, now_seconds=0)
    assert [breaker.admit(now_seconds=300) for _ in range(3)] == [True, False, False]
    breaker.record(Answer.FINE, now_seconds=301)
    assert [breaker.admit(now_seconds=301) for _ in range(3)] == [True, True, True]
    assert breaker.wait_seconds(now_seconds=301) == 0


def test_one_failed_trial_opens_it_again():
    breaker = CircuitBreaker()
    breaker.record(Answer.DENIED, now_seconds=0)
    assert breaker.admit(now_seconds=300)
    breaker.record(Answer.FAILED, now_seconds=310)
    assert breaker.wait_seconds(now_seconds=310) == 600


def test_calls_in_flight_when_it_opened_change_nothing():
    breaker = CircuitBreaker()
    for answer in (Answer.DENIED, Answer.DENIED, Answer.FAILED, Answer.FINE):
        breaker.record(answer, now_seconds=0)
    assert (breaker.openings, breaker.wait_seconds(now_seconds=0)) == (1, 300)


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(list(Answer))), max_size=200))
def test_no_call_is_let_through_while_it_is_open_and_it_opens_four_times_at_most(steps):
    breaker, now = CircuitBreaker(), 0.0
    for pause, answer in steps:
        now += pause
        is_open = breaker.wait_seconds(now_seconds=now) > 0
        if breaker.admit(now_seconds=now):
            assert not is_open
            breaker.record(answer, now_seconds=now)
    assert breaker.openings <= 4
    assert breaker.is_stopped == (breaker.openings == 4)


# --- what stops a campaign -----------------------------------------------------------------------------------------


def test_five_configuration_errors_in_a_row_stop_it():
    guard = CampaignGuard()
    for _ in range(4):
        guard.record(is_configuration=True)
    guard.record()
    for _ in range(4):
        guard.record(is_configuration=True)
    assert not guard.is_stopped
    guard.record(is_configuration=True)
    assert guard.stopped_by == "configuration"
    guard.record()
    assert guard.is_stopped, "what comes later does not start it again"


@pytest.mark.parametrize(
    ("messages", "at_fault", "is_stopped"),
    [(99, 99, False), (100, 2, False), (100, 3, True), (200, 4, False), (200, 5, True)],
)
def test_more_than_two_percent_of_content_errors_stop_it(messages, at_fault, is_stopped):
    guard = CampaignGuard()
    for number in range(messages):
        guard.record(is_content=number >= messages - at_fault)
    assert guard.is_stopped is is_stopped


@pytest.mark.parametrize(
    ("feedback", "brake"),
    [
        (Feedback(delivered=0), Brake.NONE),
        (Feedback(delivered=0, bounced=199), Brake.NONE),
        (Feedback(delivered=190, bounced=10), Brake.NONE),  # exactly 5 %
        (Feedback(delivered=189, bounced=11), Brake.STOP_CHANNEL),
        (Feedback(delivered=499, complained=499), Brake.NONE),
        (Feedback(delivered=1001, complained=1), Brake.NONE),
        (Feedback(delivered=1000, complained=1), Brake.HOLD_STEP),  # at 0.1 %, not above it
        (Feedback(delivered=1001, complained=3), Brake.HOLD_STEP),
        (Feedback(delivered=1000, complained=3), Brake.STOP_CHANNEL),
        (Feedback(delivered=950, bounced=60, complained=1), Brake.STOP_CHANNEL),  # the stronger brake
    ],
)
def test_what_bounces_and_complaints_call_for(feedback, brake):
    assert brake_for(feedback) is brake
    assert is_kill_rate(feedback) is (brake is Brake.STOP_CHANNEL)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_complaints_never_call_for_less(delivered, bounced, complained):
    strength = list(Brake)
    less = brake_for(Feedback(delivered, bounced, complained))
    more = brake_for(Feedback(delivered, bounced, complained + 1))
    assert strength.index(more) >= strength.index(less)
