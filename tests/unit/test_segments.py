"""One segment a contact, in a fixed order of precedence."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from winback.core import segments

AS_OF = date(2026, 6, 1)


def classified(*, silence=10, n=5, threshold=30, nudge=np.nan, known=True, oldest=365, **contact):
    """Return (segment, tier, is_overdue) of one contact: overdue at 24, thresholds at 30, 60 and 90 days."""
    contacts = pd.DataFrame([{"customer_id": "a", "is_reachable": True, "is_sunset": False, **contact}])
    last_on = AS_OF - timedelta(days=silence)
    schedule = pd.DataFrame(
        [
            {
                "customer_id": "a", "n": n, "silence_days": silence, "threshold_2_days": 60, "threshold_3_days": 90,
                "overdue_days": 24.0, "nudge_days": nudge,
                "lapsed_on": pd.Timestamp(last_on + timedelta(days=threshold)),
            }
        ]
    )  # fmt: skip
    row = segments.classify(contacts, schedule if known else schedule.iloc[:0], as_of=AS_OF, oldest_days=oldest).iloc[0]
    return row["segment"], row["tier"], bool(row["is_overdue"])


@pytest.mark.parametrize(
    ("given", "segment", "tier"),
    [
        ({}, "active", 0),
        ({"silence": 24}, "active", 0),
        ({"silence": 25}, "at_risk", 0),
        ({"silence": 29}, "at_risk", 0),
        ({"silence": 30}, "lapsed", 1),
        ({"silence": 59}, "lapsed", 1),
        ({"silence": 60}, "lapsed", 2),
        ({"silence": 90}, "lapsed", 3),
        ({"silence": 30 + 365}, "lapsed", 3),
        ({"silence": 30 + 366}, "dormant", 3),
        ({"silence": 30 + 366, "has_open_cycle": True}, "lapsed", 3),
        ({"silence": 95, "is_cycle_ended": True}, "dormant", 3),
        ({"silence": 10, "is_cycle_ended": True}, "active", 0),
        # frequent customers are judged by the later clock
        ({"silence": 27, "n": 10, "nudge": 28.0}, "active", 0),
        ({"silence": 29, "n": 10, "nudge": 28.0}, "at_risk", 0),
        ({"silence": 27, "n": 9, "nudge": 28.0}, "at_risk", 0),
        ({"silence": 27, "n": 10}, "at_risk", 0),
        # new
        ({"known": False}, "new", 0),
        ({"n": 1}, "new", 0),
        ({"n": 1, "silence": 25}, "at_risk", 0),
        ({"n": 1, "silence": 30}, "lapsed", 1),
        # sunset and unreachable come first
        ({"is_sunset": True}, "sunset", 0),
        ({"is_sunset": True, "silence": 95}, "sunset", 3),
        ({"is_sunset": True, "is_reachable": False}, "unreachable", 0),
        ({"is_reachable": False, "known": False}, "unreachable", 0),
        # active, but ignoring what is sent
        ({"ignored_sends": 9}, "active", 0),
        ({"ignored_sends": 10}, "disengaged", 0),
        ({"ignored_sends": 10, "silence": 25}, "at_risk", 0),
        ({"ignored_sends": 10, "silence": 30}, "lapsed", 1),
        # with a fit: B(1, 1 + k) / B(1, 1) = 1 / (k + 1) is under .05 from k = 20 on
        ({"ignored_sends": 19, "opened": 1.0, "missed": 1.0}, "active", 0),
        ({"ignored_sends": 20, "opened": 1.0, "missed": 1.0}, "disengaged", 0),
        ({"ignored_sends": 10, "opened": np.nan, "missed": np.nan}, "disengaged", 0),
    ],
)
def test_the_segment_and_tier_of_a_contact(given, segment, tier):
    assert classified(**given)[:2] == (segment, tier)


def test_the_rows_come_in_the_order_of_the_contacts():
    contacts = pd.DataFrame({"customer_id": ["b", "x", "a"], "is_reachable": True, "is_sunset": [False, False, True]})
    lapsed_on = pd.to_datetime(["2026-05-01", "2026-07-01"])
    schedules = pd.DataFrame(
        {
            "customer_id": ["a", "b"], "n": 3, "silence_days": [60, 5], "threshold_2_days": 60, "threshold_3_days": 90,
            "overdue_days": 24.0, "nudge_days": np.nan, "lapsed_on": lapsed_on,
        }
    )  # fmt: skip
    found = segments.classify(contacts, schedules, as_of=AS_OF, oldest_days=365)
    assert list(found["customer_id"]) == ["b", "x", "a"]
    assert list(found["segment"]) == ["active", "new", "sunset"]


def test_overdue_is_said_only_before_the_lapse():
    assert classified(silence=25)[2] is True
    assert classified(silence=30)[2] is False
