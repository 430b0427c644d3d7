"""Note for other tools what a night changed: lapses, returns and sunsets, in the transaction that changes them.

In: the changes of a shard. Out: rows that :mod:`winback.night.tell_listeners` posts; none where nobody listens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from winback.core.cycle_states import RETURNED
from winback.core.reasons import Reason
from winback.ledger import bulk, outgoing
from winback.ledger.outgoing_tables import outgoing as told

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.core.decisions import Changes

_KEY = ["programme", "customer_id", "cycle_no"]
LAPSED = "lapsed"
"""Why a cycle opens; beside the reasons of :class:`~winback.core.reasons.Reason`, which say why something is sent."""


def announce(connection: Connection, changes: Changes, *, now: datetime) -> None:
    """Note what a shard changed for all who listen; what is noted already stays as it is."""
    for kind, find in (("lapse", _lapses), ("return", _returns), ("sunset", _sunsets)):
        listeners = outgoing.listeners(connection, kind)
        if not listeners:
            continue
        found = find(changes)
        ids = [outgoing.event_id(kind, *of) for of in zip(*(found[name] for name in _KEY), strict=True)]
        at = pd.Series(now, index=found.index, dtype="datetime64[us, UTC]")
        rows = found.assign(event_id=pd.array(ids, dtype="str"), kind=kind, made_at=at, due_at=at, attempts=0)
        for name in listeners:
            bulk.insert_new(connection, told, rows.assign(listener=name))


def _lapses(changes: Changes) -> pd.DataFrame:
    found = changes.openings
    return found[[*_KEY, "arm"]].assign(occurred_on=found["lapsed_on"], reason=LAPSED)


def _returns(changes: Changes) -> pd.DataFrame:
    found = changes.closings[changes.closings["close_reason"] == RETURNED]
    return found[_KEY].assign(occurred_on=found["closed_on"], reason=Reason.RETURNED.value)


def _sunsets(changes: Changes) -> pd.DataFrame:
    found = changes.sunsets.merge(changes.closings[_KEY], on=["programme", "customer_id"])
    return found[_KEY].assign(occurred_on=found["effective_on"], reason=Reason.LADDER_ENDED.value)
