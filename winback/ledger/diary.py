"""The audit log: who changed what about refusals, holds and the red button. It is only ever added to.

The database itself refuses to change or delete a line, and each line carries the SHA-256 over the hash of the line
before and its own content, so that :func:`verify` finds out who got round that. For the same reason no line may hold
anything about a person: customers and addresses are named by their keyed hashes (:mod:`winback.ledger.keys`).
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, text

from winback.ledger.connections import new_insert
from winback.ledger.control_tables import audit, meta

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

HEAD = "audit_head"
"""Where ``meta`` keeps the hash of the last line, so that lines missing at the end are noticed."""

_BLOCK = 1000
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('winback.audit'))"


class Entry(NamedTuple):
    """One line; ``before`` and ``after`` are JSON."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: str | None
    after: str | None


class Chain(NamedTuple):
    """What :func:`verify` found: how many lines hold, the hash of the last of them, the id of the first that does not.

    ``broken`` is one more than the last id when lines are missing at the end.
    """

    lines: int
    head: str
    broken: int | None


def lock(connection: Connection) -> None:
    """Keep every other writer of the log out until this transaction ends.

    A transaction that locks rows and writes lines takes this first: two that took both in different order would wait
    for each other. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(_LOCK))


def record(
    connection: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add a line, in the transaction of the change it tells of.

    Parameters
    ----------
    at : aware
    actor : who: "cli:NAME", "night", "webhook:sendgrid", ...
    action : a verb: "suppress", "lift", "forget", "stop", "resume", "override", "approve", ...
    subject : of what: a name of ours or a keyed hash, never anything about a person
    before, after : small, JSON-able, without personal data
    """
    lock(connection)
    # Not the hash in the last line there is: a line that is missing at the end must stay missed.
    previous = _head(connection)
    line = Entry(0, at, actor, action, subject, _json(before), _json(after))
    value = _line_hash(previous, line)
    content = {name: item for name, item in line._asdict().items() if name != "id"}
    connection.execute(audit.insert().values(**content, line_hash=value))
    statement = new_insert(connection, meta).values(key=HEAD, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def read_entries(connection: Connection, *, subject: str | None = None, limit: int = 1000) -> list[Entry]:
    """Return the newest lines, newest first; those about one subject if it is given."""
    query = select(*_COLUMNS).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    return [Entry(*row) for row in connection.execute(query)]


def verify(connection: Connection) -> Chain:
    """Follow the chain from the first line to the last, a block at a time.

    A line that was changed, deleted, added or moved breaks it there; lines missing at the end are told by the hash
    that ``meta`` keeps. Only somebody who writes the whole rest of the log anew, and that hash, stays unseen: whoever
    noted ``head`` outside the database finds even that.
    """
    lines, last, head = 0, None, ""
    while True:
        query = select(*_COLUMNS, audit.c.line_hash).order_by(audit.c.id).limit(_BLOCK)
        rows = connection.execute(query if last is None else query.where(audit.c.id > last)).all()
        if not rows:
            break
        for *content, line_hash in rows:
            line = Entry(*content)
            if line_hash != _line_hash(head, line):
                return Chain(lines, head, line.id)
            lines, last, head = lines + 1, line.id, line_hash
    return Chain(lines, head, None if _head(connection) == head else (last or 0) + 1)


_COLUMNS = tuple(audit.c[name] for name in Entry._fields)


def _head(connection: Connection) -> str:
    found: str | None = connection.scalar(select(meta.c.value).where(meta.c.key == HEAD))
    return found or ""


def _line_hash(previous: str, line: Entry) -> str:
    """Return the hash of a line; the migration that chained the first ones has a copy of this."""
    at = line.at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [at, line.actor, line.action, line.subject, line.before, line.after]
    return hashlib.sha256(f"{previous}\n{json.dumps(content)}".encode()).hexdigest()


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, default=str)
