"""The audit log: who changed what about refusals, holds and the red button. It is only ever added to.

The database itself refuses to change or delete a line. For that reason no line may hold anything about a person:
customers and addresses are named by their keyed hashes (:mod:`winback.ledger.keys`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from winback.ledger.schema import audit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection


class Entry(NamedTuple):
    """One line; ``before`` and ``after`` are JSON."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: str | None
    after: str | None


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
    values = {"at": at, "actor": actor, "action": action, "subject": subject}
    connection.execute(audit.insert().values(**values, before=_json(before), after=_json(after)))


def read_entries(connection: Connection, *, subject: str | None = None, limit: int = 1000) -> list[Entry]:
    """Return the newest lines, newest first; those about one subject if it is given."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    return [Entry(*row) for row in connection.execute(query)]


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, default=str)
