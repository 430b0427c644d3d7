"""The rows behind refusals: found, written, woken, and told to whoever listens.

An entry is (channel, kind, key): kind ``address`` with the keyed hash of an address, ``customer`` with a customer's id.
Whose entries they are, and who may take them back, says :mod:`winback.ledger.refusals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select

from winback.ledger import outgoing
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.outgoing import Event
from winback.ledger.people_tables import suppressions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection

    from winback.core.reasons import Reason
    from winback.ledger.refusals import Act

_BLOCK = 1000


def matches(entry: tuple[str, str, str]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that name the rows of an entry."""
    channel, kind, key = entry
    return suppressions.c.channel == channel, suppressions.c.kind == kind, suppressions.c.key == key


def add(
    connection: Connection,
    entries: Iterable[tuple[str, str, str]],
    act: Act,
    *,
    reason: Reason,
    programme: str | None,
) -> int:
    """Insert suppressions, wake lifted ones; return how many that were."""
    common = {"reason": reason.value, "programme": programme or "", "effective_on": act.effective_on}
    rows = [
        {"channel": channel, "kind": kind, "key": key, **common, "created_at": act.at, "source": act.source}
        for channel, kind, key in dict.fromkeys(entries)
    ]
    statement = new_insert(connection, suppressions)
    renewed = {name: statement.excluded[name] for name in ("effective_on", "source")}
    statement = statement.on_conflict_do_update(
        index_elements=["channel", "kind", "key", "reason", "programme"],
        set_={**renewed, "lifted_at": None},
        where=suppressions.c.lifted_at.is_not(None),
    )
    blocks = (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
    return sum(insert_counted(connection, statement.values(block)) for block in blocks)


def standing(
    connection: Connection,
    entries: Sequence[tuple[str, str, str]],
    *,
    reasons: Sequence[Reason],
    programme: str | None,
) -> list[tuple[tuple[str, str, str], str]]:
    """Return which of some suppressions are in force, and for which of some reasons."""
    columns = suppressions.c.channel, suppressions.c.kind, suppressions.c.key, suppressions.c.reason
    query = select(*columns).where(
        or_(*(and_(*matches(entry)) for entry in entries)),
        suppressions.c.reason.in_(reasons),
        suppressions.c.programme == (programme or ""),
        suppressions.c.lifted_at.is_(None),
    )
    rows = connection.execute(query).all() if entries else []
    return [((row.channel, row.kind, row.key), row.reason) for row in rows]


def tell(
    connection: Connection,
    kind: str,
    news: Iterable[tuple[tuple[str, str, str], str]],
    act: Act,
    *,
    channel: str,
    programme: str | None,
) -> None:
    """Note for other tools what changed for which customers."""
    told = {(key, why) for (_, about, key), why in news if about == "customer"}
    events = [Event(kind, who, why, act.effective_on, programme, channel=channel) for who, why in sorted(told)]
    outgoing.record(connection, events, now=act.at)
