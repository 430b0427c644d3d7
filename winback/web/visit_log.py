"""Noting who followed a link, behind the answer and never before it.

In: visits, as they are served. Out: rows, a second later, written by one thread in a few transactions. A redirect never
waits for the ledger's one writer, which may be a sender at work. Visits are statistics and may be lost: when the
process is killed (what came within the last second), or when the ledger takes no writes for so long that no more fit
into memory; both are better than a slow link. What a person *does* is committed before it is answered, and is not
written here. Must never happen: a visit that delays its answer, memory that grows with visits.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from winback.errors import StoreError
from winback.ledger import visits
from winback.ledger.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from starlette.requests import Request

    from winback.core.visit_verdicts import Link
    from winback.ledger.engine import Ledger

EVERY_SECONDS = 1.0
MOST_WAITING = 20_000
"""About 10 MiB."""
MOST_AT_ONCE = 500

_LOG = logging.getLogger("winback.web")
_NOBODY_ASKED = ("prefetch", "prerender", "preview")
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")


def visit_of(request: Request, message_id: str, link: Link, *, now: datetime) -> Visit:
    """Return what is kept of a request: the address and the agent cut, nothing else of its headers.

    Parameters
    ----------
    message_id, link : where it went
    now : aware
    """
    headers = request.headers
    said = " ".join(headers.get(name, "") for name in _PURPOSES).lower()
    return Visit(
        visit_id=secrets.token_hex(16),
        message_id=message_id,
        link=link.value,
        source="pages",
        seen_at=now,
        network=visits.network_of(request.client.host if request.client else ""),
        agent=visits.short_agent(headers.get("user-agent", "")),
        method=request.method,
        is_prefetch=any(word in said for word in _NOBODY_ASKED),
    )


class VisitLog:
    """Visits that wait to be written.

    Parameters
    ----------
    ledger : open
    most_waiting : visits; more are not noted, and counted

    Attributes
    ----------
    lost : visits that were not noted
    """

    def __init__(self, ledger: Ledger, *, most_waiting: int = MOST_WAITING) -> None:
        self._ledger, self._most = ledger, most_waiting
        self._waiting: deque[Visit] = deque()
        self.lost = 0

    def note(self, visit: Visit) -> None:
        """Take a visit; returns at once."""
        if len(self._waiting) < self._most:
            self._waiting.append(visit)
        else:
            self.lost += 1

    def flush(self) -> None:
        """Write everything that waits.

        Raises
        ------
        StoreError
            If the ledger takes no writes; what waits goes on waiting.
        """
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
            try:
                with self._ledger.writing() as connection:
                    visits.store(connection, some)
            except StoreError:
                self._waiting.extendleft(reversed(some))
                raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write what waits every second until the block ends, and what is left then."""
        leaving = threading.Event()
        thread = threading.Thread(target=self._write_until, args=(leaving,), name="visits", daemon=True)
        thread.start()
        try:
            yield
        finally:
            leaving.set()
            thread.join()

    def _write_until(self, leaving: threading.Event) -> None:
        told = 0
        is_left = False
        while not is_left:
            is_left = leaving.wait(EVERY_SECONDS)
            try:
                self.flush()
            except StoreError as problem:
                # Tried again in a second; how many were lost for good is said below.
                _LOG.warning("%d visits wait to be written: %s", len(self._waiting), problem)
            except Exception:  # noqa: BLE001  a fault in these rows must not end the noting of all later ones
                _LOG.exception("some visits could not be written, and are lost")
            lost = self.lost + (len(self._waiting) if is_left else 0)
            if lost > told:
                _LOG.warning("%d visits were not noted: the ledger took no writes for too long", lost - told)
                told = lost
