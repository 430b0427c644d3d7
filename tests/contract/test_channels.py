"""What every provider promises, over real sockets: each behaviour for each provider, or the reason why not."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Protocol

import orjson
import pytest
from outbox_world import outgoing
from scripted_provider import MailPeer, Peer, SilentPeer, Step, WebPeer, free_port, make_certificate, seconds

from winback.channels import Consequence, Outcome, SendResult
from winback.channels.local_outbox import LocalOutbox
from winback.channels.registry import OPENERS
from winback.channels.sendgrid_mail import SendGridMail
from winback.channels.smtp_mail import SmtpMail, SmtpServer
from winback.channels.transport import TimeOuts, Transport
from winback.channels.twilio_texts import TwilioTexts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from winback.channels import Channel

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
TIME_OUTS = TimeOuts(connect=1.0, read=1.0, whole=2.0)
KEY, PASSWORD, ACCOUNT = "SG.a-key-nobody-may-see", "a-password-nobody-may-see", "AC" + "0" * 32
SECRETS = (KEY, PASSWORD)
SID = "SM" + "1" * 32
CALLBACK = "https://go.acme.example/hooks/twilio/status?message_id="


@dataclass(frozen=True)
class Expected:
    """What one call has to come to. ``taken``: how many messages the peer took in."""

    outcome: Outcome
    taken: int = 0
    consequence: Consequence | None = None
    retry_after_seconds: float | None = None


UNKNOWN, DEFERRED = Outcome.UNKNOWN, Outcome.DEFERRED
BEHAVIOURS = {
    "yes": Expected(Outcome.ACCEPTED, taken=1),
    "takes it, then fails": Expected(UNKNOWN, taken=1),
    "fails": Expected(UNKNOWN),
    "takes it, then closes": Expected(UNKNOWN, taken=1),
    "takes it, then hangs": Expected(UNKNOWN, taken=1),
    "a yes cut short": Expected(UNKNOWN, taken=1),
    "a yes byte by byte": Expected(UNKNOWN, taken=1),
    "a yes nobody can read": Expected(UNKNOWN, taken=1),
    "a yes without an id": Expected(UNKNOWN, taken=1),
    "a yes too large": Expected(UNKNOWN, taken=1),
    "another yes": Expected(UNKNOWN),
    "redirect": Expected(UNKNOWN),
    "too many": Expected(DEFERRED, consequence=Consequence.TRANSIENT, retry_after_seconds=7.0),
    "too many, until a date": Expected(DEFERRED, consequence=Consequence.TRANSIENT, retry_after_seconds=90.0),
    "wrong key": Expected(DEFERRED, consequence=Consequence.CONFIGURATION),
    "not allowed": Expected(DEFERRED, consequence=Consequence.CONFIGURATION),
    "bad message": Expected(Outcome.REFUSED, consequence=Consequence.CONTENT),
    "dead address": Expected(Outcome.REFUSED, consequence=Consequence.SUPPRESS),
}


class Kit(Protocol):
    """How one provider is made to show its behaviours; what it cannot show stands in ``reasons``."""

    name: str
    reasons: dict[str, str]

    def peer(self, behaviour: str, folder: Path) -> Peer: ...

    def open(self, port: int) -> Channel: ...

    def message(self, number: int): ...

    def close(self) -> None: ...


class _WebKit(ABC):
    """What the two vendors behind HTTP have in common."""

    def __init__(self, folder: Path) -> None:
        self.certificate = make_certificate(folder)
        self.transport = Transport(time_outs=TIME_OUTS, context=self.certificate.client_context())

    @abstractmethod
    def yes(self, **changes: object) -> Step: ...

    @abstractmethod
    def no(self, status: int, **changes: object) -> Step: ...

    @abstractmethod
    def bad(self, behaviour: str) -> Step: ...

    def peer(self, behaviour: str, folder: Path) -> WebPeer:
        del folder
        page = b"<html>" + b"x" * 100
        steps = {
            "yes": self.yes(),
            "takes it, then fails": self.no(500, takes=True),
            "fails": self.no(503),
            "takes it, then closes": self.yes(then="close"),
            "takes it, then hangs": self.yes(then="hang"),
            "a yes cut short": self.yes(then="cut"),
            "a yes byte by byte": self.yes(then="drip"),
            "a yes nobody can read": self.yes(body=page, headers={}),
            "a yes without an id": self.yes(body=b"{}", headers={}),
            "a yes too large": self.yes(body=b"x" * 3_000_000),
            "another yes": self.yes(status=200, takes=False),
            "redirect": Step(302, headers={"Location": f"http://127.0.0.1:{free_port()}/elsewhere"}),
            "too many": self.no(429, headers={"Retry-After": "7"}),
            "too many, until a date": self.no(429, headers={"Retry-After": "Tue, 10 Mar 2026 09:01:30 GMT"}),
            "wrong key": self.no(401),
            "not allowed": self.no(403),
        }
        return WebPeer([steps.get(behaviour) or self.bad(behaviour)], self.certificate)

    def close(self) -> None:
        self.transport.close()


class SendGridKit(_WebKit):
    name = "sendgrid"
    reasons: ClassVar = {"dead address": "SendGrid tells of it in an event, not in its answer"}

    def yes(self, **changes: object) -> Step:
        return Step(**{"status": 202, "headers": {"X-Message-Id": "m1"}, "takes": True, **changes})

    def no(self, status: int, **changes: object) -> Step:
        return Step(status, orjson.dumps({"errors": [{"message": "no", "field": None}]}), **changes)

    def bad(self, behaviour: str) -> Step:
        del behaviour
        return self.no(400)

    def open(self, port: int) -> SendGridMail:
        return SendGridMail(api_key=KEY, transport=self.transport, base_url=f"https://127.0.0.1:{port}")

    def message(self, number: int):
        return outgoing(number)


class TwilioKit(_WebKit):
    name = "twilio"
    reasons: ClassVar[dict[str, str]] = {}

    def yes(self, **changes: object) -> Step:
        body = orjson.dumps({"sid": SID, "status": "queued", "date_created": "Tue, 10 Mar 2026 09:00:00 +0000"})
        return Step(**{"status": 201, "body": body, "takes": True, **changes})

    def no(self, status: int, **changes: object) -> Step:
        return Step(status, orjson.dumps({"code": 0, "message": "no", "status": status}), **changes)

    def bad(self, behaviour: str) -> Step:
        code = 21211 if behaviour == "dead address" else 21617
        return Step(400, orjson.dumps({"code": code, "message": "no", "status": 400}))

    def open(self, port: int) -> TwilioTexts:
        url = f"https://127.0.0.1:{port}"
        return TwilioTexts(
            account_sid=ACCOUNT, username=ACCOUNT, password=PASSWORD, transport=self.transport, base_url=url
        )

    def message(self, number: int):
        return outgoing(number, channel="sms", status_callback=f"{CALLBACK}{number:032x}")


class SmtpKit:
    name = "smtp"
    reasons: ClassVar = dict.fromkeys(
        ["a yes without an id", "another yes", "redirect", "too many, until a date", "not allowed"],
        "SMTP has no such answer",
    ) | {"a yes too large": "an SMTP answer ends at its line"}

    def __init__(self, folder: Path) -> None:
        self.certificate = make_certificate(folder)
        self.transport = Transport(time_outs=TIME_OUTS, context=self.certificate.client_context())
        self.opened: list[SmtpMail] = []

    def peer(self, behaviour: str, folder: Path) -> MailPeer:
        del folder
        replies = {
            "yes": {},
            "takes it, then fails": {"dot": "close"},
            "fails": {"dot": "close"},
            "takes it, then closes": {"dot": "close"},
            "takes it, then hangs": {"dot": "hang"},
            "a yes cut short": {"dot": "close"},
            "a yes byte by byte": {"dot": "drip"},
            "a yes nobody can read": {"dot": "<html>"},
            "too many": {"RCPT": "452 later"},
            "wrong key": {"AUTH": "535 no"},
            "bad message": {"DATA": "554 no"},
            "dead address": {"RCPT": "550 5.1.1 nobody"},
        }
        return MailPeer(replies[behaviour], self.certificate)

    def open(self, port: int) -> SmtpMail:
        server = SmtpServer(host="127.0.0.1", port=port, is_tls_from_the_start=True, user="u", password=PASSWORD)
        channel = SmtpMail(server, transport=self.transport)
        self.opened.append(channel)
        return channel

    def message(self, number: int):
        return outgoing(number)

    def close(self) -> None:
        for channel in self.opened:
            channel.close()


KITS = {kit.name: kit for kit in (SendGridKit, TwilioKit, SmtpKit)}
# "fails" and "too many" differ in SMTP: a closed line after the dot leaves a doubt, a 452 names no time.
DIFFERENT = {
    ("smtp", "fails"): Expected(UNKNOWN, taken=1),
    ("smtp", "too many"): Expected(DEFERRED, consequence=Consequence.TRANSIENT),
}
OUT = {
    "outbox": "keeps messages on this machine: no peer, no network (tests/integration/test_local_outbox.py)",
}


@pytest.fixture(params=sorted(KITS))
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    made = KITS[request.param](tmp_path)
    yield made
    made.close()


def send(channel: Channel, kit: Kit, *numbers: int) -> list[SendResult]:
    prepared = [channel.prepare(kit.message(number)) for number in numbers or (1,)]
    return [result for call in channel.calls(prepared) for result in channel.send(call, now=NOW)]


def test_every_provider_is_in_the_suite_or_says_why_not() -> None:
    assert set(KITS) | set(OUT) == set(OPENERS) | {LocalOutbox.name}
    assert not any(set(kit.reasons) - set(BEHAVIOURS) for kit in KITS.values())


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_an_answer_comes_to_what_it_proves(kit: Kit, behaviour: str, tmp_path: Path) -> None:
    if behaviour in kit.reasons:
        pytest.skip(kit.reasons[behaviour])
    expected = DIFFERENT.get((kit.name, behaviour), BEHAVIOURS[behaviour])
    with kit.peer(behaviour, tmp_path) as peer:
        channel = kit.open(peer.port)
        results: list[SendResult] = []
        took = seconds(lambda: results.extend(send(channel, kit)))
        [result] = results
        assert result.outcome is expected.outcome, result
        assert len(peer.taken) == expected.taken
        assert result.consequence is expected.consequence
        assert result.retry_after_seconds == expected.retry_after_seconds
        assert took < TIME_OUTS.whole + 2
        assert (result.provider_id is not None) == (result.outcome is Outcome.ACCEPTED)
        assert (result.error is None) == (result.outcome is Outcome.ACCEPTED)
        kit.close()


def test_nobody_listens(kit: Kit) -> None:
    [result] = send(kit.open(free_port()), kit)
    assert (result.outcome, result.consequence) == (Outcome.DEFERRED, Consequence.TRANSIENT)


def test_a_peer_that_never_shakes_hands(kit: Kit) -> None:
    with SilentPeer() as peer:
        results: list[SendResult] = []
        took = seconds(lambda: results.extend(send(kit.open(peer.port), kit)))
    assert results[0].outcome is Outcome.DEFERRED
    assert took < TIME_OUTS.connect + 2


def test_a_peer_with_another_certificate_gets_nothing(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with WebPeer([Step(200)], make_certificate(tmp_path / "other")) as peer:
        [result] = send(kit.open(peer.port), kit)
        assert result.outcome is Outcome.DEFERRED
        assert not peer.requests


def test_connections_are_used_again(kit: Kit, tmp_path: Path) -> None:
    with kit.peer("yes", tmp_path) as peer:
        channel = kit.open(peer.port)
        for number in range(3):
            assert send(channel, kit, number)[0].outcome is Outcome.ACCEPTED
        assert peer.connections == 1
        kit.close()


def test_several_messages_have_results_in_their_order(kit: Kit, tmp_path: Path) -> None:
    with kit.peer("yes", tmp_path) as peer:
        results = send(kit.open(peer.port), kit, 3, 1, 2)
        assert [result.message_id for result in results] == [f"{number:032x}" for number in (3, 1, 2)]
        kit.close()


@pytest.mark.parametrize("behaviour", ["yes", "wrong key", "takes it, then closes", "bad message"])
def test_no_key_and_no_person_in_logs_results_or_names_of_objects(
    kit: Kit, behaviour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with kit.peer(behaviour, tmp_path) as peer:
        channel = kit.open(peer.port)
        results = send(channel, kit)
        kit.close()
    message = kit.message(1)
    seen = caplog.text + repr(results) + repr(channel) + repr(vars(channel)) + "".join(capfd.readouterr())
    assert not [word for word in (*SECRETS, message.address, message.name) if word in seen]


def test_the_watch_for_keys_sees_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("some.other").debug("Bearer %s", KEY)
    assert KEY in caplog.text
