"""How fast, and whether at all, a channel may be called: token bucket, adaptive limit, circuit breaker, kill rates.

In: what calls said, and seconds of a monotonic clock (never read here). Out: seconds to wait, a number of calls in
flight, or a stop. One object belongs to one thread, or is used under its owner's lock. Must never happen: calls that go
on while a provider says no, or while many people complain.

References
----------
`facts/sending.md` section 5 (overload and money), `facts/providers.md` section 3 (start with 8 in flight, AIMD, buckets
in segments), `facts/consent.md` section 3 (the thresholds of complaints).
"""

from __future__ import annotations

import math
from collections import deque
from enum import StrEnum
from typing import NamedTuple

START_CALLS = 8
FLOOR_CALLS = 1
CEILING_CALLS = 64
BREAKER_WINDOW_SECONDS = 60.0
BREAKER_CALLS = 20
BREAKER_FAILURE_PERCENT = 20
OPEN_SECONDS = 300.0
OPENINGS = 3
CONFIGURATION_ERRORS_IN_A_ROW = 5
CONTENT_ERROR_PERCENT = 2
CONTENT_MESSAGES = 100
"""Below this number a share of content errors says nothing: at least three messages have to be at fault."""
BOUNCE_PERCENT = 5
BOUNCE_MESSAGES = 200
COMPLAINT_MESSAGES = 500
COMPLAINTS_HOLD_PER_THOUSAND = 1
COMPLAINTS_STOP_PER_THOUSAND = 3


class TokenBucket:
    """So many units a second (messages, or SMS segments), and ``burst`` of them at once after a rest.

    An amount is reserved at once and the caller waits until its time has come. In this way an amount larger than the
    burst gets its turn, too, and nobody who asks for little overtakes it.

    Parameters
    ----------
    per_second : units a second, more than 0
    burst : units that may go at once, more than 0; default what one second brings, at least one unit
    """

    def __init__(self, *, per_second: float, burst: float | None = None) -> None:
        allowed = max(1.0, per_second) if burst is None else burst
        if not (0 < per_second < math.inf and 0 < allowed < math.inf):
            message = f"a bucket needs a rate and a burst above 0, not {per_second} and {allowed}"
            raise ValueError(message)
        self.per_second, self.burst = per_second, allowed
        self._level = allowed
        self._seen_seconds: float | None = None

    def take(self, amount: float = 1, *, now_seconds: float) -> float:
        """Reserve an amount; return how many seconds to wait before it may go."""
        if not 0 <= amount < math.inf:
            message = f"an amount is 0 or more, not {amount}"
            raise ValueError(message)
        elapsed = 0.0 if self._seen_seconds is None else max(0.0, now_seconds - self._seen_seconds)
        self._seen_seconds = now_seconds if self._seen_seconds is None else max(now_seconds, self._seen_seconds)
        self._level = min(self.burst, self._level + elapsed * self.per_second) - amount
        return max(0.0, -self._level / self.per_second)


class AdaptiveLimit:
    """How many calls may be in flight: one more after a round of answers, half as many after "too many requests".

    Parameters
    ----------
    start, floor, ceiling : calls in flight
    round_seconds : refusals of calls that were in flight together count once
    """

    def __init__(
        self,
        *,
        start: int = START_CALLS,
        floor: int = FLOOR_CALLS,
        ceiling: int = CEILING_CALLS,
        round_seconds: float = 1.0,
    ) -> None:
        if not 1 <= floor <= start <= ceiling:
            message = f"expected 1 <= floor <= start <= ceiling, not {floor}, {start}, {ceiling}"
            raise ValueError(message)
        self.floor, self.ceiling, self.round_seconds = floor, ceiling, round_seconds
        self._limit = float(start)
        self._cut_seconds = -math.inf
        self._quiet_until_seconds = -math.inf

    @property
    def calls(self) -> int:
        """How many calls may be in flight now."""
        return int(self._limit)

    def succeeded(self) -> None:
        """Count an answer that was no refusal for haste: about ``calls`` of them allow one more."""
        self._limit = min(float(self.ceiling), self._limit + 1 / self._limit)

    def throttled(self, *, now_seconds: float, retry_after_seconds: float | None = None) -> None:
        """Count a 429: half as many calls from now on, and none before the provider's ``Retry-After`` is over."""
        if now_seconds - self._cut_seconds >= self.round_seconds:
            self._limit = max(float(self.floor), math.floor(self._limit / 2))
            self._cut_seconds = now_seconds
        if retry_after_seconds is not None:
            self._quiet_until_seconds = max(self._quiet_until_seconds, now_seconds + retry_after_seconds)

    def wait_seconds(self, *, now_seconds: float) -> float:
        """Return how long the provider asked us to keep quiet."""
        return max(0.0, self._quiet_until_seconds - now_seconds)


class Answer(StrEnum):
    """What one call said about the provider, not about the message."""

    FINE = "fine"  # also a refused message, also 429: somebody is there and listens
    FAILED = "failed"  # no connection, no answer, 5xx
    DENIED = "denied"  # 401, 403: every further call would be denied, too


class CircuitBreaker:
    """Lets no call through while a provider fails: 5 minutes, then 10, then 20, then never again.

    Opens when more than 20 % of at least 20 calls failed within 60 seconds, or at once when a call is denied. After a
    pause one call may try; its failure opens the circuit again.
    """

    def __init__(self) -> None:
        self.openings = 0
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._open_until_seconds: float | None = None
        self._is_trying = False

    @property
    def is_stopped(self) -> bool:
        """Whether no call will ever be let through again."""
        return self._open_until_seconds == math.inf

    def wait_seconds(self, *, now_seconds: float) -> float:
        """Return how long no call will be let through: 0 when one may try, infinity when it is over for good."""
        return 0.0 if self._open_until_seconds is None else max(0.0, self._open_until_seconds - now_seconds)

    def admit(self, *, now_seconds: float) -> bool:
        """Whether a call may be made now; after a pause only one, until :meth:`record` says what it brought."""
        if self._open_until_seconds is None:
            return True
        if self.is_stopped or self._is_trying or now_seconds < self._open_until_seconds:
            return False
        self._is_trying = True
        return True

    def record(self, answer: Answer, *, now_seconds: float) -> None:
        """Count what a call brought."""
        is_bad = answer is not Answer.FINE
        if self._open_until_seconds is not None:
            # Calls that were in flight when the circuit opened say nothing new.
            if self._is_trying:
                self._is_trying = False
                self._open_until_seconds = None
                if is_bad:
                    self._open(now_seconds)
            return
        self._calls.append((now_seconds, is_bad))
        self._failures += is_bad
        while self._calls and self._calls[0][0] <= now_seconds - BREAKER_WINDOW_SECONDS:
            self._failures -= self._calls.popleft()[1]
        is_failing = len(self._calls) >= BREAKER_CALLS and _exceeds(
            self._failures, len(self._calls), BREAKER_FAILURE_PERCENT
        )
        if answer is Answer.DENIED or is_failing:
            self._open(now_seconds)

    def _open(self, now_seconds: float) -> None:
        self._calls.clear()
        self._failures = 0
        pause = OPEN_SECONDS * 2**self.openings if self.openings < OPENINGS else math.inf
        self._open_until_seconds = now_seconds + pause
        self.openings += 1


class CampaignGuard:
    """Stops a campaign whose settings or texts are at fault: what is left stays planned.

    Five configuration errors in a row, or content errors of more than 2 % of at least 100 messages.
    """

    def __init__(self) -> None:
        self.messages = self.content_errors = 0
        self._in_a_row = 0
        self.stopped_by = ""

    def record(self, *, is_configuration: bool = False, is_content: bool = False) -> None:
        """Count what became of one message; once stopped, it stays stopped."""
        self.messages += 1
        self.content_errors += is_content
        self._in_a_row = self._in_a_row + 1 if is_configuration else 0
        if self.stopped_by:
            return
        if self._in_a_row >= CONFIGURATION_ERRORS_IN_A_ROW:
            self.stopped_by = "configuration"
        elif self.messages >= CONTENT_MESSAGES and _exceeds(self.content_errors, self.messages, CONTENT_ERROR_PERCENT):
            self.stopped_by = "content"

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more of this campaign may be sent."""
        return bool(self.stopped_by)


class Brake(StrEnum):
    """What the rates of a channel, a step or a domain call for."""

    NONE = "none"
    HOLD_STEP = "hold_step"  # a person looks at this step first
    STOP_CHANNEL = "stop_channel"  # until a person resets it


class Feedback(NamedTuple):
    """How many messages of the last days were delivered, bounced for good, and complained about."""

    delivered: int
    bounced: int = 0
    complained: int = 0


def brake_for(feedback: Feedback) -> Brake:
    """Return what to do about a rolling count.

    A channel stops at hard bounces above 5 % of at least 200 messages (delivered and bounced), and at complaints of
    0.3 % of at least 500 delivered; complaints of 0.1 % hold the step. Gmail and Yahoo ask bulk senders to stay under
    0.3 % and to aim under 0.1 %.
    """
    ended = feedback.delivered + feedback.bounced
    if ended >= BOUNCE_MESSAGES and _exceeds(feedback.bounced, ended, BOUNCE_PERCENT):
        return Brake.STOP_CHANNEL
    if feedback.delivered < COMPLAINT_MESSAGES:
        return Brake.NONE
    # Whole numbers: at exactly 0.3 % no rounding may decide.
    if feedback.complained * 1000 >= COMPLAINTS_STOP_PER_THOUSAND * feedback.delivered:
        return Brake.STOP_CHANNEL
    if feedback.complained * 1000 >= COMPLAINTS_HOLD_PER_THOUSAND * feedback.delivered:
        return Brake.HOLD_STEP
    return Brake.NONE


def is_kill_rate(feedback: Feedback) -> bool:
    """Whether the channel has to stop until a person resets it."""
    return brake_for(feedback) is Brake.STOP_CHANNEL


def _exceeds(part: int, whole: int, percent: int) -> bool:
    return part * 100 > percent * whole
