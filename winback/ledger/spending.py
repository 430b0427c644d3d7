"""What a night and a month have used of their limits, reserved before a message goes and given back if it did not.

Reserved in the transaction that claims (the count) or that precedes the call (the money), so that two senders together
never exceed what one may. Must never happen: money spent that no row knows of. A crash between reservation and result
leaves the reservation standing: it may have been spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, select

from winback.ledger.connections import new_insert
from winback.ledger.listed import among
from winback.ledger.message_tables import spending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from sqlalchemy import Connection

MICROS = 1_000_000
"""Money is stored in millionths, so that a hundred thousand small prices add up exactly."""

_KNOWN = select(spending.c.scope).where(among(spending.c.scope))
# In one order for everybody, so that two senders never wait for each other.
_LOCKED = select(spending).where(among(spending.c.scope)).order_by(spending.c.scope).with_for_update()
_ADD = (
    spending.update()
    .where(spending.c.scope == bindparam("which"))
    .values(sends=spending.c.sends + bindparam("more"), cost_micros=spending.c.cost_micros + bindparam("money"))
)


class Budget(NamedTuple):
    """The most a night may send, and a night and a month may cost; None is no limit."""

    sends_per_night: int | None = None
    cost_per_night: float | None = None
    cost_per_month: float | None = None


class Priced(NamedTuple):
    """One message that wants to go: the night it belongs to, and what it costs in the business's currency."""

    message_id: str
    as_of: date
    cost: float


def night_scope(as_of: date) -> str:
    """Return the name of a night's row."""
    return f"night {as_of}"


def month_scope(day: date) -> str:
    """Return the name of the row of a night's month."""
    return f"month {day:%Y-%m}"


def reserve_sends(connection: Connection, wanted: Sequence[Priced], *, limit: int | None) -> set[str]:
    """Count messages against the limit of their night; return the ids that still fit, the first ones first."""
    admitted: set[str] = set()
    for as_of in sorted({one.as_of for one in wanted}):
        mine = [one.message_id for one in wanted if one.as_of == as_of]
        scope = night_scope(as_of)
        used, _ = _used(connection, [scope])[scope]
        left = len(mine) if limit is None else max(0, limit - used)
        admitted |= set(mine[:left])
        _add(connection, {scope: (min(left, len(mine)), 0)})
    return admitted


def reserve_cost(connection: Connection, wanted: Sequence[Priced], *, budget: Budget) -> set[str]:
    """Count costs against the limits of the night and the month; return the ids that still fit, the first ones first.

    Parameters
    ----------
    wanted : rendered, so that the cost is what the vendor will ask for
    """
    used = _used(connection, sorted({scope(one.as_of) for one in wanted for scope in (night_scope, month_scope)}))
    spent = {scope: micros for scope, (_, micros) in used.items()}
    begun = dict(spent)
    admitted: set[str] = set()
    for one in wanted:
        night, month, micros = night_scope(one.as_of), month_scope(one.as_of), _micros(one.cost)
        if _fits(spent[night] + micros, budget.cost_per_night) and _fits(spent[month] + micros, budget.cost_per_month):
            spent[night] += micros
            spent[month] += micros
            admitted.add(one.message_id)
    _add(connection, {scope: (0, micros - begun[scope]) for scope, micros in spent.items()})
    return admitted


def give_back(connection: Connection, unsent: Iterable[Priced]) -> None:
    """Take back what was reserved for messages that provably did not go; a cost of 0 where none had been."""
    back: dict[str, tuple[int, int]] = {}
    for one in unsent:
        night, month, micros = night_scope(one.as_of), month_scope(one.as_of), _micros(one.cost)
        sends, money = back.get(night, (0, 0))
        back[night] = (sends - 1, money - micros)
        back[month] = (0, back.get(month, (0, 0))[1] - micros)
    _add(connection, back)


def read_spending(connection: Connection, scopes: Sequence[str]) -> dict[str, tuple[int, float]]:
    """Return messages and money used by some nights and months."""
    query = select(spending).where(spending.c.scope.in_(scopes))
    found = {row.scope: (row.sends, row.cost_micros / MICROS) for row in connection.execute(query)}
    return {scope: found.get(scope, (0, 0.0)) for scope in scopes}


def _fits(micros: int, limit: float | None) -> bool:
    return limit is None or micros <= _micros(limit)


def _micros(cost: float) -> int:
    return round(cost * MICROS)


def _used(connection: Connection, scopes: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return what scopes have used, their rows locked until the transaction ends; made where they were not there."""
    known = set(connection.scalars(_KNOWN, {"these": scopes}))
    # Before any row is locked, or two senders could wait for each other.
    if missing := [{"scope": one, "sends": 0, "cost_micros": 0} for one in scopes if one not in known]:
        connection.execute(new_insert(connection, spending).on_conflict_do_nothing(), missing)
    return {row.scope: (row.sends, row.cost_micros) for row in connection.execute(_LOCKED, {"these": scopes})}


def _add(connection: Connection, changes: Mapping[str, tuple[int, int]]) -> None:
    rows = [
        {"which": scope, "more": sends, "money": micros}
        for scope, (sends, micros) in sorted(changes.items())
        if sends or micros
    ]
    if not rows:
        return
    connection.execute(_ADD, rows)
