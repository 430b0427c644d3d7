"""Senders killed over and over, on both databases: nobody is written to twice, nobody is forgotten.

A fault counts only when it landed in the middle of a night. `./do bench kills` does the same, thousands of times.
"""

from __future__ import annotations

import pytest
from killing_ground import grounds

from bench.killing import campaign
from bench.killing.sender import POINTS, RANDOM
from bench.killing.wishes import PAUSED, everything

EFFECTIVE_KILLS = 100


@pytest.fixture
def ground(backend, request, tmp_path):
    shared = None if backend == "sqlite" else request.getfixturevalue("postgres_shared")
    with grounds(tmp_path, shared) as ground:
        yield ground


def test_whatever_is_killed_nobody_is_written_to_twice_and_nobody_is_forgotten(ground) -> None:
    kills = campaign.run(ground, everything, landed=EFFECTIVE_KILLS)
    assert kills.verdict.is_clean, kills.told()
    assert kills.landed.total() >= EFFECTIVE_KILLS
    assert kills.landed.keys() >= {*POINTS, RANDOM, PAUSED}
    assert kills.refused >= 3
    reported = {"delivered", "bounced", "undelivered"}
    assert kills.states.keys() <= {"accepted", "unknown", "suppressed", "planned", "expired", *reported}
    # Doubt is what one kill leaves of two claims: ten mails each, or as many texts as were under way.
    assert kills.states["unknown"] <= 24 * (kills.landed.total() + kills.missed.total())
    assert kills.states["accepted"] + kills.states["delivered"] > kills.people / 4
