"""A message has the planted effect on those who have stopped, none on the others, whatever the order it is told in."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from winback.sample import planted
from winback.sample.clientele import customer_ids
from winback.sample.lifetimes import NEVER, Lives, Rests, Shop, Streams
from winback.sample.reactions import Message, as_frame, react
from winback.sample.shop_feeds import day_number

TODAY = date(2026, 11, 21)
NOBODY = np.zeros(0, dtype=np.int64)
MANY = 40_000


def shop_of(*, count: int, stopped: bool, line: int = 0) -> Shop:
    numbers = np.arange(1, count + 1)
    stopped_on = np.full(count, day_number(TODAY) - 100 if stopped else NEVER)
    lives = Lives(numbers, np.full(count, line), np.full(count, 20_000), stopped_on)
    streams = Streams(NOBODY, NOBODY, NOBODY.astype(float), NOBODY, NOBODY)
    rests = Rests(NOBODY, NOBODY, NOBODY)
    return Shop(lives, streams, rests, day=day_number(TODAY) - 1, customers=count, history_days=900)


def tell(count: int, *, step: int = 1, channel: str = "email", programme: str = "grocery") -> pd.DataFrame:
    ids = customer_ids(np.arange(1, count + 1))
    return as_frame([(name, step, channel, TODAY, programme) for name in ids])


@pytest.mark.parametrize(("step", "effect"), [(1, 0.06), (2, 0.09), (3, 0.15), (4, 0.15)])
def test_each_step_brings_back_its_planted_share_of_those_who_stopped(step: int, effect: float) -> None:
    reactions, comebacks = react(shop_of(count=MANY, stopped=True), tell(MANY, step=step), pending=NOBODY, seed=1)
    spread = (effect * (1 - effect) / MANY) ** 0.5
    assert len(comebacks) / MANY == pytest.approx(effect, abs=4 * spread)
    assert (reactions["planted_probability"] == effect).all()
    assert (reactions["returns_on"] < NEVER).sum() == len(comebacks)


def test_they_come_within_the_planted_days_each_equally_often() -> None:
    _, comebacks = react(shop_of(count=MANY, stopped=True), tell(MANY, step=3), pending=NOBODY, seed=1)
    delays = (comebacks["returns_on"] - day_number(TODAY)).value_counts(normalize=True).sort_index()
    assert list(delays.index) == list(range(1, planted.RETURN_WITHIN_DAYS + 1))
    assert np.allclose(delays, 1 / 7, atol=0.03)


def test_who_has_not_stopped_comes_at_their_own_time_only() -> None:
    reactions, comebacks = react(shop_of(count=2000, stopped=False), tell(2000), pending=NOBODY, seed=1)
    assert comebacks.empty
    assert (reactions["planted_probability"] == 0).all()


def test_the_same_customers_are_brought_back_in_any_order_and_by_halves() -> None:
    shop, messages = shop_of(count=3000, stopped=True), tell(3000, step=3)
    _, whole = react(shop, messages, pending=NOBODY, seed=1)
    rows = [Message(row.customer_id, row.step, row.channel, TODAY, row.programme) for row in messages.itertuples()]
    _, shuffled = react(shop, as_frame(rows[::-1]), pending=NOBODY, seed=1)
    pd.testing.assert_frame_equal(whole, shuffled)
    halves = [react(shop, as_frame(part), pending=NOBODY, seed=1)[1] for part in (rows[:1500], rows[1500:])]
    pd.testing.assert_frame_equal(pd.concat(halves, ignore_index=True), whole)


def test_another_seed_brings_back_others() -> None:
    shop, messages = shop_of(count=3000, stopped=True), tell(3000, step=3)
    first, second = (set(react(shop, messages, pending=NOBODY, seed=seed)[1]["life"]) for seed in (1, 2))
    assert len(first & second) < 0.4 * len(first)


def test_a_message_told_twice_counts_once() -> None:
    twice = as_frame([("C0000001", 1, "email", TODAY, "grocery")] * 2)
    assert len(twice) == 1


def test_nobody_on_the_way_back_is_brought_back_again() -> None:
    shop, messages = shop_of(count=3000, stopped=True), tell(3000, step=3)
    pending = react(shop, messages, pending=NOBODY, seed=1)[1]["life"].to_numpy()
    reactions, comebacks = react(shop, messages, pending=pending, seed=1)
    assert comebacks.empty
    assert (reactions["planted_probability"] == 0).sum() == len(pending)


@pytest.mark.parametrize(("programme", "is_heard"), [("grocery", True), ("marketplace", False), ("", True)])
def test_a_message_speaks_to_the_line_of_its_programme(programme: str, *, is_heard: bool) -> None:
    messages = tell(500, step=3, programme=programme)
    assert react(shop_of(count=500, stopped=True), messages, pending=NOBODY, seed=1)[1].empty is not is_heard


def test_a_customer_unknown_to_the_shop_does_nothing() -> None:
    messages = as_frame([("someone", 1, "email", TODAY, "grocery"), ("C9999999", 1, "email", TODAY, "grocery")])
    reactions, comebacks = react(shop_of(count=10, stopped=True), messages, pending=NOBODY, seed=1)
    assert comebacks.empty
    assert len(reactions) == 2


@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp"])
def test_some_say_stop_at_the_channels_rate_and_never_those_who_come_back(channel: str) -> None:
    reactions, _ = react(shop_of(count=MANY, stopped=True), tell(MANY, channel=channel), pending=NOBODY, seed=1)
    rate = planted.OPT_OUT[channel] * (1 - planted.RETURN_BY_STEP[0])
    assert reactions["opted_out"].mean() == pytest.approx(rate, abs=4 * (rate / MANY) ** 0.5)
    assert not (reactions["opted_out"] & (reactions["returns_on"] < NEVER)).any()


def test_machines_open_mails_and_nothing_else_for_the_same_people_each_time() -> None:
    shop = shop_of(count=MANY, stopped=False)
    first, second = (react(shop, tell(MANY, step=step), pending=NOBODY, seed=1)[0] for step in (1, 2))
    assert first["machine_opened"].mean() == pytest.approx(planted.MACHINE_OPEN, abs=0.01)
    assert (first["machine_opened"] == second["machine_opened"]).all()
    assert not react(shop, tell(MANY, channel="sms"), pending=NOBODY, seed=1)[0]["machine_opened"].any()


def test_no_messages_lead_to_nothing() -> None:
    reactions, comebacks = react(shop_of(count=10, stopped=True), as_frame([]), pending=NOBODY, seed=1)
    assert reactions.empty
    assert comebacks.empty
