"""Notice who came back while a message to them is on its way: the gate stops it.

In: events just read. Out: signs of life in the ledger, only of customers with a planned message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from winback.ledger import signs_of_life
from winback.ledger.signs_of_life import Sign

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection


def notice_returns(connection: Connection, tables: Iterable[pa.Table], *, now: datetime) -> int:
    """Write down the newest act of each kind of everybody who is about to be written to; return how many.

    Parameters
    ----------
    tables : events with customer_id, behaviour, occurred_at
    now : when they were heard of (aware)
    """
    awaited = signs_of_life.awaited(connection)
    if not awaited:
        return 0
    ids = pa.array(sorted(awaited), pa.string())
    noted = 0
    for events in tables:
        theirs = events.filter(pc.is_in(events["customer_id"], value_set=ids))
        newest = theirs.group_by(["customer_id", "behaviour"]).aggregate([("occurred_at", "max")])
        signs = [
            Sign(row["customer_id"], row["behaviour"], row["occurred_at_max"], now)
            for row in newest.select(["customer_id", "behaviour", "occurred_at_max"]).to_pylist()
        ]
        noted += signs_of_life.note_signs(connection, signs)
    return noted
