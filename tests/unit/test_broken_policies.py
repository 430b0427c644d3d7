"""Forty ways to get a policy wrong: each is refused, naming file, line, place and what is wrong, all at once."""

import pytest

from winback.core.policy import load_programme
from winback.errors import PolicyError

BASE = """\
version: 1
programme: grocery
trigger:
  behaviours: [purchase, visit]
  weak: [open]
threshold:
  horizon_days: 60
  floor_days: 21
  ceiling_days: 60
  by_category:
    wine: {floor_days: 45, ceiling_days: 180}
ladder:
  mode: multiple
  steps:
    - {day: 30, kind: survey, channels: [email], template: survey}
    - day: 60
      kind: contest
      channels: [email, sms]
      template: contest
      terms_url: https://www.grocer.example/terms
      countries: [FR, DE]
    - {day: 90, kind: coupon, channels: [sms, email], template: coupon}
  min_days_between: 7
end: sunset
hold_out: {share: auto, salt: "1"}
value: 10
"""

BROKEN = [
    ("version: 1", "version: 2", ["1: version: Input should be 1"]),
    ("version: 1\n", "", ["1: version: required, but missing"]),
    ("version: 1", "version: one", ["1: version: Input should be 1, not 'one'"]),
    ("programme: grocery\n", "", ["1: programme: required, but missing"]),
    (
        "programme: grocery",
        "programme: Grocery Shop",
        ["2: programme: String should match pattern '^[a-z][a-z0-9_-]{0,62}$'"],
    ),
    (
        "programme: grocery",
        "program: grocery",
        ["1: programme: required, but missing", "2: program: unknown key 'program' (did you mean 'programme'?)"],
    ),
    ("programme: grocery", "programme: grocery\nprogramme: other", ["3: programme: duplicate key (first on line 2)"]),
    ("trigger:\n  behaviours: [purchase, visit]\n  weak: [open]\n", "", ["1: trigger: required, but missing"]),
    (
        "behaviours: [purchase, visit]",
        "behaviours: []",
        ["4: trigger.behaviours: List should have at least 1 item after validation, not 0"],
    ),
    ("behaviours: [purchase, visit]", "behaviours: purchase", ["4: trigger.behaviours: Input should be a valid list"]),
    (
        "behaviours: [purchase, visit]",
        "behaviour: [purchase]",
        [
            "3: trigger.behaviours: required, but missing",
            "4: trigger.behaviour: unknown key 'behaviour' (did you mean 'behaviours'?)",
        ],
    ),
    (
        "behaviours: [purchase, visit]",
        "behaviours: [Purchase]",
        ["4: trigger.behaviours.0: String should match pattern '^[a-z][a-z0-9_]{0,62}$'"],
    ),
    ("weak: [open]", "weak: [visit]", ["3: trigger: a behaviour is either counted or weak, not both: visit"]),
    ("horizon_days: 60", "horizon_days: 5", ["7: threshold.horizon_days: Input should be greater than or equal to 7"]),
    (
        "horizon_days: 60",
        "horizon_days: soon",
        ["7: threshold.horizon_days: Input should be a valid integer, unable to parse string as an integer"],
    ),
    (
        "horizon_days: 60",
        "horizon_day: 60",
        ["7: threshold.horizon_day: unknown key 'horizon_day' (did you mean 'horizon_days'?)"],
    ),
    ("floor_days: 21", "floor_days: 90", ["6: threshold: floor_days (90) is above ceiling_days (60)"]),
    ("floor_days: 21", "floor_days: 0", ["8: threshold.floor_days: Input should be greater than or equal to 1"]),
    (
        "floor_days: 21",
        "floor_days: 2.5",
        ["8: threshold.floor_days: Input should be a valid integer, got a number with a fractional part"],
    ),
    (
        "wine: {floor_days: 45",
        "wine: {flor_days: 45",
        ["11: threshold.by_category.wine.flor_days: unknown key 'flor_days' (did you mean 'floor_days'?)"],
    ),
    (
        "wine: {floor_days: 45",
        "wine: {floor_days: 200",
        ["11: threshold.by_category.wine: floor_days (200) is above ceiling_days (180)"],
    ),
    (
        "mode: multiple",
        "mode: multipel",
        [
            (
                "13: ladder.mode: Input should be 'anchored', 'calendar', 'multiple' or 'probability', not 'multipel'"
                " (did you mean 'multiple'?)"
            )
        ],
    ),
    (
        "mode: multiple",
        "mode: 3",
        ["13: ladder.mode: Input should be 'anchored', 'calendar', 'multiple' or 'probability'"],
    ),
    (
        "day: 30, kind: survey",
        "day: 0, kind: survey",
        ["15: ladder.steps.0.day: Input should be greater than or equal to 1"],
    ),
    (
        "kind: survey, channels",
        "kind: surveys, channels",
        [
            (
                "15: ladder.steps.0.kind: Input should be 'survey', 'contest', 'coupon' or 'message', not 'surveys'"
                " (did you mean 'survey'?)"
            )
        ],
    ),
    (
        "channels: [email], template",
        "channels: [mail], template",
        [
            (
                "15: ladder.steps.0.channels.0: Input should be 'email', 'sms' or 'whatsapp', not 'mail'"
                " (did you mean 'email'?)"
            )
        ],
    ),
    (
        "channels: [email], template",
        "channels: [], template",
        ["15: ladder.steps.0.channels: List should have at least 1 item after validation, not 0"],
    ),
    ("channels: [email, sms]", "channels: [email, email]", ["16: ladder.steps.1: a channel is named twice"]),
    (", template: survey}", "}", ["15: ladder.steps.0.template: required, but missing"]),
    (
        "template: contest",
        "template: Contest!",
        ["19: ladder.steps.1.template: String should match pattern '^[a-z][a-z0-9_-]{0,62}$'"],
    ),
    (
        "      terms_url: https://www.grocer.example/terms\n",
        "",
        ["16: ladder.steps.1: a contest needs terms_url and countries"],
    ),
    (
        "countries: [FR, DE]",
        "countries: [France]",
        ["21: ladder.steps.1.countries.0: String should match pattern '^[A-Z]{2}$'"],
    ),
    ("    - day: 60", "    - day: 35", ["12: ladder: step at day 35 comes less than 7 days after day 30"]),
    ("    - day: 60", "    - day: 95", ["12: ladder: step at day 90 comes less than 7 days after day 95"]),
    (
        "min_days_between: 7",
        "min_days_between: -1",
        ["23: ladder.min_days_between: Input should be greater than or equal to 1"],
    ),
    (
        "end: sunset",
        "end: sunrise",
        ["24: end: Input should be 'sunset' or 'none', not 'sunrise' (did you mean 'sunset'?)"],
    ),
    (
        "share: auto",
        "share: 1.5",
        ["25: hold_out.share: Input should be less than or equal to 0.9", "25: hold_out.share: Input should be 'auto'"],
    ),
    (
        "share: auto",
        "share: half",
        [
            "25: hold_out.share: Input should be a valid number, unable to parse string as a number",
            "25: hold_out.share: Input should be 'auto', not 'half'",
        ],
    ),
    ("value: 10", "value: much", ["26: value: Input should be a valid number, unable to parse string as a number"]),
    ("value: 10", "returns: [open]", ["1: a weak behaviour proves no return: open"]),
    ("value: 10", "valeu: 10", ["26: valeu: unknown key 'valeu' (did you mean 'value'?)"]),
    ("value: 10", "cycles_per_year: 0", ["26: cycles_per_year: Input should be greater than or equal to 1"]),
    ("  mode: multiple", "\tmode: multiple", ["13: a tab where YAML wants spaces"]),
    ("trigger:", "trigger: [", ["5: expected ',' or ']', but got '<scalar>'"]),
    (BASE, "", ["1: expected keys and values, found NoneType"]),
    (BASE, "- a list\n", ["1: expected keys and values, found list"]),
    ("{day: 90", "{day: 90, discount: 10", ["22: ladder.steps.2.discount: unknown key 'discount'"]),
    ("ladder:", "steps:", ["1: ladder: required, but missing", "12: steps: unknown key 'steps'"]),
]


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_programme(text, file="grocery.yaml")
    assert caught.value.exit_code == 2
    return [str(fault) for fault in caught.value.faults]


def test_the_sound_policy_is_sound() -> None:
    assert load_programme(BASE, file="grocery.yaml").programme == "grocery"
    assert len(BROKEN) >= 40


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_broken_policy_is_refused_with_the_line_of_each_fault(old: str, new: str, expected: list[str]) -> None:
    assert BASE.count(old) == 1
    assert faults(BASE.replace(old, new)) == [f"grocery.yaml:{fault}" for fault in expected]


def test_faults_in_several_places_are_named_together_in_the_order_of_the_file() -> None:
    text = BASE
    for old, new in (
        ("mode: multiple", "mode: multipel"),
        ("value: 10", "valeu: 10"),
        ("horizon_days: 60", "horizon: 60"),
    ):
        text = text.replace(old, new)
    assert [fault.split(": ")[0] for fault in faults(text)] == ["grocery.yaml:7", "grocery.yaml:13", "grocery.yaml:26"]


def test_the_ladder_of_chances_knows_no_fourth_step() -> None:
    text = BASE.replace("mode: multiple", "mode: probability")
    text = text.replace(
        "  min_days", "    - {day: 120, kind: message, channels: [email], template: coupon}\n  min_days"
    )
    what = "mode probability knows three steps (chance of return under .5, .25, .1)"
    assert faults(text) == [f"grocery.yaml:12: ladder: {what}"]
