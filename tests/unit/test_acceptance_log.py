"""The log that says what was taken: append-only, readable after a kill at any byte."""

import hashlib
import json

import pytest

from winback.sample.acceptance_log import (
    Acceptance,
    AppendOnlyLog,
    VendorRecord,
    content_hash,
    events_file,
    read_acceptances,
    read_events,
)


def taken(number, **changes):
    known = {
        "vendor": "sendgrid",
        "message_id": f"{number:032x}",
        "recipient": f"p{number}@example.org",
        "content_sha256": content_hash("hi", str(number)),
        "provider_id": f"x{number}",
    }
    return Acceptance(**known | changes)


def test_what_was_taken_is_read_back_in_order(tmp_path):
    log = tmp_path / "folder" / "log.jsonl"
    record = VendorRecord(log, is_synced=True)
    record.accept([taken(1), taken(2)], 1)
    record.accept([taken(1, recipient="q@example.org", resource={"sid": "SM1"})], 2)
    record.event("fault", fault="slow", request=2)
    record.event("begun", request=3)
    record.close()
    accepted = read_acceptances(log)
    assert [(row.message_id[-1], row.request) for row in accepted.rows] == [("1", 1), ("2", 1), ("1", 2)]
    assert accepted.rows[2].resource == {"sid": "SM1"}
    assert accepted.counts() == {f"{1:032x}": 2, f"{2:032x}": 1}
    assert accepted.twice() == {f"{1:032x}": 2}
    assert accepted.recipients()[f"{1:032x}"] == {"p1@example.org", "q@example.org"}
    assert accepted.contents()[f"{2:032x}"] == {content_hash("hi", "2")}
    assert [event["kind"] for event in read_events(log)] == ["fault", "begun"]
    assert [event["request"] for event in read_events(log, "fault")] == [2]


def test_both_clocks_stand_on_every_line(tmp_path):
    record = VendorRecord(tmp_path / "log.jsonl")
    record.accept([taken(1)], 1)
    record.event("begun")
    for file in (tmp_path / "log.jsonl", events_file(tmp_path / "log.jsonl")):
        row = json.loads(file.read_text())
        assert row["utc"].endswith("+00:00")
        assert row["monotonic"] > 0
    record.close()


def test_a_file_that_is_not_there_holds_nothing(tmp_path):
    assert read_acceptances(tmp_path / "none").rows == ()
    assert read_events(tmp_path / "none") == []


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_a_line_torn_by_a_kill_is_no_acceptance_and_spoils_no_other(tmp_path, kept):
    log = tmp_path / "log.jsonl"
    record = VendorRecord(log)
    record.accept([taken(1)], 1)
    record.close()
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:kept])
    assert len(read_acceptances(log).rows) == 1
    record = VendorRecord(log)
    record.accept([taken(2)], 2)
    record.close()
    assert [row.request for row in read_acceptances(log).rows] == [1, 2]


def test_two_writers_do_not_write_over_each_other(tmp_path):
    log = tmp_path / "log.jsonl"
    first, second = AppendOnlyLog(log), AppendOnlyLog(log)
    for number in range(50):
        (first if number % 2 else second).append([vars(taken(number))])
    assert [row.recipient for row in read_acceptances(log).rows] == [f"p{number}@example.org" for number in range(50)]
    first.close()
    second.close()


def test_the_hash_is_of_everything_a_person_reads():
    assert content_hash("subject", "text") == hashlib.sha256(b"subject\0text").hexdigest()
    assert content_hash("ab", "c") != content_hash("a", "bc")
