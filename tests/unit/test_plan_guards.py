"""Guards on a plan as a whole, what a person may accept, and the file a plan is kept in."""

import json
from datetime import date

import pytest

from winback.errors import UsageError
from winback.night.plan_file import read_plan, write_plan
from winback.night.plan_guards import guard_growth, guard_sunsets, split_accepted

DAY = date(2026, 3, 10)
PLAN = {
    "as_of": "2026-03-10",
    "begins_at": "2026-03-10T04:30:00+01:00",
    "plan_hash": "0123456789abcdef",
    "digests": {"a policy": "1"},
    "programmes": ["winback"],
    "accepted": [],
}


@pytest.mark.parametrize(
    ("sends", "recent", "ok"),
    [
        (10_000, [], True),
        (10_000, [1, 1], True),  # two nights are no habit
        (100, [0, 0, 0], True),  # a hundred is never too many
        (101, [0, 0, 0], False),
        (200, [100, 100, 100], True),
        (201, [100, 100, 100], False),
        (201, [100, 0, 0, 100, 100], False),
        (2001, [1000, 1000, 5], False),
    ],
)
def test_growth_is_judged_against_the_usual_night(sends, recent, ok):
    guard = guard_growth(sends, recent, growth=2.0, as_of=DAY, accept=())
    assert guard.ok is ok
    assert (f"--accept growth:{DAY}" in guard.detail) is not ok
    assert guard_growth(sends, recent, growth=2.0, as_of=DAY, accept=[f"growth:{DAY}"]).ok
    assert guard_growth(sends, recent, growth=2.0, as_of=DAY, accept=["growth:2026-03-09"]).ok is ok


@pytest.mark.parametrize(
    ("sunsets", "contacts", "ok"), [(20, 30, True), (21, 30, False), (50, 1000, True), (51, 1000, False), (0, 0, True)]
)
def test_sunsets_are_judged_by_their_share(sunsets, contacts, ok):
    guard = guard_sunsets(sunsets, contacts, share=0.05, as_of=DAY, accept=())
    assert guard.ok is ok
    assert (f"--accept sunsets:{DAY}" in guard.detail) is not ok
    assert guard_sunsets(sunsets, contacts, share=0.05, as_of=DAY, accept=[f"sunsets:{DAY}"]).ok


def test_what_is_accepted_is_about_the_plan_or_about_a_feed():
    words = [f"growth:{DAY}", f"volume:orders:{DAY}", f"sunsets:{DAY}", f"stale:visits:{DAY}"]
    assert split_accepted(words, as_of=DAY) == ([words[0], words[2]], [words[1], words[3]])
    assert split_accepted([], as_of=DAY) == ([], [])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("growth:2026-03-09", "this night is 2026-03-10"),
        ("growth", "no date"),
        ("growht:2026-03-10", "expected"),
        ("", "expected"),
        ("malformed:orders:2026-03-10", "expected"),
    ],
)
def test_a_word_that_means_nothing_is_refused(word, said):
    with pytest.raises(UsageError, match=said):
        split_accepted([word], as_of=DAY)


def test_a_plan_takes_no_word_about_feeds():
    """A plan reads what a sync let in; feeds are accepted there."""
    with pytest.raises(UsageError, match="expected"):
        split_accepted([f"volume:orders:{DAY}"], as_of=DAY, may_hold_feeds=False)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    write_plan(tmp_path / "plan.json", PLAN)
    assert read_plan(tmp_path / "plan.json") == PLAN
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("missing", sorted(PLAN))
def test_a_plan_without_one_of_its_parts_is_none(tmp_path, missing):
    (tmp_path / "plan.json").write_text(json.dumps({name: part for name, part in PLAN.items() if name != missing}))
    with pytest.raises(UsageError, match=missing):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"as_of": "soon"}, "soon"),
        ({"as_of": 20260310}, "as_of"),
        ({"begins_at": "2026-03-10T04:30:00"}, "time zone"),
        ({"digests": []}, "digests"),
        ({"programmes": "winback"}, "programmes"),
    ],
)
def test_a_plan_with_parts_of_another_kind_is_none(tmp_path, changes, said):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN | changes))
    with pytest.raises(UsageError, match=said):
        read_plan(tmp_path / "plan.json")
