"""Twilio over real sockets: what is asked, and what its listing proves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from outbox_world import outgoing
from scripted_provider import Step, WebPeer

from winback.channels import Consequence, Doubt, Outcome
from winback.channels.transport import TimeOuts
from winback.channels.twilio_texts import TwilioTexts

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
ACCOUNT, TOKEN, SID = "AC" + "0" * 32, "token", "SM" + "1" * 32
MARK = "http://127.0.0.1:8400/s/AAAAAAAAAAE"
DOUBT = Doubt(message_id=f"{1:032x}", channel="sms", address="+33612345678", claimed_at=NOW, marks=(MARK,))


@pytest.fixture
def time_outs() -> TimeOuts:
    return TimeOuts(connect=1, read=1, whole=2)


def open_twilio(transport, peer, **options) -> TwilioTexts:
    account = {"account_sid": ACCOUNT, "username": ACCOUNT, "password": TOKEN, **options}
    return TwilioTexts(transport=transport, base_url=peer.url, **account)


def created() -> Step:
    return Step(201, orjson.dumps({"sid": SID, "status": "queued"}), takes=True)


def send(channel: TwilioTexts, **changes: object):
    message = outgoing(1, channel="sms", **changes)
    [result] = channel.send([channel.prepare(message)], now=NOW)
    return result


def test_the_form_that_is_posted(certificate, transport) -> None:
    callback = f"https://go.acme.example/hooks/twilio/status?message_id={1:032x}"
    with WebPeer([created()], certificate) as peer:
        result = send(
            open_twilio(transport, peer), status_callback=callback, expires_at=NOW + timedelta(minutes=10), name="Anna"
        )
        transport.close()
    [request] = peer.requests
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert request.headers["authorization"].startswith("Basic ")
    fields = {name: value for name, [value] in parse_qs(request.body.decode(), strict_parsing=True).items()}
    assert fields.pop("Body")
    assert fields == {
        "To": "+33610000001",
        "From": "+33600000000",
        "StatusCallback": callback,
        "ValidityPeriod": "600",
    }
    assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, SID)


def test_a_text_whose_quiet_hours_have_begun_is_not_posted(certificate, transport) -> None:
    with WebPeer([created()], certificate) as peer:
        result = send(open_twilio(transport, peer), expires_at=NOW)
    assert (result.outcome, result.consequence) == (Outcome.DEFERRED, Consequence.EXPIRED)
    assert not peer.requests


@pytest.mark.parametrize(
    ("status", "code", "outcome", "consequence"),
    [
        (400, 21610, Outcome.REFUSED, Consequence.WITHDRAW),
        (400, 21614, Outcome.REFUSED, Consequence.SUPPRESS),
        (400, 21611, Outcome.DEFERRED, Consequence.TRANSIENT),
        (429, 20429, Outcome.DEFERRED, Consequence.TRANSIENT),
        (401, 20003, Outcome.DEFERRED, Consequence.CONFIGURATION),
        (400, 21606, Outcome.DEFERRED, Consequence.CONFIGURATION),
        (400, 12345, Outcome.REFUSED, None),
        (400, "21610", Outcome.REFUSED, None),
        (408, 21610, Outcome.REFUSED, Consequence.WITHDRAW),
        (408, None, Outcome.UNKNOWN, None),
        (500, 20500, Outcome.UNKNOWN, None),
        (503, 21610, Outcome.UNKNOWN, None),
        (200, 21610, Outcome.UNKNOWN, None),
    ],
)
def test_a_code_says_more_than_its_status(certificate, transport, status, code, outcome, consequence) -> None:
    said = {"code": code, "message": "the number +33610000001 of Anna Miller", "status": status}
    with WebPeer([Step(status, orjson.dumps(said), {"Retry-After": "3"})], certificate) as peer:
        result = send(open_twilio(transport, peer))
        transport.close()
    assert (result.outcome, result.consequence, result.status) == (outcome, consequence, status)
    assert result.retry_after_seconds == (3 if outcome is Outcome.DEFERRED else None)
    assert "0000001" not in str(result.error)
    assert "Anna" not in str(result.error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"\xff",
        b'{"sid": null}',
        b'{"sid": 7}',
        b'{"sid": "SM\\u0000"}',
        b'{"sid": ""}',
        b'"SM1"',
    ],
)
def test_a_201_nobody_can_read_is_a_doubt(certificate, transport, body: bytes) -> None:
    with WebPeer([Step(201, body, takes=True)], certificate) as peer:
        assert send(open_twilio(transport, peer)).outcome is Outcome.UNKNOWN
        transport.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b'{"code": true}', b'{"message": 7}'])
def test_a_refusal_nobody_can_read_is_one(certificate, transport, body: bytes) -> None:
    with WebPeer([Step(400, body)], certificate) as peer:
        result = send(open_twilio(transport, peer))
        transport.close()
    assert (result.outcome, result.code) == (Outcome.REFUSED, None)


def listed(*messages: dict) -> Step:
    return Step(200, orjson.dumps({"messages": list(messages), "page": 0}))


def message(**changes: object) -> dict:
    return {"sid": SID, "body": f"hi {MARK} STOP", "date_created": "Tue, 10 Mar 2026 09:00:05 +0000", **changes}


def test_a_listed_text_is_evidence(certificate, transport) -> None:
    with WebPeer([listed(message(body="another"), message(date_sent=None))], certificate) as peer:
        [found] = open_twilio(transport, peer).evidence([DOUBT])
        transport.close()
    assert (found.message_id, found.outcome, found.provider_id) == (DOUBT.message_id, Outcome.ACCEPTED, SID)
    query = parse_qs(urlsplit(peer.requests[0].path).query)
    assert query["To"] == ["+33612345678"]
    assert not [name for name in query if "Date" in name]


@pytest.mark.parametrize(
    "step",
    [
        listed(),
        listed(message(body="hi")),
        listed(message(body=None)),
        listed(message(sid=None)),
        listed(message(date_created="Mon, 09 Mar 2026 09:00:05 +0000")),
        Step(200, b"<html>"),
        Step(200, b"[]"),
        Step(200, b"{}"),
        Step(200, b"\xff"),
        Step(200, orjson.dumps({"messages": 7})),
        Step(500, b""),
        Step(404, b"{}"),
        Step(429, b"{}"),
        Step(200, b"{}", then="close"),
        Step(200, b"{}", then="cut"),
    ],
)
def test_anything_else_is_none(certificate, transport, step: Step) -> None:
    with WebPeer([step], certificate) as peer:
        assert open_twilio(transport, peer).evidence([DOUBT]) == []
        transport.close()


def test_a_listing_that_fails_does_not_hide_the_next(certificate, transport) -> None:
    with WebPeer([Step(500), listed(message())], certificate) as peer:
        found = open_twilio(transport, peer).evidence([DOUBT, DOUBT])
        transport.close()
    assert len(found) == 1
