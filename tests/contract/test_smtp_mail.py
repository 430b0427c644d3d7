"""A mail server over real sockets: what is handed in, and what each refusal means."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest
from outbox_world import outgoing
from scripted_provider import MailPeer, seconds

from winback.channels import Consequence, Outcome
from winback.channels.smtp_mail import SmtpMail, SmtpServer, mime_of, smtp_server
from winback.channels.transport import TimeOuts, Transport
from winback.errors import SendRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
TIME_OUTS = TimeOuts(connect=0.5, read=0.5, whole=1.0)


@pytest.fixture
def open_smtp(certificate) -> Iterator:
    transport = Transport(time_outs=TIME_OUTS, context=certificate.client_context())
    opened: list[SmtpMail] = []

    def make(peer: MailPeer, **changes: object) -> SmtpMail:
        account = {"host": "127.0.0.1", "user": "u", "password": "p", **changes}
        server = SmtpServer(port=peer.port, is_tls_from_the_start=peer.context is not None, **account)
        opened.append(SmtpMail(server, transport=transport))
        return opened[-1]

    yield make
    for channel in opened:
        channel.close()


def send(channel: SmtpMail, *numbers: int, **changes: object):
    return channel.send([channel.prepare(outgoing(number, **changes)) for number in numbers or (1,)], now=NOW)


def test_a_mail_arrives_as_it_was_written(open_smtp) -> None:
    text = {"text": "Héllo\n.\n..dots\nend", "html": "<p>\n.Héllo " + "x" * 2000 + "</p>", "subject": "Zoë, hi"}
    with MailPeer() as peer:
        channel = open_smtp(peer)
        [result] = send(channel, 7, name="Zoë Łuk", text=text)
        channel.close()
    assert (result.outcome, result.provider_id) == (Outcome.ACCEPTED, f"smtp-{7:032x}")
    [raw] = peer.mails
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    mail = message_from_bytes(raw.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n."), policy=policy.default)
    assert mail["From"] == "Acme <hello@acme.example>"
    assert mail["To"].addresses[0].display_name == "Zoë Łuk"
    assert mail["To"].addresses[0].addr_spec == "person7@example.org"
    assert mail["Subject"] == "Zoë, hi"
    assert mail["Message-ID"] == f"<{7:032x}@acme.example>"
    assert mail["Date"].datetime == NOW
    unsubscribe = outgoing(7).rendered.links["unsubscribe"]
    assert mail["List-Unsubscribe"].startswith(f"<{unsubscribe}>, <mailto:hello@acme.example?subject=")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    bodies = [mail.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html")]
    assert bodies == [text["text"] + "\n", text["html"] + "\n"]
    assert [words for words in peer.said if words.startswith("rcpt")] == ["rcpt TO:<person7@example.org>"]


def test_a_server_that_wants_no_log_in_gets_none(open_smtp) -> None:
    with MailPeer() as peer:
        channel = open_smtp(peer, user="", password="")
        assert send(channel)[0].outcome is Outcome.ACCEPTED
        channel.close()
    assert not [words for words in peer.said if words.upper().startswith("AUTH")]


@pytest.mark.parametrize("reply", ["421 going away", "close"])
def test_a_waiting_connection_that_answers_no_more_is_not_used(open_smtp, reply: str) -> None:
    with MailPeer({"NOOP": reply}) as peer:
        channel = open_smtp(peer)
        assert [send(channel, number)[0].outcome for number in (1, 2)] == [Outcome.ACCEPTED] * 2
        channel.close()
    assert (peer.connections, len(peer.mails)) == (2, 2)


def test_a_long_header_stays_one_line(open_smtp) -> None:
    with MailPeer() as peer:
        channel = open_smtp(peer)
        send(channel, 7, sender="Acme <" + "x" * 60 + "@acme.example>")
        channel.close()
    [line] = [line for line in peer.mails[0].split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert line.count(b"<") == 2
    assert b"=?" not in line


@pytest.mark.parametrize(
    ("replies", "outcome", "consequence", "mails"),
    [
        ({"EHLO": "421 busy", "HELO": "421 busy"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"EHLO": "close"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"AUTH": "535 no"}, Outcome.DEFERRED, Consequence.CONFIGURATION, 0),
        ({"MAIL": "451 later"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"MAIL": "550 not you"}, Outcome.DEFERRED, Consequence.CONFIGURATION, 0),
        ({"MAIL": "hang"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"MAIL": "close"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"RCPT": "550 5.1.1 nobody"}, Outcome.REFUSED, Consequence.SUPPRESS, 0),
        ({"RCPT": "550 5.1.10 null MX"}, Outcome.REFUSED, Consequence.SUPPRESS, 0),
        ({"RCPT": "550 5.7.1 policy"}, Outcome.REFUSED, None, 0),
        ({"RCPT": "550 5.1.15 new"}, Outcome.REFUSED, None, 0),
        ({"RCPT": "452 4.2.2 full"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"RCPT": "close"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"DATA": "554 no"}, Outcome.REFUSED, Consequence.CONTENT, 0),
        ({"DATA": "451 later"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"DATA": "250 what"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"DATA": "close"}, Outcome.DEFERRED, Consequence.TRANSIENT, 0),
        ({"dot": "554 spam"}, Outcome.REFUSED, Consequence.CONTENT, 1),
        ({"dot": "452 full"}, Outcome.DEFERRED, Consequence.TRANSIENT, 1),
        ({"dot": "close"}, Outcome.UNKNOWN, None, 1),
        ({"dot": "hang"}, Outcome.UNKNOWN, None, 1),
        ({"dot": "nonsense"}, Outcome.UNKNOWN, None, 1),
        ({"dot": "354 go on"}, Outcome.UNKNOWN, None, 1),
    ],
)
def test_each_no_means_what_it_proves(open_smtp, replies, outcome, consequence, mails) -> None:
    with MailPeer(replies) as peer:
        channel = open_smtp(peer)
        results: list = []
        assert seconds(lambda: results.extend(send(channel))) < TIME_OUTS.whole + 2
        channel.close()
    assert (results[0].outcome, results[0].consequence) == (outcome, consequence)
    assert len(peer.mails) == mails
    assert "person1" not in str(results[0].error)


def test_one_refused_recipient_does_not_stop_the_next(open_smtp) -> None:
    with MailPeer({"RCPT": "550 5.1.1 <person1@example.org> nobody"}) as peer:
        channel = open_smtp(peer)
        results = send(channel, 1, 2)
        channel.close()
    assert [result.outcome for result in results] == [Outcome.REFUSED] * 2
    assert "person1" not in str(results[0].error)


def test_starttls_comes_before_the_password(open_smtp, certificate) -> None:
    with MailPeer({}, certificate, starttls=True) as peer:
        channel = open_smtp(peer)
        [result] = send(channel)
        channel.close()
    assert result.outcome is Outcome.ACCEPTED
    verbs = [words.partition(" ")[0].upper() for words in peer.said]
    assert verbs.index("STARTTLS") < verbs.index("AUTH")


def test_no_password_crosses_a_network_in_the_open(open_smtp) -> None:
    """127.1 is this machine to the system, but not to anybody who reads it as an address."""
    with MailPeer() as peer:
        channel = open_smtp(peer, host="127.1")
        [result] = send(channel)
        channel.close()
    assert (result.outcome, result.consequence) == (Outcome.DEFERRED, Consequence.CONFIGURATION)
    assert [words.partition(" ")[0].upper() for words in peer.said] == ["EHLO"]


def test_a_line_that_died_is_not_used(open_smtp) -> None:
    with MailPeer() as peer:
        channel = open_smtp(peer)
        assert send(channel)[0].outcome is Outcome.ACCEPTED
        peer.replies["NOOP"] = "close"
        assert send(channel)[0].outcome is Outcome.ACCEPTED
        assert peer.connections == 2
        channel.close()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("smtp://u:p%40ss@mail.example", ("mail.example", 587, False, "u", "p@ss")),
        ("smtps://u:p@mail.example", ("mail.example", 465, True, "u", "p")),
        ("smtp://mail.example:2525", ("mail.example", 2525, False, "", "")),
    ],
)
def test_the_address_of_a_mail_server(url: str, wanted: tuple) -> None:
    server = smtp_server(url)
    assert (server.host, server.port, server.is_tls_from_the_start, server.user, server.password) == wanted
    assert "p@ss" not in repr(server)


@pytest.mark.parametrize("url", ["", "mail.example", "http://u:secret@mail.example", "smtp://", "smtp://u:secret@h:x"])
def test_what_is_no_address_of_a_mail_server(url: str) -> None:
    with pytest.raises(ValueError, match="is no") as caught:
        smtp_server(url)
    assert "secret" not in repr(caught.value)


def test_a_name_is_no_header(open_smtp) -> None:
    with MailPeer() as peer:
        channel = open_smtp(peer)
        mail = mime_of(channel.prepare(outgoing(1, name='Anna "Q" <x@y.example>, Miller')), now=NOW)
    assert [one.addr_spec for one in mail["To"].addresses] == ["person1@example.org"]


@pytest.mark.parametrize(
    "address", ["a..b@example.org", "a@b..c@example.org", "<a>@example.org", "(a)@example.org", '"@x.example']
)
def test_an_address_that_cannot_be_written_is_refused_not_raised(open_smtp, address: str) -> None:
    with MailPeer() as peer:
        channel = open_smtp(peer)
        try:
            prepared = channel.prepare(outgoing(1, address=address))
        except SendRefused:
            return
        [result] = channel.send([prepared], now=NOW)
        channel.close()
    assert (result.outcome, result.consequence) == (Outcome.REFUSED, Consequence.CONTENT)
    assert not peer.said
