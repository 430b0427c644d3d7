"""What the ledger knows now about the customers of some messages: the facts the gate goes by.

Read inside the claiming transaction, after the messages are locked: whatever was committed up to here counts. As many
queries as there are tables, however many messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, bindparam, func, or_, select

from winback.core.merge_fields import CONTACT_FIELDS
from winback.core.slots import PLACE
from winback.ledger import held_steps, reviews, signs_of_life
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, loads
from winback.ledger.people_tables import consents, contacts, suppressions
from winback.ledger.preferences import FEWER_DAYS, read_preferences
from winback.ledger.refusals import PRECEDENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from winback.core.reasons import Reason
    from winback.ledger.preferences import Preference
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

_CONTACTS = select(*(contacts.c[name] for name in CONTACT_COLUMNS)).where(among(contacts.c.customer_id))
_SUPPRESSIONS = select(*(suppressions.c[name] for name in ("kind", "key", "channel", "reason", "programme"))).where(
    or_(
        and_(suppressions.c.kind == "customer", among(suppressions.c.key)),
        and_(suppressions.c.kind == "address", among(suppressions.c.key, "addresses")),
    ),
    suppressions.c.lifted_at.is_(None),
)
_CONSENTS = (
    select(*(consents.c[name] for name in ("customer_id", "channel", "status", "basis", "recorded_at")))
    .where(among(consents.c.customer_id), consents.c.purpose == PURPOSE)
    .order_by(consents.c.recorded_at, consents.c.status)
)
_CYCLE_COLUMNS = "arm", "lapsed_on", "threshold_days", "closed_on", "close_reason"
_CYCLES = select(*(cycles.c[name] for name in ("programme", "customer_id", "cycle_no", *_CYCLE_COLUMNS))).where(
    among(cycles.c.customer_id)
)
_RECENT = (
    select(messages.c.customer_id, func.count().label("sent"))
    .where(
        among(messages.c.customer_id),
        messages.c.state.not_in(UNSENT_STATES),
        messages.c.local_day > bindparam("after"),
        messages.c.local_day <= bindparam("newest"),
    )
    .group_by(messages.c.customer_id)
)
_NEWEST = select(loads.c.source, func.max(loads.c.as_of).label("as_of")).group_by(loads.c.source).subquery()
_HELD_SOURCES = (
    select(loads.c.source)
    .join(_NEWEST, (loads.c.source == _NEWEST.c.source) & (loads.c.as_of == _NEWEST.c.as_of))
    .where(loads.c.held.is_not(None))
)
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
    preferences, recent_of_sparing : what people chose; for those who asked for fewer, messages of the last 30 days
    held_sources : sources whose newest load is held
    under_review : customers of whom a text waits to be read
    held_steps : programme, step and channel of each step that waits for a person
    """

    contacts: Mapping[str, Mapping[str, Any]]
    suppressions: Mapping[tuple[str, str], list[tuple[str, Reason, str]]]
    consents: Mapping[tuple[str, str], Consent]
    cycles: Mapping[tuple[str, str, int], Cycle]
    signs: Mapping[str, list[Sign]]
    recent: Mapping[str, int]
    preferences: Mapping[str, Preference]
    recent_of_sparing: Mapping[str, int]
    held_sources: frozenset[str]
    under_review: frozenset[str] = frozenset()
    held_steps: frozenset[tuple[str, int, str]] = frozenset()


def read_known(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Known:
    """Return what is known now about the customers and addresses of these messages."""
    customers = sorted({row["customer_id"] for row in rows})
    wishes = read_preferences(connection, customers)
    sparing = [one for one, wished in wishes.items() if wished.wants_fewer]
    people = connection.execute(_CONTACTS, {"these": customers})
    known = {row[0]: dict(zip(CONTACT_COLUMNS, row, strict=True)) for row in people.all()}
    return Known(
        contacts=known,
        suppressions=_suppressions(connection, customers, [row["address_hmac"] for row in rows if row["address_hmac"]]),
        consents=_consents(connection, customers),
        cycles=_cycles(connection, customers),
        signs=signs_of_life.read_signs(connection, customers),
        recent=_recent(connection, rows, customers, days=CAP_DAYS),
        preferences=wishes,
        recent_of_sparing=_recent(connection, rows, sparing, days=FEWER_DAYS) if sparing else {},
        held_sources=_held_sources(connection),
        under_review=reviews.reviewed_among(connection, customers, known),
        held_steps=frozenset(held_steps.held_steps(connection)),
    )


def _suppressions(
    connection: Connection, customers: Sequence[str], addresses: Sequence[str]
) -> dict[tuple[str, str], list[tuple[str, Reason, str]]]:
    found: dict[tuple[str, str], list[tuple[str, Reason, str]]] = {}
    rows = connection.execute(_SUPPRESSIONS, {"these": customers, "addresses": addresses})
    for kind, key, channel, reason, programme in rows.all():
        found.setdefault((kind, key), []).append((channel, _REASONS[reason], programme))
    return found


def _consents(connection: Connection, customers: Sequence[str]) -> dict[tuple[str, str], Consent]:
    """Return the newest record by (customer, channel); of two at one instant the withdrawal wins."""
    # The last one of each pair stays in the dictionary; "granted" sorts before "withdrawn".
    rows = connection.execute(_CONSENTS, {"these": customers}).all()
    return {(customer_id, channel): Consent(*said) for customer_id, channel, *said in rows}


def _cycles(connection: Connection, customers: Sequence[str]) -> dict[tuple[str, str, int], Cycle]:
    rows = connection.execute(_CYCLES, {"these": customers}).all()
    return {(programme, customer_id, number): Cycle(*of) for programme, customer_id, number, *of in rows}


def _recent(
    connection: Connection, rows: Sequence[Mapping[str, Any]], customers: Sequence[str], *, days: int
) -> dict[str, int]:
    """Count the messages of the days that end with the newest night of these."""
    newest = max(row["local_day"] for row in rows)
    within = {"after": newest - timedelta(days=days), "newest": newest}
    counted = connection.execute(_RECENT, {"these": customers, **within}).tuples()
    return dict(counted.all())


def _held_sources(connection: Connection) -> frozenset[str]:
    """Return the sources whose newest load is held."""
    return frozenset(connection.scalars(_HELD_SOURCES))
