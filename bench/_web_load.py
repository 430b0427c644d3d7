"""Processes that serve, and people who ask them: what `bench/web.py` measures with."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
CONNECTIONS = 8
TIMEOUT_SECONDS = 30

# The least that answers a short link: one route, one row by its key, one redirect.
FLOOR = """
import socket, sqlite3, sys, threading
import uvicorn
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
here = threading.local()
def follow(request):
    if not hasattr(here, "ledger"):
        here.ledger = sqlite3.connect(sys.argv[1])
    query = "SELECT message_id FROM messages WHERE message_id = ?"
    found = here.ledger.execute(query, (request.path_params["code"],)).fetchone()
    return RedirectResponse(f"/l/{found[0]}", status_code=302) if found else Response(status_code=404)
app = Starlette(routes=[Route("/s/{code}", follow)])
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(f"public pages: http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None, lifespan="off")).run([listening])
"""


class Server(NamedTuple):
    """A process that serves."""

    port: int
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """What it has cost so far; Linux only, 0 elsewhere."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self, name: str = "VmRSS") -> float:
        """Return what it holds in memory now (``VmRSS``), or has held (``VmHWM``); Linux only, 0 elsewhere."""
        status = Path(f"/proc/{self.pid}/status")
        return int(status.read_text().split(f"{name}:")[1].split()[0]) / 1024 if status.exists() else 0.0


@contextmanager
def serving(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Start a Python program that says where its public pages are; end it afterwards.

    Raises
    ------
    RuntimeError
        If it ends before it says so.
    """
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=dict(environment),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        said: list[str] = []
        try:
            for line in process.stderr or ():
                said.append(line)
                if line.startswith("public pages: "):
                    break
            else:
                raise RuntimeError(f"the pages did not start: {''.join(said)[-2000:]}")
            # Whatever else it says must not fill the pipe.
            reading = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
            reading.start()
            yield Server(int(said[-1].rpartition(":")[2]), process.pid)
            process.terminate()
            reading.join(TIMEOUT_SECONDS)
        finally:
            process.terminate()


class Timings(NamedTuple):
    """How long answers took, in milliseconds from when each was due; ``late`` of that the asker was late itself."""

    answers: int
    p50: float
    p99: float
    longest: float
    late_p99: float

    @classmethod
    def of(cls, waited: Sequence[float], late: Sequence[float]) -> Timings:
        """Return what some seconds come to."""
        p50, p99 = np.percentile(waited, [50, 99]) * 1000
        late_p99 = float(np.percentile(late, 99)) * 1000
        return cls(len(waited), round(p50, 2), round(p99, 2), round(max(waited) * 1000, 2), round(late_p99, 2))


def ask(server: Server, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> int:
    """Ask on a connection of its own, as people do, and return the status."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"Content-Length: {len(body)}"] if body else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with socket.create_connection((LOOPBACK, server.port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer[9:12])


class People(threading.Thread):
    """People who come one after the other, each on a connection of their own, at a steady pace.

    Parameters
    ----------
    once : makes one request; raises where the answer is not the right one
    every_seconds : from one to the next
    """

    def __init__(self, once: Callable[[], None], *, every_seconds: float) -> None:
        super().__init__(daemon=True)
        self._once, self._every_seconds = once, every_seconds
        self._is_over = threading.Event()
        self._waited: list[float] = []
        self._late: list[float] = []
        self._problem: Exception | None = None

    def run(self) -> None:
        """Come until it is over."""
        due = time.perf_counter()
        while not self._is_over.wait(max(0.0, due - time.perf_counter())):
            # From when it was due: a server that stops for a while is not met once only.
            self._late.append(max(0.0, time.perf_counter() - due))
            try:
                self._once()
            except Exception as problem:  # noqa: BLE001  kept, and raised again by timings(): in a thread it would be lost
                self._problem = problem
                return
            self._waited.append(time.perf_counter() - due)
            due += self._every_seconds

    def timings(self) -> Timings:
        """End, and return how long the answers took."""
        self._is_over.set()
        self.join()
        if self._problem is not None:
            raise self._problem
        return Timings.of(self._waited, self._late)


def requests_per_second(server: Server, paths: Sequence[str], *, count: int) -> tuple[float, float]:
    """Ask for pages as fast as a few connections can; return requests a wall second, and the server's CPU seconds.

    Raises
    ------
    RuntimeError
        If one is not redirected.
    """
    cpu, begun = server.cpu_seconds, time.perf_counter()
    asyncio.run(_hammer(server.port, paths, count))
    wall = time.perf_counter() - begun
    return count / wall, server.cpu_seconds - cpu


async def _hammer(port: int, paths: Sequence[str], count: int) -> None:
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in paths]

    async def one(first: int) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        for number in range(first, count, CONNECTIONS):
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 302 " not in head[:20]:
                raise RuntimeError(f"expected a redirect: {head[:60]!r}")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    await asyncio.gather(*(one(first) for first in range(CONNECTIONS)))
