"""What slows a channel down and what stops it: the rules of :mod:`winback.core.flow_control`, fed with answers.

In: what calls said. Out: how many may be in flight, how long to wait, and why nothing more may go. One object a
channel and sender, used by several threads under its own lock.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from winback.channels import Consequence, Outcome
from winback.core.flow_control import (
    AdaptiveLimit,
    Answer,
    Brake,
    CampaignGuard,
    CircuitBreaker,
    TokenBucket,
    brake_for,
)
from winback.ledger import held_steps
from winback.ledger.channel_health import step_feedback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from winback.channels import SendResult

HEALTH_DAYS = 7
_TOO_MANY = 429
_DENIED = frozenset({401, 403})


class Brakes:
    """The brakes of one channel.

    Parameters
    ----------
    name : of the provider, for messages
    per_second : messages (segments, for texts) a second; None is no limit of ours
    """

    def __init__(self, name: str, *, per_second: float | None) -> None:
        self.name = name
        self.limit = AdaptiveLimit()
        self.halted = ""
        self._bucket = TokenBucket(per_second=per_second) if per_second else None
        self._breaker = CircuitBreaker()
        self._campaigns: dict[str, CampaignGuard] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, amount: float, *, now_seconds: float) -> float:
        """Return how long to wait before a call with so many messages or segments."""
        with self._lock:
            asked = self.limit.wait_seconds(now_seconds=now_seconds)
            return max(asked, self._bucket.take(amount, now_seconds=now_seconds) if self._bucket else 0.0)

    def heed(self, results: Sequence[SendResult], *, programme: str, now_seconds: float) -> None:
        """Take in what one call said about the provider and about the campaign."""
        with self._lock:
            answer = _answer(results)
            if any(result.status == _TOO_MANY for result in results):
                asked = max((result.retry_after_seconds or 0.0 for result in results), default=0.0)
                self.limit.throttled(now_seconds=now_seconds, retry_after_seconds=asked or None)
            elif answer is Answer.FINE:
                self.limit.succeeded()
            self._breaker.record(answer, now_seconds=now_seconds)
            campaign = self._campaigns.setdefault(programme, CampaignGuard())
            for result in results:
                campaign.record(
                    is_configuration=result.consequence is Consequence.CONFIGURATION,
                    is_content=result.consequence is Consequence.CONTENT,
                )
            self.halted = self.halted or self._why_not(results, campaign, programme, now_seconds)

    def halt(self, why: str) -> None:
        """Let nothing more go."""
        with self._lock:
            self.halted = self.halted or why

    def _why_not(
        self, results: Sequence[SendResult], campaign: CampaignGuard, programme: str, now_seconds: float
    ) -> str:
        said = next((result for result in results if result.error), None)
        words = f" It said: {said.error}" if said else ""
        if any(result.status in _DENIED for result in results):
            return f"{self.name} does not accept the credentials.{words} Mend them, then: winback deliver"
        if campaign.is_stopped:
            fault = campaign.stopped_by
            return f"{self.name} refuses programme {programme} ({fault}).{words} Mend it, then: winback deliver"
        if self._breaker.wait_seconds(now_seconds=now_seconds) > 0:
            return f"{self.name} fails too often to go on.{words} What is left stays planned for the next delivery"
        return ""


def _answer(results: Sequence[SendResult]) -> Answer:
    """Return what a call says about the provider: one that refuses a message, or asks us to wait, is there."""
    if any(result.status in _DENIED for result in results):
        return Answer.DENIED
    is_lost = any(result.outcome is Outcome.UNKNOWN for result in results)
    is_away = any(result.outcome is Outcome.DEFERRED and result.status is None for result in results)
    return Answer.FAILED if is_lost or is_away else Answer.FINE


def hold_complained_steps(connection: Connection, *, now: datetime, today: date) -> list[str]:
    """Hold every step that too many people complained about in the last days; return those that are new.

    What a person has looked at and released counts no more: only later messages can hold the step again.
    """
    since, new = today - timedelta(days=HEALTH_DAYS), []
    for step, feedback in step_feedback(connection, since=since).items():
        if brake_for(feedback) is Brake.NONE:
            continue
        looked_at = held_steps.released_at(connection, step)
        if looked_at is not None:
            newer = step_feedback(connection, since=since, after=looked_at, only=step).get(step)
            if newer is None or brake_for(newer) is Brake.NONE:
                continue
        reason = f"{feedback.complained} complaints for {feedback.delivered} delivered in {HEALTH_DAYS} days"
        if held_steps.hold(connection, step, reason=reason, by="brake", now=now):
            new.append(step.name)
    return new
