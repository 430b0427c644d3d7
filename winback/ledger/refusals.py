"""No means no: suppressions, and what is left of a person who asks to be forgotten.

A refusal holds by address and by customer at once: a new address does not bring the customer back, a second customer
id does not bring the address back. A file that is read may add refusals and never lifts one; only the person's own,
newer act does. Erasure leaves keyed hashes, so that a later import stays out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, or_, select

from winback.core.reasons import Reason
from winback.ledger import diary, keys, outgoing
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import contacts, suppressions
from winback.ledger.suppression_rows import add, matches, standing, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection

ALL = "all"
PRECEDENCE = (Reason.ERASED, Reason.COMPLAINED, Reason.OPTED_OUT, Reason.INVALID_ADDRESS, Reason.SUNSETTED)
"""Which suppression is named when several hold: the first of these."""

LIFTABLE = (Reason.OPTED_OUT, Reason.SUNSETTED)
"""What the person's own act can take back; the others take an operator who knows why."""

STOP_WORD = "stop_word"
"""The source of what a text with a stop word took; START gives back this and nothing else."""

_KEY_COLUMNS = {"email": contacts.c.email_hmac, "sms": contacts.c.sms_hmac, "whatsapp": contacts.c.whatsapp_hmac}
_BLOCK = 1000


class Target(NamedTuple):
    """Whom a refusal is about: one person, by address, by customer id, or both.

    ``address`` is normalised: the comparison form of an e-mail address, or E.164. ``channel`` None means every one.
    ``address_key`` is the keyed hash of an address on ``channel``, where only that is known any more.
    """

    channel: str | None = None
    address: str | None = None
    customer_id: str | None = None
    address_key: str | None = None


class Act(NamedTuple):
    """Who did something about a person, and when.

    ``at`` is the instant (aware), ``effective_on`` the business day it falls on, ``source`` where it came from ("cli",
    "import", "one_click", "webhook:twilio", ...), ``actor`` who did it, for the audit log.
    """

    at: datetime
    effective_on: date
    source: str
    actor: str


def suppress(
    connection: Connection,
    target: Target,
    act: Act,
    *,
    pepper: bytes,
    reason: Reason,
    programme: str | None = None,
) -> int:
    """Write to this person no more; effective when the transaction is committed.

    Parameters
    ----------
    target : an address holds for every customer who has it, a customer for all their addresses. An address that does
        not work (``invalid_address``) says nothing about the person: then only the address is suppressed
    reason : one of :data:`PRECEDENCE`
    programme : only from this programme; None from all

    Returns
    -------
    how many suppressions are new (0 when all of them held already)

    Raises
    ------
    ValueError
        If the target names nobody, or the reason is none of a suppression.
    """
    if reason not in PRECEDENCE:
        message = f"{reason} is no reason to suppress: expected one of {', '.join(PRECEDENCE)}"
        raise ValueError(message)
    about = list(entries_of(connection, target, pepper=pepper))
    entries = [one for one in about if reason is not Reason.INVALID_ADDRESS or one[1] == "address"]
    let_claims_end(connection, [key for _, kind, key in entries])
    listens = outgoing.listeners(connection, "suppression")
    held = standing(connection, entries, reasons=[reason], programme=programme) if listens else []
    written = add(connection, entries, act, reason=reason, programme=programme)
    _renew(connection, entries, act, reason=reason, programme=programme)
    after = {"channel": target.channel or ALL, "reason": reason, "source": act.source, "programme": programme}
    _note(connection, "suppress", target, act, pepper=pepper, after={**after, "new": written})
    if listens and written:
        known = {entry for entry, _ in held}
        # Of an address that does not work all who have it are told of, of anything else those for whom it is new.
        news = [(one, reason.value) for one in about if one not in known]
        tell(connection, "suppression", news, act, channel=target.channel or ALL, programme=programme)
    return written


def let_claims_end(connection: Connection, keys_of_people: Iterable[str]) -> None:
    """Wait until nobody is deciding about a message of these people: a no comes before a claim or after it.

    A claim holds its messages, reads refusals and commits; a no that is committed in between would come before the
    claim and yet not be seen. Whoever waits here for the messages has the claim behind them, or is seen by it. SQLite
    has one writer, so there is nothing to wait for.

    Parameters
    ----------
    keys_of_people : customer ids and keyed hashes of addresses
    """
    if connection.dialect.name == "sqlite":
        return
    diary.lock(connection)  # before any row, always: two transactions must not wait for each other
    wanted = sorted(set(keys_of_people))
    for start in range(0, len(wanted), _BLOCK):
        some = wanted[start : start + _BLOCK]
        theirs = or_(messages.c.customer_id.in_(some), messages.c.address_hmac.in_(some))
        held = select(messages.c.message_id).where(messages.c.state == "planned", theirs)
        connection.execute(held.order_by(messages.c.message_id).with_for_update()).all()


def sunset(
    connection: Connection, customer_ids: Iterable[str], *, at: datetime, effective_on: date, channel: str = ALL
) -> int:
    """Stop writing to customers who did not answer; return how many are new.

    By customer only: somebody else with the same address may be very active.
    """
    act = Act(at, effective_on, source="night", actor="night")
    entries = [(channel, "customer", customer_id) for customer_id in customer_ids]
    count = add(connection, entries, act, reason=Reason.SUNSETTED, programme=None)
    if count:
        after = {"channel": channel, "new": count}
        diary.record(connection, at=at, actor=act.actor, action="sunset", subject=str(effective_on), after=after)
    return count


def lift(
    connection: Connection,
    target: Target,
    act: Act,
    *,
    pepper: bytes,
    source: str | None = None,
    programme: str | None = None,
) -> int:
    """Take refusals back because the person did something newer that says so; return how many were lifted.

    Only ever called for an act of the person (START, a confirmed sign-up, the preference page), never for an import.
    A refusal recorded at the same instant, or later, stays; so do complaints, erasures and dead addresses. An act on
    one channel lifts nothing that was said about all of them, and one on everything nothing that was said about one
    programme. With ``source``, only what came from there is lifted: :data:`STOP_WORD` for START. That undoes a sunset,
    too, on its channel.
    """
    entries = list(entries_of(connection, target, pepper=pepper))
    about = [and_(*matches(entry)) for entry in entries]
    change = suppressions.update().where(
        or_(*about),
        suppressions.c.reason.in_(LIFTABLE),
        suppressions.c.programme == (programme or ""),
        suppressions.c.lifted_at.is_(None),
        suppressions.c.created_at < act.at,
    )
    if source is not None:
        change = change.where(suppressions.c.source == source)
    listens = outgoing.listeners(connection, "lift")
    held = standing(connection, entries, reasons=LIFTABLE, programme=programme) if listens else []
    lifted = int(connection.execute(change.values(lifted_at=act.at)).rowcount)
    left = standing(connection, entries, reasons=LIFTABLE, programme=programme) if lifted and listens else held
    news = [one for one in held if one not in left]
    if source == STOP_WORD and target.channel:
        customers = [key for _, kind, key in entries if kind == "customer"]
        undone = _lift_sunset(connection, customers, act, channel=target.channel)
        lifted += len(undone)
        news += [((target.channel, "customer", one), Reason.SUNSETTED.value) for one in undone]
    tell(connection, "lift", news, act, channel=target.channel or ALL, programme=programme)
    if lifted:
        after = {"channel": target.channel or ALL, "source": act.source, "programme": programme, "lifted": lifted}
        _note(connection, "lift", target, act, pepper=pepper, after=after)
    return lifted


def _lift_sunset(connection: Connection, customer_ids: Sequence[str], act: Act, *, channel: str) -> list[str]:
    """Undo the sunset of customers who asked for messages on a channel; on the others it stays. Return who it was."""
    mine = suppressions.c.kind == "customer", suppressions.c.key.in_(customer_ids)
    in_force = suppressions.c.lifted_at.is_(None), suppressions.c.created_at < act.at
    about = suppressions.c.channel.in_([ALL, channel]), suppressions.c.reason == Reason.SUNSETTED.value
    found = connection.execute(select(suppressions).where(*mine, *in_force, *about)).all()
    for row in found:
        connection.execute(suppressions.update().where(suppressions.c.id == row.id).values(lifted_at=act.at))
        same = Act(row.created_at, row.effective_on, row.source, act.actor)
        others = [(one, "customer", row.key) for one in keys.CHANNELS if row.channel == ALL and one != channel]
        add(connection, others, same, reason=Reason.SUNSETTED, programme=None)
    return [row.key for row in found]


def entries_of(connection: Connection, target: Target, *, pepper: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield (channel, kind, key) of every suppression that is about the target.

    Raises
    ------
    ValueError
        If the target names nobody.
    """
    if not (target.address or target.customer_id or (target.address_key and target.channel)):
        message = "a refusal needs an address or a customer id"
        raise ValueError(message)
    channels = [target.channel] if target.channel else list(keys.CHANNELS)
    address = target.address or ""
    given = {one: keys.address_key(pepper, one, address) for one in channels if address and _fits(one, address)}
    if target.address_key and target.channel:
        given[target.channel] = target.address_key
    query = select(contacts.c.customer_id, *(_KEY_COLUMNS[channel] for channel in channels))
    if target.customer_id:
        query = query.where(contacts.c.customer_id == target.customer_id)
        yield target.channel or ALL, "customer", target.customer_id
    elif given:
        query = query.where(or_(*(_has(channel, key, address, pepper) for channel, key in given.items())))
    else:
        return  # an address of another kind than the channel's
    for channel, key in given.items():
        yield channel, "address", key
    for customer_id, *stored in connection.execute(query).all():
        yield target.channel or ALL, "customer", customer_id
        yield from ((channel, "address", key) for channel, key in zip(channels, stored, strict=True) if key)


def _has(channel: str, key: str, address: str, pepper: bytes) -> ColumnElement[bool]:
    """Return whether a contact has an address; a number is looked for where it has an index, whatever the channel."""
    if channel == "whatsapp" and address:
        return contacts.c.sms_hmac == keys.address_key(pepper, "sms", address)
    return _KEY_COLUMNS[channel] == key


def _fits(channel: str, address: str) -> bool:
    """Whether an address is one of the channel's kind."""
    return ("@" in address) == (channel == "email")


def _renew(
    connection: Connection,
    entries: Iterable[tuple[str, str, str]],
    act: Act,
    *,
    reason: Reason,
    programme: str | None,
) -> None:
    """Let a refusal count from the newest time it was said, and by what START cannot take back.

    Events come in any order: a yes has to be newer than the newest no.
    """
    about = [and_(*matches(entry)) for entry in entries]
    if not about:
        return
    same = or_(*about), suppressions.c.reason == reason.value, suppressions.c.programme == (programme or "")
    in_force = suppressions.update().where(*same, suppressions.c.lifted_at.is_(None))
    connection.execute(in_force.where(suppressions.c.created_at < act.at).values(created_at=act.at))
    if act.source != STOP_WORD:
        connection.execute(in_force.where(suppressions.c.source == STOP_WORD).values(source=act.source))


def _note(
    connection: Connection, action: str, target: Target, act: Act, *, pepper: bytes, after: Mapping[str, object]
) -> None:
    """Tell the audit log, which must never know the person: by keyed hash."""
    if target.customer_id:
        subject = keys.customer_key(pepper, target.customer_id)
    elif target.address_key:
        subject = target.address_key
    else:
        channel = target.channel or ("email" if "@" in str(target.address) else "sms")
        subject = keys.address_key(pepper, channel, str(target.address))
    diary.record(connection, at=act.at, actor=act.actor, action=action, subject=subject, after=after)
