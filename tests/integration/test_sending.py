"""Sending to vendors over real HTTP, told by the vendors' own log: everybody once, nobody twice, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import databases
import ledger_rows as rows
import pytest
from fake_vendor_process import fake_vendors
from outbox_world import CONFIG, make_project
from sqlalchemy import select, update
from test_deliver import plan

from winback.channels.registry import outbox_of
from winback.errors import GuardRefused, StoreUnavailable
from winback.ledger import diary
from winback.ledger.engine import open_ledger
from winback.ledger.message_tables import attempts, messages
from winback.night.deliver import deliver
from winback.night.evidence import seek_evidence
from winback.night.settle import settle
from winback.sample.acceptance_log import content_hash
from winback.settings import load_project

LIVE = (
    CONFIG.replace("channels:", "live: true\nchannels:")
    .replace("email: {", "email: {provider: sendgrid, people_per_request: 20, ")
    .replace("sms: {", "sms: {provider: twilio, per_second: 500, ")
    .replace("whatsapp: {", "whatsapp: {provider: twilio, ")
)


@pytest.fixture
def vendors(tmp_path):
    with fake_vendors(tmp_path) as running:
        yield running


def live_project(tmp_path, vendors, config: str = LIVE):
    project = make_project(tmp_path / "project")
    (project.root / "winback.yaml").write_text(config)
    return load_project(project.root, vendors.environment)


def ids(count: int) -> list[str]:
    return [f"c{number:03d}" for number in range(count)]


def stored(ledger) -> dict[str, dict]:
    with ledger.reading() as connection:
        return {row["message_id"]: dict(row) for row in connection.execute(select(messages)).mappings()}


def states(ledger) -> Counter:
    return Counter(row["state"] for row in stored(ledger).values())


@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp"])
def test_everybody_gets_their_message_once(ledger, tmp_path, vendors, channel):
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(50), channel=channel)
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 50}
    assert deliver(project, ledger, now=rows.NOW) == {}
    taken = vendors.accepted()
    assert taken.twice() == {}
    assert taken.counts().keys() == stored(ledger).keys()
    assert {one for found in taken.recipients().values() for one in found} == {
        row["email"] if channel == "email" else f"{'whatsapp:' if channel == 'whatsapp' else ''}{row['phone']}"
        for _, row in rows.contacts(*ids(50)).iterrows()
    }
    for row in stored(ledger).values():
        assert row["provider"] == ("sendgrid" if channel == "email" else "twilio")
        assert row["provider_id"]


def test_what_was_rendered_is_what_the_person_reads(ledger, tmp_path, vendors):
    """Sixty people of one batch share one content with substitutions; put back, each reads their own mail."""
    project = live_project(tmp_path, vendors, LIVE.replace("people_per_request: 20", "people_per_request: 60"))
    plan(ledger, project, *ids(60))
    deliver(project, ledger, now=rows.NOW)
    there = vendors.accepted().contents()
    outbox = make_project(tmp_path / "outbox")
    with open_ledger(f"sqlite:///{tmp_path / 'second.db'}", pepper=rows.PEPPER, create=True) as second:
        plan(second, outbox, *ids(60))
        deliver(outbox, second, now=rows.NOW)
        for message_id in stored(second):
            request = outbox_of(outbox).request(message_id)
            parts = [request["personalizations"][0]["subject"], *(part["value"] for part in request["content"])]
            assert there[message_id] == {content_hash(*parts)}


@pytest.mark.parametrize("fault", ["lost_answer", "error_after", "unreadable", "truncated", "error_before", "redirect"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_an_answer_that_says_nothing_is_unknown_and_never_asked_for_again(ledger, tmp_path, vendors, fault, channel):
    vendors.set_faults([{"kind": fault, "requests": [1]}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(40), channel=channel)
    deliver(project, ledger, now=rows.NOW)
    in_doubt = 20 if channel == "email" else 1
    assert states(ledger) == {"accepted": 40 - in_doubt, "unknown": in_doubt}
    deliver(project, ledger, now=rows.NOW + timedelta(hours=1))
    assert states(ledger) == {"accepted": 40 - in_doubt, "unknown": in_doubt}
    assert vendors.accepted().twice() == {}
    known = {one for one, row in stored(ledger).items() if row["state"] == "accepted"}
    assert known <= vendors.accepted().counts().keys()


def test_too_many_requests_are_sent_again_no_sooner_than_the_vendor_allows(ledger, tmp_path, vendors):
    vendors.set_faults([{"kind": "too_many", "requests": [1, 3], "retry_after_seconds": 1}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(60))
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 60, "deferred": 40}
    assert vendors.accepted().twice() == {}
    assert vendors.accepted().counts().keys() == stored(ledger).keys()
    begun = [datetime.fromisoformat(event["utc"]) for event in vendors.events("begun")]
    # The second request may have been in the air when the first was refused.
    assert begun[2] - begun[0] >= timedelta(seconds=1)


def test_a_vendor_that_only_says_later_is_left_for_the_next_delivery(ledger, tmp_path, vendors):
    vendors.set_faults([{"kind": "too_many", "probability": 1.0, "retry_after_seconds": 1}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(20))
    assert deliver(project, ledger, now=rows.NOW) == {"deferred": 40}
    assert states(ledger) == {"planned": 20}
    vendors.set_faults([])


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_credentials_that_stop_working_stop_the_channel_and_lose_nobody(ledger, tmp_path, vendors, channel):
    vendors.set_faults([{"kind": "unauthorized", "first": 2}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(100), channel=channel)
    with pytest.raises(GuardRefused, match="does not accept the credentials") as refused:
        deliver(project, ledger, now=rows.NOW)
    assert not [value for value in vendors.environment.values() if len(value) > 12 and value in str(refused.value)]
    assert states(ledger).keys() == {"accepted", "planned"}
    assert len(vendors.events("refused", "fault")) <= 16  # what was in flight
    vendors.set_faults([])
    deliver(project, ledger, now=rows.NOW + timedelta(minutes=10))
    assert states(ledger) == {"accepted": 100}
    assert vendors.accepted().twice() == {}


def test_a_vendor_that_is_down_gets_everything_later(ledger, tmp_path, vendors):
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(30), channel="sms")
    vendors.kill()
    with pytest.raises(GuardRefused, match="fails too often"):
        deliver(project, ledger, now=rows.NOW)
    assert states(ledger) == {"planned": 30}
    vendors.restart()
    assert deliver(project, ledger, now=rows.NOW + timedelta(minutes=10)) == {"accepted": 30}
    assert vendors.accepted().twice() == {}


def test_what_waits_for_its_turn_is_not_posted_once_the_channel_has_stopped(ledger, tmp_path, vendors):
    """One text a second: the fourth one's turn comes long after the vendor has said no to the first."""
    vendors.set_faults([{"kind": "unauthorized", "first": 1}])
    project = live_project(tmp_path, vendors, LIVE.replace("per_second: 500", "per_second: 1"))
    plan(ledger, project, *ids(8), channel="sms")
    with pytest.raises(GuardRefused, match="does not accept the credentials"):
        deliver(project, ledger, now=rows.NOW)
    assert len(vendors.events("refused", "fault")) < 4
    assert states(ledger) == {"planned": 8}


def test_one_bad_address_keeps_nobody_else_from_their_mail(ledger, tmp_path):
    bad = {"bad_recipients": {"c007@example.com": 400}}
    with fake_vendors(tmp_path, faults=bad) as vendors:
        project = live_project(tmp_path, vendors)
        plan(ledger, project, *ids(20))
        counts = deliver(project, ledger, now=rows.NOW)
        assert counts == {"accepted": 19, "rejected": 1}
        assert vendors.accepted().twice() == {}
        assert [row["customer_id"] for row in stored(ledger).values() if row["state"] == "rejected"] == ["c007"]


def test_a_number_that_said_stop_at_the_vendor_is_never_written_to_again(ledger, tmp_path):
    phone = rows.contacts(*ids(3))["phone"][1]
    with fake_vendors(tmp_path, faults={"bad_recipients": {phone: 21610}}) as vendors:
        project = live_project(tmp_path, vendors)
        plan(ledger, project, *ids(3), channel="sms")
        assert deliver(project, ledger, now=rows.NOW) == {"accepted": 2, "rejected": 1}
        plan(ledger, project, *ids(3), channel="sms", step=2, local_day=rows.pd.Timestamp("2026-03-11"))
        deliver(project, ledger, now=rows.NOW)
        second = {row["customer_id"]: row["reason"] for row in stored(ledger).values() if row["step"] == 2}
        assert second["c001"] == "opted_out"


def test_two_senders_and_long_texts_stay_within_the_money(database_url, ledger, tmp_path, vendors):
    config = LIVE.replace("live: true", "live: true\nlimits: {max_cost_per_night: 1.0}")
    project = live_project(tmp_path, vendors, config)
    plan(ledger, project, *ids(60), channel="sms")
    outcomes = []

    def send() -> None:
        with open_ledger(database_url, pepper=rows.PEPPER) as mine:
            outcomes.append(deliver(project, mine, now=rows.NOW))

    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    sent = [row for row in stored(ledger).values() if row["state"] == "accepted"]
    assert 0.9 <= sum(row["cost"] for row in sent) <= 1.0
    assert len(vendors.accepted().counts()) == len(sent)
    assert {row["reason"] for row in stored(ledger).values() if row["state"] == "planned"} == {"cost_limit"}


@pytest.mark.postgres
def test_a_sender_without_its_lock_claims_nothing_more(postgres_shared, tmp_path, vendors):
    """The database threw its lock's connection out: others take it for dead by now, so it may not go on."""
    databases.empty(postgres_shared)
    vendors.set_faults([{"kind": "slow", "probability": 1.0, "seconds": 0.3}])
    project = live_project(tmp_path, vendors)
    with open_ledger(postgres_shared, pepper=rows.PEPPER) as ledger:
        plan(ledger, project, *ids(200))
        ended = []

        def send() -> None:
            try:
                ended.append(deliver(project, ledger, now=rows.NOW))
            except StoreUnavailable as problem:
                ended.append(problem)

        sender = threading.Thread(target=send)
        sender.start()
        while not vendors.accepted().rows:
            time.sleep(0.02)
        with ledger.writing() as connection:
            held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.exec_driver_sql(held).all()
        sender.join()
        assert isinstance(ended[0], StoreUnavailable)
        assert states(ledger)["planned"] >= 100
        assert set(states(ledger)) == {"accepted", "planned"}
        vendors.set_faults([])
        deliver(project, ledger, now=rows.NOW)
        assert states(ledger) == {"accepted": 200}
    assert vendors.accepted().twice() == {}


def test_being_asked_to_leave_finishes_what_is_in_flight(ledger, database_url, tmp_path, vendors):
    """SIGTERM in the middle: the process ends soon, with 0, nothing is unknown, and the next one sends the rest."""
    vendors.set_faults([{"kind": "slow", "probability": 1.0, "seconds": 0.4}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(60), not_before_at=rows.instants([rows.NOW] * 60))
    now = datetime.now(UTC)
    with ledger.writing() as connection:
        connection.execute(update(messages).values(planned_at=now, expires_at=now + timedelta(days=1)))
    environment = {**os.environ, **vendors.environment, "WINBACK_DATABASE_URL": database_url}
    environment |= {"WINBACK_PEPPER": rows.PEPPER.decode()}
    command = [sys.executable, "-m", "winback", "--project", str(project.root), "--json", "deliver"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        while not vendors.accepted().rows:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert time.monotonic() - asked < 15
    assert states(ledger).keys() <= {"accepted", "planned"}
    assert 0 < states(ledger)["accepted"] < 60
    vendors.set_faults([])
    deliver(load_project(project.root, vendors.environment), ledger, now=datetime.now(UTC))
    assert states(ledger) == {"accepted": 60}
    assert vendors.accepted().twice() == {}


def test_a_text_the_vendor_lists_is_accepted_and_another_stays_unknown(ledger, tmp_path, vendors):
    vendors.set_faults([{"kind": "lost_answer", "requests": [1]}, {"kind": "error_before", "requests": [2]}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, *ids(4), channel="sms")
    deliver(project, ledger, now=rows.NOW)
    assert states(ledger) == {"accepted": 2, "unknown": 2}
    assert seek_evidence(project, ledger, now=rows.NOW + timedelta(minutes=5)) == 0  # a listing lags
    with ledger.writing() as connection:
        connection.execute(update(attempts).values(started_at=datetime.now(UTC) - timedelta(minutes=30)))
    assert seek_evidence(project, ledger, now=datetime.now(UTC)) == 1
    assert states(ledger) == {"accepted": 3, "unknown": 1}
    settled = settle(ledger, now=datetime.now(UTC) + timedelta(hours=80), today=rows.NIGHT)
    assert (settled.abandoned, settled.states) == (1, {"abandoned": 1, "accepted": 3})
    assert vendors.accepted().counts().keys() == {
        one for one, row in stored(ledger).items() if row["state"] == "accepted"
    }


def test_only_a_person_lets_a_doubtful_message_go_again(ledger, database_url, tmp_path, vendors):
    vendors.set_faults([{"kind": "error_before", "requests": [1]}])
    project = live_project(tmp_path, vendors)
    plan(ledger, project, "a", channel="sms")
    deliver(project, ledger, now=rows.NOW)
    (message_id,) = stored(ledger)
    environment = {**os.environ, "WINBACK_DATABASE_URL": database_url, "WINBACK_PEPPER": rows.PEPPER.decode()}
    command = [sys.executable, "-m", "winback", "--project", str(project.root), "--json", "release", message_id]
    said = subprocess.run(
        [*command, "--reason", "the vendor says so"], env=environment, capture_output=True, check=True
    )
    assert b'"planned"' in said.stdout
    assert deliver(project, ledger, now=rows.NOW + timedelta(minutes=5)) == {"accepted": 1}
    assert vendors.accepted().counts() == {message_id: 1}
    again = subprocess.run([*command, "--reason", "once more"], env=environment, capture_output=True, check=False)
    assert again.returncode == 2
    with ledger.reading() as connection:
        assert "release" in {entry.action for entry in diary.read_entries(connection)}
