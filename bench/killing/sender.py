"""A sender in a process of its own that dies at a named point; what runs in it is ``winback.night.deliver`` whole.

The points are told from outside of it: a provider around the real one, registered where providers are, and the events
of SQLAlchemy. A process is forked from one that has imported everything, so it begins to work at once; it shares no
connection, lock or file with any other.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import event

from winback.channels.registry import OPENERS
from winback.errors import WinbackError
from winback.ledger.engine import open_ledger
from winback.night.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from multiprocessing.connection import Connection as Pipe

    from sqlalchemy import Engine

    from winback.channels import Channel, OutgoingMessage, Prepared, SendResult
    from winback.settings import Project

RANDOM = "at_random"
POINTS = (
    "in_claim",
    "after_claim",
    "before_call",
    "during_call",
    "after_answer",
    "in_record",
    "after_record",
    "in_recovery",
)
CRASHED = 70
_SOON_SECONDS = 0.012
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["bench.killing.warm"])


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a sender is to do, and where it ends.

    Attributes
    ----------
    project, database_url, pepper, now : of the delivery
    point : one of POINTS where it ends itself, RANDOM where it only says that it is at work, empty to live
    number : at the how-manieth time it comes there
    is_stopped : SIGSTOP instead of SIGKILL: whoever runs it lets it go on
    share : in [0, 1), where within the call it dies
    variant : ``module:function`` that breaks the sender on purpose before it begins
    largest_file_bytes : no file may grow beyond, as on a full disk
    """

    project: Project
    database_url: str
    pepper: bytes
    now: datetime
    point: str = ""
    number: int = 1
    is_stopped: bool = False
    share: float = 0.0
    variant: str = ""
    largest_file_bytes: int | None = None


class Running:
    """A sender that was started, and what it said."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.begun_seconds = time.monotonic()
        self._has_ended = False
        self._pipe, theirs = _FORKED.Pipe(duplex=False)
        self.process = _FORKED.Process(target=work, args=(order, theirs), daemon=True)
        with _no_main_module():
            self.process.start()
        theirs.close()

    def wait_until_at_work(self, seconds: float = 30.0) -> bool:
        """Wait until it is where it was told to be; False when it ended before."""
        try:
            return self._pipe.poll(seconds) and bool(self._pipe.recv()[0] == "at")
        except EOFError:
            return False

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._has_ended or not self.process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended: a process may end between the question and the signal."""
        if not self.has_ended and self.process.pid:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def end(self, seconds: float = 60.0) -> tuple[int, dict[str, int], str]:
        """Wait for its end and return its exit code (-9: it was killed), its counts and what it complained about."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise RuntimeError(f"a sender did not end within {seconds} s: {self.order.point or 'no point'}")
        counts: dict[str, int] = {}
        problem = ""
        try:
            while self._pipe.poll():
                kind, *said = self._pipe.recv()
                counts, problem = said if kind == "ended" else (counts, problem)
        except EOFError:
            pass
        self._pipe.close()
        self._has_ended = True
        code = int(self.process.exitcode)
        self.process.close()
        if code == CRASHED:
            raise RuntimeError(problem)
        return code, counts, problem


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the main module: a process that is started imports it again, and a test runner's is larger than a sender."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def work(order: Order, pipe: Pipe) -> None:
    """Deliver, in the process of the sender."""
    if order.largest_file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_file_bytes, resource.RLIM_INFINITY))
    if order.variant:
        module, _, function = order.variant.partition(":")
        getattr(import_module(module), function)()
    points = _Points(order, pipe)
    for name in ("sendgrid", "twilio"):
        OPENERS[name] = _watched(OPENERS[name], points)
    try:
        with open_ledger(order.database_url, pepper=order.pepper) as ledger:
            points.watch(ledger.engine)
            counts = deliver(order.project, ledger, now=order.now, write_outbox_pages=False)
    except WinbackError as problem:
        pipe.send(("ended", {}, f"{type(problem).__name__}: {problem}"))
        sys.exit(problem.exit_code)
    except Exception:  # noqa: BLE001  sent to the parent process, where end() raises it
        pipe.send(("ended", {}, traceback.format_exc()))
        sys.exit(CRASHED)
    pipe.send(("ended", counts, ""))


class _Points:
    """Knows where the sender is, and ends it there."""

    def __init__(self, order: Order, pipe: Pipe) -> None:
        self.order, self.pipe, self.point = order, pipe, order.point
        self.has_sent = False
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._touched = ""

    def passed(self, point: str) -> None:
        """Note a point; this is where the process may end."""
        if not self.point:
            return
        with self._lock:
            self._seen[point] += 1
            is_here = point == self.point and self._seen[point] == self.order.number
        if self.point == RANDOM and point == "after_claim" and self._seen[point] == 1:
            self.pipe.send(("at", point))
        if is_here and point == "during_call":
            threading.Timer(self.order.share * _SOON_SECONDS, self._end).start()
        elif is_here:
            self._end()

    def _end(self) -> None:
        if self.order.is_stopped:
            self.pipe.send(("at", self.point))
        os.kill(os.getpid(), signal.SIGSTOP if self.order.is_stopped else signal.SIGKILL)

    def begin_call(self) -> None:
        """Note that a call is made; who waited for a recovery that was not needed ends after the first one."""
        if self.point == "in_recovery" and not self.has_sent:
            self.point = "after_answer"
        self.has_sent = True

    def watch(self, engine: Engine) -> None:
        """Note what transactions write, before they are committed and after."""

        def statement(_connection: object, _cursor: object, text: str, *_rest: object) -> None:
            if text.startswith("INSERT INTO attempts"):
                self._touched = "claim"
            elif text.startswith("UPDATE attempts"):
                self._touched = "record" if self.has_sent else "recovery"

        def commit(_connection: object) -> None:
            if self._touched:
                self.passed(f"in_{self._touched}")

        def checkin(_connection: object, _record: object) -> None:
            touched, self._touched = self._touched, ""
            if touched == "record":
                self.passed("after_record")

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "commit", commit)
        event.listen(engine, "checkin", checkin)


class _WatchedChannel:
    """A provider that says when it is called, and hands everything on to the real one."""

    def __init__(self, channel: Channel, points: _Points) -> None:
        self._channel, self._points = channel, points
        self.name, self.channels, self.max_batch = channel.name, channel.channels, channel.max_batch

    def prepare(self, message: OutgoingMessage) -> Prepared:
        self._points.passed("after_claim")
        return self._channel.prepare(message)

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        return self._channel.calls(batch)

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        self._points.begin_call()
        self._points.passed("before_call")
        self._points.passed("during_call")
        results = self._channel.send(batch, now=now)
        self._points.passed("after_answer")
        return results


def _watched(opener: Callable[..., Channel | None], points: _Points) -> Callable[..., Channel | None]:
    def opened(*arguments: object) -> Channel | None:
        channel = opener(*arguments)
        return None if channel is None else _WatchedChannel(channel, points)

    return opened
