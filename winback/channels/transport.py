"""The one way out of this machine: one HTTP request, made once, and the truth about what became of it.

In: method, address, headers, body. Out: the whole answer, whatever its status. A failure before the first byte of the
request was written (name, refused connection, TLS handshake, time-out in connecting) is SendDeferred; every later one
is SendUnknown. Nothing is repeated and no redirect is followed. Must never happen: a request that may have arrived and
is called unsent, a call that outlasts its deadline, a header in a log.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NoReturn

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from winback.errors import SendDeferred, SendUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTIONS = 32
"""Kept open for each provider; more threads than that open connections of their own."""

LARGEST_ANSWER_BYTES = 1 << 20

# Vendors close idle connections after a minute or so; a request written just then would be in doubt for nothing.
_LONGEST_IDLE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class TimeOuts:
    """How long a call may take, in seconds.

    Attributes
    ----------
    connect : for each address of the host, and for the TLS handshake
    read : without a single byte, in either direction
    whole : for everything after the name was looked up
    """

    connect: float = 5.0
    read: float = 15.0
    whole: float = 20.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a provider answered. Headers are found under any spelling."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Call(threading.local):
    """The call this thread is making."""

    ends_at: float = 0.0
    read_seconds: float = 0.0
    has_written: bool = False

    def seconds_left(self) -> float:
        """Return how long the next read or write may take.

        Raises
        ------
        TimeoutError
            If the call's time is over.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        return min(self.read_seconds, left)


_call = _Call()


class _PlainSocket(socket.socket):
    """A socket on which no peer can spin a call out by a byte now and then."""

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401  whatever the socket of the library takes
        self.settimeout(_call.seconds_left())
        return super().recv_into(*arguments)


class _SecureSocket(ssl.SSLSocket):
    """The same over TLS, where one write is many, too."""

    def recv_into(self, *arguments: Any) -> int:  # noqa: ANN401  whatever the socket of the library takes
        self.settimeout(_call.seconds_left())
        return super().recv_into(*arguments)

    def send(self, *arguments: Any) -> int:  # noqa: ANN401  whatever the socket of the library takes
        self.settimeout(_call.seconds_left())
        return super().send(*arguments)


class _Watched(HTTPConnection):
    """A connection that notes when the first byte of a request is written."""

    last_used_at: float | None = None

    def send(self, data: Any) -> None:  # noqa: ANN401  bytes or a file, as http.client has it
        """Connect where that is still to be done, then write."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_call.seconds_left())
        # From here on nobody can say that nothing has arrived.
        _call.has_written = True
        super().send(data)
        self.last_used_at = time.monotonic()

    @property
    def is_connected(self) -> bool:
        """Whether the connection can carry another request; one that was idle for long is not trusted to."""
        is_stale = self.last_used_at is not None and time.monotonic() - self.last_used_at > _LONGEST_IDLE_SECONDS
        return not is_stale and super().is_connected


class _PlainConnection(_Watched):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        watched = _PlainSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        watched.settimeout(_call.read_seconds)
        return watched


class _SecureConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Transport:
    """Connections to the providers, kept open; threads may share it.

    Parameters
    ----------
    time_outs : of one call
    context : whom to trust; default the machine's certificate authorities. Made once: reading them takes 20 ms. Its
        sockets keep to the deadline of the call
    """

    def __init__(self, *, time_outs: TimeOuts | None = None, context: ssl.SSLContext | None = None) -> None:
        self.time_outs = time_outs or TimeOuts()
        self.context = context or ssl.create_default_context()
        self.context.sslsocket_class = _SecureSocket
        # At DEBUG it would tell addresses: a listing by number carries the number.
        for logger in ("urllib3", "urllib3.connectionpool"):
            logging.getLogger(logger).setLevel(logging.WARNING)
        timeout = urllib3.Timeout(connect=self.time_outs.connect, read=self.time_outs.read)
        self._pools = urllib3.PoolManager(
            maxsize=CONNECTIONS, block=False, retries=False, timeout=timeout, ssl_context=self.context
        )
        self._pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Make one request and return the whole answer.

        Raises
        ------
        SendDeferred
            If nothing of the request was written.
        SendUnknown
            If something was, and no whole answer came.
        """
        self.begin()
        try:
            return self._answer(method, url, headers=headers, body=body)
        except (HTTPError, HTTPException, OSError) as problem:
            _fail(problem, url)

    def _answer(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> Answer:
        response = self._pools.request(
            method, url, body=body, headers=dict(headers), redirect=False, preload_content=False, decode_content=False
        )
        try:
            body = _whole_body(response)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return Answer(status=response.status, headers=response.headers, body=body)

    def begin(self) -> None:
        """Start the clock of a call of this thread: for whoever talks another protocol over ``context``."""
        _call.ends_at = time.monotonic() + self.time_outs.whole
        _call.read_seconds = self.time_outs.read
        _call.has_written = False

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._pools.clear()


def _whole_body(response: urllib3.BaseHTTPResponse) -> bytes:
    kept = bytearray()
    while part := response.read(65_536):
        kept += part
        if len(kept) > LARGEST_ANSWER_BYTES:
            raise HTTPException(f"the answer is larger than {LARGEST_ANSWER_BYTES} bytes")
    return bytes(kept)


def _fail(problem: Exception, url: str) -> NoReturn:
    """Say what is known; the kind of the failure only, as its text may repeat the request."""
    host = urllib3.util.parse_url(url).host
    kind = type(getattr(problem, "__cause__", None) or problem).__name__
    if _call.has_written:
        raise SendUnknown(f"no whole answer from {host} ({kind}): the request may have been carried out") from None
    raise SendDeferred(f"{host} could not be reached ({kind}): nothing was sent") from None
