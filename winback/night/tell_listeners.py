"""Tell other tools what happened: post what waits, note what became of it, ask nobody again too soon.

In: a project, its ledger, the present instant. Out: counts, and what a person has to look at. An event is posted first
and noted as told afterwards: whoever dies in between tells it again, with the same id. Imports neither pandas nor
Prefect. Must never happen: a listener that is slow or away and holds up another, or an event that ends unseen.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import orjson
from sqlalchemy import select

from winback.channels.outgoing_hooks import FAULT_OF_GONE, Hook, open_hooks, post
from winback.errors import StoreBusy
from winback.ledger import outgoing
from winback.ledger.listed import among
from winback.ledger.night_tables import steps
from winback.ledger.outgoing import Posted, State, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.channels.transport import Transport
    from winback.ledger.engine import Ledger
    from winback.settings import Project

AT_ONCE = 8
"""So many events of one listener are on their way together, and so many are told again if this process dies."""

LONGEST_SECONDS = 60.0
"""For each listener in one run; what is left waits for the next."""

LOCK = "hooks"


class Told(NamedTuple):
    """What one run came to.

    Attributes
    ----------
    delivered, failed : attempts
    given_up : events that no attempt is made for any more
    waiting : events that are still to be told
    warnings : what a person has to look at
    """

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    waiting: int = 0
    warnings: tuple[str, ...] = ()


class _Run(NamedTuple):
    """What became of one listener's events, and how it fares."""

    delivered: int
    failed: int
    given_up: int
    state: State


def tell_listeners(project: Project, ledger: Ledger, *, now: datetime, transport: Transport | None = None) -> Told:
    """Post what is due, each listener in a thread of its own.

    Parameters
    ----------
    transport : to the listeners; default one of its own
    """
    try:
        with ledger.lock(LOCK):
            return _tell(project, ledger, now=now, transport=transport)
    except StoreBusy as busy:
        return Told(warnings=(f"other tools are not told now: {busy}",))


def _tell(project: Project, ledger: Ledger, *, now: datetime, transport: Transport | None) -> Told:
    known = [one.name for one in project.config.hooks.outgoing]
    with ledger.reading() as connection:
        counts = outgoing.count_waiting(connection)
    strangers = sum(count for name, count in counts.items() if name not in known)
    if strangers:
        with ledger.writing() as connection:
            strangers = outgoing.give_up_strangers(connection, known, now=now)
    hooks, faults = open_hooks(project)
    waiting = [hook for hook in hooks if counts.get(hook.name)]
    runs = _run_all(ledger, waiting, now=now, transport=transport) if waiting else {}
    warnings = [str(fault) for fault in faults]
    if strangers:
        warnings.append(f"{strangers:,} events were for hooks that winback.yaml names no more: they are given up")
    warnings += [words for name, run in runs.items() if (words := _words(name, run))]
    with ledger.reading() as connection:
        left = sum(outgoing.count_waiting(connection).values())
    return Told(
        delivered=sum(run.delivered for run in runs.values()),
        failed=sum(run.failed for run in runs.values()),
        given_up=strangers + sum(run.given_up for run in runs.values()),
        waiting=left,
        warnings=tuple(warnings),
    )


def _words(name: str, run: _Run) -> str:
    if run.state.disabled_at:
        return f"hook {name} is asked no more: {run.state.why}. Mend it, then: winback resume --hook {name} --reason …"
    if run.given_up:
        return f"hook {name}: {run.given_up:,} events are given up after {len(outgoing.RETRIES) + 1} attempts each"
    return ""


def _run_all(ledger: Ledger, hooks: Sequence[Hook], *, now: datetime, transport: Transport | None) -> dict[str, _Run]:
    from winback.channels.transport import TimeOuts, Transport  # noqa: PLC0415  only who has something to tell loads it

    way_out = transport or Transport(time_outs=TimeOuts(connect=5, read=10, whole=15))
    try:
        with ThreadPoolExecutor(len(hooks)) as threads:
            begun = {hook.name: threads.submit(_run, ledger, hook, way_out, now) for hook in hooks}
            return {name: one.result() for name, one in begun.items()}
    finally:
        if transport is None:
            way_out.close()


def _run(ledger: Ledger, hook: Hook, transport: Transport, now: datetime) -> _Run:
    """Post what is due to one listener, until nothing is, nothing of it arrives, or its time is over."""
    with ledger.reading() as connection:
        state = outgoing.state(connection, hook.name)
    if state.disabled_at:
        return _Run(0, 0, 0, state)
    delivered = failed = given_up = 0
    fault = ""
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while (spent := time.monotonic() - started) < LONGEST_SECONDS:
            at = now + timedelta(seconds=spent)
            posts = _post_some(ledger, hook, transport, threads, now=now, at=at)
            with ledger.writing() as connection:
                given_up += outgoing.record_posts(connection, hook.name, posts, now=at)
            faults = [one.fault for one in posts if one.fault]
            delivered += len(posts) - len(faults)
            failed += len(faults)
            fault = FAULT_OF_GONE if FAULT_OF_GONE in faults else (faults or [fault])[-1]
            if len(faults) == len(posts) or fault == FAULT_OF_GONE:
                break
    if delivered or failed:
        is_gone = fault == FAULT_OF_GONE
        with ledger.writing() as connection:
            state = outgoing.note_run(
                connection, hook.name, is_well=delivered > 0, fault=fault, is_gone=is_gone, now=now
            )
    return _Run(delivered, failed, given_up, state)


def _post_some(
    ledger: Ledger, hook: Hook, transport: Transport, threads: ThreadPoolExecutor, *, now: datetime, at: datetime
) -> list[Posted]:
    """Post the next few events together; return what became of each, nothing where none is due."""
    with ledger.reading() as connection:
        some = outgoing.due(connection, hook.name, now=now, at_most=AT_ONCE)
        stories = _stories(connection, some)
    calls = [
        threads.submit(post, hook, transport, event_id=one.event_id, body=payload(one, story), at=at)
        for one, story in zip(some, stories, strict=True)
    ]
    return [Posted(one.event_id, one.attempts + 1, call.result()) for one, call in zip(some, calls, strict=True)]


def payload(event: Waiting, story: Sequence[dict[str, object]] = ()) -> bytes:
    """Return an event as it is posted: ids, reasons and days, no name and no address.

    Parameters
    ----------
    story : of a sunset: the steps that were taken before, with channel and day
    """
    data: dict[str, object] = {
        "customer_id": event.customer_id,
        "programme": event.programme,
        "cycle": event.cycle_no,
        "channel": event.channel,
        "arm": event.arm,
        "reason": event.reason,
        "on": event.occurred_on.isoformat(),
        "steps": list(story) or None,
    }
    known = {name: value for name, value in data.items() if value is not None}
    return orjson.dumps({"type": event.kind, "timestamp": event.made_at.isoformat(), "data": known})


def _stories(connection: Connection, events: Sequence[Waiting]) -> list[list[dict[str, object]]]:
    """Return what each sunset came after; nothing for other events."""
    ended = {one.customer_id for one in events if one.kind == "sunset"}
    taken: dict[tuple[str | None, str, int | None], list[dict[str, object]]] = {}
    if ended:
        names = "programme", "customer_id", "cycle_no", "step", "channel", "taken_on"
        query = select(*(steps.c[name] for name in names)).where(among(steps.c.customer_id)).order_by(steps.c.step)
        for row in connection.execute(query, {"these": sorted(ended)}):
            one = {"step": row.step, "channel": row.channel, "on": row.taken_on.isoformat()}
            taken.setdefault((row.programme, row.customer_id, row.cycle_no), []).append(one)
    keys = [(one.programme, one.customer_id, one.cycle_no) if one.kind == "sunset" else None for one in events]
    return [taken.get(key, []) if key else [] for key in keys]
