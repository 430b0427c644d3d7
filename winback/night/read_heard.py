"""Read what a webhook brought, as one more feed of events.

In: what the ledger keeps of it. Out: a :class:`~winback.sources.feeds.Reading`, so that the rules of the border and the
guards treat it like every feed. Must never happen: an event that was heard and is never read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from winback.core.sieve import NO_FAULTS
from winback.ledger import heard_events
from winback.sources.feeds import ROW_NUMBER, Chunk, Reading

if TYPE_CHECKING:
    from winback.ledger.engine import Ledger
    from winback.sources.feeds import Ask

OVERLAP = timedelta(minutes=5)
"""What was heard so shortly before the last reading is read again: calls are committed in another order than they come.

The activity store knows events by their id, so nothing counts twice.
"""
_COLUMNS = ("event_id", "customer_id", "behaviour", "occurred_at", "amount")


def read_heard(ledger: Ledger, ask: Ask) -> Reading:
    """Return one pass over what was heard for a source, from where the last one ended.

    Parameters
    ----------
    ask : its mark says until when the last reading had heard
    """
    until = datetime.fromisoformat(ask.mark["heard_until"]) if ask.mark and ask.mark.get("heard_until") else None
    since = until - OVERLAP if until is not None and ask.may_resume else None
    with ledger.reading() as connection:
        total = heard_events.count(connection, ask.source)
        found = list(heard_events.read(connection, ask.source, since=since))
    before = max(total - len(found), 0)
    if found:
        until = max(heard_at for heard_at, _ in found)
    mark = {"total": total, "heard_until": until.isoformat() if until else None}
    rows = pd.DataFrame([[getattr(one, name) for name in _COLUMNS] for _, one in found], columns=list(_COLUMNS))
    rows = rows.astype("str").assign(**{ROW_NUMBER: range(before + 1, before + 1 + len(found))})
    chunks = iter([Chunk(rows, NO_FAULTS)] if found else [])
    return Reading(chunks, rows_before=before, is_whole=since is None, mark=mark)
