"""Deliver what is due, channel by channel. Imports neither pandas nor Prefect; many may run at once.

In: planned messages in the ledger. Out: each claimed one in a named state. The claim commits before anything is handed
over, and the hand-over is one call outside any transaction (:mod:`winback.night.lane`). Must never happen: a message
handed over twice, or one left behind by a dead sender that nobody finds.
"""

from __future__ import annotations

import gc
import math
import os
import secrets
import socket
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from winback.channels.outbox_pages import write_pages
from winback.channels.registry import open_channels, outbox_of
from winback.errors import GuardRefused, StoreUnavailable
from winback.ledger import epochs, queue, receipts
from winback.night.check import load_programmes
from winback.night.compose import Composer
from winback.night.evidence import accept_proven
from winback.night.lane import Lane
from winback.night.terms import budget_of, gate_terms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from winback.ledger.engine import Ledger
    from winback.settings import Project

_RARE_COLLECTIONS = 50_000, 50, 100


def deliver(
    project: Project,
    ledger: Ledger,
    *,
    now: datetime,
    at_most: int | None = None,
    write_outbox_pages: bool = True,
    leaving: threading.Event | None = None,
) -> dict[str, int]:
    """Send everything that is due, and return how many messages ended how.

    Parameters
    ----------
    project, ledger : opened
    now : aware; what is due by then is sent. A live delivery goes on from it with the clock
    at_most : look at so many messages and leave the others; None looks at all that are due
    write_outbox_pages : also bring ``var/outbox/index.html`` up to date
    leaving : set from outside when the process has to go: calls in flight are finished, nothing else is begun

    Returns
    -------
    ``accepted``, ``rejected``, ``deferred``, ``unknown``: outcomes of calls; ``refused``: what the gate kept back. Only
    those that occurred

    Raises
    ------
    PolicyError, TemplateError, SettingsError
        If the project is not sound; nothing was claimed.
    GuardRefused
        If the red button is pressed, or a channel had to stop; what was claimed before has been recorded. If this
        database is an older copy of the one that sent last; nothing was claimed.
    StoreUnavailable
        If the ledger cannot be used, or forgot that this sender is alive; the rest stays planned.
    """
    sender = Sender(project, ledger, now=now, at_most=at_most, leaving=leaving or threading.Event())
    with ledger.lock(sender.owner, is_used_once=True):
        # Refused in a database that has forgotten what was sent, before anything is claimed.
        epochs.open_for_sending(ledger, epochs.twin_file(ledger, project.var), now=now, by=sender.owner)
        sender.bury_the_dead()
        try:
            sender.drain()
        finally:
            if write_outbox_pages and sender.counts[queue.Outcome.ACCEPTED.value]:
                write_local_pages(project)
    if sender.is_stopped:
        raise GuardRefused("sending is stopped: `winback resume --reason …` lets it go on")
    if sender.halted:
        raise GuardRefused("; ".join(f"{name}: {why}" for name, why in sorted(sender.halted.items())))
    return dict(sender.counts)


def write_local_pages(project: Project) -> None:
    """Bring the pages of the local outbox up to date."""
    try:
        write_pages(outbox_of(project))
    except OSError as problem:
        what = f"the messages are in the outbox, but its pages cannot be written: {problem}"
        raise StoreUnavailable(what) from problem


class Watch:
    """What time it is for a delivery: it runs where messages leave, and stands where a night of the past is lived."""

    def __init__(self, now: datetime, *, is_running: bool) -> None:
        self._begun_at, self._begun_seconds, self._is_running = now, time.monotonic(), is_running

    def now(self) -> datetime:
        """Return the instant."""
        passed = time.monotonic() - self._begun_seconds if self._is_running else 0.0
        return self._begun_at + timedelta(seconds=passed)

    def seconds(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


class Sender:
    """One process that sends, known to others by the lock ``owner``."""

    def __init__(
        self, project: Project, ledger: Ledger, *, now: datetime, at_most: int | None, leaving: threading.Event
    ) -> None:
        self.project, self.ledger, self.leaving = project, ledger, leaving
        self.left = math.inf if at_most is None else at_most
        self.owner = f"sender-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.is_live = project.config.live
        self.watch = Watch(now, is_running=self.is_live)
        self.counts: Counter[str] = Counter()
        self.is_stopped = False
        self.halted: dict[str, str] = {}
        self.channels = open_channels(project)
        # The vendors' packages are a large heap that never changes: looked through again and again, a mail costs 87
        # CPU µs instead of 37.
        gc.freeze()
        # Of a claim of 200 next to nothing lives on: looked for after each 700 objects, it was a tenth of the time.
        gc.set_threshold(*_RARE_COLLECTIONS)
        programmes = load_programmes(project.root)
        self.composer = Composer(project, programmes, key=ledger.pepper)
        self.budget = budget_of(project)
        with ledger.reading() as connection:
            self.terms = gate_terms(connection, project, programmes)

    @property
    def today(self) -> date:
        """The business day."""
        return self.project.business_date(self.watch.now())

    def require_lock(self) -> None:
        """Go on only while others can see that this sender is alive.

        Raises
        ------
        StoreUnavailable
            If the lock is gone, as it is after PostgreSQL was restarted: a sender taken for dead must not claim.
        """
        if not self.ledger.is_locked(self.owner):
            raise StoreUnavailable(f"the lock of {self.owner} was lost with its database: run `winback deliver` again")

    def bury_the_dead(self) -> None:
        """Call unknown what dead senders left, then settle by evidence what the local outbox holds after all."""
        with self.ledger.writing() as connection:
            now = self.watch.now()
            queue.recover(connection, is_alive=self.ledger.is_locked, now=now)
            # A message that was planned anew after a backup was put back may have been reported on long ago.
            receipts.settle_pending(connection, now=now, today=self.today, pepper=self.ledger.pepper)
        accept_proven(self.ledger, outbox_of(self.project).reconcile, now=now)

    def drain(self) -> None:
        """Send until nothing is due on any channel, or the red button is pressed."""
        rates = self._rates()
        for name, channel in self.channels.items():
            if self.is_stopped or self.leaving.is_set() or self.left <= 0:
                break
            lane = Lane(name, channel, sender=self, per_second=rates[name])
            try:
                lane.drain()
            finally:
                self.counts.update(lane.counts)
            self.is_stopped = lane.is_stopped
            if lane.brakes.halted:
                self.halted[name] = lane.brakes.halted

    def _rates(self) -> Mapping[str, float | None]:
        configured = {name: getattr(self.project.config.channels, name) for name in self.channels}
        return {name: one.per_second if one is not None else None for name, one in configured.items()}
