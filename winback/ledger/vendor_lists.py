"""What a vendor's lists of refusals and ours have told each other: how far, and what follows.

In: entries of a list. Out: suppressions by address, through :mod:`winback.ledger.refusals`; addresses the vendor does
not know of yet. How far each list was read stands in ``meta``. Must never happen: an entry that undoes what the person
said after it, a line in the audit log for an entry that changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import or_, select

from winback.core.reasons import Reason
from winback.ledger import keys, refusals
from winback.ledger.connections import new_insert
from winback.ledger.control_tables import meta
from winback.ledger.people_tables import contacts, suppressions
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from sqlalchemy import Connection

CHANNEL = "email"
TOLD = (Reason.OPTED_OUT.value, Reason.COMPLAINED.value)
"""What a vendor is told of: what people said. Dead addresses it finds out, and a sunset is our own affair."""

_PREFIX = "vendor_list:"
_LATE = timedelta(days=1)
"""A refusal may be committed after a later one was told of: so much is looked at again."""


class Entry(NamedTuple):
    """An address a vendor lists, in the form in which addresses are compared, since when, and why in a code."""

    address: str
    at: datetime
    code: str


class Untold(NamedTuple):
    """Addresses a vendor has to be told of, and the mark to set when that is done."""

    addresses: list[str]
    mark: dict[str, Any]


def read_mark(connection: Connection, name: str) -> dict[str, Any]:
    """Return what was kept under a name; nothing the first time."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _PREFIX + name))
    return dict(json.loads(found)) if found else {}


def set_mark(connection: Connection, name: str, value: Mapping[str, Any]) -> None:
    """Keep how far something came."""
    statement = new_insert(connection, meta).values(key=_PREFIX + name, value=json.dumps(value, sort_keys=True))
    statement = statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value})
    connection.execute(statement)


def take_entries(
    connection: Connection,
    entries: Sequence[Entry],
    *,
    name: str,
    reason: Reason,
    today: date,
    now: datetime,
    pepper: bytes,
) -> int:
    """Suppress the addresses of entries that say something new; return how many suppressions that made.

    An entry older than the person's own, later yes says nothing any more.

    Parameters
    ----------
    name : vendor and list, e.g. ``sendgrid:bounces``: with the code, the source of the suppressions
    reason : what being on this list means
    today, now : the business day, and the instant: no entry is of the future
    """
    by_key = {keys.address_key(pepper, CHANNEL, entry.address): entry for entry in entries}
    said = _said(connection, list(by_key), reason)
    made = 0
    for key, entry in sorted(by_key.items()):
        if key in said and (said[key] is None or said[key] >= entry.at):
            continue
        act = Act(min(entry.at, now), today, f"{name} {entry.code}".strip(), "settle")
        made += refusals.suppress(connection, Target(CHANNEL, address=entry.address), act, pepper=pepper, reason=reason)
    return made


def _said(connection: Connection, wanted: Sequence[str], reason: Reason) -> dict[str, Any]:
    """Return the addresses of which this has been said, and when it was taken back, None where it holds."""
    about = suppressions.c.channel == CHANNEL, suppressions.c.kind == "address", suppressions.c.key.in_(wanted)
    same = suppressions.c.reason == reason.value, suppressions.c.programme == ""
    return {
        row.key: row.lifted_at
        for row in connection.execute(select(suppressions.c.key, suppressions.c.lifted_at).where(*about, *same))
    }


def untold(connection: Connection, mark: Mapping[str, Any], *, vendor: str) -> Untold | None:
    """Return the addresses that said no since a mark, or None where there are none the vendor was not told of.

    Only addresses a contact still has: of the others nothing but a keyed hash is left.

    Parameters
    ----------
    mark : that of the last :class:`Untold`, empty the first time
    vendor : what it said itself is left out
    """
    columns = suppressions.c.id, suppressions.c.created_at, contacts.c.email_key
    has_address = contacts.c.email_hmac == suppressions.c.key
    query = (
        select(*columns)
        .join_from(suppressions, contacts, has_address)
        .where(
            suppressions.c.channel == CHANNEL,
            suppressions.c.kind == "address",
            suppressions.c.reason.in_(TOLD),
            suppressions.c.programme == "",
            suppressions.c.lifted_at.is_(None),
            ~suppressions.c.source.startswith(f"{vendor}:", autoescape=True),
        )
    )
    if mark:
        is_late = suppressions.c.created_at > datetime.fromisoformat(mark["at"]) - _LATE
        query = query.where(or_(suppressions.c.id > mark["id"], is_late))
    found = connection.execute(query.order_by(suppressions.c.id)).all()
    addresses = sorted({row.email_key for row in found if row.email_key})
    if not addresses:
        return None
    # Of what is looked at again nobody is told again while it is the same.
    digest = hashlib.sha256("\n".join(f"{row.id} {row.created_at.isoformat()}" for row in found).encode()).hexdigest()
    if digest == mark.get("digest"):
        return None
    newest = max(row.created_at for row in found)
    last_id = max(found[-1].id, mark.get("id", 0))
    at = max(newest, datetime.fromisoformat(mark["at"])) if mark else newest
    return Untold(addresses, {"id": last_id, "at": at.isoformat(), "digest": digest})
