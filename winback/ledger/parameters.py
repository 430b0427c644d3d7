"""The fitted populations: stored, versioned, and never changed once a threshold was worked out with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.night_tables import fits

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection


class Fit(NamedTuple):
    """A population fit; ``parameters`` is its JSON."""

    fit_id: str
    behaviour: str
    fitted_on: date
    parameters: str


_COLUMNS = fits.c.fit_id, fits.c.behaviour, fits.c.fitted_on, fits.c.parameters


def save_fit(connection: Connection, fit: Fit, *, created_at: datetime) -> bool:
    """Store a fit; return False when it was stored before (its id is the hash of its content)."""
    statement = new_insert(connection, fits).values(**fit._asdict(), created_at=created_at).on_conflict_do_nothing()
    return bool(insert_counted(connection, statement))


def newest_fits(connection: Connection, *, as_of: date) -> dict[str, Fit]:
    """Return the fit to use on ``as_of`` by behaviour: the newest that was fitted on or before that day."""
    query = select(*_COLUMNS).where(fits.c.fitted_on <= as_of)
    order = fits.c.fitted_on, fits.c.created_at, fits.c.fit_id
    return {row.behaviour: Fit(*row) for row in connection.execute(query.order_by(*order))}


def read_fit(connection: Connection, fit_id: str) -> Fit | None:
    """Return one fit, or None."""
    row = connection.execute(select(*_COLUMNS).where(fits.c.fit_id == fit_id)).one_or_none()
    return None if row is None else Fit(*row)
