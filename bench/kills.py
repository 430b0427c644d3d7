"""Senders that are killed, paused and robbed of their database, until thousands of faults landed in mid-run.

The senders are processes of their own that run ``winback.night.deliver`` whole against the doubles of the vendors; what
left is told by the vendors' log alone (:mod:`bench.killing`). On SQLite and, where there are programs for it, on a
PostgreSQL of its own; both at once, as a kill is mostly waiting.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.killing import campaign
from bench.killing.postgres import own_server
from bench.killing.vendors import vendors
from bench.killing.wishes import DATABASE_STOPPED, KINDS, Ground, Wish, everything

if TYPE_CHECKING:
    from bench.killing.campaign import Sum

DATABASE_STOPS = 20
_FIRST_STOP = 40_000


def run(*, customers: int = 550, events_per_customer: int = 0, repetitions: int = 3000) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of messages a trial, ``repetitions`` the kills on each database."""
    del events_per_customer  # messages have no events
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as both:
        begun = {
            name: both.submit(lane, customers, repetitions) for name, lane in (("sqlite", _sqlite), ("postgresql", _pg))
        }
        ended = {name: future.result() for name, future in begun.items()}
    found = {name: None if total is None else total.told() for name, total in ended.items()}
    return {"case": "kills", "kinds": [*KINDS, DATABASE_STOPPED], **found}


def _sqlite(messages: int, landed: int) -> Sum:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        double = stack.enter_context(vendors(folder))
        fresh = stack.enter_context(campaign.sqlite_ledgers(folder))
        return campaign.run(Ground(folder / "project", double, fresh), _killed(messages), landed=landed)


def _pg(messages: int, landed: int) -> Sum | None:
    """Kill senders on PostgreSQL, then stop PostgreSQL itself; None where there are no programs for it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(own_server())
        if server is None:
            return None
        double = stack.enter_context(vendors(folder))
        fresh = stack.enter_context(campaign.postgres_ledgers(server.url))
        ground = Ground(folder / "project", double, fresh, server)
        texts = messages // 4
        kills = campaign.run(ground, _killed(messages), landed=landed)

        def stopped(number: int) -> Wish:
            return Wish(number=number, mails=messages - texts, texts=texts, kinds=(DATABASE_STOPPED,))

        return kills + campaign.run(ground, stopped, landed=min(landed, DATABASE_STOPS), first=_FIRST_STOP)


def _killed(messages: int) -> partial[Wish]:
    texts = messages // 4
    return partial(everything, mails=messages - texts, texts=texts)
