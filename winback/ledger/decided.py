"""Decisions about one customer, and the nights that have any: what an explanation reads, without pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from winback.ledger.night_tables import decisions

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select


def read_history(connection: Connection, customer_id: str) -> list[dict[str, Any]]:
    """Return all decisions ever taken about one customer as rows of the table, the oldest first."""
    where = decisions.c.customer_id == customer_id, decisions.c.as_of.in_(decided_days())
    query = select(decisions).where(*where).order_by(decisions.c.as_of)
    return [dict(row) for row in connection.execute(query).mappings()]


def decided_days() -> Select[Any]:
    """Return a query for the nights that have decisions: one seek each, where DISTINCT would read every row."""
    days = select(func.min(decisions.c.as_of).label("as_of")).cte("days", recursive=True)
    later = select(func.min(decisions.c.as_of)).where(decisions.c.as_of > days.c.as_of).scalar_subquery()
    days = days.union_all(select(later).where(days.c.as_of.is_not(None)))
    return select(days.c.as_of).where(days.c.as_of.is_not(None))
