"""The rules of a decision, in their order.

In: candidates, one row a (programme, contact), with every fact as a plain column. Out, by :mod:`decisions`: the
reason of the first rule that holds. Must never happen: a decision that a rule in this table does not explain, or a
rule that reads something which is not stored with the decision.

The order says which answer is the useful one. An active contact is told apart first (`active`, not
`no_consent_record`); permission is asked of those for whom something would happen; a control contact is told apart
last, so that both arms meet every other rule alike (`facts/consent.md` section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from winback.core.cycle_states import ENDED, OPEN, OPENING, RETURNED, TOUCHED, UNHEARD
from winback.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Claims = NDArray[np.bool_]
    Facts = Mapping[str, Any]


class Rule(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name : what is asked
    inputs : the facts it reads
    holds : from the facts as arrays by name, whether the rule holds for each candidate
    reason : the decision if it does
    change : what would have to change for another decision
    """

    name: str
    inputs: tuple[str, ...]
    holds: Callable[[Facts], Claims]
    reason: Reason
    change: str


def is_acting(facts: Facts) -> Claims:
    """Return for whom something would be done tonight: a cycle opened or a step taken."""
    return np.asarray((facts["cycle_state"] == OPENING) | facts["is_step_due"], dtype=bool)


def _acts_or_ends(facts: Facts) -> Claims:
    return np.asarray(is_acting(facts) | facts["is_sunset_due"], dtype=bool)


def _permission(reason: Reason, change: str) -> Rule:
    """Return the rule that skips an acting contact for one reason of :mod:`permission`."""
    return Rule(
        f"permission: {reason.value}",
        ("permission", "cycle_state", "is_step_due"),
        lambda facts: is_acting(facts) & (facts["permission"] == reason.value),
        reason,
        change,
    )


def _claim(name: str, claim: str, reason: Reason, change: str) -> Rule:
    """Return a rule that holds where a claim does."""
    return Rule(name, (claim,), lambda facts: np.asarray(facts[claim], dtype=bool), reason, change)


def _equal(name: str, fact: str, value: str, reason: Reason, change: str) -> Rule:
    """Return a rule that holds where a fact has one value."""
    return Rule(name, (fact,), lambda facts: facts[fact] == value, reason, change)


def _acting(name: str, claim: str, reason: Reason, change: str) -> Rule:
    """Return a rule that holds where a claim does and something would be done or the contact sunset."""
    inputs = (claim, "cycle_state", "is_step_due", "is_sunset_due")
    return Rule(name, inputs, lambda facts: facts[claim] & _acts_or_ends(facts), reason, change)


def _due(name: str, claim: str, reason: Reason, change: str) -> Rule:
    """Return a rule that holds where a claim does and a step is due."""
    return Rule(name, (claim, "is_step_due"), lambda facts: facts[claim] & facts["is_step_due"], reason, change)


def _arm(name: str, arm: str, reason: Reason) -> Rule:
    """Return the rule that keeps one arm from a due message."""
    change = "nothing before the cycle ends: an arm is fixed when the cycle opens"
    return Rule(
        name, ("arm", "is_step_due"), lambda facts: facts["is_step_due"] & (facts["arm"] == arm), reason, change
    )


RULES: tuple[Rule, ...] = (
    _equal(
        "erased",
        "permission",
        Reason.ERASED.value,
        Reason.ERASED,
        "only the person can come back, by giving a new consent",
    ),
    _equal("came back", "cycle_state", RETURNED, Reason.RETURNED, "a new silence past the threshold"),
    Rule(
        "no activity known",
        ("has_activity",),
        lambda facts: ~facts["has_activity"],
        Reason.NO_ACTIVITY,
        "a first event of a behaviour this programme counts",
    ),
    # Holds come before anything a wrong feed could cause: a held source must sunset and open nothing.
    Rule(
        "another ladder ended",
        ("is_sunset_tonight", "is_sunset_due", "cycle_state", "is_step_due"),
        lambda facts: facts["is_sunset_tonight"] & is_acting(facts) & ~facts["is_sunset_due"],
        Reason.SUNSETTED,
        "the ladder of another programme ended tonight; only the person can undo that",
    ),
    Rule(
        "ladder ended, source held",
        ("is_source_held", "is_sunset_due"),
        lambda facts: facts["is_source_held"] & facts["is_sunset_due"],
        Reason.SOURCE_HELD,
        "a fresh and plausible load of the source, or `--accept-volume`",
    ),
    Rule(
        "ladder ended, red button",
        ("is_stopped", "is_sunset_due"),
        lambda facts: facts["is_stopped"] & facts["is_sunset_due"],
        Reason.STOPPED,
        "`winback resume`",
    ),
    Rule(
        "too many sunsets",
        ("is_sunset_share_held", "is_sunset_due"),
        lambda facts: facts["is_sunset_share_held"] & facts["is_sunset_due"],
        Reason.SUNSET_SHARE,
        "a person's approval",
    ),
    Rule(
        "ladder ended, paused",
        ("is_paused", "is_sunset_due"),
        lambda facts: facts["is_paused"] & facts["is_sunset_due"],
        Reason.PAUSED,
        "the end of the pause",
    ),
    Rule(
        "ladder ended, under review",
        ("is_under_review", "is_sunset_due"),
        lambda facts: facts["is_under_review"] & facts["is_sunset_due"],
        Reason.UNDER_REVIEW,
        "`winback review`",
    ),
    _claim("history too short", "is_history_short", Reason.SHORT_HISTORY, "a longer history than min_history_days"),
    _claim("ladder ended", "is_sunset_due", Reason.LADDER_ENDED, "a return before the end of the ladder"),
    _equal(
        "one touch of a one-off",
        "close_reason",
        TOUCHED,
        Reason.CYCLE_ENDED,
        "a return, and then a new silence past the threshold: a second active day opens the whole ladder",
    ),
    _equal(
        "no message of the ladder arrived",
        "close_reason",
        UNHEARD,
        Reason.CYCLE_ENDED,
        "a return, and then a new silence past the threshold; who got no message has ignored none and is not sunset",
    ),
    _equal(
        "ladder ended without a sunset",
        "cycle_state",
        ENDED,
        Reason.CYCLE_ENDED,
        "a return, and then a new silence past the threshold",
    ),
    _claim("all steps taken", "is_ladder_done", Reason.LADDER_DONE, "the day ends_on, or a return"),
    Rule(
        "window missed",
        ("is_step_missed", "cycle_state"),
        lambda facts: facts["is_step_missed"] & (facts["cycle_state"] == OPEN),
        Reason.STEP_MISSED,
        "the day step_due_on",
    ),
    Rule(
        "between steps",
        ("cycle_state", "is_step_due", "step_due_on"),
        lambda facts: (facts["cycle_state"] == OPEN) & ~facts["is_step_due"],
        Reason.BETWEEN_STEPS,
        "the day step_due_on",
    ),
    Rule(
        "overdue",
        ("is_lapsed", "is_step_due", "is_overdue", "silence_days", "overdue_days"),
        lambda facts: ~facts["is_lapsed"] & ~facts["is_step_due"] & facts["is_overdue"],
        Reason.AT_RISK,
        "a silence of threshold_days",
    ),
    Rule(
        "not lapsed",
        ("is_lapsed", "is_step_due", "silence_days", "threshold_days", "lapsed_on"),
        lambda facts: ~facts["is_lapsed"] & ~facts["is_step_due"],
        Reason.ACTIVE,
        "a silence of threshold_days",
    ),
    _equal("sunset", "permission", Reason.SUNSETTED.value, Reason.SUNSETTED, "only the person can undo it"),
    Rule(
        "ladder walked for this silence",
        ("is_cycle_ended", "cycle_state", "is_step_due"),
        lambda facts: facts["is_cycle_ended"] & ~is_acting(facts),
        Reason.CYCLE_ENDED,
        "a return, and then a new silence past the threshold",
    ),
    Rule(
        "lapsed too long ago",
        ("is_dormant", "cycle_state", "is_step_due", "lapsed_on"),
        lambda facts: facts["is_dormant"] & ~is_acting(facts),
        Reason.DORMANT,
        "a return, and then a new silence past the threshold",
    ),
    Rule(
        "cycles a year",
        ("is_cycle_limit_reached", "cycle_state", "is_step_due"),
        lambda facts: facts["is_cycle_limit_reached"] & ~is_acting(facts),
        Reason.FREQUENCY_CAP,
        "fewer than cycles_per_year cycles opened in 365 days",
    ),
    _permission(Reason.COMPLAINED, "only the person can come back, by giving a new consent"),
    _permission(Reason.OPTED_OUT, "only the person can undo it, by giving a new consent"),
    _permission(Reason.INVALID_ADDRESS, "another address"),
    _permission(Reason.CONSENT_WITHDRAWN, "a newer consent"),
    _permission(Reason.CONSENT_EXPIRED, "an express consent, or a newer purchase or inquiry"),
    _permission(Reason.NO_CONSENT_RECORD, "a consent record for this channel and purpose on an accepted basis"),
    _permission(Reason.COUNTRY_BLOCKED, "another channel or step, or a rule of the country"),
    _permission(Reason.UNREACHABLE, "a usable address on a channel of this step"),
    _acting("source held", "is_source_held", Reason.SOURCE_HELD, "a fresh, plausible load, or `--accept-volume`"),
    _acting("red button", "is_stopped", Reason.STOPPED, "`winback resume`"),
    _acting("under review", "is_under_review", Reason.UNDER_REVIEW, "`winback review`"),
    _acting("paused", "is_paused", Reason.PAUSED, "the end of the pause, or the contact's own wish"),
    _acting("too many sends", "is_growth_held", Reason.SEGMENT_GROWTH, "a person's approval"),
    Rule(
        "time zone",
        ("window", "cycle_state", "is_step_due"),
        lambda facts: is_acting(facts) & (facts["window"] == Reason.NO_TIMEZONE.value),
        Reason.NO_TIMEZONE,
        "a time zone, a country or a number that tells one",
    ),
    Rule(
        "back-log ramp",
        ("is_backlog", "is_admitted"),
        lambda facts: facts["is_backlog"] & ~facts["is_admitted"],
        Reason.BACKLOG_RAMP,
        "one of the next nights: the latest lapses are let in first",
    ),
    Rule(
        "first step later",
        ("cycle_state", "is_step_due", "step_due_on"),
        lambda facts: (facts["cycle_state"] == OPENING) & ~facts["is_step_due"],
        Reason.BETWEEN_STEPS,
        "the day step_due_on",
    ),
    _due("higher value", "is_outvalued", Reason.LOWER_VALUE, "a night on which no programme of higher value sends"),
    Rule(
        "messages a day",
        ("messages_day", "per_day", "is_step_due"),
        lambda facts: facts["is_step_due"] & (facts["messages_day"] >= facts["per_day"]),
        Reason.FREQUENCY_CAP,
        "fewer messages on this day than per_day",
    ),
    Rule(
        "messages a week",
        ("messages_week", "per_week", "is_step_due"),
        lambda facts: facts["is_step_due"] & (facts["messages_week"] >= facts["per_week"]),
        Reason.FREQUENCY_CAP,
        "fewer messages in seven days than per_week",
    ),
    Rule(
        "fewer messages",
        ("wants_fewer", "messages_month", "is_step_due"),
        lambda facts: facts["is_step_due"] & facts["wants_fewer"] & (facts["messages_month"] >= 1),
        Reason.FREQUENCY_CAP,
        "30 days without a message: this contact asked for fewer",
    ),
    _due("address shared", "is_address_taken", Reason.FREQUENCY_CAP, "a night without a message to this address"),
    Rule(
        "quiet hours",
        ("window", "is_step_due"),
        lambda facts: facts["is_step_due"] & (facts["window"] == Reason.QUIET_HOURS.value),
        Reason.QUIET_HOURS,
        "a day with allowed hours in every time zone the contact may be in",
    ),
    _due("cost of the night", "is_over_cost_limit", Reason.COST_LIMIT, "a night with money left"),
    _due("sends of the night", "is_over_night_limit", Reason.NIGHT_LIMIT, "a night with room left"),
    _arm("global control group", "global_control", Reason.GLOBAL_CONTROL),
    _arm("control group", "control", Reason.CONTROL),
    Rule("due", ("is_step_due",), lambda facts: facts["is_step_due"], Reason.DUE, "nothing: the message goes out"),
)
"""The whole table, first match wins."""
