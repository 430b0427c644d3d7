"""Messages of which nobody knows whether they went out: counted by age, in the end given up, released by a person only.

In: the ledger. Out: counts, and state changes. An abandoned message counts as sent: its step is taken and its address
had its message of the day. Must never happen: a machine that sends an unknown again, or a release while whoever posted
it may still be alive.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from winback.errors import GuardRefused, UsageError
from winback.ledger import diary, receipts
from winback.ledger.message_tables import attempts, messages
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection, Select

GIVEN_UP_AFTER = timedelta(hours=72)
AGES = (
    ("under_1_hour", timedelta(hours=1)),
    ("under_24_hours", timedelta(hours=24)),
    ("under_72_hours", GIVEN_UP_AFTER),
)
OLDER = "over_72_hours"


def abandon(connection: Connection, *, now: datetime) -> int:
    """Give up unknown messages that were posted 72 hours ago or earlier; return how many."""
    too_old = [message_id for message_id, posted_at in _unknown(connection) if posted_at <= now - GIVEN_UP_AFTER]
    for start in range(0, len(too_old), 500):
        block = messages.c.message_id.in_(too_old[start : start + 500])
        change = messages.update().where(block, messages.c.state == MessageState.UNKNOWN)
        connection.execute(change.values(state=MessageState.ABANDONED.value))
    return len(too_old)


def count_by_age(connection: Connection, *, now: datetime) -> dict[str, int]:
    """Return how many messages are unknown, by how long ago they were posted; every age is named."""
    counts = Counter(
        next((name for name, limit in AGES if now - posted_at < limit), OLDER)
        for _message_id, posted_at in _unknown(connection)
    )
    return {name: counts[name] for name in (*(name for name, _limit in AGES), OLDER)}


def release(
    connection: Connection,
    message_id: str,
    *,
    is_alive: Callable[[str], bool],
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Let an unknown message be sent again because a person takes that on; every gate is asked again.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    is_alive : ``ledger.is_locked``: proof of death, not a time-out
    reason : what the person knows; it stands in the audit log
    actor : who

    Raises
    ------
    UsageError
        If there is no such message, or it is not unknown, or no reason is given.
    GuardRefused
        If whoever posted it may still be alive, or the provider has spoken of it.
    """
    if not reason.strip():
        raise UsageError("--reason is empty: say why it is safe to send this message once more")
    diary.lock(connection)
    columns = messages.c.state, messages.c.owner, messages.c.attempts
    row = connection.execute(
        select(*columns).where(messages.c.message_id == message_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise UsageError(f"there is no message {message_id!r}: `winback messages --state unknown` lists those in doubt")
    if row.state != MessageState.UNKNOWN:
        raise UsageError(f"message {message_id} is {row.state}, not unknown: only what is in doubt can be released")
    if row.owner and is_alive(row.owner):
        what = f"the sender of message {message_id} is still alive and may yet post it: stop it, or wait until it ends"
        raise GuardRefused(what)
    if receipts.is_proven(connection, message_id):
        raise GuardRefused(f"the provider has reported on message {message_id}, so it went out: run `winback settle`")
    change = messages.update().where(messages.c.message_id == message_id)
    connection.execute(change.values(state=MessageState.PLANNED.value, lease_until=None))
    before, after = {"state": row.state, "attempts": row.attempts}, {"state": MessageState.PLANNED, "reason": reason}
    diary.record(connection, at=now, actor=actor, action="release", subject=message_id, before=before, after=after)


def _unknown(connection: Connection) -> list[tuple[str, datetime]]:
    """Return the unknown messages and when each was last posted."""
    newest = and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt_no == messages.c.attempts)
    query: Select[tuple[str, datetime, datetime]] = select(
        messages.c.message_id, attempts.c.started_at, messages.c.planned_at
    )
    found = query.outerjoin(attempts, newest).where(messages.c.state == MessageState.UNKNOWN)
    return [(one, started_at or planned_at) for one, started_at, planned_at in connection.execute(found)]
