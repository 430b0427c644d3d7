"""What providers say about messages afterwards: in any order, any number of times, with one result.

In: receipts that carry our message id. Out: each stored once, its message moved forward along one order (accepted,
deferred, sent, then delivered or one of the ways to fail), and what it says about the person made effective in the same
transaction (:mod:`winback.ledger.consequences`). A receipt proves that the provider took the message, so it settles
what was unknown. Must never happen: a state that moves back, an event that counts twice or is thrown away.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import bindparam, func, select

from winback.ledger import consequences, diary
from winback.ledger.connections import new_insert
from winback.ledger.keys import ERASED
from winback.ledger.message_tables import attempts, messages, receipts
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection, Row

PROGRESS = ("accepted", "deferred", "sent", "delivered", "undelivered", "dropped", "bounced", "read")
"""How far a message got, the furthest last. Of two ends that contradict each other the later here is believed."""

_PROVES = {kind: kind for kind in PROGRESS} | dict.fromkeys(
    ("opened", "clicked", "complained", "unsubscribed"), "accepted"
)
"""What a receipt of each kind proves at least. The others prove nothing about a message."""

_STATES = {
    "accepted": MessageState.ACCEPTED,
    "deferred": MessageState.ACCEPTED,
    "sent": MessageState.ACCEPTED,
    "delivered": MessageState.DELIVERED,
    "read": MessageState.DELIVERED,
    "undelivered": MessageState.UNDELIVERED,
    "dropped": MessageState.DROPPED,
    "bounced": MessageState.BOUNCED,
}
KINDS = frozenset({*_PROVES, "refused", "stopped", "started"})
_STRAY = "stray"
_SENDING = "sending"
_BLOCK = 500
Item = TypeVar("Item")


class Receipt(NamedTuple):
    """One thing a provider said about one message.

    ``kind`` is one of :data:`KINDS` (``refused``: the call itself said no, so nothing was accepted); ``occurred_at`` is
    aware; ``code`` and ``detail`` are the vendor's; ``consequence`` is what it means for the person:
    ``withdraw``, ``suppress``, ``soft``, or one that means nothing for them.
    """

    message_id: str
    provider: str
    kind: str
    occurred_at: datetime
    provider_id: str | None = None
    code: str = ""
    detail: str = ""
    is_machine: bool = False
    consequence: str | None = None


class Recorded(NamedTuple):
    """What a batch brought: receipts by what they were, messages that moved, suppressions made and lifted."""

    new: int = 0
    repeated: int = 0
    strays: int = 0
    moved: int = 0
    suppressed: int = 0
    lifted: int = 0


def record_receipts(
    connection: Connection, found: Iterable[Receipt], *, now: datetime, today: date, pepper: bytes
) -> Recorded:
    """Store receipts and make them effective; the same ones again change nothing.

    Acknowledge a provider's call only after the transaction is committed.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    found : from one provider or several, in any order
    now : aware
    today : the business day of ``now``
    pepper : of the ledger

    Returns
    -------
    ``strays`` are those without a message, kept apart until one of that id appears

    Raises
    ------
    ValueError
        If a receipt is of no known kind.
    """
    unique = {(one.message_id, one.kind, one.occurred_at, one.code): one for one in found}
    strange = {one.kind for one in unique.values()} - KINDS
    if strange:
        message = f"no such kind of receipt: {', '.join(sorted(strange))}"
        raise ValueError(message)
    if any(consequences.is_consequential(one) for one in unique.values()):
        diary.lock(connection)  # before the rows, always: two batches must not wait for each other
    total = Recorded()
    for block in _blocks(sorted(unique.values(), key=lambda one: one.message_id)):
        known = _locked(connection, {one.message_id for one in block})
        new = _store(connection, block, known, now=now)
        moved = _advance(connection, {one.message_id for one in new} & known.keys(), known)
        told = [(one, known[one.message_id]) for one in new if one.message_id in known]
        effect = consequences.take(connection, told, now=now, today=today, pepper=pepper)
        counts = (len(new), len(block) - len(new), len(new) - len(told), moved, *effect)
        total = Recorded(*(before + more for before, more in zip(total, counts, strict=True)))
    return total


def settle_pending(connection: Connection, *, now: datetime, today: date, pepper: bytes) -> Recorded:
    """Work in what had to wait: receipts that came before their message, or while its sender was at work.

    Call it after :func:`winback.ledger.queue.recover`, so that what dead senders left is unknown by then.
    """
    waiting = select(receipts.c.message_id).distinct().where(receipts.c.pending.is_not(None))
    ready = waiting.join(messages, messages.c.message_id == receipts.c.message_id)
    ids = connection.scalars(ready.where(messages.c.state != MessageState.SENDING)).all()
    if ids:
        diary.lock(connection)
    total = Recorded()
    for block in _blocks(sorted(ids)):
        known = {one: row for one, row in _locked(connection, block).items() if row.state != MessageState.SENDING}
        of_these = receipts.c.message_id.in_(known), receipts.c.pending.is_not(None)
        rows = connection.execute(select(receipts).where(*of_these)).mappings().all()
        connection.execute(receipts.update().where(*of_these).values(pending=None))
        moved = _advance(connection, known.keys(), known)
        # What came while the message was being sent had its consequences at once.
        strays = [
            (Receipt(**{name: row[name] for name in Receipt._fields}), known[row["message_id"]])
            for row in rows
            if row["pending"] == _STRAY
        ]
        effect = consequences.take(connection, strays, now=now, today=today, pepper=pepper)
        counts = (0, 0, 0, moved, *effect)
        total = Recorded(*(before + more for before, more in zip(total, counts, strict=True)))
    return total


def count_strays(connection: Connection) -> int:
    """Return how many receipts are about messages that are not in the ledger: somebody else's, or a restored backup."""
    is_there = select(messages.c.message_id).where(messages.c.message_id == receipts.c.message_id).exists()
    query = select(func.count()).select_from(receipts).where(receipts.c.pending.is_not(None), ~is_there)
    return int(connection.scalar(query) or 0)


def count_silent(connection: Connection, *, before: datetime, except_by: Collection[str] = ()) -> int:
    """Return how many messages were accepted before an instant and never heard of again.

    Parameters
    ----------
    except_by : providers that never report
    """
    is_told_of = select(receipts.c.message_id).where(receipts.c.message_id == messages.c.message_id).exists()
    silent = messages.c.state == MessageState.ACCEPTED, messages.c.accepted_at < before, ~is_told_of
    reports = func.coalesce(messages.c.provider, "").not_in(except_by)
    return int(connection.scalar(select(func.count()).select_from(messages).where(*silent, reports)) or 0)


def is_proven(connection: Connection, message_id: str) -> bool:
    """Whether a receipt says that the provider took a message."""
    query = select(receipts.c.kind).where(receipts.c.message_id == message_id, receipts.c.kind.in_(_PROVES))
    return connection.execute(query.limit(1)).first() is not None


def _blocks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield no more items at a time than one statement takes."""
    yield from (items[start : start + _BLOCK] for start in range(0, len(items), _BLOCK))


def _locked(connection: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """Return the messages of these ids, held until the transaction ends; in one order, so that nobody deadlocks."""
    query = select(messages).where(messages.c.message_id.in_(sorted(ids))).order_by(messages.c.message_id)
    return {row.message_id: row for row in connection.execute(query.with_for_update())}


def _store(connection: Connection, block: Sequence[Receipt], known: dict[str, Any], *, now: datetime) -> list[Receipt]:
    """Insert receipts; return those that were not there yet."""
    rows = [{**_kept(one, known.get(one.message_id)), "received_at": now} for one in block]
    statement = new_insert(connection, receipts).values(rows).on_conflict_do_nothing()
    key = receipts.c.message_id, receipts.c.kind, receipts.c.occurred_at, receipts.c.code
    written = {tuple(row) for row in connection.execute(statement.returning(*key))}
    return [one for one in block if (one.message_id, one.kind, one.occurred_at, one.code) in written]


def _kept(one: Receipt, message: Row[Any] | None) -> dict[str, Any]:
    """Return what is stored of a receipt: of somebody who was erased meanwhile nothing that leads back to them."""
    kept = {**one._asdict(), "pending": _pending(message)}
    is_erased = message is not None and message.customer_id.startswith(ERASED)
    return {**kept, "provider_id": None, "detail": ""} if is_erased else kept


def _pending(message: Row[Any] | None) -> str | None:
    if message is None:
        return _STRAY
    return _SENDING if message.state == MessageState.SENDING else None


def _advance(connection: Connection, ids: Iterable[str], known: dict[str, Any]) -> int:
    """Bring messages to where all their receipts together say they are; return how many changed their state.

    The result depends on the set of receipts only. A message that a living sender holds is left to it.
    """
    told: dict[str, list[Any]] = defaultdict(list)
    free = [one for one in ids if known[one].state != MessageState.SENDING]
    for row in connection.execute(select(receipts).where(receipts.c.message_id.in_(free))):
        if row.kind in _PROVES:
            told[row.message_id].append(row)
    changes = [_change(known[one], rows) for one, rows in told.items()]
    if not changes:
        return 0
    names = [name for name in changes[0] if name != "which"]
    values = {name: bindparam(f"new_{name}", type_=messages.c[name].type) for name in names}
    statement = messages.update().where(messages.c.message_id == bindparam("which")).values(values)
    bound = [{key if key == "which" else f"new_{key}": value for key, value in one.items()} for one in changes]
    connection.execute(statement, bound)
    # The newest attempt was the one that got through; an outcome that its sender recorded stays.
    ended = attempts.update().where(
        attempts.c.message_id == bindparam("which"),
        attempts.c.attempt_no == bindparam("number"),
        attempts.c.outcome == MessageState.UNKNOWN.value,
    )
    proven = [{"which": one, "number": known[one].attempts} for one in told]
    connection.execute(ended.values(outcome=MessageState.ACCEPTED.value), proven)
    return sum(change["state"] != known[change["which"]].state for change in changes)


def _change(message: Row[Any], told: Sequence[Any]) -> dict[str, Any]:
    """Return what a message becomes by its receipts; a function of their set, never of their order."""
    progress = max((_PROVES[row.kind] for row in told), key=PROGRESS.index)
    arrived = [row.occurred_at for row in told if row.kind in {"delivered", "read"}]
    began = max(min(row.occurred_at for row in told), message.planned_at)
    ids = {row.provider_id for row in told if row.provider_id}
    state = _STATES[progress]
    return {
        "which": message.message_id,
        "state": state.value,
        "progress": progress,
        "delivered_at": min(arrived) if arrived and state is MessageState.DELIVERED else None,
        "accepted_at": min(began, message.accepted_at or began),
        # An id that the sender recorded stays, unless the receipts name it, too.
        "provider_id": min(ids) if ids and message.provider_id in {None, *ids} else message.provider_id,
        "provider": message.provider or min(row.provider for row in told),
        "reason": None,
        "lease_until": None,
    }
