"""Ladders walked night by night, with days worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from decision_world import CYCLES, STEPS, World, frame, people, programme, steps

from winback.core import cycle_states, journeys

DAY_0 = date(2026, 1, 1)


def on(number: int) -> date:
    """Return the date so many days after the last active day of these tests."""
    return DAY_0 + timedelta(days=number)


@dataclass
class Walk:
    """One contact on one ladder: every due step is taken at once, except on the days of ``deferred``."""

    policy: Any
    days: list[dict[str, Any]]
    deferred: frozenset[int] = frozenset()
    permitted: Any = None
    arm: str = "treated"
    history_days: int = 1000
    cycles: list[dict[str, Any]] = field(default_factory=list)
    is_unheard: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)
    nights: list[date] = field(default_factory=list)

    def at(self, number: int) -> pd.Series:
        """Return where the contact stands on the night of a day."""
        as_of = on(number)
        world = World([self.policy], people("a"), {"a": self.days})
        permitted = None
        if self.permitted is not None:
            permitted = pd.DataFrame({"customer_id": ["a"], **self.permitted(number)})
        known = frame(self.cycles, CYCLES).assign(is_unheard=self.is_unheard)
        walked = journeys.advance(
            world.schedules(self.policy, as_of, {"a"}), known, frame(self.steps, STEPS),
            programme=self.policy, nights=self.nights, as_of=as_of, history_days=self.history_days,
            permitted=permitted,
        )  # fmt: skip
        return walked.iloc[0]

    def night(self, number: int) -> pd.Series:
        """Play the night of a day and write what follows from it."""
        row = self.at(number)
        key = {"programme": "winback", "customer_id": "a", "cycle_no": row["cycle_no"]}
        if row["cycle_state"] == cycle_states.OPENING:
            stored = {name: row[name] for name in ("opened_on", "lapsed_on", "anchored_on", "step_offsets")}
            self.cycles.append({**key, **stored, "arm": self.arm, "threshold_days": row["cycle_threshold_days"]})
        if row["close_reason"]:
            self.cycles[-1] |= {"closed_on": pd.Timestamp(on(number)), "close_reason": row["close_reason"]}
        elif row["is_step_due"] and number not in self.deferred:
            self.steps.append({**key, "step": row["step"], "taken_on": pd.Timestamp(on(number)), "arm": self.arm})
        self.nights.append(on(number))
        return row

    def play(self, days: range, *, without: range = range(0)) -> list[tuple[int, int]]:
        """Play the nights of these days and return (step, day) of every step taken.

        Nights on which nothing can happen, because the next due day, end or event lies ahead, only leave their date.
        """
        quiet_until = days.start
        for number in days:
            if number in without:
                continue
            waits = self.permitted is None and number in self.deferred and number - 1 in self.deferred
            if number < quiet_until or waits:
                self.nights.append(on(number))
            else:
                quiet_until = self._next_day(self.night(number), number)
        return self.taken

    def _next_day(self, row: pd.Series, number: int) -> int:
        """Return the next day on which this contact's row can change; the very next one after any event."""
        if row["is_step_due"] or row["close_reason"] or row["cycle_state"] == cycle_states.OPENING:
            return number + 1
        ahead = [row[name] for name in ("step_due_on", "ends_on", "lapsed_on")] + [
            pd.Timestamp(day["last_on"]) for day in self.days
        ]
        later = [(day.date() - DAY_0).days for day in ahead if pd.notna(day)]
        return min((day for day in later if day > number), default=number + 30)

    @property
    def taken(self) -> list[tuple[int, int]]:
        return [(int(row["step"]), (row["taken_on"].date() - DAY_0).days) for row in self.steps]


def shopper(**values: Any) -> list[dict[str, Any]]:
    return [{"last_on": DAY_0, **values}]


# threshold T1/T2/T3, then the days of silence of the three steps, by hand:
#   anchored     T1, T1 + (60 - 30), T1 + (90 - 30)
#   calendar     30, 60, 90
#   multiple     T1, T1 * 60/30, T1 * 90/30
#   probability  T1, T2, T3
HAND_COMPUTED = [
    ("grocery shopper, every 13 days", (55, 80, 108), "anchored", [55, 85, 115]),
    ("grocery shopper, every 13 days", (55, 80, 108), "calendar", [30, 60, 90]),
    ("grocery shopper, every 13 days", (55, 80, 108), "multiple", [55, 110, 165]),
    ("grocery shopper, every 13 days", (55, 80, 108), "probability", [55, 80, 108]),
    ("car buyer, every four years", (1500, 1825, 2190), "anchored", [1500, 1530, 1560]),
    ("car buyer, every four years", (1500, 1825, 2190), "multiple", [1500, 3000, 4500]),
    ("car buyer, every four years", (1500, 1825, 2190), "probability", [1500, 1825, 2190]),
    ("reader of a daily newsletter", (91, 137, 182), "anchored", [91, 121, 151]),
    ("reader of a daily newsletter", (91, 137, 182), "calendar", [30, 60, 90]),
    ("reader of a daily newsletter", (91, 137, 182), "multiple", [91, 182, 273]),
    ("reader of a daily newsletter", (91, 137, 182), "probability", [91, 137, 182]),
    ("reader of a monthly newsletter", (270, 405, 540), "anchored", [270, 300, 330]),
    ("reader of a monthly newsletter", (270, 405, 540), "calendar", [30, 60, 90]),
    ("reader of a monthly newsletter", (270, 405, 540), "multiple", [270, 540, 810]),
    ("reader of a monthly newsletter", (270, 405, 540), "probability", [270, 405, 540]),
]


@pytest.mark.parametrize(("who", "thresholds", "mode", "expected"), HAND_COMPUTED)
def test_the_steps_come_on_the_days_worked_out_by_hand(who, thresholds, mode, expected):
    first, second, third = thresholds
    walk = Walk(programme(mode=mode), shopper(threshold=first, threshold_2=second, threshold_3=third))
    # Nights far from any step change nothing, so only those around them are played.
    for day in expected:
        walk.play(range(day - 2, day + 3))
    assert walk.taken == list(zip((1, 2, 3), expected, strict=True)), who


def test_a_car_buyer_in_a_calendar_of_90_days_is_in_no_hurry_for_the_own_threshold():
    walk = Walk(programme(mode="calendar"), shopper(threshold=1500))
    assert walk.play(range(28, 110)) == [(1, 30), (2, 60), (3, 90)]


class TestOpening:
    def test_a_cycle_opens_on_the_day_of_the_lapse_and_not_a_day_before(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.nights = [on(28)]
        assert walk.at(29)["cycle_state"] == "none"
        row = walk.at(30)
        assert (row["cycle_state"], row["cycle_no"], row["step"], row["step_offsets"]) == ("opening", 1, 1, "0,30,60")
        assert row["is_step_due"]
        assert not row["is_backlog"]

    @pytest.mark.parametrize(("day", "anchor"), [(30, 30), (44, 30), (45, 45), (200, 200)])
    def test_a_late_opening_starts_the_ladder_politely_from_today(self, day, anchor):
        row = Walk(programme(late_by_days=14), shopper(threshold=30)).at(day)
        assert row["anchored_on"].date() == on(anchor)
        assert (row["step"], bool(row["is_step_due"])) == (1, True)

    def test_a_late_opening_never_skips_step_one_for_a_near_step_two(self):
        policy = programme(steps=steps((30, 37)), late_by_days=14)
        row = Walk(policy, shopper(threshold=30)).at(30 + 8)
        assert (row["step"], row["anchored_on"].date()) == (1, on(38))

    @pytest.mark.parametrize(
        ("day", "step", "due"), [(30, 1, 30), (44, 1, 30), (45, 2, 60), (60, 2, 60), (74, 2, 60), (75, 3, 90)]
    )
    def test_a_calendar_is_entered_at_the_current_step(self, day, step, due):
        # Earlier nights could not have taken these steps: this contact's cycle was not open.
        earlier = [on(number) for number in range(day)]
        row = Walk(programme(mode="calendar"), shopper(threshold=55), nights=earlier).at(day)
        assert (row["step"], row["step_due_on"].date(), row["anchored_on"].date()) == (step, on(due), on(30))
        assert bool(row["is_step_due"]) == (day >= due)

    def test_a_calendar_whose_last_window_has_passed_starts_nothing(self):
        row = Walk(programme(mode="calendar"), shopper()).at(105)
        assert (row["cycle_state"], bool(row["is_dormant"])) == ("none", True)

    @pytest.mark.parametrize(("day", "state"), [(30 + 365, "opening"), (30 + 366, "none")])
    def test_a_lapse_too_long_ago_starts_no_ladder(self, day, state):
        row = Walk(programme(), shopper(threshold=30)).at(day)
        assert (row["cycle_state"], bool(row["is_dormant"])) == (state, state == "none")

    def test_no_more_cycles_a_year_than_the_policy_allows(self):
        walk = Walk(programme(cycles_per_year=1), [*shopper(threshold=30), {"last_on": on(40), "threshold": 30}])
        walk.play(range(29, 100))
        assert walk.taken == [(1, 30)]
        assert walk.at(100)["is_cycle_limit_reached"]
        assert walk.at(30 + 365)["cycle_state"] == "opening"

    def test_the_first_night_counts_every_opening_as_backlog_and_later_nights_only_the_older_ones(self):
        walk = Walk(programme(), shopper(threshold=30))
        assert walk.at(30)["is_backlog"]
        walk.nights = [on(30)]
        assert not walk.at(31)["is_backlog"]
        walk.nights = [on(31)]
        assert walk.at(32)["is_backlog"]


class TestReturn:
    def test_a_return_closes_the_cycle_and_a_new_silence_opens_another(self):
        walk = Walk(programme(), [*shopper(threshold=30), {"last_on": on(50), "threshold": 30}])
        walk.play(range(29, 145))
        assert walk.taken == [(1, 30), (1, 80), (2, 110), (3, 140)]
        assert walk.cycles[0]["close_reason"] == "returned"
        assert walk.cycles[0]["closed_on"].date() == on(50)

    def test_a_weak_behaviour_delays_a_lapse_and_ends_no_cycle(self):
        policy = programme(trigger={"behaviours": ["purchase"], "weak": ["open"]})
        opened = {"behaviour": "open", "is_weak": True, "threshold": 30}
        late = Walk(policy, [*shopper(threshold=30), {**opened, "last_on": on(10)}])
        late.play(range(29, 42))
        assert late.taken == [(1, 40)]
        going_on = Walk(policy, [*shopper(threshold=30), {**opened, "last_on": on(35)}])
        going_on.play(range(29, 62))
        assert going_on.taken == [(1, 30), (2, 60)]

    def test_a_return_by_an_uncounted_behaviour_starts_the_silence_anew(self):
        policy = programme(returns=["login"])
        days = [*shopper(threshold=30), {"behaviour": "login", "last_on": on(40), "threshold": 30}]
        walk = Walk(policy, days)
        walk.play(range(29, 72))
        assert [step for step in walk.taken if step[1] < 70] == [(1, 30)]
        assert walk.taken[1] == (1, 70)

    def test_a_return_on_the_day_of_the_message_counts(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.night(30)
        walk.days = [{"last_on": on(30), "threshold": 30}]
        assert walk.at(31)["cycle_state"] == "returned"


class TestEnd:
    def test_the_ladder_ends_when_the_time_to_answer_is_over(self):
        walk = Walk(programme(answer_days=14), shopper(threshold=30))
        walk.play(range(29, 104))
        assert walk.taken == [(1, 30), (2, 60), (3, 90)]
        waiting, ended = walk.at(103), walk.at(104)
        assert (waiting["cycle_state"], bool(waiting["is_ladder_done"])) == ("open", True)
        assert (ended["cycle_state"], ended["close_reason"], bool(ended["is_sunset_due"])) == (
            "ended", "ladder_ended", True,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("changes", "claim"),
        [
            ({"arm": "control"}, None),
            ({"arm": "global_control"}, None),
            ({"history_days": 399}, "is_history_short"),
            ({"policy": programme(end="none")}, None),
        ],
    )
    def test_who_was_never_written_to_or_is_not_known_long_enough_is_not_sunset(self, changes, claim):
        walk = Walk(**{"policy": programme(), "days": shopper(threshold=30), **changes})
        walk.play(range(29, 104))
        row = walk.at(104)
        assert (row["cycle_state"], row["close_reason"]) == ("ended", "ladder_ended")
        assert not row["is_sunset_due"]
        assert [name for name in ("is_history_short",) if row[name]] == ([claim] if claim else [])

    def test_who_got_no_message_has_ignored_none(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.play(range(29, 104))
        for walk.is_unheard, end in ((True, ("ladder_unheard", False)), (False, ("ladder_ended", True))):
            row = walk.at(104)
            assert (row["cycle_state"], row["close_reason"], bool(row["is_sunset_due"])) == ("ended", *end)

    def test_a_ladder_is_not_walked_twice_for_one_silence(self):
        walk = Walk(programme(end="none"), shopper(threshold=30))
        walk.play(range(29, 180))
        assert walk.taken == [(1, 30), (2, 60), (3, 90)]
        assert walk.at(180)["is_cycle_ended"]

    def test_a_return_after_the_end_makes_the_next_silence_count(self):
        walk = Walk(programme(end="none"), [*shopper(threshold=30), {"last_on": on(120), "threshold": 30}])
        walk.play(range(29, 155))
        assert walk.taken[3:] == [(1, 150)]


class TestOutage:
    def test_three_nights_without_a_run_delay_the_step_that_fell_into_them(self):
        walk = Walk(programme(), shopper(threshold=30))
        assert walk.play(range(29, 110), without=range(59, 62)) == [(1, 30), (2, 62), (3, 90)]

    def test_thirty_five_nights_without_a_run_cost_the_step_whose_window_passed(self):
        walk = Walk(programme(), shopper(threshold=30))
        assert walk.play(range(29, 110), without=range(50, 85)) == [(1, 30), (3, 90)]
        walk = Walk(programme(), shopper(threshold=30))
        walk.play(range(29, 85), without=range(50, 85))
        row = walk.at(85)
        assert (row["step"], bool(row["is_step_missed"]), bool(row["is_step_due"])) == (3, True, False)

    @pytest.mark.parametrize(("first_night_after", "step"), [(74, 2), (75, 3)])
    def test_a_step_is_missed_after_late_by_days(self, first_night_after, step):
        walk = Walk(programme(late_by_days=14), shopper(threshold=30))
        walk.play(range(29, first_night_after), without=range(50, first_night_after))
        assert walk.at(first_night_after)["step"] == step

    def test_an_outage_over_the_last_step_ends_the_ladder_without_a_sunset(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.play(range(29, 120), without=range(85, 120))
        row = walk.at(120)
        assert (row["cycle_state"], row["close_reason"]) == ("ended", "ladder_missed")
        assert not row["is_sunset_due"]

    def test_an_outage_over_two_steps_sends_only_the_current_one(self):
        policy = programme(steps=steps((30, 40, 50)), late_by_days=20)
        walk = Walk(policy, shopper(threshold=30))
        assert walk.play(range(29, 60), without=range(35, 52)) == [(1, 30), (3, 52)]


class TestCap:
    def test_twenty_nights_of_a_cap_delay_a_step_and_cost_none(self):
        walk = Walk(programme(), shopper(threshold=30), deferred=frozenset(range(60, 80)))
        assert walk.play(range(29, 120)) == [(1, 30), (2, 80), (3, 90)]

    def test_a_cap_over_two_steps_keeps_both_seven_days_apart(self):
        walk = Walk(programme(), shopper(threshold=30), deferred=frozenset(range(60, 100)))
        assert walk.play(range(29, 120)) == [(1, 30), (2, 100), (3, 107)]

    def test_a_deferred_step_stays_due_through_an_outage(self):
        walk = Walk(programme(), shopper(threshold=30), deferred=frozenset({60}))
        assert walk.play(range(29, 110), without=range(61, 89)) == [(1, 30), (2, 89), (3, 96)]

    def test_the_distance_holds_across_cycles(self):
        walk = Walk(programme(min_days_between=20), [*shopper(threshold=30), {"last_on": on(32), "threshold": 10}])
        assert walk.play(range(29, 60)) == [(1, 30), (1, 50)]


class TestPermission:
    def test_a_step_that_may_not_be_sent_at_all_is_passed_over_when_the_next_is_due(self):
        never_two = {"is_permitted_1": [True], "is_permitted_2": [False], "is_permitted_3": [True]}
        walk = Walk(
            programme(), shopper(threshold=30), deferred=frozenset(range(60, 90)), permitted=lambda _: never_two
        )
        assert walk.play(range(29, 95)) == [(1, 30), (3, 90)]

    def test_until_then_it_stays_due(self):
        never_two = {"is_permitted_1": [True], "is_permitted_2": [False], "is_permitted_3": [True]}
        walk = Walk(
            programme(), shopper(threshold=30), deferred=frozenset(range(60, 90)), permitted=lambda _: never_two
        )
        walk.play(range(29, 80))
        assert (walk.at(80)["step"], bool(walk.at(80)["is_step_due"])) == (2, True)

    def test_a_ladder_that_may_never_go_on_ends_without_a_sunset(self):
        only_one = {"is_permitted_1": [True], "is_permitted_2": [False], "is_permitted_3": [False]}
        walk = Walk(
            programme(), shopper(threshold=30), deferred=frozenset(range(31, 200)), permitted=lambda _: only_one
        )
        walk.play(range(29, 120))
        assert walk.cycles[0]["close_reason"] == "ladder_missed"


class TestOneOff:
    """Who has a single active day gets one message and no ladder."""

    @pytest.mark.parametrize("mode", ["anchored", "calendar", "multiple", "probability"])
    def test_one_step_is_taken_and_the_cycle_closes_after_the_time_to_answer(self, mode):
        walk = Walk(programme(mode=mode, answer_days=14), shopper(threshold=30, n=1))
        assert walk.play(range(29, 200)) == [(1, 30)]
        assert len(walk.cycles) == 1
        assert walk.cycles[0]["step_offsets"] == "0"
        assert (walk.cycles[0]["close_reason"], walk.cycles[0]["closed_on"].date()) == ("touched", on(44))

    @pytest.mark.parametrize("arm", ["treated", "control"])
    def test_both_arms_end_alike_and_nobody_is_sunset(self, arm):
        walk = Walk(programme(answer_days=14), shopper(threshold=30, n=1), arm=arm)
        walk.play(range(29, 44))
        waiting, ended = walk.at(43), walk.at(44)
        assert (waiting["cycle_state"], bool(waiting["is_ladder_done"])) == ("open", True)
        assert (ended["cycle_state"], ended["close_reason"]) == ("ended", "touched")
        assert not ended["is_sunset_due"]
        assert not ended["is_history_short"]
        assert walk.at(43)["ends_on"].date() == on(44)

    @pytest.mark.parametrize("history_days", [0, 1000])
    def test_a_ladder_of_one_step_ends_in_a_sunset_only_for_who_came_more_often(self, history_days):
        reasons = []
        for n in (1, 2):
            walk = Walk(programme(steps=steps((30,))), shopper(threshold=30, n=n), history_days=history_days)
            walk.play(range(29, 44))
            row = walk.at(44)
            reasons.append((row["close_reason"], bool(row["is_sunset_due"] or row["is_history_short"])))
        assert reasons == [("touched", False), ("ladder_ended", True)]

    def test_the_policy_may_give_them_the_whole_ladder(self):
        walk = Walk(programme(one_offs="ladder"), shopper(threshold=30, n=1))
        assert walk.play(range(29, 110)) == [(1, 30), (2, 60), (3, 90)]
        assert walk.cycles[0]["close_reason"] == "ladder_ended"

    def test_a_second_active_day_is_a_return_and_opens_the_whole_ladder(self):
        walk = Walk(programme(), [*shopper(threshold=30, n=1), {"last_on": on(35), "threshold": 30, "n": 2}])
        assert walk.play(range(29, 140)) == [(1, 30), (1, 65), (2, 95), (3, 125)]
        assert [cycle["close_reason"] for cycle in walk.cycles] == ["returned", "ladder_ended"]

    def test_so_does_one_after_the_cycle_has_closed(self):
        walk = Walk(programme(), [*shopper(threshold=30, n=1), {"last_on": on(60), "threshold": 30, "n": 2}])
        assert walk.play(range(29, 160)) == [(1, 30), (1, 90), (2, 120), (3, 150)]

    def test_a_step_that_was_missed_is_no_touch(self):
        walk = Walk(programme(), shopper(threshold=30, n=1), deferred=frozenset({30}))
        walk.play(range(29, 31))
        row = walk.at(45)
        assert (row["cycle_state"], row["close_reason"], bool(row["is_sunset_due"])) == ("open", "", False)
        # A night ran in the window: the step was only deferred and stays due.
        assert (row["step"], bool(row["is_step_due"])) == (1, True)
        walk.nights, walk.cycles[0]["opened_on"] = [on(29)], pd.Timestamp(on(29))
        # Nothing follows the one step: its window is the whole of `late_by_days`.
        assert (walk.at(44)["step"], bool(walk.at(44)["is_step_due"])) == (1, True)
        assert walk.at(45)["close_reason"] == "ladder_missed"


class TestStoredOffsets:
    """A cycle keeps the steps it was opened with."""

    def test_a_touch_stays_one_when_the_policy_changes(self):
        walk = Walk(programme(), shopper(threshold=30, n=1))
        walk.play(range(29, 32))
        walk.policy = programme(one_offs="ladder")
        assert walk.play(range(32, 120)) == [(1, 30)]
        assert walk.cycles[0]["close_reason"] == "touched"

    def test_a_ladder_stays_one_when_the_policy_changes(self):
        walk = Walk(programme(one_offs="ladder"), shopper(threshold=30, n=1))
        walk.play(range(29, 32))
        walk.policy = programme()
        assert walk.play(range(32, 120)) == [(1, 30), (2, 60), (3, 90)]
        assert walk.cycles[0]["close_reason"] == "ladder_ended"

    def test_a_longer_ladder_is_for_the_next_cycle(self):
        walk = Walk(programme(steps=steps((30, 60))), shopper(threshold=30))
        walk.play(range(29, 62))
        walk.policy = programme()
        assert walk.play(range(62, 160)) == [(1, 30), (2, 60)]
        assert (walk.cycles[0]["step_offsets"], walk.cycles[0]["close_reason"]) == ("0,30", "ladder_ended")
        assert walk.cycles[0]["closed_on"].date() == on(74)


class TestRepeating:
    def test_what_a_night_wrote_is_no_input_to_it(self):
        walk = Walk(programme(), [*shopper(threshold=30), {"last_on": on(70), "threshold": 30}])
        for number in range(29, 140):
            before = walk.night(number)
            pd.testing.assert_series_equal(before, walk.at(number), check_names=False)

    def test_another_programmes_rows_do_not_matter(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.night(30)
        walk.cycles[0]["programme"] = walk.steps[0]["programme"] = "another"
        assert (walk.at(31)["cycle_state"], walk.at(31)["cycle_no"]) == ("opening", 1)

    def test_an_open_cycle_without_a_schedule_is_still_seen(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.night(30)
        walk.days = []
        assert (walk.at(40)["cycle_state"], bool(walk.at(40)["has_open_cycle"])) == ("open", True)

    def test_a_policy_with_fewer_steps_walks_the_ones_that_are_left(self):
        walk = Walk(programme(), shopper(threshold=30))
        walk.night(30)
        walk.policy = programme(steps=steps((30, 60)))
        assert walk.play(range(31, 100)) == [(1, 30), (2, 60)]
