"""Visits to the links of messages: facts that are kept as they were, and verdicts that can be reached anew.

In: what the pages saw and what vendors tell. Out: rows, and by message what is to be judged. A visit moves nobody; a
verdict may (:mod:`winback.night.judge_visits`). Must never happen: a visit kept of somebody who asked to be forgotten,
an address kept whole.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, or_, select

from winback.core.visit_verdicts import Look, Verdict
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.keys import ERASED
from winback.ledger.links import Addressed
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.visit_tables import visits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

LONGEST_AGENT = 200
MOST_OF_A_MESSAGE = 1000
"""So many visits to one message are kept; a link that is asked for again and again fills no disk."""
_KEPT_BITS = {4: 24, 6: 48}
_BLOCK = 500


class Visit(NamedTuple):
    """One visit. ``visit_id`` is anything for one of our own pages, :func:`told_id` for what a vendor tells.

    ``network`` and ``agent`` are what :func:`network_of` and :func:`short_agent` leave of them.
    """

    visit_id: str
    message_id: str
    link: str
    source: str
    seen_at: datetime
    network: str
    agent: str
    method: str = ""
    is_open: bool = False
    is_prefetch: bool = False
    is_told: bool = False


class Judged(NamedTuple):
    """A visit with the verdict on it that is stored, ``version`` "" if there is none yet."""

    visit_id: str
    look: Look
    version: str


class Visited(NamedTuple):
    """A message with visits: when it was handed over and arrived, and by whom."""

    message: Addressed
    provider: str
    accepted_at: datetime | None
    delivered_at: datetime | None


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network an address is in, /24 or /48; "" for what is no address."""
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, _KEPT_BITS[found.version]), strict=False))


def short_agent(agent: str) -> str:
    """Return what is kept of what a program calls itself: one line of at most 200 characters."""
    kept = agent[:LONGEST_AGENT]
    return kept if kept.isprintable() else "".join(letter if letter.isprintable() else " " for letter in kept)


def told_id(*parts: object) -> str:
    """Return the id of a visit a vendor tells of: the same for the same visit told again."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32]


def store(connection: Connection, found: Iterable[Visit]) -> int:
    """Store visits to messages of people who are known, each once; return how many are new.

    The messages are held until the transaction ends, so that whoever forgets somebody comes before it or after it.
    """
    of_message: dict[str, list[Visit]] = defaultdict(list)
    for one in found:
        of_message[one.message_id].append(one)
    ids, stored = sorted(of_message), 0
    for start in range(0, len(ids), _BLOCK):
        some = ids[start : start + _BLOCK]
        kept = _count_kept(connection, some)
        rows = []
        for held in _held(connection, some):
            which = held.message.message_id
            rows += [_row(visit) for visit in of_message[which][: max(0, MOST_OF_A_MESSAGE - kept.get(which, 0))]]
        if rows:
            # Row by row from one statement: to write 500 rows into one takes 40 CPU µs a row, this 10.
            stored += insert_counted(connection, new_insert(connection, visits).on_conflict_do_nothing(), rows)
    return stored


def _row(visit: Visit) -> dict[str, Any]:
    return {**visit._asdict(), "verdict": "", "why": "", "verdict_version": ""}


def _count_kept(connection: Connection, message_ids: Sequence[str]) -> dict[str, int]:
    query = select(visits.c.message_id, func.count()).where(among(visits.c.message_id)).group_by(visits.c.message_id)
    return dict(connection.execute(query, {"these": message_ids}).tuples().all())


_MESSAGE_COLUMNS = [messages.c[name] for name in Addressed._fields[:-1]]
_HELD = (
    select(
        *_MESSAGE_COLUMNS,
        func.coalesce(messages.c.provider, "").label("provider"),
        messages.c.accepted_at,
        messages.c.delivered_at,
    )
    .where(among(messages.c.message_id), ~messages.c.customer_id.startswith(ERASED, autoescape=True))
    .order_by(messages.c.message_id)
    .with_for_update(read=True)
)


def _held(connection: Connection, message_ids: Collection[str]) -> list[Visited]:
    """Return those messages that are somebody's, held until the transaction ends."""
    rows = connection.execute(_HELD, {"these": list(message_ids)}).all()
    width = len(_MESSAGE_COLUMNS)
    return [Visited(Addressed(*(*row[:width], None)), *row[width:]) for row in rows]


def messages_to_judge(connection: Connection, *, version: str, before: datetime) -> list[str]:
    """Return the messages with visits before an instant whose verdict is missing, or of another version."""
    is_other = or_(visits.c.verdict_version < version, visits.c.verdict_version > version)  # each a run of the index
    whole = visits.c.network.is_not(None), visits.c.seen_at <= before
    return sorted(connection.scalars(select(visits.c.message_id).where(is_other, *whole).distinct()))


_OF_MESSAGES = select(visits).where(among(visits.c.message_id), visits.c.network.is_not(None))


def read_for_judging(connection: Connection, message_ids: Collection[str]) -> list[tuple[Visited, list[Judged]]]:
    """Return messages, held until the transaction ends, with every visit to them that is still whole."""
    of_message: dict[str, list[Judged]] = defaultdict(list)
    for row in connection.execute(_OF_MESSAGES, {"these": list(message_ids)}):
        look = Look(
            at=row.seen_at,
            link=row.link,
            agent=row.agent or "",
            network=row.network,
            method=row.method,
            is_open=row.is_open,
            is_prefetch=row.is_prefetch,
            is_told=row.is_told,
        )
        of_message[row.message_id].append(Judged(row.visit_id, look, row.verdict_version))
    return [(one, of_message[one.message.message_id]) for one in _held(connection, message_ids)]


def store_verdicts(connection: Connection, verdicts: Mapping[str, Verdict], *, version: str) -> None:
    """Note what visits were taken to be.

    Parameters
    ----------
    verdicts : by visit id
    """
    if not verdicts:
        return
    change = visits.update().where(visits.c.visit_id == bindparam("which"))
    bound = [{"which": one, "who": said.who.value, "by": said.why.value} for one, said in sorted(verdicts.items())]
    values = {"verdict": bindparam("who"), "why": bindparam("by"), "verdict_version": version}
    connection.execute(change.values(values), bound)


def count_verdicts(connection: Connection) -> dict[str, int]:
    """Return how many visits were taken for what; "" are those not judged yet."""
    query = select(visits.c.verdict, func.count()).group_by(visits.c.verdict)
    return dict(connection.execute(query).tuples().all())


def empty(connection: Connection, *, before: datetime) -> int:
    """Let go of the networks and agents of visits before an instant; return how many visits that were."""
    change = visits.update().where(visits.c.network.is_not(None), visits.c.seen_at < before)
    return int(connection.execute(change.values(network=None, agent=None)).rowcount)


def forget(connection: Connection, customer_id: str) -> int:
    """Delete every visit to a customer's messages; return how many there were."""
    theirs = select(messages.c.message_id).where(messages.c.customer_id == customer_id)
    return int(connection.execute(visits.delete().where(visits.c.message_id.in_(theirs))).rowcount)
