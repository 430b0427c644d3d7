"""What every night promises, whatever the contacts, the nights that ran, and the way the work is spread."""

from __future__ import annotations

import copy
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from decision_world import CYCLES, PEPPER, STEPS, World, consent, frame, people, programme, rhythms, steps
from hypothesis import given, settings
from hypothesis import strategies as st

from winback.core import arbitration, buckets, decision_facts, decisions, explanation, journeys
from winback.core.digest import combine, digest
from winback.core.ladder import schedule

FIRST = date(2026, 5, 28)
CHANNELS = ("email", "sms")
NAMES = [f"customer {number}" for number in range(9)]


@st.composite
def activities(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return up to two active days of one customer, the second perhaps within the nights of the test."""
    threshold = draw(st.sampled_from([10, 30, 60]))
    first = FIRST - timedelta(days=draw(st.integers(0, 120)))
    n = draw(st.sampled_from([1, 4]))
    days = [{"last_on": first, "threshold": threshold, "n": n}]
    if draw(st.booleans()):
        days.append({"last_on": first + timedelta(days=draw(st.integers(1, 60))), "threshold": threshold, "n": n + 1})
    return days


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return two programmes that share nine contacts, some without consent, some suppressed, and tight limits."""
    ladders = st.builds(
        programme,
        value=st.sampled_from([1.0, 2.0]),
        mode=st.sampled_from(["anchored", "calendar", "multiple", "probability"]),
        steps=st.sampled_from([steps((10, 17, 24)), steps((30, 60, 90), CHANNELS), steps((10,), ("sms",))]),
        backlog=st.sampled_from([{}, {"first_night": 2, "per_night": 1}]),
        hold_out=st.sampled_from([{"share": 0.0}, {"share": 0.5}]),
        late_by_days=st.sampled_from([3, 14]),
        answer_days=st.sampled_from([3, 14]),
        one_offs=st.sampled_from(["touch", "ladder"]),
    )
    contacts = people(
        *NAMES,
        country=draw(st.lists(st.sampled_from(["FR", "US", "CA", None]), min_size=9, max_size=9)),
        email_hmac=draw(st.lists(st.sampled_from([f"e-{n}" for n in range(7)]), min_size=9, max_size=9)),
    )
    pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(CHANNELS))
    consented = draw(st.sets(pairs, min_size=6))
    stopped = draw(st.sets(st.sampled_from([f"e-{n}" for n in range(7)]), max_size=2))
    return World(
        [
            draw(ladders).model_copy(update={"programme": "first"}),
            draw(ladders).model_copy(update={"programme": "second"}),
        ],
        contacts,
        {name: draw(activities()) for name in draw(st.sets(st.sampled_from(NAMES), min_size=5))},
        consents=[consent(name, channel, basis="pewc") for name, channel in sorted(consented)],
        suppressions=[
            {
                "channel": "email", "kind": "address", "key": key, "reason": "opted_out", "programme": "",
                "effective_on": FIRST - timedelta(days=1), "lifted_at": None,
            }
            for key in sorted(stopped)
        ],
        max_sends=draw(st.sampled_from([1, 3, 1000])),
        per_week=draw(st.sampled_from([1, 2])),
    )  # fmt: skip


ran = st.lists(st.integers(0, 60), min_size=1, max_size=5, unique=True).map(sorted)


def one_row_each(world: World, decided: pd.DataFrame, as_of: date) -> pd.DataFrame:
    return decisions.public(arbitration.one_each(decided, world.contacts, as_of=pd.Timestamp(as_of)))


@settings(max_examples=8)
@given(worlds(), ran)
def test_what_every_night_promises(world, nights):
    for number in nights:
        as_of = FIRST + timedelta(days=number)
        before = copy.deepcopy(world)
        decided = world.run(as_of)
        rows = one_row_each(world, decided, as_of)

        # every contact has exactly one row, and its rules come to the same decision again
        assert list(rows["customer_id"]) == NAMES
        for _, row in rows.iterrows():
            found = explanation.explain(explanation.read_facts(row["facts"]))
            assert (found.action, found.reason) == (row["action"], row["reason"])

        # no means no
        granted = {(row["customer_id"], row["channel"]) for row in world.consents or []}
        sends = decided[decided["action"] == "send"]
        assert {(row["customer_id"], row["channel"]) for _, row in sends.iterrows()} <= granted
        refused = {row["key"] for row in before.suppressions if row["kind"] == "address"}
        assert not set(sends.loc[sends["channel"] == "email", "address"]) & refused
        sunset = {row["key"] for row in before.suppressions if row["kind"] == "customer"}
        assert not set(sends["customer_id"]) & sunset

        # at most one message a contact and an address
        acting = decided[decided["action"].isin(["send", "hold_out"])]
        assert acting["customer_id"].is_unique
        assert acting.loc[acting["address"] != "", "address"].is_unique
        assert len(sends) <= world.max_sends

        # running the night again, with all it wrote, decides the same
        pd.testing.assert_frame_equal(world.decide(as_of), decided)

    distances_hold(world)


def distances_hold(world: World) -> None:
    """Check that nobody got two steps of a programme too close together, or a step of a cycle twice."""
    taken = frame(world.steps, STEPS)
    key = ["programme", "customer_id", "cycle_no", "step"]
    assert not taken.duplicated(key).any()
    for name, mine in taken.groupby(["programme", "customer_id"]):
        days = sorted(mine["taken_on"].dt.date)
        assert all((later - earlier).days >= 7 for earlier, later in pairwise(days))
        for number, cycle in mine.groupby("cycle_no"):
            [opened] = [
                row
                for row in world.cycles
                if (row["programme"], row["customer_id"], row["cycle_no"]) == (*name, number)
            ]
            assert cycle["step"].max() <= len(opened["step_offsets"].split(","))
            assert cycle.sort_values("taken_on")["step"].is_monotonic_increasing


@settings(max_examples=6)
@given(worlds(), ran, st.integers(1, 4), st.randoms(use_true_random=False))
def test_shards_and_order_change_nothing(world, nights, shards, random):
    for number in nights[:-1]:
        world.run(FIRST + timedelta(days=number))
    as_of = FIRST + timedelta(days=nights[-1])
    whole = one_row_each(world, world.decide(as_of), as_of)

    shard_of = pd.Series(buckets.buckets(NAMES)).astype(int) * shards // buckets.BUCKETS
    parts = [world.contacts[(shard_of == shard).to_numpy()] for shard in range(shards)]
    random.shuffle(parts)
    for rows in (world.cycles, world.steps, world.suppressions, world.consents):
        random.shuffle(rows)
    shuffled = [part.iloc[random.sample(range(len(part)), len(part))] for part in parts if len(part)]
    spread = one_row_each(world, world.decide(as_of, shuffled), as_of)

    pd.testing.assert_frame_equal(whole, spread)
    columns = [*decision_facts.COLUMNS, "facts"]
    halves = [digest(spread.iloc[:4], columns), digest(spread.iloc[4:], columns)]
    assert combine(halves) == digest(whole, columns)


@settings(max_examples=30)
@given(
    nights=st.sets(st.integers(0, 100), min_size=1, max_size=40),
    capped=st.sets(st.integers(0, 100), max_size=60),
    mode=st.sampled_from(["anchored", "calendar"]),
    late_by=st.sampled_from([3, 14]),
)
def test_a_cap_never_advances_anybody_past_a_step(nights, capped, mode, late_by):
    """A step is left out only if no night ran between its due day and the end of its window."""
    policy = programme(mode=mode, steps=steps((30, 45, 60)), late_by_days=late_by, answer_days=14)
    start = date(2026, 1, 31)
    made = schedule(
        rhythms([{"customer_id": "a", "last_on": start - timedelta(days=30), "threshold": 30}], as_of=start),
        ladder=policy.ladder, trigger=policy.trigger, as_of=start,
    )  # fmt: skip
    cycles: list[dict[str, Any]] = []
    taken: list[dict[str, Any]] = []
    earlier: list[date] = []
    for number in sorted(nights):
        as_of = start + timedelta(days=number)
        row = journeys.advance(
            made, frame(cycles, CYCLES), frame(taken, STEPS), programme=policy, nights=earlier, as_of=as_of,
            history_days=1000,
        ).iloc[0]  # fmt: skip
        key = {"programme": "winback", "customer_id": "a", "cycle_no": row["cycle_no"]}
        if row["cycle_state"] == "opening":
            stored = {name: row[name] for name in ("opened_on", "lapsed_on", "anchored_on", "step_offsets")}
            cycles.append({**key, **stored, "arm": "treated", "threshold_days": 30.0})
        if row["close_reason"]:
            break
        if row["is_step_due"] and number not in capped:
            taken.append({**key, "step": row["step"], "taken_on": pd.Timestamp(as_of)})
        earlier.append(as_of)
    left_out_only_for_want_of_nights(cycles, taken, nights, start, late_by)


def left_out_only_for_want_of_nights(
    cycles: list[dict[str, Any]], taken: list[dict[str, Any]], nights: set[int], start: date, late_by: int
) -> None:
    """Check every step before the last one taken."""
    if not taken:
        return
    opened = (cycles[0]["opened_on"].date() - start).days
    anchored = (cycles[0]["anchored_on"].date() - start).days
    days = {row["step"]: (row["taken_on"].date() - start).days for row in taken}
    assert all(later - earlier >= 7 for earlier, later in pairwise(sorted(days.values())))
    for step in range(1, max(days)):
        if step in days:
            continue
        before = max((day for one, day in days.items() if one < step), default=-np.inf)
        due = max(anchored + 15 * (step - 1), before + 7)
        closes = min(due + late_by + 1, max(anchored + 15 * step, due + 7))
        window = {night for night in nights if max(due, opened) <= night < closes}
        assert not window, (step, days, window)


def test_the_pepper_orders_the_queue_and_not_the_alphabet():
    rows = pd.DataFrame(
        {
            "programme": "p", "customer_id": [f"c{n:03}" for n in range(200)], "value": 1.0,
            "step_due_on": pd.Timestamp(FIRST), "action": "send", "cost": 0.0, "address": "",
        }
    )  # fmt: skip
    kept = ~arbitration.limit(rows, max_sends=50, max_cost=0, pepper=PEPPER)["is_over_night_limit"]
    assert kept.sum() == 50
    assert 5 < kept.iloc[:50].sum() < 25
