"""The table of rules: which answer a contact gets, and what follows from it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

import pandas as pd
import pytest
from decision_world import World, consent, people, programme, steps

from winback.core import decision_facts, decisions
from winback.core.candidates import typed
from winback.core.decision_facts import FACTS
from winback.core.decision_rules import RULES
from winback.core.reasons import Action, Reason

AS_OF = date(2026, 6, 2)
LAPSED = [{"last_on": AS_OF - timedelta(days=30), "threshold": 30}]


def facts(**given: Any) -> pd.DataFrame:
    """Return one candidate with a due step and nothing against it, changed as a test wants it."""
    due = {
        "customer_id": "a", "bucket": 0, "as_of": pd.Timestamp(AS_OF), "programme": "winback", "value": 1.0,
        "has_activity": True, "is_lapsed": True, "cycle_state": "open", "is_step_due": True, "arm": "treated",
        "step": 1, "cycle_no": 1, "messages_day": 0, "messages_week": 0, "per_day": 1, "per_week": 2,
        "channel": "email", "silence_days": 30, "threshold_days": 30,
    }  # fmt: skip
    return typed(pd.DataFrame([{**due, **given}]))


def decided(**given: Any) -> str:
    return str(decisions.decide(facts(**given))["reason"].iloc[0])


IDLE = {"cycle_state": "none", "is_step_due": False, "step": 0, "arm": ""}
OPENING = {"cycle_state": "opening"}
ENDING = {"cycle_state": "ended", "is_step_due": False, "step": 0, "is_sunset_due": True}


class TestOrder:
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({}, "due"),
            (OPENING, "due"),
            # a contact for whom nothing would happen is told the state, not a permission
            ({**IDLE, "is_lapsed": False, "permission": "no_consent_record"}, "active"),
            ({**IDLE, "is_lapsed": False, "is_overdue": True, "permission": "opted_out"}, "at_risk"),
            ({**IDLE, "is_lapsed": False, "is_source_held": True, "is_stopped": True}, "active"),
            ({**IDLE, "is_lapsed": False, "permission": "erased"}, "erased"),
            ({**IDLE, "has_activity": False, "is_lapsed": False, "permission": "unreachable"}, "no_activity"),
            ({**IDLE, "is_dormant": True, "permission": "opted_out"}, "dormant"),
            ({**IDLE, "is_cycle_ended": True}, "cycle_ended"),
            ({**IDLE, "is_cycle_ended": True, "permission": "sunset"}, "sunset"),
            ({**IDLE, "is_cycle_ended": True, "is_dormant": True}, "cycle_ended"),
            ({**IDLE, "is_cycle_limit_reached": True}, "frequency_cap"),
            # on the ladder
            ({"is_step_due": False}, "between_steps"),
            ({"is_step_due": False, "is_step_missed": True}, "step_missed"),
            ({**OPENING, "is_step_due": False, "is_step_missed": True}, "between_steps"),
            ({"is_step_due": False, "step": 0, "is_ladder_done": True}, "ladder_done"),
            ({**IDLE, "cycle_state": "returned", "permission": "opted_out"}, "returned"),
            (ENDING, "ladder_ended"),
            ({**ENDING, "is_sunset_due": False}, "cycle_ended"),
            ({**ENDING, "is_sunset_due": False, "close_reason": "touched"}, "cycle_ended"),
            ({**ENDING, "is_sunset_due": False, "is_history_short": True}, "short_history"),
            ({**ENDING, "is_source_held": True}, "source_held"),
            ({**ENDING, "is_stopped": True}, "stopped"),
            ({**ENDING, "is_under_review": True}, "under_review"),
            ({**ENDING, "is_sunset_share_held": True}, "sunset_share"),
            # holds
            ({"is_source_held": True, "is_stopped": True}, "source_held"),
            ({"is_stopped": True}, "stopped"),
            ({"is_under_review": True}, "under_review"),
            ({**OPENING, "is_under_review": True, "is_paused": True}, "under_review"),
            ({"is_step_due": False, "is_under_review": True}, "between_steps"),
            ({"is_growth_held": True}, "segment_growth"),
            ({"is_sunset_share_held": True}, "due"),
            ({**OPENING, "window": "no_timezone"}, "no_timezone"),
            ({"is_sunset_tonight": True}, "sunset"),
            # the ramp, the weights, the limits
            ({**OPENING, "is_backlog": True}, "backlog_ramp"),
            ({**OPENING, "is_backlog": True, "is_admitted": True}, "due"),
            ({**OPENING, "is_step_due": False}, "between_steps"),
            ({"is_outvalued": True}, "lower_value"),
            ({"messages_day": 1}, "frequency_cap"),
            ({"messages_week": 1}, "due"),
            ({"messages_week": 2}, "frequency_cap"),
            ({"is_address_taken": True}, "frequency_cap"),
            ({"window": "quiet_hours"}, "quiet_hours"),
            ({"is_over_cost_limit": True}, "cost_limit"),
            ({"is_over_night_limit": True}, "night_limit"),
            ({"arm": "control"}, "control"),
            ({"arm": "global_control"}, "global_control"),
        ],
    )
    def test_the_first_rule_that_holds_is_the_reason(self, given, reason):
        assert decided(**given) == reason

    CHAIN: ClassVar = (
        ({"permission": "complained"}, "complained"),
        ({"is_source_held": True}, "source_held"),
        ({"is_stopped": True}, "stopped"),
        ({"is_growth_held": True}, "segment_growth"),
        ({"window": "no_timezone"}, "no_timezone"),
        ({"is_outvalued": True}, "lower_value"),
        ({"messages_week": 2}, "frequency_cap"),
        ({"window": "quiet_hours"}, "quiet_hours"),
        ({"is_over_cost_limit": True}, "cost_limit"),
        ({"is_over_night_limit": True}, "night_limit"),
        ({"arm": "control"}, "control"),
    )

    @pytest.mark.parametrize("place", range(len(CHAIN)))
    def test_each_reason_stands_before_all_later_ones(self, place):
        given: dict[str, Any] = {}
        for changes, _ in reversed(self.CHAIN[place:]):
            given |= changes
        assert decided(**given) == self.CHAIN[place][1]

    @pytest.mark.parametrize("reason", [reason.value for reason in Reason if reason.action is Action.SKIP])
    def test_no_permission_no_send(self, reason):
        for state in ({}, OPENING, {"arm": "control"}):
            assert decided(**state, permission=reason) == reason


class TestTable:
    def test_every_rule_reads_facts_and_only_those_it_names(self):
        for rule in RULES:
            row = facts()
            seen = _Recorded({name: row[name].to_numpy() for name in FACTS})
            rule.holds(seen)
            assert seen.asked <= set(rule.inputs), rule.name
            assert set(rule.inputs) <= set(FACTS), rule.name

    def test_every_reason_of_a_night_has_a_rule(self):
        missing = set(Reason) - {rule.reason for rule in RULES}
        # The gate alone knows where a message may go on a staging system, and which step waits for a person.
        assert missing == {Reason.NO_PROGRAMME, Reason.NOT_ON_THE_LIST, Reason.STEP_HELD}

    def test_names_are_distinct_and_every_rule_says_what_would_change_it(self):
        assert len({rule.name for rule in RULES}) == len(RULES)
        assert all(rule.change for rule in RULES)

    def test_facts_that_contradict_each_other_are_an_error(self):
        with pytest.raises(ValueError, match="no rule decides 1 rows; the first is a"):
            decisions.decide(facts(**IDLE))


class _Recorded(dict[str, Any]):
    """Remembers which facts were asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


class TestChanges:
    def followed(self, **given: Any) -> dict[str, int]:
        found = decisions.changes(decisions.decide(facts(**given)))
        return {name: len(getattr(found, name)) for name in ("openings", "closings", "steps", "sunsets")}

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, {"steps": 1}),
            (OPENING, {"openings": 1, "steps": 1}),
            ({**OPENING, "arm": "control"}, {"openings": 1, "steps": 1}),
            ({**OPENING, "is_step_due": False}, {"openings": 1}),
            ({**OPENING, "is_outvalued": True}, {"openings": 1}),
            ({**OPENING, "messages_week": 2}, {"openings": 1}),
            ({**OPENING, "window": "quiet_hours"}, {"openings": 1}),
            ({**OPENING, "is_over_night_limit": True}, {"openings": 1}),
            ({**OPENING, "window": "no_timezone"}, {}),
            ({**OPENING, "is_backlog": True}, {}),
            ({**OPENING, "is_source_held": True}, {}),
            ({**OPENING, "is_stopped": True}, {}),
            ({**OPENING, "is_growth_held": True}, {}),
            ({**OPENING, "permission": "opted_out"}, {}),
            ({"is_step_due": False}, {}),
            (ENDING, {"closings": 1, "sunsets": 1}),
            ({**ENDING, "is_sunset_due": False}, {"closings": 1}),
            ({**ENDING, "is_sunset_due": False, "is_history_short": True}, {"closings": 1}),
            ({**ENDING, "is_source_held": True}, {}),
            ({**ENDING, "is_stopped": True}, {}),
            ({**ENDING, "is_under_review": True}, {}),
            ({**OPENING, "is_under_review": True}, {}),
            ({**ENDING, "is_sunset_share_held": True}, {}),
            ({**IDLE, "cycle_state": "returned", "is_source_held": True}, {"closings": 1}),
            ({**IDLE, "cycle_state": "returned", "permission": "erased"}, {"closings": 1}),
        ],
    )
    def test_a_decision_changes_what_it_says_and_nothing_else(self, given, expected):
        nothing = {"openings": 0, "closings": 0, "steps": 0, "sunsets": 0}
        assert self.followed(**given) == {**nothing, **expected}

    def test_the_rows_are_those_the_ledger_stores(self):
        world = World([programme(hold_out={"share": 0.9})], people(*"abcdefghij"), dict.fromkeys("abcdefghij", LAPSED))
        found = decisions.changes(world.decide(AS_OF))
        row = found.openings.set_index("customer_id").loc["a"]
        assert (row["cycle_no"], row["step_offsets"], row["threshold_days"]) == (1, "0,30,60", 30)
        assert {row[name].date() for name in ("opened_on", "lapsed_on", "anchored_on")} == {AS_OF}
        assert set(found.steps["arm"]) == {"treated", "control"}
        assert found.steps.merge(found.openings, on=["programme", "customer_id", "cycle_no", "arm"]).shape[0] == 10


class TestGathering:
    def reason(self, **changes: Any) -> str:
        given = {"programmes": [programme()], "contacts": people("a"), "last_days": {"a": LAPSED}, **changes}
        return str(World(**given).decide(AS_OF)["reason"].iloc[0])

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, "due"),
            ({"consents": []}, "no_consent_record"),
            ({"last_days": {}}, "no_activity"),
            ({"last_days": {}, "consents": []}, "no_activity"),
            ({"contacts": people("a", email=None)}, "unreachable"),
            ({"last_days": {"a": [{"last_on": AS_OF, "threshold": 30}]}, "consents": []}, "active"),
            ({"held": {"winback"}}, "source_held"),
            ({"is_stopped": True}, "stopped"),
            ({"programmes": [programme(backlog={"first_night": 0})]}, "backlog_ramp"),
            ({"programmes": [programme(steps=steps((30,), ("sms",)))], "consents": [consent("a", "sms")]}, "due"),
            (
                {
                    "programmes": [programme(steps=steps((30,), ("sms",)))], "consents": [consent("a", "sms")],
                    "contacts": people("a", country=None, timezone=None),
                },
                "no_timezone",
            ),
            ({"max_sends": 0}, "night_limit"),
            ({"programmes": [programme(steps=steps((30,), ("sms",)))], "max_cost": 0.06}, "cost_limit"),
            ({"programmes": [programme(hold_out={"share": 0.9}, programme="b")]}, "control"),
        ],
    )  # fmt: skip
    def test_what_is_stored_leads_to_its_reason(self, changes, reason):
        assert self.reason(**changes) == reason

    def test_texts_wait_for_monday_where_sundays_are_quiet(self):
        world = World([programme(steps=steps((30,), ("sms",)))], people("a"), {"a": LAPSED})
        reasons = [world.run(AS_OF + timedelta(days=n))["reason"].iloc[0] for n in range(6)]
        assert reasons == ["due", *["ladder_done"] * 5]
        sunday = date(2026, 6, 7)
        world = World(
            [programme(steps=steps((30,), ("sms",)))], people("a"), {"a": [{"last_on": sunday - timedelta(30)}]}
        )
        assert world.run(sunday)["reason"].iloc[0] == "quiet_hours"
        assert world.run(sunday + timedelta(days=1))["reason"].iloc[0] == "due"
        assert world.taken("a") == [(1, date(2026, 6, 8))]

    def test_a_contact_outside_the_shard_is_nobodys_business(self):
        world = World([programme()], people("a"), {"a": LAPSED, "b": LAPSED})
        assert list(world.decide(AS_OF)["customer_id"]) == ["a"]

    def test_every_fact_is_there_and_of_its_kind(self):
        rows = World([programme()], people("a", "b"), {"a": LAPSED}).candidates(AS_OF)
        kinds = {"claim": "bool", "number": "float64", "date": "datetime64[us]", "instant": "datetime64[us, UTC]"}
        assert {name: str(rows[name].dtype) for name in FACTS} == {
            name: kinds.get(kind, "str") for name, kind in FACTS.items()
        }
        assert not rows.loc[:, [name for name, kind in FACTS.items() if kind == "text"]].isna().any(axis=None)


def test_the_public_row_has_the_columns_of_the_interface():
    row = decisions.public(World([programme()], people("a"), {"a": LAPSED}).decide(AS_OF)).iloc[0]
    assert list(row.index) == ["bucket", *decision_facts.COLUMNS, "facts"]
    assert (row["action"], row["reason"], row["step"], row["channel"], row["segment"]) == (
        "send", "due", 1, "email", "lapsed",
    )  # fmt: skip
    idle = decisions.public(World([programme()], people("a"), {}).decide(AS_OF)).iloc[0]
    assert pd.isna(idle[["step", "channel", "arm", "behaviour", "silence_days"]]).all()
