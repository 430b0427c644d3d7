"""Serving apps over HTTP until the process is asked to go.

In: apps with their addresses. Out: nothing, when they were told to stop and what was under way is finished. Sockets are
bound before anything is served, so that a port in use is an error with a sentence. Must never happen: a connection that
is held open by somebody who never finishes a request, or an address with a token in a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from winback.errors import WinbackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import ASGIApp

LOOPBACK = "127.0.0.1"
HEAD_SECONDS = 10.0
"""So long a request's first line and headers may take; its body has its own bound."""
FINISHING_SECONDS = 10
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Served(NamedTuple):
    """One app and where it listens; port 0 takes a free one."""

    name: str
    app: ASGIApp
    host: str
    port: int
    trusted_proxies: Sequence[str] = ()


def serve(apps: Sequence[Served], *, ready: Callable[[dict[str, str]], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished.

    Parameters
    ----------
    apps : to serve side by side
    ready : told the address of each app by its name, once all of them listen

    Raises
    ------
    WinbackError
        If a port cannot be had.
    """
    with contextlib.ExitStack() as stack:
        listening = [(one, stack.enter_context(listen(one))) for one in apps]
        asyncio.run(_serve(listening, ready))


async def _serve(listening: Sequence[tuple[Served, socket.socket]], ready: Callable[[dict[str, str]], None]) -> None:
    servers = [_Server(_config(one)) for one, _ in listening]
    loop = asyncio.get_running_loop()

    def leave() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    serving = [asyncio.create_task(server.serve([sock])) for server, (_, sock) in zip(servers, listening, strict=True)]
    # Whoever connects from here on is served, because the sockets listen.
    ready({one.name: f"http://{one.host}:{sock.getsockname()[1]}" for one, sock in listening})
    await asyncio.gather(*serving)


def _config(one: Served) -> uvicorn.Config:
    return uvicorn.Config(
        one.app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        access_log=False,  # it would write down every token
        log_config=None,
        server_header=False,
        proxy_headers=bool(one.trusted_proxies),
        forwarded_allow_ips=list(one.trusted_proxies),
        timeout_graceful_shutdown=FINISHING_SECONDS,
    )


@contextlib.contextmanager
def listen(one: Served) -> Iterator[socket.socket]:
    """Yield a socket that listens where an app is to be served.

    Raises
    ------
    WinbackError
        If the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in one.host else socket.AF_INET
    # asyncio sends small answers at once only on sockets that say they are TCP; on others each page waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((one.host, one.port))
        except OSError as problem:
            what = f"{one.host}:{one.port} cannot be listened on: {problem.strerror}. Name another port for {one.name}"
            raise WinbackError(what) from problem
        sock.listen()
        yield sock


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever serves several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PatientProtocol(H11Protocol):
    """HTTP with a bound on how long a request's head may take; uvicorn itself waits for ever."""

    head_seconds = HEAD_SECONDS
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn has it so, too
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Go on with what has arrived; half a head must be whole in time."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None and not self.transport.is_closing() and self.conn.trailing_data[0]:
            self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.write(_TIMED_OUT)
            self.transport.close()
