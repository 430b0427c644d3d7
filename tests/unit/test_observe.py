"""When a day on which people say stop is out of the ordinary."""

from __future__ import annotations

import pytest

from winback.night.observe import judge_refusals


@pytest.mark.parametrize(
    ("on_the_day", "before", "is_spike"),
    [
        (19, [0] * 14, False),  # too few to tell
        (20, [0] * 14, True),
        (20, [7] * 14, False),  # not three times the usual
        (22, [7] * 14, True),
        (60, [20] * 14, False),
        (61, [20] * 14, True),
        (500, [0] * 13 + [400], True),  # one spike before does not make the next one usual
        (0, [], False),
    ],
)
def test_a_spike_is_many_and_many_times_the_usual(on_the_day, before, is_spike):
    assert judge_refusals(on_the_day, before).is_spike is is_spike


def test_the_usual_is_the_median():
    assert judge_refusals(0, [1, 2, 90]).usual == 2
