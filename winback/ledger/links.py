"""From a link back to the message it stood in, and where a message leads that leads to none of our own pages.

In: the head of a message's id, which is all that a link holds. Out: the message. No link names a person, and no address
to go to is ever taken from a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select

from winback.ledger.connections import new_insert
from winback.ledger.gate_facts import UNSENT_STATES
from winback.ledger.message_tables import messages
from winback.ledger.public_tables import links

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy import Connection

ERASED = "erased-"
"""What stands before the pseudonym of somebody who asked to be forgotten."""
_BLOCK = 1000


class Addressed(NamedTuple):
    """The message a link stood in; ``target`` is where its short link leads, None for one of our own pages."""

    message_id: str
    customer_id: str
    programme: str
    cycle: int
    step: int
    channel: str
    locale: str | None
    state: str
    as_of: date
    address_hmac: str | None
    target: str | None

    @property
    def is_erased(self) -> bool:
        """Whether the person asked to be forgotten: then only the keyed hash of the address is known."""
        return self.customer_id.startswith(ERASED)


_COLUMNS = [messages.c[name] for name in Addressed._fields[:-1]]
# Made once: to put it together again for each link costs as much as to run it. Two rows tell whether there is only one.
_ANY = select(*_COLUMNS, links.c.target).outerjoin_from(messages, links, links.c.message_id == messages.c.message_id)
_FIND = _ANY.where(messages.c.message_id >= bindparam("low"), messages.c.message_id < bindparam("high")).limit(2)


def find_message(connection: Connection, prefix: str) -> Addressed | None:
    """Return the one message whose id begins with some digits, or None.

    Parameters
    ----------
    prefix : hexadecimal digits, from :mod:`winback.core.message_links`
    """
    # "g" sorts behind every digit: a range of the primary key.
    found = connection.execute(_FIND, {"low": prefix, "high": prefix + "g"}).all()
    return Addressed(*found[0]) if len(found) == 1 else None


def newest_message(connection: Connection, address_hmac: str) -> Addressed | None:
    """Return the last message that went, or may have gone, to an address; None where none did."""
    went = messages.c.address_hmac == address_hmac, messages.c.state.not_in(UNSENT_STATES)
    row = connection.execute(_ANY.where(*went).order_by(messages.c.local_day.desc()).limit(1)).one_or_none()
    return None if row is None else Addressed(*row)


def store_targets(connection: Connection, targets: Mapping[str, str], *, now: datetime) -> None:
    """Note where messages lead, once: a policy that is changed later moves no link that was sent.

    Parameters
    ----------
    targets : by message id
    """
    rows: list[dict[str, Any]] = [
        {"message_id": one, "target": target, "made_at": now} for one, target in targets.items()
    ]
    for start in range(0, len(rows), _BLOCK):
        statement = new_insert(connection, links).values(rows[start : start + _BLOCK])
        connection.execute(statement.on_conflict_do_nothing())
