"""SMTP: e-mail through any mail server, always over TLS (a server on this machine excepted).

In: prepared mails. Out: one result a mail. Until the dot that ends a mail is written nothing was accepted; from then on
only the server's answer says so. Must never happen: a password over a bare connection, a mail given again after its
dot.
"""

from __future__ import annotations

import re
import smtplib
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from winback.channels import Consequence, Outcome, Prepared, SendResult
from winback.channels.provider_settings import is_loopback
from winback.channels.request_bodies import mail_body
from winback.channels.vendor_codes import without_persons

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from socket import socket

    from winback.channels import OutgoingMessage
    from winback.channels.transport import Transport

_SUBMISSION, _SUBMISSION_OVER_TLS = 587, 465
_READY_FOR_DATA, _TEMPORARY, _PERMANENT = 354, range(400, 500), range(500, 600)
_YES = range(200, 300)
# RFC 3463: the mailbox or its domain does not exist, or has moved for good.
_DEAD_MAILBOX = re.compile(r"5\.1\.(?:1|2|3|6|10)\b")
_BODY = policy.SMTP.clone(cte_type="7bit")
# Long headers stay whole: folded, an address in List-Unsubscribe would be written as an encoded word.
_HEADERS = _BODY.clone(max_line_length=998)


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """Where mail is handed in, as ``SMTP_URL`` says."""

    host: str
    port: int
    is_tls_from_the_start: bool
    user: str = field(repr=False)
    password: str = field(repr=False)


def smtp_server(url: str) -> SmtpServer:
    """Return what ``smtp://user:password@host:port`` or ``smtps://…`` says.

    Raises
    ------
    ValueError
        If it is no such URL; the text does not repeat it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no address of a mail server") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("is not of the form smtp://user:password@host:port or smtps://…")
    is_tls = parts.scheme == "smtps"
    return SmtpServer(
        host=parts.hostname,
        port=port or (_SUBMISSION_OVER_TLS if is_tls else _SUBMISSION),
        is_tls_from_the_start=is_tls,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


class _Refusal(Exception):
    """The server said no, or the connection failed, before the mail's last byte."""

    def __init__(self, outcome: Outcome, error: str, consequence: Consequence | None, status: int | None) -> None:
        self.outcome, self.consequence, self.status = outcome, consequence, status
        super().__init__(error)


class SmtpMail:
    """The provider ``smtp``.

    Parameters
    ----------
    server : where mail is handed in
    transport : its TLS context and its time-outs hold here, too
    """

    name = "smtp"
    channels = frozenset({"email"})
    max_batch = 20

    def __init__(self, server: SmtpServer, *, transport: Transport) -> None:
        self._server, self._transport = server, transport
        # Connections that wait for the next mail; threads take and return them.
        self._idle: deque[smtplib.SMTP] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def prepare(self, message: OutgoingMessage) -> Prepared:
        """Return the parts of one mail, with the checks every mail passes.

        Raises
        ------
        SendRefused
            If a local check says that it cannot be sent.
        """
        return Prepared(message=message, request=mail_body(message))

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        """Return each mail as a call of its own."""
        return [[each] for each in batch]

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Hand each mail in once."""
        return [self._send_one(each, now=now) for each in batch]

    def close(self) -> None:
        """Close the connections that wait."""
        _close_all(self._idle)

    def _send_one(self, prepared: Prepared, *, now: datetime) -> SendResult:
        message = prepared.message
        try:
            mail = mime_of(prepared, now=now).as_bytes(policy=_HEADERS)
        except (MessageError, ValueError, LookupError) as problem:
            # An address that a mailbox may have and the standard library cannot write, in most cases.
            what = f"the mail cannot be written ({type(problem).__name__})"
            return _result(message, Outcome.REFUSED, error=what, consequence=Consequence.CONTENT)
        self._transport.begin()
        try:
            connection = self._connection()
            try:
                result = _hand_in(connection, prepared, mail)
            except BaseException:
                connection.close()
                raise
        except _Refusal as problem:
            facts = {"status": problem.status, "consequence": problem.consequence}
            error = without_persons(str(problem), message.address, message.name)
            return _result(message, problem.outcome, error=error, **facts)
        except (OSError, smtplib.SMTPException) as problem:
            what = f"the mail server did not take it in ({type(problem).__name__}): nothing was sent"
            return _result(message, Outcome.DEFERRED, error=what, consequence=Consequence.TRANSIENT)
        if result.outcome is Outcome.UNKNOWN:
            connection.close()
        else:
            self._idle.append(connection)
        return result

    def _connection(self) -> smtplib.SMTP:
        """Return a connection that still answers, logged in."""
        while (waiting := self._waiting()) is not None:
            try:
                if waiting.noop()[0] in _YES:
                    return waiting
            except (OSError, smtplib.SMTPException):
                pass
            waiting.close()
        return self._opened()

    def _waiting(self) -> smtplib.SMTP | None:
        """Return a connection nobody uses; another thread may be asking for the last one, too."""
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _opened(self) -> smtplib.SMTP:
        server, seconds = self._server, self._transport.time_outs.connect
        connection: smtplib.SMTP
        if server.is_tls_from_the_start:
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=self._transport.context)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=seconds)
        try:
            _socket_of(connection).settimeout(self._transport.time_outs.read)
            connection.ehlo_or_helo_if_needed()
            self._secure(connection)
            if server.user:
                connection.login(server.user, server.password)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as problem:
            connection.close()
            what = (
                f"the mail server refused the log-in or cannot do it safely ({type(problem).__name__}): mend SMTP_URL"
            )
            raise _Refusal(Outcome.DEFERRED, what, Consequence.CONFIGURATION, None) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _secure(self, connection: smtplib.SMTP) -> None:
        if self._server.is_tls_from_the_start:
            return
        if connection.has_extn("starttls"):
            connection.starttls(context=self._transport.context)
            connection.ehlo()
        elif not is_loopback(self._server.host):
            raise smtplib.SMTPNotSupportedError("no STARTTLS")


def mime_of(prepared: Prepared, *, now: datetime) -> EmailMessage:
    """Return the mail as it travels.

    Parameters
    ----------
    prepared : by ``prepare``
    now : aware; its date
    """
    request = prepared.request
    [person] = request["personalizations"]
    mail = EmailMessage(policy=_BODY)
    mail["From"] = _mailbox(request["from"])
    mail["To"] = _mailbox(person["to"][0])
    mail["Subject"] = person["subject"]
    mail["Date"] = format_datetime(now)
    domain = request["from"]["email"].rpartition("@")[2]
    mail["Message-ID"] = f"<{prepared.message.message_id}@{domain}>"
    for name, value in person["headers"].items():
        mail[name] = value
    text, html = request["content"]
    mail.set_content(text["value"])
    mail.add_alternative(html["value"], subtype="html")
    return mail


def _mailbox(person: dict[str, str]) -> Address:
    return Address(display_name=person.get("name", ""), addr_spec=person["email"])


def _close_all(connections: deque[smtplib.SMTP]) -> None:
    while connections:
        connections.popleft().close()


def _hand_in(connection: smtplib.SMTP, prepared: Prepared, mail: bytes) -> SendResult:
    """Hand one mail in.

    Raises
    ------
    _Refusal
        If the server said no.
    OSError, smtplib.SMTPException
        If the connection failed before the dot.
    """
    message = prepared.message
    body = re.sub(rb"(?m)^\.", b"..", mail if mail.endswith(b"\r\n") else mail + b"\r\n")
    _require(connection.mail(prepared.request["from"]["email"]), Consequence.CONFIGURATION, Outcome.DEFERRED)
    _require(connection.rcpt(message.address), None, Outcome.REFUSED)
    code, words = connection.docmd("DATA")
    if code != _READY_FOR_DATA:
        _require((code, words), Consequence.CONTENT, Outcome.REFUSED)
        raise smtplib.SMTPDataError(code, words)
    wire = _socket_of(connection)
    wire.sendall(body)
    try:
        wire.sendall(b".\r\n")
        reply = connection.getreply()
    except (OSError, smtplib.SMTPException) as problem:
        what = f"no answer after the mail was handed in ({type(problem).__name__})"
        return _result(message, Outcome.UNKNOWN, error=what)
    _require(reply, Consequence.CONTENT, Outcome.REFUSED)
    if reply[0] not in _YES:
        return _result(message, Outcome.UNKNOWN, status=reply[0], error="the mail server's answer cannot be read")
    return _result(message, Outcome.ACCEPTED, provider_id=f"smtp-{message.message_id}", status=reply[0])


def _socket_of(connection: smtplib.SMTP) -> socket:
    if connection.sock is None:
        raise smtplib.SMTPServerDisconnected("closed")
    return connection.sock


def _require(reply: tuple[int, bytes], consequence: Consequence | None, outcome: Outcome) -> None:
    """Pass over a yes; a temporary no is deferred, a permanent one is what the step says."""
    code, words = reply
    said = words.decode("utf-8", "replace")
    error = f"the mail server answered {code}: {said}"
    if code in _TEMPORARY:
        raise _Refusal(Outcome.DEFERRED, error, Consequence.TRANSIENT, code)
    if code in _PERMANENT:
        is_dead = outcome is Outcome.REFUSED and consequence is None and _DEAD_MAILBOX.match(said) is not None
        raise _Refusal(outcome, error, Consequence.SUPPRESS if is_dead else consequence, code)


def _result(message: OutgoingMessage, outcome: Outcome, **facts: Any) -> SendResult:  # noqa: ANN401  the fields of SendResult
    return SendResult(message_id=message.message_id, outcome=outcome, **facts)
