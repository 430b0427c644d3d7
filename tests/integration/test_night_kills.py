"""A night that is killed anywhere is finished by running it again; two at once do no harm."""

import os
import random
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from night_world import DAY, Shop, start

from winback.channels.registry import outbox_of
from winback.night.scratch import scratch

LATER = DAY + timedelta(days=11)
KILLS = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Shop:
    """A shop with two nights behind it that nobody disturbed."""
    shop = Shop(tmp_path_factory.mktemp("undisturbed") / "shop")
    shop.night()
    shop.freshen(LATER)
    shop.night(LATER)
    return shop


def in_outbox(shop) -> Counter:
    """Return how often each message is in the outbox, which keeps its own book."""
    outbox = outbox_of(shop.project)
    return Counter(stored.message_id for stored in outbox.first_of_each_group(10_000))


def seconds_of_a_night(shop, environment) -> float:
    began = time.monotonic()
    night = start("--project", shop.root, "run", "--as-of", DAY, "--allow-backdated", env=environment)
    night.communicate()
    assert night.returncode == 0
    return time.monotonic() - began


def test_a_killed_night_is_finished_by_running_it_again(tmp_path, undisturbed):
    """Kills land anywhere between the first import and the last page; most of them while something is written."""
    dice = random.Random(20261121)
    plain = Shop(tmp_path / "plain")
    environment = {**os.environ, **plain.environment}
    usual = seconds_of_a_night(plain, environment)
    shop = Shop(tmp_path / "shop")
    landed = 0
    for day in (DAY, LATER):
        if day == LATER:
            shop.freshen(LATER)
        for _ in range(KILLS // 2):
            night = start("--project", shop.root, "run", "--as-of", day, "--allow-backdated", env=environment)
            time.sleep(usual * dice.uniform(0.25, 1.0))
            night.send_signal(signal.SIGKILL)
            night.communicate()
            landed += night.returncode == -signal.SIGKILL
        report = shop.night(day)
        assert "sending" not in report["messages"]
    assert landed >= KILLS // 2
    assert shop.decisions(DAY) == undisturbed.decisions(DAY)
    assert shop.decisions(LATER) == undisturbed.decisions(LATER)
    sent = {one["message_id"]: one["state"] for one in shop.messages()}
    assert sent.keys() == {one["message_id"] for one in undisturbed.messages()}
    # Between the claim and the hand-over a kill leaves a message in doubt, which no machine sends again; eleven days
    # later nobody looks for it any more.
    in_doubt = {one for one, state in sent.items() if state in {"unknown", "abandoned"}}
    assert in_outbox(shop) == Counter(dict.fromkeys(sent.keys() - in_doubt, 1))
    assert {state for one, state in sent.items() if one not in in_doubt} == {"accepted"}
    assert set(in_outbox(undisturbed).values()) == {1}
    assert not list((shop.root / "var").glob(".plan-*"))
    assert shop.do("db", "check").code == 0


def test_of_two_nights_at_once_one_says_that_the_other_runs(tmp_path, undisturbed):
    shop = Shop(tmp_path / "shop")
    environment = {**os.environ, **shop.environment}
    nights = [
        start("--project", shop.root, "--json", "run", "--as-of", DAY, "--allow-backdated", env=environment)
        for _ in range(2)
    ]
    said = [night.communicate()[1].decode() for night in nights]
    codes = sorted(night.returncode for night in nights)
    # A slow machine may have run them one after the other.
    assert codes in ([0, 1], [0, 0])
    if codes == [0, 1]:
        assert any("another winback" in text and "wait" in text for text in said)
    assert shop.decisions() == undisturbed.decisions()
    assert set(in_outbox(shop).values()) == {1}
    assert set(in_outbox(shop)) == {one["message_id"] for one in undisturbed.messages("--as-of", DAY)}


@pytest.mark.parametrize("command", ["run", "sync"])
def test_who_comes_second_is_told_and_changes_nothing(tmp_path, command):
    shop = Shop(tmp_path / "shop", customers=10)
    shop.do("sync", "--as-of", DAY)
    with shop.open_ledger() as (ledger, _), ledger.lock("night"):
        refused = shop.do("--json", command, "--as-of", DAY, code=1).data
        assert "another winback holds the lock 'night'" in refused["error"]
        # Who only looks is not kept waiting.
        assert shop.do("--json", "plan", "--as-of", DAY).data["contacts"] == 10
        assert shop.do("--json", "deliver").data == {"messages": {}}
    assert shop.messages() == []


def test_the_folder_of_a_dead_plan_is_cleared_and_that_of_a_living_one_is_not(tmp_path):
    shop = Shop(tmp_path / "shop", customers=10)
    left = shop.write("var/.plan-dead/decided-0000.parquet", "somebody").parent
    with scratch(shop.project) as mine, scratch(shop.project) as other:
        assert not left.exists()
        assert mine.is_dir()
        assert other.is_dir()
        assert mine != other
        assert mine.stat().st_mode & 0o077 == 0
    assert not mine.exists()
    assert not other.exists()
