"""Senders killed in the nights in which clocks change, and by clocks that are a day off: nobody is texted asleep.

The instants at which texts may arrive are worked out in :mod:`bench.killing.world`, from the wall clock of the place.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from killing_ground import grounds

from bench.killing.trial import Trial
from bench.killing.wishes import Wish
from bench.killing.world import LONDONER_IN_PARIS, NEW_YORK

# Before the clock changes, so that the night crosses that and the opening after it; and minutes before the closing.
NIGHTS = {
    "Paris loses an hour": (LONDONER_IN_PARIS, datetime(2026, 3, 29, 0, 10, tzinfo=UTC), 40),
    "Paris gains an hour": (LONDONER_IN_PARIS, datetime(2026, 10, 25, 0, 10, tzinfo=UTC), 40),
    "Paris closes late": (LONDONER_IN_PARIS, datetime(2026, 10, 25, 18, 56, tzinfo=UTC), 1),
    "Paris closes early": (LONDONER_IN_PARIS, datetime(2026, 3, 29, 17, 56, tzinfo=UTC), 1),
    "New York loses an hour": (NEW_YORK, datetime(2026, 3, 8, 6, 10, tzinfo=UTC), 40),
    "New York gains an hour": (NEW_YORK, datetime(2026, 11, 1, 5, 10, tzinfo=UTC), 40),
    "New York closes early": (NEW_YORK, datetime(2026, 3, 9, 0, 56, tzinfo=UTC), 1),
}
ON_BOTH = ("Paris loses an hour", "New York gains an hour")


def _wish(name: str, **changes: object) -> Wish:
    home, begins_at, minutes = NIGHTS[name]
    given = {"number": 1, "mails": 60, "texts": 40, "homes": [home], "refusals": 0, "most_faults": 4, **changes}
    return Wish(begins_at=begins_at, step=timedelta(minutes=minutes), **given)


def _lives_through(ground, name: str) -> None:
    night = Trial(ground, _wish(name)).run()
    assert night.verdict.is_clean, night.verdict
    assert night.landed.total() >= 2
    assert night.states.keys() <= {"accepted", "unknown"}
    assert sum(one.address in night.taken() for one in night.planned if one.channel == "sms") > 10


@pytest.mark.parametrize("name", NIGHTS)
def test_no_text_arrives_at_night_when_the_clocks_change(tmp_path, name) -> None:
    with grounds(tmp_path, None) as ground:
        _lives_through(ground, name)


@pytest.mark.postgres
@pytest.mark.parametrize("name", ON_BOTH)
def test_no_text_arrives_at_night_when_the_clocks_change_on_postgresql(tmp_path, postgres_shared, name) -> None:
    with grounds(tmp_path, postgres_shared) as ground:
        _lives_through(ground, name)


@pytest.mark.parametrize("name", ["Paris loses an hour", "New York gains an hour"])
def test_a_sender_that_forgets_the_hour_is_found_out_then(tmp_path, name) -> None:
    with grounds(tmp_path, None) as ground:
        night = Trial(ground, _wish(name, variant="broken_senders:forgets_the_hour", most_faults=2)).run()
    assert night.verdict.in_quiet_hours


def test_clocks_that_are_a_day_off_make_nobody_get_anything_twice(backend, request, tmp_path) -> None:
    """Every sender believes in yesterday or in tomorrow; two of them at once may believe in both."""
    shared = None if backend == "sqlite" else request.getfixturevalue("postgres_shared")
    with grounds(tmp_path, shared) as ground:
        night = Trial(ground, Wish(number=1, mails=200, texts=60, jumps=1.0, most_faults=8, are_reported=True)).run()
    assert night.verdict.is_clean, night.verdict
    assert night.landed.total() >= 4
