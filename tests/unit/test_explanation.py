"""A stored decision read back."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta

import pandas as pd
import pytest
from decision_world import World, people, programme

from winback.core import arbitration, decisions, explanation
from winback.core.decision_rules import RULES
from winback.core.reasons import Reason

AS_OF = date(2026, 6, 2)


def stored(silence: int = 30, **changes) -> pd.Series:
    given = {
        "programmes": [programme()], "contacts": people("a"),
        "last_days": {"a": [{"last_on": AS_OF - timedelta(days=silence), "threshold": 30}]}, **changes,
    }  # fmt: skip
    world = World(**given)
    rows = arbitration.one_each(world.decide(AS_OF), world.contacts, as_of=pd.Timestamp(AS_OF))
    return decisions.public(rows).iloc[0]


@pytest.mark.parametrize(
    ("changes", "reason", "rule"),
    [
        ({}, "due", "due"),
        ({"silence": 5}, "active", "not lapsed"),
        ({"consents": []}, "no_consent_record", "permission: no_consent_record"),
        ({"held": {"winback"}}, "source_held", "source held"),
        ({"last_days": {}}, "no_activity", "no activity known"),
    ],
)
def test_the_rules_come_to_the_stored_decision(changes, reason, rule):
    row = stored(**changes)
    found = explanation.explain(explanation.read_facts(row["facts"]))
    assert (found.action, found.reason) == (row["action"], row["reason"])
    assert (found.reason, found.steps[-1]["rule"]) == (reason, rule)
    assert [step["outcome"] for step in found.steps] == ["does not apply"] * (len(found.steps) - 1) + ["decides"]
    assert [step["rule"] for step in found.steps] == [one.name for one in RULES][: len(found.steps)]


def test_the_end_of_a_one_offs_cycle_is_explained():
    since = AS_OF - timedelta(days=50)
    world = World([programme()], people("a"), {"a": [{"last_on": since, "threshold": 30, "n": 1}]})
    world.play(since + timedelta(days=30), 14)
    decided = world.run(since + timedelta(days=44))
    rows = arbitration.one_each(decided, world.contacts, as_of=pd.Timestamp(since + timedelta(days=44)))
    found = explanation.explain(explanation.read_facts(decisions.public(rows).iloc[0]["facts"]))
    assert (found.action, found.reason) == ("wait", "cycle_ended")
    assert (found.steps[-1]["rule"], found.steps[-1]["inputs"]) == (
        "one touch of a one-off",
        {"close_reason": "touched"},
    )
    assert "second active day" in found.change
    assert (world.taken("a"), world.suppressions) == ([(1, since + timedelta(days=30))], [])
    assert world.cycles[0]["close_reason"] == "touched"


def test_the_sentence_has_the_numbers_and_the_change_says_what_would_help():
    found = explanation.explain(explanation.read_facts(stored(silence=5)["facts"]))
    assert found.sentence == (
        "wait in programme winback: the silence is within this contact's own rhythm. The last purchase was 5 days ago"
        " (2026-05-28); the threshold is 30 days. Threshold 30 days."
    )
    assert found.change == "a silence of threshold_days (30)"


def test_the_inputs_are_the_facts_that_were_stored_and_can_be_written_as_json():
    found = explanation.explain(explanation.read_facts(stored(silence=5)["facts"]))
    last = found.steps[-1]["inputs"]
    assert last == {
        "is_lapsed": False, "is_step_due": False, "silence_days": 5.0, "threshold_days": 30.0,
        "lapsed_on": "2026-06-27",
    }  # fmt: skip
    assert json.loads(json.dumps(found.steps, allow_nan=False)) == found.steps


def test_what_is_left_out_of_the_text_is_read_as_its_default():
    facts = explanation.read_facts('{"programme":"winback","value":1.0}')
    assert (facts["arm"], facts["is_lapsed"], facts["opened_on"]) == ("", False, None)
    assert math.isnan(facts["step"])


def test_facts_of_no_decision_are_an_error():
    with pytest.raises(ValueError, match="not those of a stored decision"):
        explanation.explain(explanation.read_facts('{"has_activity":true,"is_lapsed":true,"value":1.0}'))


def test_texts_with_anything_in_them_come_back_as_they_were():
    world = World([programme()], people("a", "b"), {"a": [{"last_on": AS_OF}], "b": [{"last_on": AS_OF}]})
    odd = 'said "x":null, {"y":""},{"programme":"z"} \\ \u2028 \n and went'
    decided = world.decide(AS_OF).assign(sentence=[odd, ""])
    texts = decisions.facts_as_json(decided)
    assert [explanation.read_facts(text)["sentence"] for text in texts] == [odd, ""]
    assert [explanation.read_facts(text)["value"] for text in texts] == [1.0, 1.0]
    assert '"is_lapsed"' not in texts.iloc[1]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_would_have_to_change(reason):
    change = explanation.change_of(reason.value)
    assert len(change) > 10
    assert change == change.strip(" .")
