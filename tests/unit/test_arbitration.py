"""Several programmes, many contacts, not enough room: who is written to tonight."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from decision_world import PEPPER, World, people, programme, steps

from winback.core import arbitration

if TYPE_CHECKING:
    from winback.core.policy import Programme

AS_OF = date(2026, 6, 2)
TEN = "abcdefghij"


def lapsed(days: int = 30, **values: Any) -> list[dict[str, Any]]:
    return [{"last_on": AS_OF - timedelta(days=days), "threshold": 30, **values}]


def reasons(world: World) -> dict[tuple[str, str], str]:
    rows = world.decide(AS_OF)
    return {(row["programme"], row["customer_id"]): row["reason"] for _, row in rows.iterrows()}


class TestBetweenProgrammes:
    def test_the_highest_value_wins_and_the_others_are_deferred_with_an_open_cycle(self):
        world = World(
            [programme(programme="low", value=1), programme(programme="high", value=5)], people("a"), {"a": lapsed()}
        )
        rows = world.run(AS_OF)
        assert dict(zip(rows["programme"], rows["reason"], strict=True)) == {"low": "lower_value", "high": "due"}
        assert {cycle["programme"] for cycle in world.cycles} == {"low", "high"}
        assert world.run(AS_OF + timedelta(days=1)).set_index("programme")["reason"]["low"] == "due"

    def test_a_tie_goes_to_the_earlier_due_date_and_then_to_the_name(self):
        found = self.winner([("b", 1, 5), ("a", 1, 6)])
        assert found == "b"
        assert self.winner([("b", 1, 5), ("a", 1, 5)]) == "a"
        assert self.winner([("b", 2, 6), ("a", 1, 5)]) == "b"

    def winner(self, rows: list[tuple[str, float, int]]) -> str:
        """Return which of (programme, value, due day) is written for."""
        parts = []
        for name, value, due in rows:
            world = World([programme(programme=name, value=value)], people("a"), {"a": lapsed()})
            parts.append(world.candidates(AS_OF).assign(step_due_on=pd.Timestamp(2026, 5, due), is_admitted=True))
        decided = arbitration.choose(pd.concat(parts, ignore_index=True))
        return str(decided.loc[decided["reason"] == "due", "programme"].item())

    def test_a_held_out_contact_wins_and_loses_like_any_other(self):
        high = programme(programme="high", value=5, hold_out={"share": 0.9})
        world = World([programme(programme="low", value=1), high], people("a"), {"a": lapsed()})
        assert reasons(world) == {("high", "a"): "control", ("low", "a"): "lower_value"}

    def test_who_may_not_get_the_better_one_gets_the_other(self):
        by_text = programme(programme="high", value=5, steps=steps((30,), ("sms",)))
        world = World([programme(programme="low", value=1), by_text], people("a", phone=None), {"a": lapsed()})
        assert reasons(world) == {("high", "a"): "unreachable", ("low", "a"): "due"}

    def test_a_backlog_that_waits_does_not_stand_in_the_way(self):
        high = programme(programme="high", value=5, backlog={"first_night": 0})
        world = World([programme(programme="low", value=1), high], people("a"), {"a": lapsed()})
        assert reasons(world) == {("high", "a"): "backlog_ramp", ("low", "a"): "due"}

    def test_whoever_is_sunset_tonight_gets_nothing_else_tonight(self):
        ending = programme(programme="ending", value=1, steps=steps((30,)), answer_days=14)
        world = World([ending], people("a"), {"a": lapsed()})
        first = AS_OF - timedelta(days=14)
        world.last_days = {"a": [{"last_on": first - timedelta(days=30), "threshold": 30}]}
        world.run(first)
        world.programmes.append(programme(programme="new", value=9))
        assert reasons(world) == {("ending", "a"): "ladder_ended", ("new", "a"): "sunset"}
        world.held = {"ending"}
        assert reasons(world) == {("ending", "a"): "source_held", ("new", "a"): "due"}


class TestOneRow:
    def test_everybody_gets_the_row_that_matters_most(self):
        world = World(
            [programme(programme="low", value=1), programme(programme="high", value=5)],
            people("a", "b", "c"), {"a": lapsed(), "b": lapsed(5)},
        )  # fmt: skip
        rows = arbitration.one_each(world.decide(AS_OF), world.contacts, as_of=pd.Timestamp(AS_OF))
        assert list(rows["customer_id"]) == ["a", "b", "c"]
        assert list(rows["reason"]) == ["due", "active", "no_activity"]
        assert list(rows["programme"]) == ["high", "high", "high"]

    @pytest.mark.parametrize("place", range(len(arbitration.ORDER_OF_ACTIONS) - 1))
    def test_the_order_of_actions(self, place):
        better, worse = arbitration.ORDER_OF_ACTIONS[place : place + 2]
        world = World([programme(programme="a", value=1), programme(programme="b", value=9)], people("a"), {})
        decided = world.decide(AS_OF).assign(action=[better, worse])
        assert arbitration.one_each(decided, world.contacts, as_of=pd.Timestamp(AS_OF))["programme"].item() == "a"

    def test_without_any_programme_the_reason_says_so(self):
        world = World([programme()], people("a", "b"), {})
        decided = world.decide(AS_OF)
        one = decided[decided["customer_id"] == "a"]
        rows = arbitration.one_each(one, world.contacts, as_of=pd.Timestamp(AS_OF))
        assert list(rows["reason"]) == ["no_activity", "no_programme"]
        none = arbitration.one_each(one.iloc[:0], world.contacts, as_of=pd.Timestamp(AS_OF))
        assert list(none["reason"]) == ["no_programme", "no_programme"]


class TestRamp:
    def world(self, **backlog: int) -> World:
        days = {one: lapsed(30 + n) for n, one in enumerate(TEN)}
        return World([programme(backlog=backlog)], people(*TEN), days)

    def started(self, world: World) -> set[str]:
        return {cycle["customer_id"] for cycle in world.cycles}

    def test_the_first_night_starts_the_latest_lapses_up_to_its_cap(self):
        world = self.world(first_night=3)
        rows = world.run(AS_OF)
        assert self.started(world) == set("abc")
        assert rows["reason"].value_counts().to_dict() == {"backlog_ramp": 7, "due": 3}

    def test_later_nights_let_the_older_ones_in_slowly(self):
        world = self.world(first_night=3, per_night=2)
        for n in range(4):
            world.run(AS_OF + timedelta(days=n))
        assert self.started(world) == set("abcdefghi")

    def test_a_fresh_lapse_is_never_held_back_by_the_ramp(self):
        world = self.world(first_night=0, per_night=0)
        world.nights = {"winback": [AS_OF - timedelta(days=1)]}
        assert reasons(world)[("winback", "a")] == "due"
        assert reasons(world)[("winback", "b")] == "due"
        assert reasons(world)[("winback", "c")] == "backlog_ramp"

    def test_ties_are_drawn_the_same_way_in_any_order(self):
        waiting = pd.DataFrame({"customer_id": list(TEN), "lapsed_on": pd.Timestamp(AS_OF)})
        policy = programme(backlog={"per_night": 4})
        chosen = self.admitted(waiting, policy)
        assert len(chosen) == 4
        assert self.admitted(waiting.sample(frac=1, random_state=1), policy) == chosen
        assert chosen != set("abcd")

    def admitted(self, waiting: pd.DataFrame, policy: Programme) -> set[str]:
        mask = arbitration.admit(waiting, programme=policy, is_first_night=False, pepper=PEPPER)
        return set(waiting.loc[mask, "customer_id"])


class TestLimits:
    def rows(self, **columns: Any) -> pd.DataFrame:
        defaults = {
            "programme": "winback", "customer_id": list("abcd"), "value": 1.0, "step_due_on": pd.Timestamp(AS_OF),
            "action": "send", "cost": 0.0, "address": ["1", "2", "3", "4"],
        }  # fmt: skip
        return pd.DataFrame({**defaults, **columns})

    def over(self, rows: pd.DataFrame, *, max_sends: int = 100, max_cost: float = 100.0) -> list[str]:
        found = arbitration.limit(rows, max_sends=max_sends, max_cost=max_cost, pepper=PEPPER)
        assert list(found["customer_id"]) == list(rows["customer_id"])
        flags = found[arbitration.FLAGS]
        assert (flags.sum(axis=1) <= 1).all()
        return flags.idxmax(axis=1).where(flags.any(axis=1), "").to_list()

    NIGHT, COST, ADDRESS = "is_over_night_limit", "is_over_cost_limit", "is_address_taken"

    def test_the_most_valuable_and_longest_due_go_first(self):
        rows = self.rows(value=[1.0, 2.0, 1.0, 1.0], step_due_on=pd.to_datetime(["2026-06-02"] * 3 + ["2026-06-01"]))
        assert self.over(rows, max_sends=2) == [self.NIGHT, "", self.NIGHT, ""]

    @pytest.mark.parametrize("place", range(4))
    def test_of_equal_values_the_longest_due_goes_first(self, place):
        due = [pd.Timestamp(AS_OF)] * 4
        due[place] -= pd.Timedelta(days=1)
        rows = self.rows(step_due_on=due)
        assert [flag == "" for flag in self.over(rows, max_sends=1)] == [n == place for n in range(4)]

    def test_money_is_given_out_from_the_front_and_stops_at_the_first_that_does_not_fit(self):
        rows = self.rows(value=[4.0, 3.0, 2.0, 1.0], cost=[0.10, 0.20, 0.05, 0.0])
        assert self.over(rows, max_cost=0.16) == ["", self.COST, self.COST, ""]
        assert self.over(rows, max_cost=0.35) == ["", "", "", ""]
        assert self.over(rows, max_cost=0.0) == [self.COST, self.COST, self.COST, ""]

    def test_a_control_contact_is_cut_off_at_the_same_place_and_uses_nothing_up(self):
        rows = self.rows(value=[4.0, 3.0, 2.0, 1.0], cost=0.10, action=["hold_out", "send", "hold_out", "send"])
        assert self.over(rows, max_sends=1) == ["", "", self.NIGHT, self.NIGHT]
        assert self.over(rows, max_cost=0.10) == ["", "", self.COST, self.COST]
        assert self.over(rows, max_sends=2, max_cost=0.20) == ["", "", "", ""]

    def test_one_address_gets_one_message(self):
        rows = self.rows(value=[1.0, 2.0, 3.0, 4.0], address=["1", "1", "", ""])
        assert self.over(rows) == [self.ADDRESS, "", "", ""]

    def test_who_does_nothing_tonight_is_over_no_limit(self):
        rows = self.rows(action="wait", cost=9.0, address="1")
        assert self.over(rows, max_sends=0, max_cost=0) == [""] * 4

    def test_a_night_with_room_for_three(self):
        world = World([programme()], people(*TEN), {one: lapsed() for one in TEN}, max_sends=3)
        nights = [world.run(AS_OF + timedelta(days=n)) for n in range(4)]
        taken = [set(rows.loc[rows["action"] == "send", "customer_id"]) for rows in nights]
        assert [len(names) for names in taken] == [3, 3, 3, 1]
        assert set().union(*taken) == set(TEN)

    def test_two_customers_with_one_address_are_written_to_on_two_nights(self):
        contacts = people("a", "b", email_hmac=["same", "same"])
        world = World([programme()], contacts, {"a": lapsed(), "b": lapsed()})
        assert sorted(world.run(AS_OF)["reason"]) == ["due", "frequency_cap"]
        world.run(AS_OF + timedelta(days=1))
        assert sorted(step["customer_id"] for step in world.steps) == ["a", "b"]


def test_the_weekly_cap_counts_steps_of_both_arms_over_all_programmes():
    policies = [programme(programme=name, value=value) for name, value in (("one", 3), ("two", 2), ("three", 1))]
    world = World(policies, people("a"), {"a": lapsed()}, per_week=2)
    told = [
        world.run(AS_OF + timedelta(days=n)).set_index("programme")["reason"].reindex(["one", "two", "three"]).to_list()
        for n in range(8)
    ]
    assert told[0] == ["due", "lower_value", "lower_value"]
    assert told[1] == ["between_steps", "due", "lower_value"]
    assert told[2] == told[6] == ["between_steps", "between_steps", "frequency_cap"]
    assert told[7] == ["between_steps", "between_steps", "due"]


def test_claims_reach_their_own_row_and_nobody_elses():
    world = World([programme(programme="one"), programme(programme="two")], people("a", "b"), {"a": lapsed()})
    claims = pd.DataFrame({"programme": ["two"], "customer_id": ["a"], "is_growth_held": [True]})
    rows = arbitration.marked(world.candidates(AS_OF), claims)
    assert rows.loc[rows["is_growth_held"], ["programme", "customer_id"]].to_numpy().tolist() == [["two", "a"]]


class TestSpread:
    """Which contacts each programme needs a row for."""

    def spread(self, known: dict[str, list[list[str]]], **values: float) -> dict[str, str]:
        frames = {
            name: [pd.DataFrame({"customer_id": pd.Series(ids, dtype="str")}) for ids in lists]
            for name, lists in known.items()
        }
        policies = [programme(programme=name, value=values.get(name, 1)) for name in known]
        ids = pd.Series(list("abcd"), dtype="str")
        needed = arbitration.spread(ids, frames, programmes=policies)
        return {name: "".join(ids[mask]) for name, mask in needed.items()}

    def test_a_programme_needs_those_it_has_a_schedule_or_a_cycle_of(self):
        assert self.spread({"one": [["a", "b"], ["c"]], "two": [["b", "d"], []]}) == {"one": "abc", "two": "bd"}

    def test_whom_nobody_knows_the_most_valuable_programme_takes_and_of_equals_the_first_by_name(self):
        assert self.spread({"one": [["a"]], "two": [["b"]]}, two=2) == {"one": "a", "two": "bcd"}
        assert self.spread({"two": [["b"]], "one": [["a"]]}) == {"one": "acd", "two": "b"}

    def test_decisions_are_the_same_as_with_a_row_in_every_programme(self):
        policies = [programme(programme="low", value=1), programme(programme="high", value=5)]
        world = World(policies, people("a", "b"), {"a": lapsed()})
        rows = world.decide(AS_OF)
        scope = world.contacts[["customer_id", "bucket"]]
        every = arbitration.one_each(rows, scope, as_of=pd.Timestamp(AS_OF))
        strangers = rows[~rows["has_activity"]]
        fewer = rows[rows["has_activity"] | rows.index.isin(strangers.index[strangers["programme"] == "high"])]
        pd.testing.assert_frame_equal(every, arbitration.one_each(fewer, scope, as_of=pd.Timestamp(AS_OF)))
