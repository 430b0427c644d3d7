"""What is published about a night: aggregates, and none so small that it points at somebody."""

from __future__ import annotations

import pandas as pd
import pytest

from winback.reports import artifacts
from winback.reports.threshold_groups import group_thresholds

SUMMARY = {
    "as_of": "2026-11-21",
    "plan_hash": "0123456789abcdef",
    "contacts": 1200,
    "decisions": {"send": 40, "wait": 1157, "skip": 3},
    "cost": 2.8,
    "guards": [{"name": "volume", "ok": True, "detail": "fine"}],
}


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({}, {}),
        ({"a": 0, "b": 5}, {"a": 0, "b": 5}),
        ({"a": 4, "b": 3, "c": 50}, {"a": "<5", "b": "<5", "c": 50}),
        # One small cell could be worked out from the total, so the next smallest goes with it.
        ({"a": 4, "b": 9, "c": 50}, {"a": "<5", "b": "hidden", "c": 50}),
        ({"a": 1}, {"a": "<5"}),
        ({"a": 1, "b": 0}, {"a": "<5", "b": 0}),
    ],
)
def test_small_cells_are_hidden(counts, shown):
    assert artifacts.conceal(counts) == shown


def test_cells_keep_their_order():
    assert list(artifacts.conceal({"z": 9, "a": 3, "m": 7})) == ["z", "a", "m"]


def test_counts_come_largest_first():
    rows = artifacts.counts_table({"lapsed": 10, "active": 90, "new": 10}, label="segment")
    assert rows == [
        {"segment": "active", "contacts": 90},
        {"segment": "lapsed", "contacts": 10},
        {"segment": "new", "contacts": 10},
    ]


def test_why_not_leaves_out_who_was_written_to_and_explains_the_rest():
    rows = artifacts.why_not_table({"due": 40, "active": 90, "opted_out": 8})
    assert [row["reason"] for row in rows] == ["active", "opted_out"]
    assert rows[1] == {"action": "skip", "reason": "opted_out", "means": "this contact said stop", "contacts": 8}


def test_the_ladder_keeps_its_order():
    rows = artifacts.ladder_table({"3": 30, "1": 10, "2": 20})
    assert [row["step"] for row in rows] == ["1", "2", "3"]


def test_sources_show_every_column_and_no_gaps():
    delivered = {"name": "orders", "read": 9, "new": 2, "quarantined": 1, "max_occurred_at": None, "held": None}
    assert artifacts.sources_table([{**delivered, "detail": "not shown"}]) == [
        {"name": "orders", "read": 9, "new": 2, "quarantined": 1, "max_occurred_at": "", "held": ""}
    ]


@pytest.mark.parametrize("decisions", [{"send": 3, "wait": 1197}, {"send": 3, "wait": 1190, "skip": 2}, {"wait": 9}])
def test_the_head_of_a_night_names_the_exact_number_of_messages(decisions):
    """A person agrees to it, so it is never hidden."""
    words = artifacts.night_words({**SUMMARY, "decisions": decisions})
    assert f"Messages: {decisions.get('send', 0)}." in words
    assert "Every guard is content" in words


def test_the_head_of_a_night_names_what_stands_against_it():
    guards = [{"name": "segment_growth", "ok": False, "detail": "3 times as many as usual"}]
    words = artifacts.night_words({**SUMMARY, "guards": guards}, held=[{"name": "orders", "detail": "stale"}])
    assert "guard **segment_growth**: 3 times as many as usual" in words
    assert "**orders** is held: stale" in words
    assert "content" not in words


def rhythm(first_on: str, last_on: str, gap: float, *, silence: float = 10, threshold: float = 40) -> dict[str, object]:
    return {
        "customer_id": "never shown",
        "behaviour": "purchase",
        "first_on": pd.Timestamp(first_on),
        "last_on": pd.Timestamp(last_on),
        "usual_gap_days": gap,
        "silence_days": silence,
        "threshold_1_days": threshold,
    }


@pytest.mark.parametrize(
    ("last_on", "gap", "group"),
    [
        ("2026-01-01", 90.0, ("quarterly", "one day")),
        ("2026-01-20", 3.0, ("daily", "days")),
        ("2026-01-31", 3.1, ("weekly", "days")),
        ("2026-02-01", 14.0, ("weekly", "months")),
        ("2027-01-01", 45.0, ("monthly", "months")),
        ("2027-01-02", 400.0, ("rarer", "years")),
    ],
)
def test_thresholds_are_grouped_by_frequency_and_lifecycle(last_on, gap, group):
    rows = group_thresholds(pd.DataFrame([rhythm("2026-01-01", last_on, gap)]))
    assert [(row["frequency"], row["lifecycle"]) for row in rows] == [group]


def test_a_group_has_its_quartiles_and_who_is_past():
    frame = pd.DataFrame(
        [rhythm("2026-01-01", "2026-03-01", 20, silence=50, threshold=days) for days in (20, 30, 40, 50, 60)]
    )
    (row,) = group_thresholds(frame)
    assert (row["customers"], row["threshold_days_25"], row["threshold_days"], row["threshold_days_75"]) == (
        5,
        30,
        40,
        50,
    )
    assert row["past_threshold_percent"] == 60  # silent for 50 days: past 20, 30 and 40, not past 50


def test_no_rhythm_makes_no_group():
    assert group_thresholds(pd.DataFrame()) == []


def test_a_small_group_shows_no_figures():
    groups = group_thresholds(pd.DataFrame([rhythm("2026-01-01", "2026-03-01", 20)] * 4))
    (row,) = artifacts.thresholds_table(groups)
    assert row["customers"] == "<5"
    figures = {name: value for name, value in row.items() if name.endswith(("_days", "_25", "_75", "_percent"))}
    assert len(figures) == 5
    assert set(figures.values()) == {""}
