"""Settle what is open: what dead senders left behind is unknown, and shown as such.

In: the ledger and the present instant. Out: counts by state. Imports neither pandas nor Prefect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.ledger import queue

if TYPE_CHECKING:
    from datetime import datetime

    from winback.ledger.engine import Ledger


def settle(ledger: Ledger, *, now: datetime) -> dict[str, int]:
    """Bring every message that cannot move by itself to its named state; return the counts of all messages."""
    with ledger.writing() as connection:
        queue.recover(connection, is_alive=ledger.is_locked, now=now)
    with ledger.reading() as connection:
        return queue.count_by_state(connection)
