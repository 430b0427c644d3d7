"""One decision read back: every rule that was asked, the numbers it saw, and what would have to change.

In: the facts stored with a decision. Out: the rules in order up to the one that decided, a sentence, the change. Must
never happen: an explanation that comes to another decision than the one stored, because it reads other rules or
today's data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from winback.core.decision_facts import FACTS
from winback.core.decision_rules import RULES
from winback.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULTS: dict[str, Any] = {"text": "", "claim": False, "number": math.nan, "date": None, "instant": None}
DECIDES = "decides"
PASSES = "does not apply"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a contact got the decision it got.

    Attributes
    ----------
    action, reason : the decision the rules come to
    sentence : one for a person, with the numbers
    steps : for each rule asked, in order: rule, inputs (the facts it read), outcome
    change : what would have to change for another decision
    """

    action: str
    reason: str
    sentence: str
    steps: list[dict[str, Any]]
    change: str


def read_facts(text: str) -> dict[str, Any]:
    """Return every fact of a decision from its stored JSON; what was left out has the default of its kind."""
    stored = json.loads(text, parse_int=float)
    return {name: stored.get(name, _DEFAULTS[kind]) for name, kind in FACTS.items()}


def explain(facts: Mapping[str, Any]) -> Explanation:
    """Return how the rules come to their decision from the stored facts.

    Parameters
    ----------
    facts : from :func:`read_facts`

    Raises
    ------
    ValueError
        If no rule decides: the facts are not those of a decision.
    """
    arrays = {name: _array(facts[name], kind) for name, kind in FACTS.items()}
    steps: list[dict[str, Any]] = []
    for rule in RULES:
        holds = bool(np.asarray(rule.holds(arrays))[0])
        inputs = {name: _shown(facts[name]) for name in rule.inputs}
        steps.append({"rule": rule.name, "inputs": inputs, "outcome": DECIDES if holds else PASSES})
        if holds:
            return Explanation(
                action=rule.reason.action.value,
                reason=rule.reason.value,
                sentence=_sentence(rule.reason, facts),
                steps=steps,
                change=_with_values(rule.change, facts),
            )
    raise ValueError("no rule decides these facts: they are not those of a stored decision")


NO_PROGRAMME_CHANGE = "a programme that counts what this contact does"
_CHANGES: dict[str, str] = {
    **{rule.reason: rule.change for rule in reversed(RULES)},
    Reason.NO_PROGRAMME: NO_PROGRAMME_CHANGE,
    # Only the gate says these, when a message is claimed.
    Reason.NOT_ON_THE_LIST: "an entry in `only_to` of winback.yaml, or none at all",
    Reason.STEP_HELD: "`winback resume --step`, once a person has looked at the complaints",
}


def change_of(reason: str) -> str:
    """Return what would have to change for another answer than this reason, whoever gave it.

    Parameters
    ----------
    reason : the value of a :class:`Reason`
    """
    return _CHANGES[reason]


def facts_in_words(inputs: Mapping[str, Any]) -> str:
    """Return what a rule saw, without what was empty."""
    shown = {name.replace("_", " ").removeprefix("is "): _value(value) for name, value in inputs.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if value)


def _value(value: object) -> str:
    """Return a fact as people write it: yes or no, at most two decimals, nothing for what is not known."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return str(value)


def _with_values(change: str, facts: Mapping[str, Any]) -> str:
    """Return a change with the value of each fact it names behind the name: "the day step_due_on (2026-03-19)"."""
    words = change.split(" ")
    values = {name: _value(_shown(facts[name])) for name in FACTS if name in words}
    return " ".join(f"{word} ({values[word]})" if values.get(word) else word for word in words)


def _array(value: object, kind: str) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """Return one fact as an array of length one, so that the rules read it like a column."""
    if kind == "claim":
        return np.array([bool(value)])
    if kind == "number":
        return np.array([math.nan if value is None else value], dtype=np.float64)
    return np.array([value], dtype=object)


def _shown(value: object) -> object:
    """Return a fact as JSON can hold it."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _days(value: object) -> str:
    """Return a number of days as people write it."""
    return f"{value:.0f}" if isinstance(value, int | float) and not math.isnan(value) else "an unknown number of"


def _sentence(reason: Reason, facts: Mapping[str, Any]) -> str:
    """Return what was decided and why, with the silence and the threshold where there are any."""
    silence = ""
    if facts["has_activity"]:
        silence = (
            f" The last {facts['behaviour'] or 'activity'} was {_days(facts['silence_days'])} days ago"
            f" ({facts['last_on']}); the threshold is {_days(facts['threshold_days'])} days. {facts['sentence']}"
        ).rstrip()
    programme = f" in programme {facts['programme']}" if facts["programme"] else ""
    step = facts["step"]
    at = f", step {step:.0f}" if isinstance(step, int | float) and step > 0 else ""
    return f"{reason.action.value}{programme}{at}: {reason.sentence}.{silence}"
