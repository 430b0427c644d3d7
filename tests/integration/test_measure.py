"""Results: who counts, in which arm, for how long, and that no rate stands without the one it is compared with."""

from __future__ import annotations

import json
import math

import databases
import pandas as pd
import pytest
from activity_world import ZONE, Event, at, feed, on, purchase
from ledger_rows import contacts, open_cycles

from winback.activity.store import ActivityStore
from winback.ledger import cycles, people
from winback.night.check import load_programmes
from winback.night.measure import measure, usual_window_days
from winback.sample.scaffold import scaffold
from winback.settings import load_project

OPENED, WINDOW = 100, 10
POLICY = """
version: 1
programme: winback
trigger: {{behaviours: [purchase, visit], weak: [open]}}
threshold: {{horizon_days: {horizon}}}
hold_out: {{share: {share}}}
ladder:
  answer_days: 14
  steps:
    - {{day: 30, kind: survey, channels: [email], template: survey}}
    - {{day: 60, kind: coupon, channels: [email], template: coupon}}
"""


class World:
    """A project with one programme, and cycles and events a test puts into it."""

    def __init__(self, root, ledger):
        scaffold(root, customers=0, ends_on=on(0))
        (root / "policies" / "marketplace.yaml").unlink()
        self.root, self.ledger = root, ledger
        self.store = ActivityStore.open(root / "var" / "activity", zone=ZONE)
        self.policy()

    def policy(self, *, share=0.5, horizon=60):
        text = POLICY.format(share=share, horizon=horizon)
        (self.root / "policies" / "winback.yaml").write_text(text, encoding="utf-8")

    def open(self, arm, *ids, day=OPENED, **columns):
        with self.ledger.writing() as connection:
            people.replace_contacts(connection, contacts(*ids), pepper=databases.PEPPER, as_of=on(0))
            opened = open_cycles(*ids, arm=arm, opened_on=pd.Timestamp(on(day)), **columns)
            cycles.open_cycles(connection, opened)

    def happen(self, *events):
        with self.store.writing() as writer:
            writer.ingest("orders", feed(events))

    def measure(self, day, **changes):
        [result] = measure(
            load_project(self.root, {}), self.ledger, self.store, as_of=on(day), **{"window_days": WINDOW, **changes}
        )
        return result


@pytest.fixture
def world(tmp_path, ledger):
    return World(tmp_path / "project", ledger)


def numbers(result, arm):
    return result[arm]["contacts"], result[arm]["returns"]


@pytest.mark.parametrize(("day", "returns"), [(99, 0), (100, 1), (109, 1), (110, 0)])
def test_a_return_counts_from_the_opening_day_until_the_window_ends(world, day, returns):
    world.open("control", "earlier", day=OPENED - 20)
    world.open("treated", "ann")
    world.happen(purchase("ann", day))
    assert numbers(world.measure(OPENED + 50), "treated") == (1, returns)


@pytest.mark.parametrize(("as_of", "counted"), [(OPENED + WINDOW - 1, 0), (OPENED + WINDOW, 1)])
def test_nobody_counts_before_the_window_has_passed(world, as_of, counted):
    world.open("control", "ann")
    world.happen(purchase("ann", OPENED + 1))
    result = world.measure(as_of)
    assert numbers(result, "control") == (counted, counted)
    assert result["waiting"] == 1 - counted


@pytest.mark.parametrize(("behaviour", "returns"), [("purchase", 1), ("visit", 1), ("open", 0), ("machine_open", 0)])
def test_only_what_ends_a_cycle_is_a_return(world, behaviour, returns):
    world.open("treated", "ann")
    world.happen(Event("ann", behaviour, at(OPENED + 1)))
    assert numbers(world.measure(OPENED + 50), "treated") == (1, returns)


def test_what_counts_for_another_programme_is_no_return_here(world):
    text = POLICY.format(share=0.5, horizon=60).replace("winback", "letters").replace("purchase, visit", "click")
    (world.root / "policies" / "letters.yaml").write_text(text, encoding="utf-8")
    world.open("treated", "ann")
    world.open("treated", "ben", programme="letters")
    world.happen(Event("ann", "click", at(OPENED + 1)), Event("ben", "click", at(OPENED + 1)))
    project = load_project(world.root, {})
    results = measure(project, world.ledger, world.store, as_of=on(OPENED + 50), window_days=WINDOW)
    assert {one["programme"]: numbers(one, "treated") for one in results} == {"winback": (1, 0), "letters": (1, 1)}


def test_people_count_in_the_arm_drawn_for_them_whatever_became_of_the_cycle(world):
    world.open("treated", "ann", "ben")  # nothing was ever sent to ben
    world.open("control", "cid", "dan")
    world.open("global_control", "eve")
    with world.ledger.writing() as connection:
        closing = open_cycles("ben", closed_on=pd.Timestamp(on(OPENED + 3)), close_reason="ladder_missed")
        cycles.close_cycles(connection, closing)
    world.happen(purchase("ben", OPENED + 5), purchase("cid", OPENED + 5), purchase("eve", OPENED + 5))
    result = world.measure(OPENED + 50)
    assert {arm: numbers(result, arm) for arm in ("treated", "control", "global_control")} == {
        "treated": (2, 1),
        "control": (2, 1),
        "global_control": (1, 1),
    }


def test_a_contact_counts_once_with_its_first_cycle(world):
    world.open("treated", "ann")
    world.open("control", "ann", day=OPENED + 20, cycle_no=2)
    world.happen(purchase("ann", OPENED + 22))
    result = world.measure(OPENED + 50)
    assert numbers(result, "treated") == (1, 0)
    assert numbers(result, "control") == (0, 0)


def test_shards_change_no_number(world):
    ids = [f"c{number}" for number in range(60)]
    world.open("treated", *ids[:30])
    world.open("control", *ids[30:])
    world.happen(*(purchase(one, OPENED + number % 13) for number, one in enumerate(ids) if number % 3))
    whole = world.measure(OPENED + 50)
    in_time = sum(number % 13 < WINDOW and number % 3 > 0 for number in range(30))
    assert numbers(whole, "treated") == (30, in_time)
    assert [world.measure(OPENED + 50, shards=shards) for shards in (2, 7)] == [whole, whole]


def wilson(returns, contacts):
    """Wilson's interval as he wrote it in 1927."""
    z, rate = 1.959964, returns / contacts
    middle = (rate + z**2 / (2 * contacts)) / (1 + z**2 / contacts)
    half = z / (1 + z**2 / contacts) * math.sqrt(rate * (1 - rate) / contacts + z**2 / (4 * contacts**2))
    return middle - half, middle + half


def test_both_arms_their_intervals_and_the_difference_stand_together(world):
    ids = [f"c{number}" for number in range(400)]
    world.open("treated", *ids[:200])
    world.open("control", *ids[200:])
    world.happen(*(purchase(one, OPENED + 1) for one in (*ids[:60], *ids[200:240])))
    result = world.measure(OPENED + 50)
    assert result["treated"]["rate"] == 0.3
    assert result["control"]["rate"] == 0.2
    low, high = wilson(60, 200)
    control_low, control_high = wilson(40, 200)
    assert [result["treated"]["low"], result["treated"]["high"]] == pytest.approx([low, high], abs=1e-6)
    assert [result["control"]["low"], result["control"]["high"]] == pytest.approx([control_low, control_high], abs=1e-6)
    assert result["difference"] == pytest.approx(0.1)
    newcombe = 0.1 - math.hypot(0.3 - low, control_high - 0.2), 0.1 + math.hypot(high - 0.3, 0.2 - control_low)
    assert [result["low"], result["high"]] == pytest.approx(newcombe, abs=1e-6)
    assert result["verdict"] == "not_enough_data"
    assert "60 of 200" in result["sentence"]
    assert "40 of 200" in result["sentence"]
    assert "+10.0 points (95 % interval +1.5 to +18.3)" in result["sentence"]
    assert "Not enough data" in result["sentence"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_arms_that_cannot_have_been_drawn_as_planned_are_not_to_be_read(world):
    world.policy(share=0.1)
    world.open("treated", *(f"t{number}" for number in range(100)))
    world.open("control", *(f"c{number}" for number in range(60)))
    result = world.measure(OPENED + 50)
    assert result["verdict"] == "sample_ratio"
    assert "do not read" in result["sentence"]


@pytest.mark.parametrize("arm", ["treated", "control", None])
def test_one_arm_alone_is_no_result(world, arm):
    if arm:
        world.open(arm, "ann")
        world.happen(purchase("ann", OPENED + 1))
    result = world.measure(OPENED + 50)
    assert result["verdict"] == "no_control"
    assert [result[name] for name in ("difference", "low", "high")] == [None, None, None]
    assert "%" not in result["sentence"]
    json.dumps(result, allow_nan=False)


def test_no_return_among_a_few_held_out_proves_nothing(world):
    world.open("treated", *(f"t{number}" for number in range(20)))
    world.open("control", *(f"c{number}" for number in range(20)))
    world.happen(*(purchase(f"t{number}", OPENED + 1) for number in range(5)))
    result = world.measure(OPENED + 50)
    assert result["verdict"] == "not_enough_data"
    assert result["needed"] > 100
    assert result["detectable"] > 0.1


@pytest.mark.parametrize(("horizon", "window"), [(90, 90), (30, 44)])
def test_the_usual_window_lets_the_whole_ladder_work(world, horizon, window):
    world.policy(horizon=horizon)
    [programme] = load_programmes(world.root)
    assert usual_window_days(programme) == window
    assert world.measure(OPENED, window_days=None)["window_days"] == window
