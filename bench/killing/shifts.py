"""Which senders were at work when a message was taken, and what time it was for each of them.

In: starts and ends of processes, on the clock that never jumps. Out: the instants at which an acceptance may have been
decided. The vendors' log knows when something was taken, not what time its sender believed it was; this does.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.killing.sender import Running

_IN_THE_AIR_SECONDS = 3.0
"""So long after its sender has died a request may still be read: a busy vendor takes its time, a dead one none."""


@dataclass
class Shift:
    """One process at work.

    Attributes
    ----------
    now : the instant it was told at its start; from there its clock runs
    begun_seconds, ended_seconds : of the process; None while it lives
    """

    sender: Running
    now: datetime
    begun_seconds: float
    ended_seconds: float | None = None


class Shifts:
    """Everybody who was at work in one trial."""

    def __init__(self) -> None:
        self._all: list[Shift] = []

    def begin(self, sender: Running) -> None:
        """Note a sender that has just been started."""
        self._all.append(Shift(sender, sender.order.now, sender.begun_seconds))

    def end_the_dead(self) -> None:
        """Note who has ended."""
        for shift in self._all:
            if shift.ended_seconds is None and shift.sender.has_ended:
                shift.ended_seconds = time.monotonic()

    def instants(self, taken_seconds: float) -> Iterator[tuple[datetime, datetime]]:
        """Yield for each sender that may have sent what was taken then: the earliest and latest time it had."""
        for shift in self._all:
            until = math.inf if shift.ended_seconds is None else shift.ended_seconds
            if shift.begun_seconds <= taken_seconds <= until + _IN_THE_AIR_SECONDS:
                yield shift.now, shift.now + timedelta(seconds=min(taken_seconds, until) - shift.begun_seconds)
