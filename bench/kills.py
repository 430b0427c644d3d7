"""Senders that are killed, paused and robbed of their database, until thousands of faults landed in mid-run.

The senders are processes of their own that run ``winback.night.deliver`` whole against the doubles of the vendors; what
left is told by the vendors' log alone (:mod:`bench.killing`). On SQLite, and on PostgreSQL where there is one.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.killing import campaign
from bench.killing.postgres import own_server
from bench.killing.trial import DATABASE_STOPPED, KINDS, Ground, Wish
from bench.killing.vendors import vendors

DATABASE_STOPS = 20


def run(*, customers: int = 550, events_per_customer: int = 0, repetitions: int = 3000) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of messages a trial, ``repetitions`` the kills on each database."""
    del events_per_customer  # messages have no events
    texts = customers // 4

    def killed(number: int) -> Wish:
        return Wish(number=number, mails=customers - texts, texts=texts)

    def stopped(number: int) -> Wish:
        return Wish(number=number, mails=customers - texts, texts=texts, kinds=(DATABASE_STOPPED,))

    found: dict[str, Any] = {"case": "kills", "kinds": [*KINDS, DATABASE_STOPPED]}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        double = stack.enter_context(vendors(folder))
        fresh = stack.enter_context(campaign.sqlite_ledgers(folder))
        ground = Ground(folder / "project", double, fresh)
        found["sqlite"] = campaign.run(ground, killed, landed=repetitions).told()
        server = stack.enter_context(own_server())
        if server is None:
            return {**found, "postgresql": None, "database_stops": None}
        fresh = stack.enter_context(campaign.postgres_ledgers(server.url))
        ground = Ground(folder / "project", double, fresh, server)
        found["postgresql"] = campaign.run(ground, killed, landed=repetitions, first=40_000).told()
        stops = min(repetitions, DATABASE_STOPS)
        found["database_stops"] = campaign.run(ground, stopped, landed=stops, first=80_000).told()
    return found
