"""What can be decided about a contact, and why: the whole vocabulary in one place.

Every reason belongs to exactly one action and has one sentence a stranger understands. Expected outcomes are these
values; they are never exceptions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Action(StrEnum):
    """What one night does about one contact."""

    SEND = "send"
    HOLD_OUT = "hold_out"
    WAIT = "wait"
    DEFER = "defer"
    HOLD = "hold"
    SKIP = "skip"
    SUNSET = "sunset"


class Reason(StrEnum):
    """Why. The value is stored; ``action`` and ``sentence`` belong to it."""

    action: Action
    sentence: str

    def __new__(cls, value: str, action: Action, sentence: str) -> Self:
        """Make a member whose value is its stored name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.action = action
        member.sentence = sentence
        return member

    DUE = "due", Action.SEND, "a step is due today and nothing speaks against it"

    CONTROL = "control", Action.HOLD_OUT, "a step is due, but this contact is in the control group of the programme"
    GLOBAL_CONTROL = "global_control", Action.HOLD_OUT, "a step is due, but this contact is in the global control group"

    NO_PROGRAMME = "no_programme", Action.WAIT, "no programme has this contact in scope"
    NO_ACTIVITY = "no_activity", Action.WAIT, "no activity was ever recorded: unknown is not inactive"
    ACTIVE = "active", Action.WAIT, "the silence is within this contact's own rhythm"
    AT_RISK = "at_risk", Action.WAIT, "overdue by the own rhythm, but not past the threshold yet"
    RETURNED = "returned", Action.WAIT, "the contact came back, so the cycle was closed"
    BETWEEN_STEPS = "between_steps", Action.WAIT, "a cycle is open and its next step is not due yet"
    STEP_MISSED = "step_missed", Action.WAIT, "the window of this step has passed; only the next step is still open"
    LADDER_DONE = "ladder_done", Action.WAIT, "all steps were taken; the time to answer is still running"
    CYCLE_ENDED = "cycle_ended", Action.WAIT, "the ladder of this silence has ended and is not walked twice"
    DORMANT = "dormant", Action.WAIT, "silent for so long before the first night that no ladder is started"
    SHORT_HISTORY = "short_history", Action.WAIT, "the history is too short to tell silence from a slow rhythm"

    LOWER_VALUE = "lower_value", Action.DEFER, "another programme with a higher declared value sends today"
    FREQUENCY_CAP = "frequency_cap", Action.DEFER, "this contact has had as many messages as the limits allow"
    PAUSED = "paused", Action.DEFER, "this contact asked for a pause, and it is not over"
    QUIET_HOURS = "quiet_hours", Action.DEFER, "nothing may be sent where this contact is until the next allowed hour"
    BACKLOG_RAMP = "backlog_ramp", Action.DEFER, "the backlog of old silences is let in slowly, and not tonight"
    NIGHT_LIMIT = "night_limit", Action.DEFER, "the largest number of messages a night is reached"
    COST_LIMIT = "cost_limit", Action.DEFER, "the largest cost a night is reached"

    SOURCE_HELD = "source_held", Action.HOLD, "a source this programme depends on is stale, empty or strange"
    SEGMENT_GROWTH = "segment_growth", Action.HOLD, "far more sends than usual were planned; a person has to look"
    SUNSET_SHARE = "sunset_share", Action.HOLD, "too large a share of the base would be sunset; a person has to look"
    NO_TIMEZONE = "no_timezone", Action.HOLD, "nobody knows in which time zone this contact is"
    NOT_ON_THE_LIST = "not_on_the_list", Action.HOLD, "this address is not on the list that may be written to"
    STEP_HELD = "step_held", Action.HOLD, "too many people complained about this step; a person has to look"
    UNDER_REVIEW = "under_review", Action.HOLD, "this contact wrote what may mean stop; a person has to read it"
    STOPPED = "stopped", Action.HOLD, "the red button is pressed"

    ERASED = "erased", Action.SKIP, "this contact asked to be forgotten"
    COMPLAINED = "complained", Action.SKIP, "this contact complained about a message"
    OPTED_OUT = "opted_out", Action.SKIP, "this contact said stop"
    INVALID_ADDRESS = "invalid_address", Action.SKIP, "messages to this address came back for good"
    CONSENT_WITHDRAWN = "consent_withdrawn", Action.SKIP, "the consent was withdrawn"
    CONSENT_EXPIRED = "consent_expired", Action.SKIP, "the implied consent is too old where this contact lives"
    NO_CONSENT_RECORD = "no_consent_record", Action.SKIP, "there is no record of consent"
    SUNSETTED = "sunset", Action.SKIP, "the contact was sunset and only the person can undo that"
    UNREACHABLE = "unreachable", Action.SKIP, "there is no usable address on any channel of this step"
    COUNTRY_BLOCKED = "country_blocked", Action.SKIP, "the channel or the step is not allowed in this contact's country"

    LADDER_ENDED = "ladder_ended", Action.SUNSET, "the ladder ended without an answer"
