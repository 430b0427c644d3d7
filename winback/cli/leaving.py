"""A process that is asked to go finishes what it has begun.

Only a process's main thread may listen to signals, so that is where this is used.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def leaving_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM or SIGINT sets; a second signal does what it usually does."""
    leaving = threading.Event()
    usual = {number: signal.getsignal(number) for number in _SIGNALS}

    def leave(number: int, _frame: object) -> None:
        leaving.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, leave)
    try:
        yield leaving
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
