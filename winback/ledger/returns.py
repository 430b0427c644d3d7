"""Who has come back, as far as the ledger itself can tell: their cycles close at once, not only with the next plan.

In: open cycles, the answers given on the public pages, the signs of life. Out: closed cycles. A cycle closes on the day
of the first night that has not begun, so that every night decides as it would have without a settlement in between.
Imports no pandas.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, func, select

from winback.core.reasons import Reason
from winback.ledger import outgoing
from winback.ledger.engagements import ANSWER
from winback.ledger.night_tables import cycles, nights
from winback.ledger.outgoing import Event
from winback.ledger.people_tables import signs_of_life
from winback.ledger.public_tables import engagements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

_KEY = cycles.c.programme, cycles.c.customer_id, cycles.c.cycle_no
_OPEN = cycles.c.closed_on.is_(None)
_OF_ANSWERS = (
    select(*_KEY, cycles.c.opened_on, func.max(engagements.c.occurred_at, type_=engagements.c.occurred_at.type))
    .join_from(engagements, cycles, cycles.c.customer_id == engagements.c.customer_id)
    .where(_OPEN, engagements.c.is_qualified, engagements.c.occurred_at <= bindparam("now"))
    .group_by(*_KEY, cycles.c.opened_on)
)
_OF_SIGNS = (
    select(*_KEY, cycles.c.opened_on, signs_of_life.c.newest_at, signs_of_life.c.behaviour)
    .join_from(signs_of_life, cycles, cycles.c.customer_id == signs_of_life.c.customer_id)
    .where(_OPEN, signs_of_life.c.behaviour != ANSWER, signs_of_life.c.newest_at <= bindparam("now"))
)


class Returning(NamedTuple):
    """What counts as a return: by programme the behaviours, and the zone in which business days are counted."""

    behaviours: Mapping[str, Collection[str]]
    zone: ZoneInfo


def close_returned(connection: Connection, returning: Returning, *, now: datetime) -> int:
    """Close the open cycles of those who came back since they opened; return how many that were.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    now : aware; what is said to happen later is no evidence yet
    """
    came_on: dict[tuple[str, str, int], date] = {}
    for key, day in _acts(connection, returning, now=now):
        came_on[key] = max(day, came_on.get(key, day))
    if not came_on:
        return 0
    newest = connection.scalar(select(func.max(nights.c.as_of, type_=nights.c.as_of.type)))
    first_open = newest + timedelta(days=1) if newest else None
    closed = {key: max(day, first_open or day) for key, day in sorted(came_on.items())}
    this = cycles.c.programme == bindparam("of"), cycles.c.customer_id == bindparam("whose")
    change = cycles.update().where(*this, cycles.c.cycle_no == bindparam("which"), _OPEN)
    connection.execute(
        change.values(closed_on=bindparam("on"), close_reason=Reason.RETURNED.value),
        [{"of": of, "whose": whose, "which": which, "on": day} for (of, whose, which), day in closed.items()],
    )
    told = (Event("return", whose, Reason.RETURNED.value, day, of, which) for (of, whose, which), day in closed.items())
    outgoing.record(connection, told, now=now)
    return len(closed)


def _acts(
    connection: Connection, returning: Returning, *, now: datetime
) -> Iterator[tuple[tuple[str, str, int], date]]:
    """Yield each open cycle with the business day of an act that ends it."""
    answers = ((*row, ANSWER) for row in connection.execute(_OF_ANSWERS, {"now": now}).all())
    for *key, opened_on, at, behaviour in (*answers, *connection.execute(_OF_SIGNS, {"now": now}).all()):
        programme, customer_id, number = key
        day = at.astimezone(returning.zone).date()
        counts = behaviour == ANSWER or behaviour in returning.behaviours.get(programme, ())
        if counts and day >= opened_on:
            yield (programme, customer_id, number), day
