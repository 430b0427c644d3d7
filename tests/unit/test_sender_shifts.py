"""Whose clock an acceptance is judged by: that of every sender who may have asked for it, and of nobody else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from bench.killing.shifts import Shifts

NINE = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


def sender(*, told: datetime, begun_seconds: float, has_ended: bool = False):
    return SimpleNamespace(order=SimpleNamespace(now=told), begun_seconds=begun_seconds, has_ended=has_ended)


def hours(shifts: Shifts, taken_seconds: float) -> list[datetime]:
    return [latest for _, latest in shifts.instants(taken_seconds)]


def test_a_sender_at_work_is_asked_for_its_own_clock():
    shifts, begun = Shifts(), time.monotonic()
    shifts.begin(sender(told=NINE, begun_seconds=begun))
    assert hours(shifts, begun + 7) == [NINE + timedelta(seconds=7)]
    assert hours(shifts, begun - 1) == []


def test_a_request_may_be_read_a_little_after_its_sender_died_and_not_long_after():
    shifts, begun = Shifts(), time.monotonic() - 10
    shifts.begin(sender(told=NINE, begun_seconds=begun, has_ended=True))
    shifts.end_the_dead()
    ended = time.monotonic()
    [latest] = hours(shifts, ended + 1)
    assert timedelta(seconds=10) <= latest - NINE < timedelta(seconds=11)
    assert hours(shifts, ended + 60) == []
