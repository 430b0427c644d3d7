"""What the ledger knows now about the customers of some messages: the facts the gate goes by.

Read inside the claiming transaction, after the messages are locked: whatever was committed up to here counts. As many
queries as there are tables, however many messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, or_, select

from winback.core.merge_fields import CONTACT_FIELDS
from winback.core.slots import PLACE
from winback.ledger import held_steps, signs_of_life
from winback.ledger.connections import among
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, loads
from winback.ledger.people_tables import consents, contacts, suppressions
from winback.ledger.refusals import PRECEDENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from winback.core.reasons import Reason
    from winback.ledger.signs_of_life import Sign

PURPOSE = "marketing"
GRANTED = "granted"
ADDRESS_COLUMNS = {"email": "email", "sms": "phone", "whatsapp": "phone"}
UNSENT_STATES = ("planned", "suppressed", "expired", "cancelled", "held", "rejected")
"""Every other state is, or may be, a message somebody got: it counts for the caps."""
CAP_DAYS = 7
CONTACT_COLUMNS = tuple(
    dict.fromkeys(
        (
            "customer_id",
            *CONTACT_FIELDS,
            *PLACE[1:],
            "extra",
            "removed_on",
            *(f"{channel}_hmac" for channel in ADDRESS_COLUMNS),
        )
    )
)
"""What the gate, the templates and the providers read of a contact; a wider row costs more than it is worth here."""

_CONTACTS = [contacts.c[name] for name in CONTACT_COLUMNS]
_REASONS = {reason.value: reason for reason in PRECEDENCE}


class Consent(NamedTuple):
    """The newest word of a person about a channel."""

    status: str
    basis: str | None
    recorded_at: datetime


class Cycle(NamedTuple):
    """A stored cycle."""

    arm: str
    lapsed_on: date
    threshold_days: float | None
    closed_on: date | None
    close_reason: str | None

    @property
    def last_on(self) -> date:
        """The last active day the plan knew of: the threshold before the lapse."""
        return self.lapsed_on - timedelta(days=int(self.threshold_days or 0))


@dataclass(frozen=True, kw_only=True)
class Known:
    """What stands in the ledger now.

    Attributes
    ----------
    contacts : by customer
    suppressions : by (kind, key): channel, reason, programme of each that holds
    consents : by (customer, channel)
    cycles : by (programme, customer, cycle number)
    signs : by customer: what they did of late
    recent : by customer: messages of the last seven days that went, or may have gone
    held_sources : sources whose newest load is held
    held_steps : programme, step and channel of each step that waits for a person
    """

    contacts: Mapping[str, Mapping[str, Any]]
    suppressions: Mapping[tuple[str, str], list[tuple[str, Reason, str]]]
    consents: Mapping[tuple[str, str], Consent]
    cycles: Mapping[tuple[str, str, int], Cycle]
    signs: Mapping[str, list[Sign]]
    recent: Mapping[str, int]
    held_sources: frozenset[str]
    held_steps: frozenset[tuple[str, int, str]] = frozenset()


def read_known(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Known:
    """Return what is known now about the customers and addresses of these messages."""
    customers = sorted({row["customer_id"] for row in rows})
    people = connection.execute(select(*_CONTACTS).where(among(connection, contacts.c.customer_id, customers)))
    return Known(
        contacts={row[0]: dict(zip(CONTACT_COLUMNS, row, strict=True)) for row in people.all()},
        suppressions=_suppressions(connection, customers, [row["address_hmac"] for row in rows if row["address_hmac"]]),
        consents=_consents(connection, customers),
        cycles=_cycles(connection, customers),
        signs=signs_of_life.read_signs(connection, customers),
        recent=_recent(connection, rows, customers),
        held_sources=_held_sources(connection),
        held_steps=frozenset(held_steps.held_steps(connection)),
    )


def _suppressions(
    connection: Connection, customers: Sequence[str], addresses: Sequence[str]
) -> dict[tuple[str, str], list[tuple[str, Reason, str]]]:
    columns = [suppressions.c[name] for name in ("kind", "key", "channel", "reason", "programme")]
    about = or_(
        (suppressions.c.kind == "customer") & among(connection, suppressions.c.key, customers),
        (suppressions.c.kind == "address") & among(connection, suppressions.c.key, addresses),
    )
    found: dict[tuple[str, str], list[tuple[str, Reason, str]]] = {}
    query = select(*columns).where(about, suppressions.c.lifted_at.is_(None))
    for kind, key, channel, reason, programme in connection.execute(query).all():
        found.setdefault((kind, key), []).append((channel, _REASONS[reason], programme))
    return found


def _consents(connection: Connection, customers: Sequence[str]) -> dict[tuple[str, str], Consent]:
    """Return the newest record by (customer, channel); of two at one instant the withdrawal wins."""
    columns = [consents.c[name] for name in ("customer_id", "channel", "status", "basis", "recorded_at")]
    theirs = among(connection, consents.c.customer_id, customers)
    query = select(*columns).where(theirs, consents.c.purpose == PURPOSE)
    # The last one of each pair stays in the dictionary; "granted" sorts before "withdrawn".
    rows = connection.execute(query.order_by(consents.c.recorded_at, consents.c.status)).all()
    return {(row.customer_id, row.channel): Consent(row.status, row.basis, row.recorded_at) for row in rows}


def _cycles(connection: Connection, customers: Sequence[str]) -> dict[tuple[str, str, int], Cycle]:
    columns = [cycles.c[name] for name in ("programme", "customer_id", "cycle_no", *Cycle._fields)]
    query = select(*columns).where(among(connection, cycles.c.customer_id, customers))
    return {tuple(row[:3]): Cycle(*row[3:]) for row in connection.execute(query).all()}


def _recent(connection: Connection, rows: Sequence[Mapping[str, Any]], customers: Sequence[str]) -> dict[str, int]:
    """Count the messages of the seven days that end with the newest night of these."""
    newest = max(row["local_day"] for row in rows)
    within = messages.c.local_day > newest - timedelta(days=CAP_DAYS), messages.c.local_day <= newest
    query = select(messages.c.customer_id, func.count().label("sent")).where(
        among(connection, messages.c.customer_id, customers), messages.c.state.not_in(UNSENT_STATES), *within
    )
    return {row.customer_id: row.sent for row in connection.execute(query.group_by(messages.c.customer_id)).all()}


def _held_sources(connection: Connection) -> frozenset[str]:
    """Return the sources whose newest load is held."""
    newest = select(loads.c.source, func.max(loads.c.as_of).label("as_of")).group_by(loads.c.source).subquery()
    query = select(loads.c.source).join(newest, (loads.c.source == newest.c.source) & (loads.c.as_of == newest.c.as_of))
    return frozenset(connection.scalars(query.where(loads.c.held.is_not(None))))
