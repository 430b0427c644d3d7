"""Claims: the messages one sender may post now, each reason against sending asked again in the same transaction.

In: due messages. Out: some of them *sending*, with an attempt each, their place in the night's limit reserved; the
others with the state and the reason that the gate gave them. Must never happen: a message that two senders hold.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, literal_column, select

from winback.core.reasons import Reason
from winback.ledger import spending, switches
from winback.ledger.gate import Gate, Refused, Terms
from winback.ledger.gate_facts import ADDRESS_COLUMNS, read_known
from winback.ledger.listed import among
from winback.ledger.message_tables import attempts, messages
from winback.ledger.queue import MessageState
from winback.ledger.spending import Budget, Priced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection

    from winback.ledger.gate_facts import Known

LEASE = timedelta(minutes=10)
_ALIKE = ("programme", "channel", "step", "template_hash", "locale")


class Claimed(NamedTuple):
    """A message that one sender may post now.

    ``contact`` is what the ledger knows of the contact now, ``address`` where it goes.
    """

    message_id: str
    attempt_no: int
    address: str
    programme: str
    customer_id: str
    cycle: int
    step: int
    channel: str
    as_of: date
    template: str
    template_hash: str
    locale: str | None
    policy_hash: str
    plan_hash: str
    cost: float | None
    segments: int | None
    expires_at: datetime
    contact: Mapping[str, Any]


# In the text of the query, so that a partial index is known to fit.
_PLANNED: ColumnElement[str] = literal_column(f"'{MessageState.PLANNED.value}'")
_SAME = tuple(name for name in Claimed._fields if name in messages.c)
_NAMES = tuple(dict.fromkeys((*_SAME, "attempts", "address_hmac", "local_day", "not_before_at", "planned_at")))
_COLUMNS = [messages.c[name] for name in _NAMES]
# Each is made once: putting the statement together again for every claim took 6 % of a sender's time.
_DUE = select(*_COLUMNS).where(messages.c.state == _PLANNED, messages.c.not_before_at <= bindparam("present"))
# Those of one moment as they lie in the table, beside each other: no page is written for the sake of one row.
_DUE_FIRST = _DUE.order_by(messages.c.not_before_at).with_for_update(skip_locked=True)
_OF_CHANNEL = messages.c.channel == bindparam("of_channel")
_ALIKE_DUE = _DUE_FIRST.where(
    *(messages.c[name].is_not_distinct_from(bindparam(name, type_=messages.c[name].type)) for name in _ALIKE)
).limit(bindparam("most"))
_OLDEST_OF_ALL = _DUE_FIRST.limit(1)
_OLDEST_OF_CHANNEL = _DUE_FIRST.where(_OF_CHANNEL).limit(1)
_TAKE = (
    messages.update()
    .where(among(messages.c.message_id))
    .values(state=MessageState.SENDING.value, reason=None, attempts=messages.c.attempts + 1, reserved_cost=0.0)
    .values(owner=bindparam("by"), lease_until=bindparam("until"))
)
_BEGIN = attempts.insert().from_select(
    ("message_id", "attempt_no", "owner", "started_at"),
    select(
        messages.c.message_id,
        messages.c.attempts,
        bindparam("by", type_=attempts.c.owner.type),
        bindparam("begun_at", type_=attempts.c.started_at.type),
    ).where(among(messages.c.message_id)),
)


class Claim(NamedTuple):
    """What one claim brought: messages to post, and how many the gate refused, by reason."""

    messages: tuple[Claimed, ...]
    refused: Mapping[str, int]
    is_stopped: bool = False

    @property
    def is_drained(self) -> bool:
        """Whether nothing was due: a sender may end, or sleep."""
        return not self.messages and not self.refused


def claim(
    connection: Connection,
    *,
    limit: int,
    now: datetime,
    owner: str,
    channel: str | None = None,
    terms: Terms | None = None,
    max_sends_per_night: int | None = None,
    lease: timedelta = LEASE,
) -> Claim:
    """Move up to ``limit`` due messages from planned to sending, an attempt each; refuse what the gate refuses.

    Commit before posting. Two claims never hold one message: SQLite has one writer, PostgreSQL skips locked rows.

    Parameters
    ----------
    connection : inside ``ledger.writing()``
    limit : messages to look at, not to get; all of them are in one text and language, that of the oldest
    now : aware
    owner : the name of the lock this sender holds while it lives
    channel : only this channel
    terms : what the gate goes by besides the ledger
    max_sends_per_night : counted here over all senders
    lease : how long the sender expects to need; shown to people, never a proof of death
    """
    if switches.pressed(connection):
        return Claim((), {}, is_stopped=True)
    rows = _due_rows(connection, now, channel, limit)
    if not rows:
        return Claim((), {})
    known = read_known(connection, rows)
    refusals = Gate(known, terms or Terms(), now=now).refusals(rows)
    wanted = [row for row in rows if row["message_id"] not in refusals]
    admitted = spending.reserve_sends(connection, [_priced(row) for row in wanted], limit=max_sends_per_night)
    tomorrow = now + timedelta(days=1)
    for row in wanted:
        if row["message_id"] not in admitted:
            refusals[row["message_id"]] = _put_off(row, Reason.NIGHT_LIMIT, tomorrow)
    _refuse(connection, refusals)
    taken = [row for row in wanted if row["message_id"] in admitted]
    _take(connection, taken, now=now, owner=owner, lease_until=now + lease)
    refused = Counter(refusal.reason.value for refusal in refusals.values())
    return Claim(tuple(_claimed(row, known) for row in taken), dict(refused))


def reserve_cost(
    connection: Connection,
    costs: Mapping[str, float],
    *,
    budget: Budget,
    owner: str,
    now: datetime,
) -> set[str]:
    """Reserve the cost of claimed messages that are rendered by now; return the ids that may go.

    What no longer fits goes back to planned until tomorrow, where it expires or finds a new month.

    Parameters
    ----------
    costs : by message id, in the business's currency; in the order in which they shall be sent
    """
    columns = messages.c.message_id, messages.c.as_of, messages.c.expires_at
    held = select(*columns).where(among(messages.c.message_id), messages.c.state == MessageState.SENDING)
    found = connection.execute(held.where(messages.c.owner == owner), {"these": costs}).mappings()
    rows = {row["message_id"]: dict(row) for row in found}
    wanted = [Priced(one, rows[one]["as_of"], cost) for one, cost in costs.items() if one in rows]
    admitted = spending.reserve_cost(connection, wanted, budget=budget)
    over = [one for one in wanted if one.message_id not in admitted]
    spending.give_back(connection, [one._replace(cost=0.0) for one in over])
    tomorrow = now + timedelta(days=1)
    _refuse(connection, {one.message_id: _put_off(rows[one.message_id], Reason.COST_LIMIT, tomorrow) for one in over})
    reserved = (
        messages.update().where(messages.c.message_id == bindparam("which")).values(reserved_cost=bindparam("price"))
    )
    if admitted:
        connection.execute(reserved, [{"which": one, "price": costs[one]} for one in sorted(admitted)])
    return admitted


def _due_rows(connection: Connection, now: datetime, channel: str | None, limit: int) -> list[dict[str, Any]]:
    """Lock what may go now, the oldest first, and leave out what another sender locks; all in one text and language.

    One request carries one text: what is claimed together shares a template, a locale and a step.
    """
    oldest_due, values = (_OLDEST_OF_CHANNEL, {"of_channel": channel}) if channel else (_OLDEST_OF_ALL, {})
    oldest = connection.execute(oldest_due, {"present": now, **values}).mappings().one_or_none()
    if oldest is None:
        return []
    about = {name: oldest[name] for name in _ALIKE}
    found = connection.execute(_ALIKE_DUE, {"present": now, "most": limit, **about}).all()
    return [dict(zip(_NAMES, row, strict=True)) for row in found]


def _priced(row: Mapping[str, Any]) -> Priced:
    return Priced(row["message_id"], row["as_of"], row["cost"] or 0.0)


def _put_off(row: Mapping[str, Any], reason: Reason, later: datetime) -> Refused:
    return Refused("expired", reason) if later >= row["expires_at"] else Refused("planned", reason, later)


def _refuse(connection: Connection, refusals: Mapping[str, Refused]) -> None:
    """Write why messages do not go; one that was being sent by us is nobody's any more."""
    if not refusals:
        return
    change = messages.update().where(messages.c.message_id == bindparam("which"))
    later = func.coalesce(bindparam("later", type_=messages.c.not_before_at.type), messages.c.not_before_at)
    values = {"state": bindparam("to"), "reason": bindparam("why"), "not_before_at": later}
    rows = [
        {"which": one, "to": refused.state, "why": refused.reason.value, "later": refused.not_before_at}
        for one, refused in refusals.items()
    ]
    connection.execute(change.values(**values, owner=None, lease_until=None), rows)


def _take(
    connection: Connection, rows: Sequence[Mapping[str, Any]], *, now: datetime, owner: str, lease_until: datetime
) -> None:
    if not rows:
        return
    about = {"these": [row["message_id"] for row in rows], "by": owner}
    connection.execute(_TAKE, {**about, "until": lease_until})
    connection.execute(_BEGIN, {**about, "begun_at": now})


def _claimed(row: Mapping[str, Any], known: Known) -> Claimed:
    contact = known.contacts[row["customer_id"]]
    same = {name: row[name] for name in _SAME}
    extra = {"attempt_no": row["attempts"] + 1, "address": contact[ADDRESS_COLUMNS[row["channel"]]]}
    return Claimed(**same, **extra, contact=contact)
