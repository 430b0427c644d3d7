"""Ask for the addresses of machines, and wait for so long and no longer: the system's own look-up knows no time-out.

In: names. Out: those that could not be found, and why. Must never happen: a question that waits for a name server.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST_SECONDS = 5.0


def unresolved(
    hosts: Sequence[str],
    *,
    longest_seconds: float = LONGEST_SECONDS,
    look_up: Callable[[str, int | None], object] = socket.getaddrinfo,
) -> dict[str, str]:
    """Return the names that could not be found in time, and why.

    Parameters
    ----------
    hosts : names or addresses of machines
    longest_seconds : for all of them together
    look_up : returns, or raises OSError
    """
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def ask(host: str) -> None:
        try:
            look_up(host, None)
        except (OSError, UnicodeError) as problem:
            answers.put((host, f"cannot be found ({type(problem).__name__})"))
        else:
            answers.put((host, ""))

    for host in hosts:
        # A daemon: a look-up cannot be called off, and nobody waits for it at the end.
        threading.Thread(target=ask, args=(host,), daemon=True, name=f"look up {host}").start()
    found: dict[str, str] = {}
    ends_at = time.monotonic() + longest_seconds
    while len(found) < len(set(hosts)):
        try:
            host, fault = answers.get(timeout=max(0.0, ends_at - time.monotonic()))
        except queue.Empty:
            break
        found[host] = fault
    late = f"was not found within {longest_seconds:g} s"
    return {host: found.get(host, late) for host in sorted(set(hosts)) if found.get(host, late)}
