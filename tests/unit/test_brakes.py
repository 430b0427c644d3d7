"""What the answers of one channel do to it: slower, or not at all. Every answer is one that a provider gives."""

from __future__ import annotations

import pytest

from winback.channels import Consequence, Outcome, SendResult
from winback.core.flow_control import CONFIGURATION_ERRORS_IN_A_ROW, CONTENT_MESSAGES, START_CALLS
from winback.night.brakes import Brakes

FINE = SendResult(message_id="m", outcome=Outcome.ACCEPTED, status=202)
TOO_MANY = SendResult(message_id="m", outcome=Outcome.DEFERRED, status=429, retry_after_seconds=7.0)
LOST = SendResult(message_id="m", outcome=Outcome.UNKNOWN)
AWAY = SendResult(message_id="m", outcome=Outcome.DEFERRED)
NO = SendResult(message_id="m", outcome=Outcome.REFUSED, status=400, error="no", consequence=Consequence.CONTENT)


def heed(brakes: Brakes, *results: SendResult, times: int = 1, programme: str = "winback", at: float = 0.0) -> None:
    for _ in range(times):
        brakes.heed(results, programme=programme, now_seconds=at)


@pytest.fixture
def brakes() -> Brakes:
    return Brakes("sendgrid", per_second=None)


def test_answers_allow_more_calls_and_too_many_requests_half_as_many(brakes):
    heed(brakes, FINE, times=START_CALLS + 1)
    assert brakes.limit.calls == START_CALLS + 1
    heed(brakes, TOO_MANY, at=10.0)
    assert brakes.limit.calls == (START_CALLS + 1) // 2
    assert brakes.wait_seconds(1, now_seconds=12.0) == pytest.approx(5.0)
    assert not brakes.halted


def test_too_many_requests_without_a_time_ask_for_no_wait(brakes):
    heed(brakes, SendResult(message_id="m", outcome=Outcome.DEFERRED, status=429))
    assert brakes.wait_seconds(1, now_seconds=0.0) == 0.0


def test_the_longest_wait_of_one_call_counts(brakes):
    heed(brakes, FINE, TOO_MANY, SendResult(message_id="n", outcome=Outcome.DEFERRED, status=429))
    assert brakes.wait_seconds(1, now_seconds=0.0) == 7.0


def test_our_own_rate_holds_beside_what_the_provider_asks_for():
    brakes = Brakes("twilio", per_second=2)
    assert brakes.wait_seconds(2, now_seconds=0.0) == 0.0
    assert brakes.wait_seconds(30, now_seconds=0.0) == 15.0
    heed(brakes, TOO_MANY)
    assert brakes.wait_seconds(0, now_seconds=0.0) == 15.0


@pytest.mark.parametrize("status", [401, 403])
def test_a_denied_call_stops_the_channel_at_once_and_names_no_more_than_the_provider_did(brakes, status):
    heed(brakes, SendResult(message_id="m", outcome=Outcome.DEFERRED, status=status, error="a wrong key"))
    expected = "sendgrid does not accept the credentials. It said: a wrong key Mend them, then: winback deliver"
    assert brakes.halted == expected


@pytest.mark.parametrize("bad", [LOST, AWAY])
def test_a_provider_that_is_not_there_is_left_alone_for_a_while(brakes, bad):
    heed(brakes, FINE, times=15)
    heed(brakes, bad, times=4)
    assert not brakes.halted
    heed(brakes, FINE)
    heed(brakes, bad)
    assert brakes.halted.startswith("sendgrid fails too often to go on. What is left stays planned")


@pytest.mark.parametrize("good", [NO, TOO_MANY])
def test_a_no_is_an_answer_of_somebody_who_is_there(brakes, good):
    heed(brakes, good, times=40)
    assert not brakes.halted


def test_errors_of_the_configuration_stop_a_programme(brakes):
    wrong = SendResult(
        message_id="m",
        outcome=Outcome.REFUSED,
        status=400,
        error="no such sender",
        consequence=Consequence.CONFIGURATION,
    )
    heed(brakes, wrong, times=CONFIGURATION_ERRORS_IN_A_ROW - 1)
    heed(brakes, wrong, programme="another")
    assert not brakes.halted
    heed(brakes, wrong)
    assert brakes.halted.startswith(
        "sendgrid refuses programme winback (configuration). It said: no such sender Mend it"
    )


def test_texts_at_fault_stop_a_programme(brakes):
    heed(brakes, *[FINE] * (CONTENT_MESSAGES - 3), NO, NO)
    assert not brakes.halted
    heed(brakes, NO)
    assert "refuses programme winback (content)" in brakes.halted


def test_the_first_reason_is_the_one_that_is_told(brakes):
    brakes.halt("too many bounces")
    brakes.halt("something else")
    heed(brakes, SendResult(message_id="m", outcome=Outcome.DEFERRED, status=401))
    assert brakes.halted == "too many bounces"
