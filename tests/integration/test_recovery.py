"""A season of the simulated shop, whole nights with both stores: the engine finds again what was planted.

The shop's truth file knows when everybody comes back alone and how likely each message brings somebody back. Before
every night the first is written down; what the engine measures from the feeds is then compared with it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from winback.activity.store import ActivityStore
from winback.core.population import PopulationFit
from winback.ledger import parameters
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, steps
from winback.ledger.people_tables import suppressions
from winback.night.measure import measure
from winback.night.pepper import open_project_ledger
from winback.sample.nights import every, live_through
from winback.sample.planted import LINES
from winback.sample.scaffold import scaffold
from winback.sample.season import draw, tell
from winback.sample.shop_memory import read_truth
from winback.settings import load_project

CUSTOMERS, NIGHTS, EVERY_DAYS = 4000, 9, 10
TONIGHT = date(2025, 11, 10)
WINDOW_DAYS = 70
PEPPER = "a fixed pepper draws the same arms every time"
COMPARED = ("grocery", "marketplace", "monthly_newsletter")
"""The programmes with enough silences in a season of this size to compare anything."""


@dataclass(frozen=True)
class Season:
    """A shop that has lived through its nights, with what was true on the eve of each."""

    project: Any
    cycles: pd.DataFrame
    steps: pd.DataFrame
    messages: pd.DataFrame
    sunsets: pd.DataFrame
    reactions: pd.DataFrame
    results: dict[str, dict[str, Any]]
    fits: dict[str, PopulationFit]
    last: date

    def counted(self, programme):
        """The first cycle of each contact of a programme whose window is over, as the truth has it."""
        over = self.cycles["opened_on"] + pd.Timedelta(days=WINDOW_DAYS) <= pd.Timestamp(self.last)
        mine = self.cycles[over & (self.cycles["programme"] == programme)]
        return mine.sort_values("opened_on").drop_duplicates("customer_id")


def eve(root):
    """When everybody would come back alone, as it stands now."""
    lives = read_truth(root).lives
    return lives[["customer_id", "programme", "returns_alone_on"]]


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    root = tmp_path_factory.mktemp("season") / "shop"
    nights = every(EVERY_DAYS, before=TONIGHT, nights=NIGHTS)
    scaffold(root, customers=CUSTOMERS, ends_on=nights[0] - timedelta(days=1), seed=3)
    (root / "var" / "pepper").write_text(PEPPER, encoding="utf-8")
    (root / "var" / "pepper").chmod(0o600)
    told, truths = live_through(root, nights, until=TONIGHT - timedelta(days=1)), []
    for night in nights:
        truths.append(eve(root).assign(opened_on=pd.Timestamp(night)))
        assert not next(told).held
    return gather(root, pd.concat(truths), last=nights[-1])


def gather(root, truths, *, last):
    project = load_project(root)
    with open_project_ledger(project) as ledger:
        with ledger.reading() as connection:

            def table(which):
                return pd.DataFrame(connection.execute(select(which)).mappings().all())

            tables = SimpleNamespace(**{which.name: table(which) for which in (cycles, steps, messages, suppressions)})
            stored = parameters.newest_fits(connection, as_of=last)
        store = ActivityStore.open(project.activity, zone=project.zone)
        results = measure(project, ledger, store, as_of=last, window_days=WINDOW_DAYS)
    opened = tables.cycles.assign(opened_on=pd.to_datetime(tables.cycles["opened_on"]))
    refused = tables.suppressions
    return Season(
        project=project,
        cycles=opened.merge(truths, on=["customer_id", "programme", "opened_on"], how="left"),
        steps=tables.steps,
        messages=tables.messages,
        sunsets=refused[refused["reason"] == "sunset"],
        reactions=read_truth(root).reactions,
        results={result["programme"]: result for result in results},
        fits={name.partition("@")[0]: PopulationFit.from_json(fit.parameters) for name, fit in stored.items()},
        last=last,
    )


def within(cycles, column):
    """Whether a date lies in each cycle's window."""
    after = cycles[column] - cycles["opened_on"]
    return (after >= pd.Timedelta(0)) & (after < pd.Timedelta(days=WINDOW_DAYS))


def caused(season, programme):
    """The day each contact was brought back by a message, where one did."""
    mine = season.reactions[(season.reactions["programme"] == programme) & season.reactions["returns_on"].notna()]
    return mine.groupby("customer_id")["returns_on"].min()


@pytest.mark.parametrize("programme", COMPARED)
def test_every_return_the_engine_counts_happened_and_every_one_that_happened_is_counted(season, programme):
    cycles = season.counted(programme)
    cycles = cycles.assign(caused_on=cycles["customer_id"].map(caused(season, programme)))
    came = within(cycles, "returns_alone_on") | within(cycles, "caused_on")
    result = season.results[programme]
    for arm in ("treated", "control", "global_control"):
        mine = cycles["arm"] == arm
        assert (result[arm]["contacts"], result[arm]["returns"]) == (mine.sum(), came[mine].sum()), arm


@pytest.mark.parametrize("programme", COMPARED)
def test_the_control_group_shows_what_would_have_happened_anyway(season, programme):
    control = season.results[programme]["control"]
    planted = within(season.counted(programme), "returns_alone_on").mean()
    assert control["contacts"] > 40
    assert control["low"] < planted < control["high"]


@pytest.mark.parametrize("programme", COMPARED)
def test_the_planted_effect_lies_within_the_measured_interval(season, programme):
    result = season.results[programme]
    treated = season.counted(programme).query("arm == 'treated'")
    sent = season.reactions[season.reactions["programme"] == programme].merge(
        treated[["customer_id", "opened_on"]], on="customer_id"
    )
    in_time = sent[within(sent, "day")]
    expected = in_time["planted_probability"].sum() / len(treated)
    assert result["low"] < expected < result["high"]
    assert result["low"] > 0, "the effect is there to be found: an engine that ignores the arms finds none"


def test_a_group_that_nobody_writes_to_shows_no_effect(season):
    """The same comparison between halves of the control groups: whatever it shows is chance."""
    control = season.cycles[season.cycles["arm"] == "control"]
    came = within(control, "returns_alone_on")
    half = control["customer_id"].str[-1].astype(int) % 2 == 0
    assert abs(came[half].mean() - came[~half].mean()) < 3 * math.sqrt(
        came.var() * (1 / half.sum() + 1 / (~half).sum())
    )


def test_nobody_held_out_got_a_message(season):
    arms = season.cycles.rename(columns={"cycle_no": "cycle"})[["programme", "customer_id", "cycle", "arm"]]
    got = season.messages.merge(arms, on=["programme", "customer_id", "cycle"], how="left")
    assert set(got["arm"]) == {"treated"}
    assert {"control", "global_control"} <= set(season.cycles["arm"])
    assert len(season.steps[season.steps["arm"] != "treated"]) > 100


def test_every_step_went_out_at_most_once_and_all_three_did(season):
    key = ["programme", "customer_id", "cycle", "step"]
    assert not season.messages.duplicated(key).any()
    assert not season.messages.duplicated(["customer_id", "as_of"]).any()
    assert set(season.messages["step"]) == {1, 2, 3}
    assert set(season.messages["state"]) <= {"accepted", "planned", "suppressed", "expired"}


def test_whoever_is_left_in_peace_is_left_in_peace(season):
    assert len(season.sunsets) > 5
    left_on = season.sunsets.set_index("key")["effective_on"]
    later = season.messages.assign(left_on=season.messages["customer_id"].map(left_on)).dropna(subset="left_on")
    assert not (later["as_of"] > later["left_on"]).any()


@pytest.mark.parametrize(
    ("behaviour", "usual", "within_person", "between_people"),
    [
        (habit.behaviour, habit.usual_gap_days, habit.within, habit.between)
        for habit in chain.from_iterable(line.habits for line in LINES)
        if habit.behaviour in {"purchase", "visit", "loyalty_scan", "market_order", "click"}
    ],
)
def test_the_planted_rhythms_are_found_again(season, behaviour, usual, within_person, between_people):
    fit = season.fits[behaviour]
    assert math.exp(fit.mu0) == pytest.approx(usual, rel=0.15)
    assert math.sqrt(fit.sigma2) == pytest.approx(within_person, rel=0.2)
    assert math.sqrt(fit.tau2) == pytest.approx(between_people, rel=0.3)


def test_the_season_is_told_and_drawn(season, tmp_path):
    told = tell(season.project)
    assert told["nights"] == NIGHTS
    assert sum(told["reasons"].values()) == told["contacts"]
    assert told["messages"] == season.messages["step"].value_counts().sort_index().to_dict()
    assert told["sunset"] == len(season.sunsets)
    assert json.loads(json.dumps(told, allow_nan=False))["steps"] == {"1": "survey", "2": "contest", "3": "coupon"}
    picture, beside = draw(told, tmp_path / "pictures" / "season.svg")
    text = picture.read_text(encoding="utf-8")
    assert "Did it help?" in text
    assert "@customers.example" not in text
    assert beside.read_bytes().startswith(b"\x89PNG")
