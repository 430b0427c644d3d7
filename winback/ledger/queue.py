"""The outbox: the states of a message, and what became of those that were claimed.

In: results of calls, and the news that a sender died. Out: states that move forward only. Must never happen: a message
that leaves the table without a named state, a posted message that goes back to planned because nobody knows what
became of it.

A sender claims (:mod:`winback.ledger.claims`), posts outside any transaction, and then records the results. It holds
the lock of its own name (``ledger.lock(owner)``) while it lives, so that others can tell whether it has died.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, select

from winback.ledger import spending
from winback.ledger.listed import among
from winback.ledger.message_tables import attempts, messages
from winback.ledger.spending import Priced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection, Row


class MessageState(StrEnum):
    """Where a message is. Every message is in exactly one of these, for ever."""

    PLANNED = "planned"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    UNDELIVERED = "undelivered"
    DROPPED = "dropped"
    UNKNOWN = "unknown"
    ABANDONED = "abandoned"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    HELD = "held"


class Outcome(StrEnum):
    """What one call said about one message."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"  # provably not accepted: may be tried again
    UNKNOWN = "unknown"


class Result(NamedTuple):
    """What became of one claimed message."""

    message_id: str
    attempt_no: int
    outcome: Outcome
    provider: str
    provider_id: str | None = None
    error: str | None = None
    not_before_at: datetime | None = None
    segments: int | None = None
    cost: float | None = None


_TRANSITIONS: Mapping[Outcome, tuple[MessageState, frozenset[str]]] = {
    # The only sender that posted this attempt knows better than whoever took it for dead ...
    Outcome.ACCEPTED: (MessageState.ACCEPTED, frozenset({"sending", "unknown"})),
    Outcome.REJECTED: (MessageState.REJECTED, frozenset({"sending", "unknown"})),
    # ... but no machine takes a message out of unknown to send it again.
    Outcome.DEFERRED: (MessageState.PLANNED, frozenset({"sending"})),
    Outcome.UNKNOWN: (MessageState.UNKNOWN, frozenset({"sending"})),
}


_HELD = (
    select(*(messages.c[name] for name in ("message_id", "state", "attempts", "owner", "as_of", "reserved_cost")))
    .where(among(messages.c.message_id))
    .with_for_update()
)
_KEPT_UNLESS_SAID = ("provider", "not_before_at", "segments", "cost", "accepted_at")
_SETTLE = (
    messages.update()
    .where(among(messages.c.message_id))
    .values(
        state=bindparam("to"),
        last_error=bindparam("problem"),
        lease_until=None,
        **{
            name: func.coalesce(bindparam(f"new_{name}", type_=messages.c[name].type), messages.c[name])
            for name in _KEPT_UNLESS_SAID
        },
    )
)
_END_ATTEMPT = (
    attempts.update()
    .where(among(attempts.c.message_id), attempts.c.attempt_no == bindparam("number"))
    .values(outcome=bindparam("how"), error=bindparam("problem"), finished_at=bindparam("ended_at"))
)
_NOTE = messages.update().values(provider_id=bindparam("their_id"))
_NOTE_ATTEMPT = (
    attempts.update().where(attempts.c.attempt_no == bindparam("number")).values(provider_id=bindparam("their_id"))
)
_NOTE_ALL = _NOTE.where(among(messages.c.message_id)), _NOTE_ATTEMPT.where(among(attempts.c.message_id))
_NOTE_EACH = (
    _NOTE.where(messages.c.message_id == bindparam("which")),
    _NOTE_ATTEMPT.where(attempts.c.message_id == bindparam("which")),
)


def record_results(connection: Connection, results: Sequence[Result], *, owner: str, now: datetime) -> list[str]:
    """Record what became of a claim; return the ids that are not this owner's to decide any more, left as they are."""
    ids = [result.message_id for result in results]
    found = {row.message_id: row for row in connection.execute(_HELD, {"these": ids}).all()}
    lost = []
    for outcome, (state, allowed) in _TRANSITIONS.items():
        of_this = [result for result in results if result.outcome is outcome]
        mine: list[Result] = []
        for one in of_this:
            if _is_mine(found.get(one.message_id), one, owner=owner, allowed=allowed):
                mine.append(one)
            else:
                lost.append(one.message_id)
        if mine:
            _settle(connection, mine, state=state, now=now)
        if outcome in {Outcome.DEFERRED, Outcome.REJECTED}:
            unsent = [found[one.message_id] for one in mine]
            spending.give_back(connection, [Priced(row.message_id, row.as_of, row.reserved_cost) for row in unsent])
    return lost


def recover(connection: Connection, *, is_alive: Callable[[str], bool], now: datetime) -> int:
    """Call unknown what dead senders left behind; return how many.

    Parameters
    ----------
    is_alive : ``ledger.is_locked``: proof, not a time-out. A living sender's messages are left alone however late it is
    """
    sending = messages.c.state == MessageState.SENDING
    owners = connection.scalars(select(messages.c.owner).where(sending).distinct()).all()
    dead = [owner for owner in owners if not is_alive(owner)]
    left = select(messages.c.message_id, messages.c.attempts).where(sending, messages.c.owner.in_(dead))
    rows = connection.execute(left.with_for_update()).all() if dead else []
    error = "the sender died between claim and result"
    found = [Result(row.message_id, row.attempts, Outcome.UNKNOWN, "", error=error) for row in rows]
    if found:
        _settle(connection, found, state=MessageState.UNKNOWN, now=now)
    return len(found)


def count_by_state(connection: Connection, *, as_of: date | None = None) -> dict[str, int]:
    """Return how many messages are in each state, of one night or of all."""
    query = select(messages.c.state, func.count().label("count_")).group_by(messages.c.state).order_by(messages.c.state)
    if as_of is not None:
        query = query.where(messages.c.as_of == as_of)
    return {row.state: row.count_ for row in connection.execute(query)}


def due_moments(connection: Connection, *, as_of: date) -> list[datetime]:
    """Return the instants from which messages of a night may go that have not gone yet, in order."""
    mine = messages.c.as_of == as_of, messages.c.state == MessageState.PLANNED
    query = select(messages.c.not_before_at).where(*mine).distinct().order_by(messages.c.not_before_at)
    return list(connection.scalars(query))


def list_messages(
    connection: Connection, *, state: str | None = None, as_of: date | None = None, customer_id: str | None = None
) -> list[dict[str, Any]]:
    """Return messages as rows of the table, ordered by night, programme, customer and step."""
    conditions = {"state": state, "as_of": as_of, "customer_id": customer_id}
    query = select(messages).where(*(messages.c[name] == value for name, value in conditions.items() if value))
    order = messages.c.as_of, messages.c.programme, messages.c.customer_id, messages.c.step
    return [dict(row) for row in connection.execute(query.order_by(*order)).mappings()]


def _is_mine(row: Row[Any] | None, result: Result, *, owner: str, allowed: frozenset[str]) -> bool:
    return row is not None and row.owner == owner and row.attempts == result.attempt_no and row.state in allowed


def _settle(connection: Connection, results: Sequence[Result], *, state: MessageState, now: datetime) -> None:
    """Write the state of messages, and how their attempts ended; those of which the same was said at once.

    A mail of a request for 200 takes 9 CPU µs in this way, and took 45 row by row. What differs from message to
    message, a text's id at its vendor, is written row by row.
    """
    alike: defaultdict[tuple[Any, ...], list[Result]] = defaultdict(list)
    for result in results:
        alike[result._replace(message_id="", provider_id=None)].append(result)
    for together in alike.values():
        one = together[0]
        about = {"these": [result.message_id for result in together], "problem": one.error}
        said = {
            "new_provider": one.provider or None,
            "new_not_before_at": one.not_before_at,
            "new_segments": one.segments or None,
            "new_cost": one.cost,
            "new_accepted_at": now if state is MessageState.ACCEPTED else None,
        }
        connection.execute(_SETTLE, {**about, **said, "to": state.value})
        ended = {"number": one.attempt_no, "how": one.outcome.value, "ended_at": now}
        connection.execute(_END_ATTEMPT, {**about, **ended})
    _note_their_ids(connection, [result for result in results if result.provider_id])


def _note_their_ids(connection: Connection, results: Sequence[Result]) -> None:
    """Write by which ids the provider knows messages: all mails of a request have one, each text has its own."""
    of_ids: defaultdict[tuple[str | None, int], list[str]] = defaultdict(list)
    for result in results:
        of_ids[result.provider_id, result.attempt_no].append(result.message_id)
    if len(of_ids) == 1:
        (((their_id, number), ids),) = of_ids.items()
        about = {"these": ids, "their_id": their_id, "number": number}
        for note in _NOTE_ALL:
            connection.execute(note, about)
    elif of_ids:
        rows = [{"which": one.message_id, "number": one.attempt_no, "their_id": one.provider_id} for one in results]
        for note in _NOTE_EACH:
            connection.execute(note, rows)
