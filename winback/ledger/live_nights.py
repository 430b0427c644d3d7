"""Which nights sent for real, and which were rehearsals: what a business agrees to before its first real message.

In: the records of the nights. Out: days. Imports no pandas, as a sender asks, too. Must never happen: a rehearsal's
message that reaches a person because the project was switched to live in between.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from winback.ledger.night_tables import nights

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

LIVE = "live"
"""The key of a night's summary that says whether its messages went to providers."""


def rehearsals(connection: Connection) -> frozenset[date]:
    """Return the nights that were carried out without going live."""
    return frozenset(as_of for as_of, is_live in _nights(connection).items() if not is_live)


def has_gone_live(connection: Connection, *, before: date | None = None) -> bool:
    """Tell whether any night went live, before a day if one is given."""
    return any(is_live and (before is None or as_of < before) for as_of, is_live in _nights(connection).items())


def went_live(connection: Connection, as_of: date) -> bool:
    """Tell whether the night of a day went live."""
    return _nights(connection).get(as_of, False)


def _nights(connection: Connection) -> dict[date, bool]:
    """Return for each night that was carried out whether it went live."""
    query = select(nights.c.as_of, nights.c.summary).where(nights.c.applied_at.is_not(None))
    return {row.as_of: bool(_read(row.summary).get(LIVE)) for row in connection.execute(query)}


def _read(summary: str | None) -> dict[str, Any]:
    found = json.loads(summary or "{}")
    return found if isinstance(found, dict) else {}
