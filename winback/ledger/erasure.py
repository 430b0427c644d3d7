"""The right to be forgotten: nothing of the person stays in any table, and a later import stays out.

What stays are keyed hashes (of the customer id and of the addresses) with the reason ``erased``, and the bare rows
that counts and the control group need, under a pseudonym. The audit log never knew the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from winback.core.reasons import Reason
from winback.ledger import diary, keys, outgoing, reviews, visits, webhook_calls
from winback.ledger.connections import new_insert
from winback.ledger.decided import decided_days
from winback.ledger.inbound_tables import heard_events
from winback.ledger.message_tables import attempts, messages, receipts
from winback.ledger.night_tables import cycles, decisions, quarantine, steps
from winback.ledger.people_tables import consents, contacts, signs_of_life, suppressions
from winback.ledger.public_tables import engagements, preferences

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from winback.ledger.refusals import Act

_SHORTEST_VALUE = 3


def forget(connection: Connection, customer_id: str, act: Act, *, pepper: bytes) -> dict[str, int]:
    """Erase a customer, in one transaction.

    On SQLite the deleted bytes stay in the file until ``ledger.scrub()``: call it after the transaction. The activity
    store has to forget the customer's events by itself.

    Returns
    -------
    how many rows were deleted or emptied, by table; all 0 for a customer nobody knew. The id stays out of later
    imports even then
    """
    diary.lock(connection)  # before any row, as whoever takes in receipts does: they must not wait for each other
    person = connection.execute(select(contacts).where(contacts.c.customer_id == customer_id)).mappings().one_or_none()
    _keep_out(connection, customer_id, act, pepper=pepper)
    pseudonym = keys.ERASED + keys.customer_key(pepper, customer_id)[:32]
    count = {
        "reviews": reviews.forget_said(connection, customer_id, pseudonym),  # while the number is still known
        "contacts": connection.execute(contacts.delete().where(contacts.c.customer_id == customer_id)).rowcount,
        "consents": connection.execute(consents.delete().where(consents.c.customer_id == customer_id)).rowcount,
        "signs_of_life": connection.execute(
            signs_of_life.delete().where(signs_of_life.c.customer_id == customer_id)
        ).rowcount,
        "preferences": connection.execute(
            preferences.delete().where(preferences.c.customer_id == customer_id)
        ).rowcount,
        "heard_events": connection.execute(
            heard_events.delete().where(heard_events.c.customer_id == customer_id)
        ).rowcount,
        "outgoing": outgoing.forget(connection, customer_id),
        "quarantine": _empty_quarantine(connection, customer_id, dict(person or {})),
        **_cut_loose(connection, customer_id, pseudonym),
        # Last: who took in a call holds its messages, and has been waited for by now.
        "webhook_calls": webhook_calls.empty_bodies(connection),
    }
    subject = keys.customer_key(pepper, customer_id)
    diary.record(connection, at=act.at, actor=act.actor, action="forget", subject=subject, after=count)
    return count


def _keep_out(connection: Connection, customer_id: str, act: Act, *, pepper: bytes) -> None:
    """Leave the keyed hashes, and take away the suppressions that name the customer in plain text."""
    columns = contacts.c.email_hmac, contacts.c.sms_hmac, contacts.c.whatsapp_hmac
    stored = connection.execute(select(*columns).where(contacts.c.customer_id == customer_id)).one_or_none()
    entries = [("all", "erased", keys.customer_key(pepper, customer_id))]
    entries += [(one, "address", key) for one, key in zip(keys.CHANNELS, stored or (), strict=False) if key]
    common = {"reason": Reason.ERASED.value, "programme": "", "effective_on": act.effective_on, "created_at": act.at}
    rows = [{"channel": one, "kind": kind, "key": key, **common, "source": "erasure"} for one, kind, key in entries]
    connection.execute(new_insert(connection, suppressions).on_conflict_do_nothing(), rows)
    by_name = suppressions.c.kind == "customer", suppressions.c.key == customer_id
    connection.execute(suppressions.delete().where(*by_name))


def _empty_quarantine(connection: Connection, customer_id: str, person: dict[str, object]) -> int:
    """Blank the masked values in which anything of the person can still be seen."""
    names = "email", "email_key", "phone", "first_name", "last_name"
    values = {str(value) for value in (customer_id, *(person.get(name) for name in names)) if value}
    seen = [quarantine.c.masked_value.icontains(one, autoescape=True) for one in values if len(one) >= _SHORTEST_VALUE]
    if not seen:
        return 0
    return int(connection.execute(quarantine.update().where(or_(*seen)).values(masked_value=None)).rowcount)


def _cut_loose(connection: Connection, customer_id: str, pseudonym: str) -> dict[str, int]:
    """Put a pseudonym where the id stood, and empty what tells of the person."""
    theirs = select(messages.c.message_id).where(messages.c.customer_id == customer_id)
    no_trace = {"provider_id": None, "error": None}
    count = {
        "attempts": connection.execute(
            attempts.update().where(attempts.c.message_id.in_(theirs)).values(no_trace)
        ).rowcount,
        "receipts": connection.execute(
            receipts.update().where(receipts.c.message_id.in_(theirs)).values(provider_id=None, detail="")
        ).rowcount,
    }
    waiting = messages.update().where(messages.c.customer_id == customer_id, messages.c.state == "planned")
    connection.execute(waiting.values(state="cancelled", reason=Reason.ERASED.value))
    empty: dict[str, dict[str, object]] = {
        "decisions": {"facts": "{}"},
        "messages": {"provider_id": None, "last_error": None, "locale": None},
        "cycles": {},
        "steps": {},
        "engagements": {"detail": "{}"},
    }
    for table in (cycles, steps, decisions, messages, engagements):
        change = table.update().where(table.c.customer_id == customer_id)
        if table is decisions:  # a seek a night, instead of a walk through all of them
            change = change.where(decisions.c.as_of.in_(connection.scalars(decided_days()).all()))
        count[table.name] = connection.execute(change.values(customer_id=pseudonym, **empty[table.name])).rowcount
    # After the messages: who stores a visit holds its message, and has been waited for by now.
    count["visits"] = visits.forget(connection, pseudonym)
    return count
