"""What a ledger lets go of with time: the numbers behind old decisions, then the decisions; rows that were refused.

Messages, cycles, consents, refusals and the audit log stay: they are what is promised by. One night at a time, so that
no transaction is long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.ledger.decided import decided_days
from winback.ledger.night_tables import decisions, quarantine

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

NO_FACTS = "{}"


def nights_before(connection: Connection, day: date) -> list[date]:
    """Return the nights before a day that have decisions, the oldest first."""
    return [night for night in connection.scalars(decided_days()) if night < day]


def empty_facts(connection: Connection, night: date) -> int:
    """Let go of the numbers behind a night's decisions, about a kilobyte each; return how many rows that were."""
    change = decisions.update().where(decisions.c.as_of == night, decisions.c.facts != NO_FACTS)
    return int(connection.execute(change.values(facts=NO_FACTS)).rowcount)


def drop_decisions(connection: Connection, night: date) -> int:
    """Delete a night's decisions; return how many there were."""
    return int(connection.execute(decisions.delete().where(decisions.c.as_of == night)).rowcount)


def drop_quarantine(connection: Connection, before: date) -> int:
    """Delete refused rows of nights before a day; return how many there were."""
    return int(connection.execute(quarantine.delete().where(quarantine.c.as_of < before)).rowcount)
