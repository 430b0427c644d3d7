"""The default provider on a real disk: kept once, kept safely, and forgotten without a trace."""

import multiprocessing
import os
import signal
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from outbox_world import outgoing

from winback.channels import Outcome
from winback.channels.local_outbox import LocalOutbox
from winback.errors import SendRefused, StoreUnavailable

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> LocalOutbox:
    return LocalOutbox(tmp_path / "var" / "outbox")


def send(outbox: LocalOutbox, *numbers: int, channel: str = "email", **changes: object) -> list:
    return outbox.send([outbox.prepare(outgoing(number, channel=channel, **changes)) for number in numbers], now=NOW)


def count(outbox: LocalOutbox) -> int:
    return sum(group.messages for group in outbox.groups())


def test_what_is_accepted_can_be_read_back_exactly(outbox: LocalOutbox) -> None:
    prepared = outbox.prepare(outgoing(3))
    [result] = outbox.send([prepared], now=NOW)
    assert (result.message_id, result.outcome) == (f"{3:032x}", Outcome.ACCEPTED)
    assert result.provider_id is not None
    assert outbox.request(f"{3:032x}") == prepared.request
    assert outbox.request("f" * 32) is None


def test_a_message_given_twice_is_kept_once_and_as_it_was(outbox: LocalOutbox) -> None:
    first = send(outbox, 1, 2)
    again = send(outbox, 2, 3, name="Somebody Else")
    assert [result.outcome for result in first + again] == [Outcome.ACCEPTED] * 4
    assert count(outbox) == 3
    request = outbox.request(f"{2:032x}")
    assert request is not None
    assert request["personalizations"][0]["to"][0]["name"] == "Anna Miller"
    assert first[1].provider_id == again[0].provider_id


def test_local_checks_refuse_before_anything_is_kept(outbox: LocalOutbox) -> None:
    with pytest.raises(SendRefused):
        outbox.prepare(outgoing(address="nobody"))
    assert count(outbox) == 0


def test_evidence_names_what_is_here_and_nothing_else(outbox: LocalOutbox) -> None:
    send(outbox, 1, 2)
    found = outbox.reconcile([f"{2:032x}", f"{9:032x}"])
    assert [(result.message_id, result.outcome) for result in found] == [(f"{2:032x}", Outcome.ACCEPTED)]


def test_groups_count_and_price_each_step_and_channel(outbox: LocalOutbox) -> None:
    send(outbox, 1, 2)
    send(outbox, 3, 4, 5, channel="sms")
    send(outbox, 6, channel="sms", step=2, kind="contest")
    found = [(group.step, group.kind, group.channel, group.messages, group.segments) for group in outbox.groups()]
    assert found == [(1, "survey", "email", 2, 0), (1, "survey", "sms", 3, 3), (2, "contest", "sms", 1, 1)]
    assert outbox.groups()[1].price == pytest.approx(0.21)


def test_the_first_of_each_group_are_found(outbox: LocalOutbox) -> None:
    send(outbox, *range(5))
    send(outbox, *range(10, 15), channel="sms")
    names = [item.message_id for item in outbox.first_of_each_group(2)]
    assert names == [f"{number:032x}" for number in (0, 1, 10, 11)]
    later = outbox.first_of_each_group(2, after=5)
    assert [item.message_id for item in later] == [f"{number:032x}" for number in (10, 11)]
    assert outbox.first_of_each_group(2, as_of="2020-01-01") == []


def test_forgetting_leaves_no_trace_in_any_file(outbox: LocalOutbox) -> None:
    send(outbox, 1, name="Quetzalcoatl Unique", address="quetzal@example.org")
    send(outbox, *range(2, 60))
    gone = outbox.forget("c1")
    assert [item.message_id for item in gone] == [f"{1:032x}"]
    assert count(outbox) == 58
    left = b"".join(file.read_bytes() for file in outbox.folder.iterdir())
    assert b"Quetzalcoatl" not in left
    assert b"quetzal@example.org" not in left
    assert outbox.forget("c1") == []


def test_a_disk_that_refuses_is_deferred_and_nothing_is_kept(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    with sqlite3.connect(outbox.file) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    results = send(outbox, 2, 3)
    assert [result.outcome for result in results] == [Outcome.DEFERRED] * 2
    assert all("disk full" in str(result.error) for result in results)
    assert count(outbox) == 1


def test_a_broken_file_is_a_clear_error(outbox: LocalOutbox) -> None:
    outbox.folder.mkdir(parents=True)
    outbox.file.write_bytes(b"this is no database" * 100)
    assert send(outbox, 1)[0].outcome is Outcome.DEFERRED
    with pytest.raises(StoreUnavailable, match=r"outbox.db cannot be used"):
        outbox.groups()


def test_only_the_owner_may_look_in(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == 0o700


def _keep_sending(folder: Path, first: int, batches: int) -> None:
    outbox = LocalOutbox(folder)
    for batch in range(batches):
        send(outbox, *range(first + batch * 20, first + batch * 20 + 20))


def test_several_senders_at_once_lose_nothing(outbox: LocalOutbox) -> None:
    # The second starts inside the numbers of the first: twenty messages are given by both.
    spawn = multiprocessing.get_context("spawn")
    senders = [spawn.Process(target=_keep_sending, args=(outbox.folder, first, 5)) for first in (0, 80)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [sender.exitcode for sender in senders] == [0, 0]
    assert count(outbox) == 180


def _send_and_tell(folder: Path, told: Path) -> None:
    outbox = LocalOutbox(folder)
    for number in range(10_000):
        for result in send(outbox, number * 2, number * 2 + 1):
            with told.open("a") as file:
                file.write(f"{result.message_id}\n")


def test_what_was_called_accepted_survives_a_kill(outbox: LocalOutbox, tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = multiprocessing.get_context("spawn").Process(target=_send_and_tell, args=(outbox.folder, told))
    process.start()
    while not told.exists() or told.stat().st_size < 33 * 30:
        assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    accepted = told.read_text().split("\n")[:-1]
    assert len(outbox.reconcile(accepted)) == len(accepted) >= 30
