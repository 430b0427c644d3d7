"""What other tools are told: a row for each event and listener, written by the transaction that made it true.

In: events, and who listens to what kind (of the open ledger). Out: rows that wait to be posted, with ids that stay the
same however often an event is noted or posted. Nothing is written where nobody listens. Imports no pandas. Must never
happen: an event that is told and did not happen, one that happened and is told to nobody, an address or a name in one.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, select

from winback.ledger import diary
from winback.ledger.connections import new_insert
from winback.ledger.control_tables import meta
from winback.ledger.outgoing_tables import outgoing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

OPTION = "winback_listeners"
"""The option of a connection that says who listens: kind of event -> names of listeners."""

RETRIES = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""How long after each failure the next attempt is due, as Standard Webhooks recommends; then it is given up."""

DISABLED_AFTER = timedelta(days=5)
"""A listener that failed for so long, without one success, is asked no more until a person says so."""

_BLOCK = 500
_MARK = "outgoing "


class Event(NamedTuple):
    """One thing that happened to a customer; ``reason`` is a value of Reason."""

    kind: str
    customer_id: str
    reason: str
    occurred_on: date
    programme: str | None = None
    cycle_no: int | None = None
    channel: str | None = None
    arm: str | None = None


class Waiting(NamedTuple):
    """One event that is to be posted to one listener."""

    event_id: str
    kind: str
    customer_id: str
    reason: str
    occurred_on: date
    programme: str | None
    cycle_no: int | None
    channel: str | None
    arm: str | None
    made_at: datetime
    attempts: int


class Posted(NamedTuple):
    """What became of one attempt; ``fault`` is empty where the listener took it."""

    event_id: str
    attempts: int
    fault: str = ""


class State(NamedTuple):
    """How a listener fares: since when nothing arrived, since when it is asked no more, and why."""

    failing_since: str = ""
    disabled_at: str = ""
    why: str = ""


_COLUMNS = [outgoing.c[name] for name in Waiting._fields]


def listeners(connection: Connection, kind: str) -> Sequence[str]:
    """Return who listens to events of a kind."""
    found: Mapping[str, Sequence[str]] = connection.get_execution_options().get(OPTION) or {}
    return found.get(kind, ())


def event_id(*parts: object) -> str:
    """Return the id of an event: the same for the same parts."""
    return (
        "msg_" + hashlib.sha256("\0".join("" if one is None else str(one) for one in parts).encode()).hexdigest()[:32]
    )


def record(connection: Connection, events: Iterable[Event], *, now: datetime) -> None:
    """Note events for all who listen; one that is noted already stays as it is.

    Parameters
    ----------
    connection : the transaction of what the events tell of
    now : aware; part of the id of an event that belongs to no cycle
    """
    rows = []
    for one in events:
        ends = [one.cycle_no] if one.cycle_no is not None else [one.channel, one.reason, now.isoformat()]
        noted = {"event_id": event_id(one.kind, one.programme, one.customer_id, *ends), "made_at": now, "due_at": now}
        names = listeners(connection, one.kind)
        rows += [{**one._asdict(), **noted, "attempts": 0, "listener": name} for name in names]
    for start in range(0, len(rows), _BLOCK):
        statement = new_insert(connection, outgoing).values(rows[start : start + _BLOCK])
        connection.execute(statement.on_conflict_do_nothing())


def due(connection: Connection, listener: str, *, now: datetime, at_most: int) -> list[Waiting]:
    """Return what is to be posted to a listener now, the longest due first."""
    query = select(*_COLUMNS).where(outgoing.c.listener == listener, outgoing.c.due_at <= now)
    found = connection.execute(query.order_by(outgoing.c.due_at, outgoing.c.event_id).limit(at_most))
    return [Waiting(*row) for row in found]


def record_posts(connection: Connection, listener: str, posts: Sequence[Posted], *, now: datetime) -> int:
    """Note what became of attempts; return how many events are given up by it."""
    rows = []
    for post in posts:
        is_over = not post.fault or post.attempts > len(RETRIES)
        rows.append(
            {
                "of": post.event_id,
                "tries": post.attempts,
                "next": None if is_over else now + RETRIES[post.attempts - 1],
                "taken": None if post.fault else now,
                "gone": now if post.fault and is_over else None,
                "said": post.fault or None,
            }
        )
    change = outgoing.update().where(outgoing.c.listener == listener, outgoing.c.event_id == bindparam("of"))
    names = {"attempts": "tries", "due_at": "next", "delivered_at": "taken", "given_up_at": "gone", "fault": "said"}
    if rows:
        connection.execute(change.values({name: bindparam(key) for name, key in names.items()}), rows)
    return sum(row["gone"] is not None for row in rows)


def give_up_strangers(connection: Connection, known: Collection[str], *, now: datetime) -> int:
    """Give up what waits for listeners that winback.yaml names no more; return how many events that were."""
    change = outgoing.update().where(outgoing.c.due_at.is_not(None), outgoing.c.listener.not_in(known))
    values = {"due_at": None, "given_up_at": now, "fault": "winback.yaml names this listener no more"}
    return int(connection.execute(change.values(values)).rowcount)


def count_waiting(connection: Connection) -> dict[str, int]:
    """Return how many events are still to be told, by listener."""
    query = select(outgoing.c.listener, func.count()).where(outgoing.c.due_at.is_not(None))
    return dict(connection.execute(query.group_by(outgoing.c.listener)).tuples().all())


def count_given_up(connection: Connection) -> dict[str, int]:
    """Return how many events no attempt is made for any more, by listener; as long as they are kept."""
    query = select(outgoing.c.listener, func.count()).where(outgoing.c.given_up_at.is_not(None))
    return dict(connection.execute(query.group_by(outgoing.c.listener)).tuples().all())


def state(connection: Connection, listener: str) -> State:
    """Return how a listener fares."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _MARK + listener))
    return State(**json.loads(found)) if found else State()


def note_run(
    connection: Connection, listener: str, *, is_well: bool, fault: str, is_gone: bool, now: datetime
) -> State:
    """Keep how a listener fared in one run; return its state: asked no more where it is gone, or failed for too long.

    Parameters
    ----------
    is_well : something arrived
    fault : the last one
    is_gone : it said that it wants nothing any more (410)
    """
    before = state(connection, listener)
    failing_since = "" if is_well else before.failing_since or now.isoformat()
    has_failed_long = bool(failing_since) and failing_since <= (now - DISABLED_AFTER).isoformat()
    if is_gone or has_failed_long:
        why = "it said that it is gone (410)" if is_gone else f"nothing has arrived since {failing_since}: {fault}"
        after = State(failing_since, now.isoformat(), why)
        told = {"why": why}
        diary.record(connection, at=now, actor="settle", action="disable", subject=f"hook {listener}", after=told)
    else:
        after = State(failing_since, "", fault if failing_since else "")
    if after != before:
        _keep(connection, listener, after)
    return after


def resume(connection: Connection, listener: str, *, by: str, reason: str, now: datetime) -> int:
    """Ask a listener again, from now on and for all that is kept; return how many events wait for it."""
    mine = outgoing.c.listener == listener, outgoing.c.delivered_at.is_(None)
    again = outgoing.update().where(*mine).values(due_at=now, attempts=0, given_up_at=None)
    waiting = int(connection.execute(again).rowcount)
    _keep(connection, listener, State())
    after = {"reason": reason, "waiting": waiting}
    diary.record(connection, at=now, actor=by, action="resume", subject=f"hook {listener}", after=after)
    return waiting


def forget(connection: Connection, customer_id: str) -> int:
    """Delete every event about a customer, told or not; return how many there were."""
    return int(connection.execute(outgoing.delete().where(outgoing.c.customer_id == customer_id)).rowcount)


def drop(connection: Connection, *, before: datetime) -> int:
    """Delete the events noted before an instant, told or not; return how many there were."""
    return int(connection.execute(outgoing.delete().where(outgoing.c.made_at < before)).rowcount)


def _keep(connection: Connection, listener: str, value: State) -> None:
    text: dict[str, Any] = {"value": json.dumps(value._asdict())}
    statement = new_insert(connection, meta).values(key=_MARK + listener, **text)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=text))
