"""Coupons: single-use codes in pools, each for at most one message.

Reserved when the message is queued, bound when it was sent, free again when it was not; shown to its person only. A
code is never taken back from somebody who has seen it. Must never happen: one code for two people, or two for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, select

from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.control_tables import meta
from winback.ledger.message_tables import messages
from winback.ledger.public_tables import coupons
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection, Select

_SENT = tuple(
    state.value
    for state in (MessageState.ACCEPTED, MessageState.DELIVERED, MessageState.UNKNOWN, MessageState.ABANDONED)
)
_FAILED = tuple(
    state.value
    for state in (
        MessageState.REJECTED,
        MessageState.SUPPRESSED,
        MessageState.EXPIRED,
        MessageState.CANCELLED,
        MessageState.BOUNCED,
        MessageState.UNDELIVERED,
        MessageState.DROPPED,
    )
)
_BLOCK = 500
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('winback.coupons'))"


class Coupon(NamedTuple):
    """One code."""

    pool: str
    code: str
    expires_on: date | None
    revealed_at: datetime | None
    redeemed_at: datetime | None


class Stock(NamedTuple):
    """How many codes of a pool are free, kept for a message, and used."""

    free: int
    kept: int
    redeemed: int


_COLUMNS = [coupons.c[name] for name in Coupon._fields]


def add(connection: Connection, pool: str, codes: Iterable[tuple[str, date | None]], *, now: datetime) -> int:
    """Add codes with the last day they are valid, and return how many are new; a known one stays as it is."""
    rows = [{"pool": pool, "code": code, "expires_on": last_on, "added_at": now} for code, last_on in codes]
    new = 0
    for start in range(0, len(rows), _BLOCK):
        statement = new_insert(connection, coupons).values(rows[start : start + _BLOCK])
        new += insert_counted(connection, statement.on_conflict_do_nothing())
    return new


def is_read(connection: Connection, file: str, digest: str) -> bool:
    """Whether a file was read as it is now."""
    return bool(connection.scalar(select(meta.c.value).where(meta.c.key == f"coupons {file}")) == digest)


def note_read(connection: Connection, file: str, digest: str) -> None:
    """Remember that a file was read, and what it was."""
    statement = new_insert(connection, meta).values(key=f"coupons {file}", value=digest)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": digest}))


def redeem(connection: Connection, pool: str, codes: Iterable[tuple[str, datetime]]) -> int:
    """Note codes as used, each once, and return how many are new; a code of no pool of ours changes nothing."""
    noted = 0
    for code, at in codes:
        change = coupons.update().where(coupons.c.pool == pool, coupons.c.code == code, coupons.c.redeemed_at.is_(None))
        noted += int(connection.execute(change.values(redeemed_at=at)).rowcount)
    return noted


def reserve(
    connection: Connection, pool: str, message_ids: Sequence[str], *, now: datetime, today: date
) -> dict[str, Coupon]:
    """Keep one code for each message, the soonest to expire first, and return those kept; fewer when the pool is dry.

    A message that has one keeps it.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    today : codes that are valid no longer, or used, are left out
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_LOCK)  # two who reserve at once would take the same code
    kept: dict[str, Coupon] = {}
    wanted = sorted(set(message_ids))
    for start in range(0, len(wanted), _BLOCK):
        some = wanted[start : start + _BLOCK]
        has = select(coupons.c.message_id, *_COLUMNS).where(coupons.c.message_id.in_(some))
        kept |= {row[0]: Coupon(*row[1:]) for row in connection.execute(has)}
        without = [one for one in some if one not in kept]
        found = connection.execute(_free(pool, today).limit(len(without))).all() if without else []
        taken = {message_id: Coupon(*row) for message_id, row in zip(without, found, strict=False)}
        one = coupons.c.pool == pool, coupons.c.code == bindparam("which"), coupons.c.message_id.is_(None)
        change = coupons.update().where(*one).values(message_id=bindparam("holder"), reserved_at=now)
        if taken:
            connection.execute(change, [{"which": coupon.code, "holder": holder} for holder, coupon in taken.items()])
        kept |= taken
    return kept


def reveal(connection: Connection, pool: str, message_id: str, *, now: datetime, today: date) -> Coupon | None:
    """Return the code of a message, from now on its person's for good; None when the pool is dry."""
    coupon = reserve(connection, pool, [message_id], now=now, today=today).get(message_id)
    if coupon is None:
        return None
    mine = coupons.update().where(coupons.c.message_id == message_id)
    connection.execute(mine.where(coupons.c.bound_at.is_(None)).values(bound_at=now))
    connection.execute(mine.where(coupons.c.revealed_at.is_(None)).values(revealed_at=now))
    return coupon


def follow(connection: Connection, *, now: datetime) -> tuple[int, int]:
    """Bind the codes of messages that were sent and free those of messages that were not; return how many of each."""
    sent = coupons.update().where(coupons.c.message_id.is_not(None), coupons.c.bound_at.is_(None), _is_of(_SENT))
    bound = int(connection.execute(sent.values(bound_at=now)).rowcount)
    unseen = coupons.c.message_id.is_not(None), coupons.c.revealed_at.is_(None), coupons.c.redeemed_at.is_(None)
    failed = coupons.update().where(*unseen, _is_of(_FAILED))
    freed = int(connection.execute(failed.values(message_id=None, reserved_at=None, bound_at=None)).rowcount)
    return bound, freed


def stock(connection: Connection, pool: str, *, today: date) -> Stock:
    """Return how a pool stands."""
    kept = select(func.count()).where(coupons.c.pool == pool, coupons.c.message_id.is_not(None))
    used = select(func.count()).where(coupons.c.pool == pool, coupons.c.redeemed_at.is_not(None))
    free = select(func.count()).select_from(_free(pool, today).subquery())
    return Stock(*(int(connection.scalar(query) or 0) for query in (free, kept, used)))


def _is_of(states: tuple[str, ...]) -> ColumnElement[bool]:
    """Return whether a coupon's message is in one of some states; looked up from the coupon, not over all messages."""
    mine = select(messages.c.message_id).where(messages.c.message_id == coupons.c.message_id)
    return mine.where(messages.c.state.in_(states)).exists()


def _free(pool: str, today: date) -> Select[Any]:
    """Return a query for the codes that can be kept for a message, the soonest to expire first."""
    is_valid = coupons.c.expires_on.is_(None) | (coupons.c.expires_on >= today)
    free = coupons.c.pool == pool, coupons.c.message_id.is_(None), coupons.c.redeemed_at.is_(None), is_valid
    # What never expires comes last.
    return select(*_COLUMNS).where(*free).order_by(coupons.c.expires_on.is_(None), coupons.c.expires_on, coupons.c.code)
