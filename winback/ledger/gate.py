"""Everything that can speak against sending a message, read again at the moment it is claimed.

In: locked messages. Out: for each, nothing, or the state and the reason it gets instead. The order is fixed: the plan's
age, suppression, consent, the cycle, the control group, the address. What a plan knew is no argument here: people say
stop after plans are made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import or_, select

from winback.core.reasons import Reason
from winback.ledger.refusals import ALL, PRECEDENCE
from winback.ledger.schema import consents, contacts, cycles, decisions, suppressions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

PLAN_TTL = timedelta(hours=36)
PURPOSE = "marketing"
ADDRESS_COLUMNS = {"email": "email", "sms": "phone", "whatsapp": "phone"}
_ARMS = {"control": Reason.CONTROL, "global_control": Reason.GLOBAL_CONTROL}
_REASONS = {reason.value: reason for reason in PRECEDENCE}


class Refused(NamedTuple):
    """What a message becomes instead of being sent."""

    state: str
    reason: Reason


class Known(NamedTuple):
    """What the ledger says now about the customers of some messages."""

    contacts: dict[str, dict[str, Any]]
    suppressions: dict[tuple[str, str], list[tuple[str, Reason, str]]]
    consents: dict[tuple[str, str], str]
    cycles: dict[tuple[str, str, int], tuple[str, Any, str | None]]
    facts: dict[tuple[date, str], str]


def read(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Known:
    """Return what is known now about the customers and addresses of these messages; five queries, however many rows."""
    customers = sorted({row["customer_id"] for row in rows})
    people = connection.execute(select(contacts).where(contacts.c.customer_id.in_(customers))).mappings()
    ladders = select(cycles).where(cycles.c.customer_id.in_(customers))
    nights = sorted({row["as_of"] for row in rows})
    reasons = select(decisions.c.as_of, decisions.c.customer_id, decisions.c.facts)
    reasons = reasons.where(decisions.c.as_of.in_(nights), decisions.c.customer_id.in_(customers))
    return Known(
        contacts={row["customer_id"]: dict(row) for row in people},
        suppressions=_suppressions(connection, customers, [row["address_hmac"] for row in rows if row["address_hmac"]]),
        consents=_consents(connection, customers),
        cycles={
            (row.programme, row.customer_id, row.cycle_no): (row.arm, row.closed_on, row.close_reason)
            for row in connection.execute(ladders)
        },
        facts={(row.as_of, row.customer_id): row.facts for row in connection.execute(reasons)},
    )


def refusal(row: Mapping[str, Any], known: Known, *, now: datetime, plan_ttl: timedelta = PLAN_TTL) -> Refused | None:
    """Return what speaks against sending one message now, or None."""
    if row["expires_at"] <= now or row["planned_at"] + plan_ttl <= now:
        return Refused("expired", Reason.STEP_MISSED)
    suppressed = min(_holding(row, known), key=PRECEDENCE.index, default=None)
    if suppressed:
        return Refused("suppressed", suppressed)
    consent = known.consents.get((row["customer_id"], row["channel"]))
    if consent != "granted":
        return Refused("suppressed", Reason.CONSENT_WITHDRAWN if consent else Reason.NO_CONSENT_RECORD)
    return _of_cycle(row, known) or _of_address(row, known)


def _holding(row: Mapping[str, Any], known: Known) -> Iterator[Reason]:
    """Yield the reasons of the suppressions that cover this message, by address and by customer."""
    for kind, key in (("customer", row["customer_id"]), ("address", row["address_hmac"])):
        for channel, reason, programme in known.suppressions.get((kind, key), ()):
            if channel in {ALL, row["channel"]} and programme in {"", row["programme"]}:
                yield reason


def _of_cycle(row: Mapping[str, Any], known: Known) -> Refused | None:
    cycle = known.cycles.get((row["programme"], row["customer_id"], row["cycle"]))
    if cycle is None:
        return Refused("cancelled", Reason.CYCLE_ENDED)
    arm, closed_on, close_reason = cycle
    if closed_on is not None:
        has_returned = close_reason is not None and close_reason.startswith("return")
        return Refused("cancelled", Reason.RETURNED if has_returned else Reason.CYCLE_ENDED)
    return Refused("cancelled", _ARMS[arm]) if arm in _ARMS else None


def _of_address(row: Mapping[str, Any], known: Known) -> Refused | None:
    """Refuse a contact who is gone, or has another address than the one the plan looked at."""
    contact = known.contacts.get(row["customer_id"])
    channel = row["channel"]
    if (
        contact is None
        or contact["removed_on"] is not None
        or not contact[ADDRESS_COLUMNS[channel]]
        or contact[f"{channel}_hmac"] != row["address_hmac"]
    ):
        return Refused("cancelled", Reason.UNREACHABLE)
    return None


def _suppressions(
    connection: Connection, customers: Sequence[str], addresses: Sequence[str]
) -> dict[tuple[str, str], list[tuple[str, Reason, str]]]:
    columns = [suppressions.c[name] for name in ("kind", "key", "channel", "reason", "programme")]
    about = or_(
        (suppressions.c.kind == "customer") & suppressions.c.key.in_(customers),
        (suppressions.c.kind == "address") & suppressions.c.key.in_(addresses),
    )
    found: dict[tuple[str, str], list[tuple[str, Reason, str]]] = {}
    for kind, key, channel, reason, programme in connection.execute(
        select(*columns).where(about, suppressions.c.lifted_at.is_(None))
    ):
        found.setdefault((kind, key), []).append((channel, _REASONS[reason], programme))
    return found


def _consents(connection: Connection, customers: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the newest status by (customer, channel); of two at one instant the withdrawal wins."""
    columns = [consents.c[name] for name in ("customer_id", "channel", "status")]
    query = select(*columns).where(consents.c.customer_id.in_(customers), consents.c.purpose == PURPOSE)
    # The last one of each pair stays in the dictionary; "granted" sorts before "withdrawn".
    rows = connection.execute(query.order_by(consents.c.recorded_at, consents.c.status))
    return {(customer_id, channel): status for customer_id, channel, status in rows}
