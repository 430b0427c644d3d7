"""What else may happen to senders, and that the kills find a sender that is broken on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from killing_ground import grounds
from sqlalchemy import update

from bench.killing import campaign, world
from bench.killing.postgres import own_server
from bench.killing.sender import RANDOM
from bench.killing.small_disk import small_disk
from bench.killing.trial import Trial, read_rows, say_no
from bench.killing.wishes import DATABASE_STOPPED, Ground, Wish, everything
from winback.ledger.engine import check, open_ledger
from winback.ledger.message_tables import messages

BROKEN = {
    "marks_after_the_send": "duplicates",
    "checkpoints_at_the_fetch": "losses",
    "trusts_the_lease": "duplicates",
}

CARELESS = {
    "forgets_the_hour": "in_quiet_hours",
    "forgets_who_said_no": "after_refusal",
    "forgets_the_limits": "over_limits",
}
DISK_BYTES = 160 << 20
HAS_LIMITS = 3
"""The number of a trial with limits."""


@pytest.fixture
def ground(backend, request, tmp_path):
    shared = None if backend == "sqlite" else request.getfixturevalue("postgres_shared")
    with grounds(tmp_path, shared) as ground:
        yield ground


@pytest.mark.parametrize("variant", BROKEN)
def test_a_sender_that_is_broken_is_found_out(ground, variant) -> None:
    def wish(number: int) -> Wish:
        return Wish(number=number, mails=200, texts=40, variant=f"broken_senders:{variant}", most_faults=12)

    kills = campaign.run(ground, wish, landed=24)
    assert getattr(kills.verdict, BROKEN[variant]), kills.told()


@pytest.mark.parametrize("variant", CARELESS)
def test_a_sender_that_is_careless_is_found_out(tmp_path, variant) -> None:
    with grounds(tmp_path, None) as ground:
        number = HAS_LIMITS if variant == "forgets_the_limits" else 1
        wish = everything(number, mails=160, texts=60)
        wish = replace(wish, variant=f"broken_senders:{variant}", most_faults=8, refusals=40)
        kills = Trial(ground, wish).run()
    assert getattr(kills.verdict, CARELESS[variant]), kills.verdict


@pytest.mark.postgres
def test_a_database_that_stops_in_mid_run_costs_doubt_and_nothing_else(tmp_path) -> None:
    with grounds(tmp_path, None) as ground, own_server() as server:
        if server is None:
            pytest.skip("NO POSTGRESQL PROGRAMS, so no database is stopped: install PostgreSQL")
        with campaign.postgres_ledgers(server.url) as fresh:
            theirs = Ground(ground.root, ground.vendors, fresh, server)
            wish = Wish(number=1, mails=200, texts=60, kinds=(DATABASE_STOPPED,), most_faults=5)
            stops = Trial(theirs, wish).run()
    assert stops.verdict.is_clean, stops.verdict
    assert stops.landed[DATABASE_STOPPED] >= 4
    assert stops.states["accepted"] > 130


def test_fifty_people_who_say_no_while_a_night_is_running_get_nothing(ground) -> None:
    """Each one's no is committed while their message is still planned; senders die in between, too."""
    trial = Trial(ground, Wish(number=1, mails=900, texts=300, refusals=0))
    with open_ledger(trial.url, pepper=world.PEPPER) as ledger:
        people = iter(trial.random.sample(trial.planned, len(trial.planned)))
        while len(trial.refused) < 50:
            sender = trial.start(point=RANDOM)
            assert sender.wait_until_at_work(), "there is still something to send"
            while sender.process.is_alive() and len(trial.refused) < 50:
                say_no(ledger, next(people), now=trial.now, told=trial.refused)
                if trial.random.random() < 0.1:
                    sender.signal(signal.SIGKILL)
            sender.end()
        trial.wish = Wish(number=1, most_faults=0)
        trial.run()
    assert trial.verdict.is_clean, trial.verdict
    assert len(trial.refused) == 50
    assert trial.states["accepted"] > 100


@pytest.mark.parametrize("room_bytes", [0, 30_000, 90_000])
def test_a_full_disk_stops_the_sender_and_nothing_is_lost(tmp_path, room_bytes) -> None:
    """What cannot be recorded is not posted: after the first write that fails, at most the calls in flight end."""
    with grounds(tmp_path, None) as ground:
        ground.vendors.set_faults([])
        trial = Trial(ground, Wish(number=1, mails=200, texts=0, refusals=0))
        place = tmp_path / "ledger"
        largest = max(file.stat().st_size for file in place.iterdir())
        ended = trial.start(largest_file_bytes=largest + room_bytes).end()
        assert "disk" in ended[2]
        _goes_on_after_a_full_disk(trial, ended, planned_over=50)


@pytest.mark.postgres
@pytest.mark.parametrize("room_bytes", [0, 100_000])
def test_a_full_disk_under_postgresql_stops_the_sender_and_nothing_is_lost(tmp_path, room_bytes) -> None:
    with ExitStack() as stack:
        # A socket's path may have 107 characters at most.
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="winback-", dir="/tmp")))
        short.chmod(0o755)
        disk = stack.enter_context(small_disk(short / "disk", size_bytes=DISK_BYTES))
        if disk is None:
            pytest.skip("NOTHING MAY BE MOUNTED HERE, so no PostgreSQL has a full disk: run as root with mount")
        server = stack.enter_context(own_server(disk.place, fsync="off", max_wal_size="32MB", autovacuum="off"))
        if server is None:
            pytest.skip("NO POSTGRESQL PROGRAMS, so no database has a full disk: install PostgreSQL")
        ground = stack.enter_context(grounds(tmp_path, None))
        fresh = stack.enter_context(campaign.postgres_ledgers(server.url))
        ground.vendors.set_faults([])
        trial = Trial(replace(ground, fresh=fresh), Wish(number=1, mails=600, texts=0, refusals=0))
        disk.fill(leave_bytes=room_bytes)
        ended = trial.start().end()
        assert "No space left on device" in ended[2]
        _goes_on_after_a_full_disk(trial, ended, planned_over=0, make_room=disk.make_room)


def _goes_on_after_a_full_disk(trial, ended, *, planned_over, make_room=None) -> None:
    code, _counts, problem = ended
    meant = len(trial.planned)
    assert code not in {0, -signal.SIGKILL}
    assert "cannot be used" in problem
    with open_ledger(trial.url, pepper=world.PEPPER) as ledger:
        states = Counter(row["state"] for row in read_rows(ledger))
        taken = set(trial.taken())
        assert states["planned"] > planned_over
        # Two claims of ten were under way: posted and not recorded, or claimed and not posted.
        assert len(taken) <= states["accepted"] + 20
        if make_room:
            make_room()
        trial.finish(ledger)
        states = Counter(row["state"] for row in read_rows(ledger))
    assert states["unknown"] <= 20
    assert states["accepted"] + states["unknown"] == meant
    assert {ids.total() for ids in trial.taken().values()} == {1}
    assert not check(trial.url).problems


def test_the_command_itself_is_killed_and_the_next_one_sends_the_rest(ground) -> None:
    trial = Trial(ground, Wish(number=1, mails=200, texts=0, refusals=0))
    ground.vendors.set_faults([{"kind": "slow", "probability": 1.0, "seconds": 0.05}])
    now = datetime.now(UTC)
    with open_ledger(trial.url, pepper=world.PEPPER) as ledger:
        with ledger.writing() as connection:
            tonight = {"not_before_at": now, "planned_at": now, "expires_at": now + timedelta(days=1)}
            connection.execute(update(messages).values(**tonight))
        environment = {**os.environ, **ground.vendors.environment, "WINBACK_DATABASE_URL": trial.url}
        environment |= {"WINBACK_PEPPER": world.PEPPER.decode()}
        command = [sys.executable, "-m", "winback", "--project", str(ground.root), "--json", "deliver"]
        for kill in (1, 2, 3, 0):
            reached = len(ground.vendors.read_on())
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as sender:
                while kill and len(ground.vendors.read_on()) < reached + 20:
                    time.sleep(0.01)
                if kill:
                    sender.kill()
                said = sender.communicate(timeout=60)[0]
            assert (sender.returncode == -signal.SIGKILL) if kill else json.loads(said)
        states = Counter(row["state"] for row in read_rows(ledger))
    assert states.keys() == {"accepted", "unknown"}
    assert states["unknown"] <= 60  # three kills, two claims of ten each
    assert {ids.total() for ids in ground.vendors.read_on().values()} == {1}
    assert len(ground.vendors.read_on()) >= states["accepted"]
