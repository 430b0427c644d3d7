"""The simulated customers live as planted: their gaps, their stopping, and nobody comes back who has stopped."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from winback.core.population import fit
from winback.core.rhythm import profiles_of
from winback.sample import lifetimes
from winback.sample.lifetimes import KINDS, NEVER, Events, Shop
from winback.sample.planted import LINES, line_names
from winback.sample.shop_feeds import day_number

ENDS_ON = date(2026, 11, 20)
END = day_number(ENDS_ON)
MAIN = {kind.line.name: code for code, kind in enumerate(KINDS) if kind.is_main}


def live(*, customers: int, seed: int = 3, pace: float = 1.0) -> tuple[Shop, Events]:
    rng = np.random.default_rng(seed)
    shop = lifetimes.found(customers=customers, ends_on=END, history_days=900, pace=pace, rng=rng)
    return shop, lifetimes.advance(shop, until=END, rng=rng)


@pytest.fixture(scope="module")
def history() -> tuple[Shop, Events]:
    return live(customers=20_000)


def test_everybody_comes_first_on_the_day_they_join(history: tuple[Shop, Events]) -> None:
    shop, events = history
    is_main = np.isin(events.kind, list(MAIN.values()))
    line = np.array([line_names().index(kind.line.name) for kind in KINDS])[events.kind]
    seen = pd.DataFrame({"customer": events.customer, "line": line, "day": events.day})[is_main]
    first = seen.groupby(["customer", "line"])["day"].min()
    lives = pd.DataFrame({"customer": shop.lives.customer, "line": shop.lives.line, "joined": shop.lives.joined_on})
    lives = lives[lives["joined"] <= END].set_index(["customer", "line"])["joined"]
    assert first.equals(lives.sort_index().rename("day"))


def test_one_habit_happens_once_a_day_and_never_after_the_last_day(history: tuple[Shop, Events]) -> None:
    events = pd.DataFrame(history[1]._asdict())
    assert not events.duplicated().any()
    assert events["day"].max() == END
    assert events["day"].min() > END - 900


@pytest.mark.parametrize("line", [entry for entry in LINES if entry.name != "car_dealer"], ids=lambda line: line.name)
def test_the_population_fit_finds_the_planted_rhythm(history: tuple[Shop, Events], line) -> None:
    # Cars are left out: of gaps of ten months, a history of thirty shows the short ones.
    habit = line.habits[0]
    mine = history[1].kind == MAIN[line.name]
    ids, days = history[1].customer[mine].astype(str), history[1].day[mine].astype("datetime64[D]")
    found = fit(profiles_of(ids, days, behaviour="main"), behaviour="main", as_of=ENDS_ON)
    assert np.exp(found.mu0) == pytest.approx(habit.usual_gap_days, rel=0.12)
    assert found.sigma2**0.5 == pytest.approx(habit.within, abs=0.06)
    assert found.tau2**0.5 == pytest.approx(habit.between, abs=0.06)
    assert found.stop[0] == pytest.approx(line.stop_after_first, abs=0.04)
    assert np.mean(found.stop[1:]) == pytest.approx(line.stop_later, abs=0.012)


def test_people_stop_at_the_planted_rate(history: tuple[Shop, Events]) -> None:
    shop, _ = history
    streams, lives = shop.streams, shop.lives
    for line in LINES:
        rows = streams.kind == MAIN[line.name]
        n, stopped = streams.n[rows], lives.stopped_on[streams.life[rows]] != NEVER
        came = n >= 1
        first = float((stopped & (n == 1)).sum() / came.sum())
        assert first == pytest.approx(line.stop_after_first, abs=4 * (0.25 / came.sum()) ** 0.5)
        later_events, later_stops = int((n[came] - 1).sum()), int((stopped & (n > 1)).sum())
        spread = (line.stop_later / later_events) ** 0.5
        assert later_stops / later_events == pytest.approx(line.stop_later, abs=4 * spread)


def test_nobody_comes_back_who_has_stopped_and_everybody_else_does_when_foretold() -> None:
    shop, _ = live(customers=3000)
    stopped_on, foretold = shop.lives.stopped_on.copy(), lifetimes.returns_alone_on(shop)
    is_known = shop.lives.joined_on <= END
    later = lifetimes.advance(shop, until=END + 400, rng=np.random.default_rng(9))
    counts = np.array([kind.habit.counts for kind in KINDS])[later.kind]
    line = np.array([line_names().index(kind.line.name) for kind in KINDS])[later.kind]
    seen = pd.DataFrame({"customer": later.customer, "line": line, "day": later.day})[counts]
    first = seen.groupby(["customer", "line"])["day"].min()
    lives = pd.MultiIndex.from_arrays([shop.lives.customer, shop.lives.line])
    came = first.reindex(lives).to_numpy()
    assert np.isnan(came[stopped_on != NEVER]).all()
    due = is_known & (stopped_on == NEVER) & (foretold <= END + 400)
    assert due.sum() > 1000
    assert (came[due] == foretold[due]).all()


def test_who_stops_stops_with_everything_but_their_machines(history: tuple[Shop, Events]) -> None:
    shop, events = history
    line = np.array([line_names().index(kind.line.name) for kind in KINDS])[events.kind]
    outlives = np.array([kind.habit.outlives for kind in KINDS])[events.kind]
    seen = pd.DataFrame({"customer": events.customer, "line": line, "day": events.day})[~outlives]
    last = seen.groupby(["customer", "line"])["day"].max()
    stopped = pd.DataFrame({"customer": shop.lives.customer, "line": shop.lives.line, "on": shop.lives.stopped_on})
    stopped = stopped[stopped["on"] != NEVER].set_index(["customer", "line"])["on"]
    assert len(stopped) > 5000
    assert (last.reindex(stopped.index) == stopped).all()


def test_a_rest_silences_everything_and_ends_by_itself() -> None:
    shop, _ = live(customers=20_000)
    resting = shop.rests
    going_on = (resting.from_on <= END) & (resting.until_on > END + 10)
    life, until_on = resting.life[going_on], resting.until_on[going_on]
    assert len(life) > 100
    assert (shop.lives.stopped_on[life] == NEVER).all()
    assert (lifetimes.returns_alone_on(shop)[life] == until_on).all()
    later = lifetimes.advance(shop, until=END + 10, rng=np.random.default_rng(9))
    line = np.array([line_names().index(kind.line.name) for kind in KINDS])[later.kind]
    outlives = np.array([kind.habit.outlives for kind in KINDS])[later.kind]
    seen = set(zip(later.customer[~outlives], line[~outlives], strict=True))
    assert not seen & set(zip(shop.lives.customer[life], shop.lives.line[life], strict=True))


@pytest.mark.parametrize("line", [entry for entry in LINES if entry.rest], ids=lambda line: line.name)
def test_people_go_to_rest_at_the_planted_rate(history: tuple[Shop, Events], line) -> None:
    # Rests that began in the last weeks are still known; the events they could have begun with are counted.
    shop, events = history
    recent = END - 21
    mine = (events.kind == MAIN[line.name]) & (events.day > recent)
    began = (shop.rests.from_on > recent) & (shop.lives.line[shop.rests.life] == line_names().index(line.name))
    expected = mine.sum() * (1 - line.stop_later) * line.rest
    assert began.sum() == pytest.approx(expected, abs=4 * expected**0.5)


def test_a_silent_customer_who_has_not_stopped_is_no_rarity() -> None:
    # Otherwise an engine that called every silence a lapse would look right.
    shop, _ = live(customers=5000)
    alive = (shop.lives.stopped_on == NEVER) & (shop.lives.joined_on <= END)
    silence = lifetimes.returns_alone_on(shop)[alive] - END
    assert (silence > 30).mean() > 0.1


def test_machines_go_on_opening_for_whoever_has_stopped() -> None:
    shop, _ = live(customers=3000)
    stopped = shop.lives.customer[(shop.lives.stopped_on < END) & (shop.lives.line == 3)]
    later = lifetimes.advance(shop, until=END + 60, rng=np.random.default_rng(9))
    machine = [kind.habit.behaviour for kind in KINDS].index("machine_open")
    assert np.isin(later.customer[later.kind == machine], stopped).any()


def test_who_is_brought_back_comes_on_that_day_and_lives_on() -> None:
    shop, _ = live(customers=3000)
    life = np.flatnonzero((shop.lives.stopped_on != NEVER) & (shop.lives.line == 0))[:200]
    lifetimes.bring_back(shop, life, day=END + 1, rng=np.random.default_rng(5))
    first = lifetimes.advance(shop, until=END + 1, rng=np.random.default_rng(6))
    purchases = first.customer[first.kind == MAIN["grocery"]]
    assert set(shop.lives.customer[life]) <= set(purchases)
    later = lifetimes.advance(shop, until=END + 90, rng=np.random.default_rng(7))
    again = np.isin(shop.lives.customer[life], later.customer[later.kind == MAIN["grocery"]])
    assert 0.8 < again.mean() <= 1


def test_newcomers_are_added_without_touching_the_others() -> None:
    shop, _ = live(customers=500)
    before = lifetimes.to_frame(shop.lives)
    lifetimes.admit(shop, joined_on=np.full(20, END + 1), rng=np.random.default_rng(5))
    pd.testing.assert_frame_equal(lifetimes.to_frame(shop.lives).head(len(before)), before)
    events = lifetimes.advance(shop, until=END + 1, rng=np.random.default_rng(6))
    assert set(range(501, 521)) <= set(events.customer)


def test_a_slower_pace_means_fewer_events() -> None:
    assert len(live(customers=1000, pace=4)[1].day) < 0.5 * len(live(customers=1000)[1].day)
