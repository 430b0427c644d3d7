"""A person says no, by the link in a message: one click, no log-in, in force when the answer is given.

In: what a link holds. Out: the message it stood in. Must never happen: a no that is answered before it is committed, or
one that costs a transaction each time a provider repeats it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.core.reasons import Reason
from winback.ledger import links, refusals, who_refused
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from datetime import date, datetime

    from winback.ledger.engine import Ledger
    from winback.ledger.links import Addressed

SOURCE = "one_click"


def find(ledger: Ledger, prefix: str) -> Addressed | None:
    """Return the message a link stood in, or None; nothing is changed."""
    with ledger.reading() as connection:
        return links.find_message(connection, prefix)


def unsubscribe(ledger: Ledger, prefix: str, *, now: datetime, today: date) -> Addressed | None:
    """Stop all marketing on the channel of a message, to its person and its address; None if there is no such message.

    Parameters
    ----------
    prefix : what the link holds of the message's id
    now, today : the instant, and its business day
    """
    with ledger.reading() as connection:
        message = links.find_message(connection, prefix)
        if message is None or who_refused.is_opted_out(connection, target_of(message), pepper=ledger.pepper):
            return message
    act = Act(now, today, source=SOURCE, actor=SOURCE)
    with ledger.writing() as connection:
        refusals.suppress(connection, target_of(message), act, pepper=ledger.pepper, reason=Reason.OPTED_OUT)
    return message


def target_of(message: Addressed) -> Target:
    """Return whom a no to a message is about; of somebody who was forgotten only the hash of the address is left."""
    customer_id = None if message.is_erased else message.customer_id
    return Target(message.channel, customer_id=customer_id, address_key=message.address_hmac)
