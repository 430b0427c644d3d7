"""What vendors called to say, each call once, as it came.

In: bodies whose signature holds. Out: whether a call is new. Its row stays, so that the same call never counts again;
its body, in which people's addresses stand, goes after a time, and at once when anybody is forgotten: nobody can search
bytes for a person in every way a vendor may have written them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.keys import ERASED
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.public_tables import webhook_calls

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection


class Call(NamedTuple):
    """One call of a vendor: the query of the address and the body, as they came."""

    vendor: str
    query: str
    body: bytes


def store(
    connection: Connection, call: Call, *, receipts: int, unreadable: int, now: datetime, keeps_body: bool = True
) -> bool:
    """Store a call; return whether it is new. Whoever stores the same one meanwhile is waited for.

    Parameters
    ----------
    receipts, unreadable : how many parts of it could be read, and how many not
    now : aware
    keeps_body : whether the body may be looked at later; what people write themselves, and who they are, is not kept
    """
    row = {
        **call._asdict(),
        "body": call.body if keeps_body else None,
        "digest": _digest(call),
        "received_at": now,
        "receipts": receipts,
        "unreadable": unreadable,
    }
    statement = new_insert(connection, webhook_calls).values(row).on_conflict_do_nothing()
    return insert_counted(connection, statement) > 0


def empty_bodies(connection: Connection, *, before: datetime | None = None) -> int:
    """Let go of the bodies that came before an instant, or of all; return how many that were."""
    change = webhook_calls.update().where(webhook_calls.c.body.is_not(None))
    if before is not None:
        change = change.where(webhook_calls.c.received_at < before)
    return int(connection.execute(change.values(body=None)).rowcount)


def empty_if_erased(connection: Connection, call: Call, message_ids: Collection[str]) -> int:
    """Let go of a call's body if it tells of somebody who was forgotten meanwhile; return how many that were.

    Call it when the messages are held by the transaction: whoever forgets somebody then comes before it or after it.
    """
    is_erased = select(messages.c.message_id).where(
        among(messages.c.message_id), messages.c.customer_id.startswith(ERASED, autoescape=True)
    )
    this = webhook_calls.c.digest == _digest(call), webhook_calls.c.body.is_not(None)
    change = webhook_calls.update().where(*this, is_erased.exists()).values(body=None)
    return int(connection.execute(change, {"these": list(message_ids)}).rowcount)


def _digest(call: Call) -> str:
    digest = hashlib.sha256()
    for part in (call.vendor.encode(), call.query.encode(), call.body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
