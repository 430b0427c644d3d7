"""Who has refused, and what: the reading side of :mod:`winback.ledger.refusals`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, or_, select

from winback.core.reasons import Reason
from winback.ledger import keys
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import ALL, PRECEDENCE, STOP_WORD, Target, entries_of
from winback.ledger.suppression_rows import matches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

_REASONS = {reason.value: reason for reason in PRECEDENCE}


class Refusal(NamedTuple):
    """One suppression that holds."""

    channel: str
    kind: str
    reason: Reason
    programme: str | None
    effective_on: date
    source: str


def is_opted_out(connection: Connection, target: Target, *, pepper: bytes) -> bool:
    """Whether an opt-out of this target would change nothing: all of it holds, and no START can take it back."""
    wanted = set(entries_of(connection, target, pepper=pepper))
    columns = suppressions.c.channel, suppressions.c.kind, suppressions.c.key
    holds = select(*columns).where(
        or_(*(and_(*matches(entry)) for entry in wanted)),
        suppressions.c.reason == Reason.OPTED_OUT.value,
        suppressions.c.programme == "",
        suppressions.c.lifted_at.is_(None),
        suppressions.c.source != STOP_WORD,
    )
    return bool(wanted) and wanted <= {tuple(row) for row in connection.execute(holds)}


def refusals_of(connection: Connection, customer_id: str, *, pepper: bytes) -> list[Refusal]:
    """Return what holds for one customer, by id, by address or by erasure, the strongest first."""
    everywhere = [(channel, "customer", customer_id) for channel in keys.CHANNELS]
    entries = [*entries_of(connection, Target(customer_id=customer_id), pepper=pepper), *everywhere]
    erased = (ALL, "erased", keys.customer_key(pepper, customer_id))
    columns = [getattr(suppressions.c, name) for name in Refusal._fields]
    query = select(*columns).where(
        or_(*(and_(*matches(entry)) for entry in {*entries, erased})), suppressions.c.lifted_at.is_(None)
    )
    found = [Refusal(*row) for row in connection.execute(query.order_by(suppressions.c.id))]
    found = [one._replace(reason=_REASONS[one.reason], programme=one.programme or None) for one in found]
    return sorted(found, key=lambda one: PRECEDENCE.index(one.reason))


def is_erased(connection: Connection, customer_id: str, *, pepper: bytes) -> bool:
    """Whether this customer asked to be forgotten."""
    return bool(erased_among(connection, [customer_id], pepper=pepper))


def erased_among(connection: Connection, customer_ids: Sequence[str], *, pepper: bytes) -> set[str]:
    """Return which of these customers asked to be forgotten; their rows must not be stored again.

    One keyed hash a customer, unless nobody was ever erased: ask for the new ones of a load only.
    """
    query = select(suppressions.c.key).where(suppressions.c.kind == "erased")
    erased = set(connection.scalars(query))
    return {one for one in customer_ids if keys.customer_key(pepper, one) in erased} if erased else set()
