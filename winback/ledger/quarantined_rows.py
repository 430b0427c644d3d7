"""The rows of the sources that were refused: place, rule and masked value, for a person to mend the feed by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from winback.ledger import bulk
from winback.ledger.night_tables import quarantine

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from sqlalchemy import Connection


def write_quarantine(connection: Connection, frame: pd.DataFrame) -> int:
    """Store refused rows and return how many are new.

    Parameters
    ----------
    frame : ``source, row_number, column, rule, masked_value, as_of, digest``; the digest tells a row from its like
    """
    return bulk.insert_new(connection, quarantine, frame)


def read_quarantine(connection: Connection, *, as_of: date | None = None, source: str | None = None) -> pd.DataFrame:
    """Return refused rows in the order of their files."""
    query = select(quarantine).order_by(quarantine.c.source, quarantine.c.row_number, quarantine.c.digest)
    conditions = {"as_of": as_of, "source": source}
    return bulk.read_frame(
        connection, query.where(*(quarantine.c[name] == value for name, value in conditions.items() if value))
    )


def count_quarantine(connection: Connection, as_of: date) -> dict[tuple[str, str], int]:
    """Return how many rows were refused on a night, by (source, rule)."""
    by = quarantine.c.source, quarantine.c.rule
    query = select(*by, func.count()).where(quarantine.c.as_of == as_of).group_by(*by).order_by(*by)
    return {(source, rule): count for source, rule, count in connection.execute(query)}
