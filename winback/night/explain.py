"""Read back what was decided about one customer, and why.

In: the ledger's stored decisions. Out: plain values for people and programs. Nothing is decided anew: an explanation
replays the stored facts, so an old night is explained by what it knew. Imports no pandas: pages ask, too.
"""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

from winback import documents
from winback.core import explanation
from winback.core.decision_facts import COLUMNS
from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import contact_rows, decided, queue
from winback.ledger.retention import NO_FACTS
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from winback.settings import Project

_SENTENCES = {reason.value: reason.sentence for reason in Reason}


def explain(project: Project, customer_id: str, *, as_of: date | None = None) -> dict[str, Any]:
    """Return why a customer was, or was not, written to on a night: every rule in order with its numbers.

    Parameters
    ----------
    as_of : the business day; default the newest that has a decision about this customer

    Raises
    ------
    UsageError
        If nobody has that id, or there is no decision about them on that day.
    """
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        return tell(connection, customer_id, as_of=as_of)


def tell(connection: Connection, customer_id: str, *, as_of: date | None = None) -> dict[str, Any]:
    """Return the same as :func:`explain`, from an open ledger."""
    history = decided.read_history(connection, customer_id)
    if not history:
        raise UsageError(_unknown(connection, customer_id))
    by_day = {row["as_of"]: row for row in history}
    day = as_of or max(by_day)
    if day not in by_day:
        known = ", ".join(str(one) for one in sorted(by_day)[-5:])
        raise UsageError(f"no decision about {customer_id!r} on {day}; the latest are of {known}")
    row = by_day[day]
    messages = queue.list_messages(connection, customer_id=customer_id)
    return {
        "customer_id": customer_id,
        "as_of": str(day),
        "action": row["action"],
        "reason": row["reason"],
        **_replayed(row),
        "decision": _picked(row, COLUMNS),
        "history": [_picked(one, _TOLD) for one in reversed(history) if one["as_of"] <= day],
        "messages": [_picked(message, _TOLD_OF_MESSAGES) for message in messages if message["as_of"] <= day],
    }


_TOLD = ("as_of", "programme", "action", "reason", "step", "channel")
_TOLD_OF_MESSAGES = ("message_id", "as_of", "step", "channel", "state", "reason")


def _replayed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentence, threshold, steps and what would have to change, from the stored facts."""
    if row["reason"] == Reason.NO_PROGRAMME.value:
        return {
            "sentence": Reason.NO_PROGRAMME.sentence,
            "threshold": "",
            "steps": [],
            "would_have_to_change": [explanation.NO_PROGRAMME_CHANGE],
        }
    if row["facts"] == NO_FACTS:
        return {
            "sentence": _SENTENCES[row["reason"]],
            "threshold": "the numbers behind this decision are no longer kept (winback.yaml: retention.facts_days)",
            "steps": [],
            "would_have_to_change": [],
        }
    facts = explanation.read_facts(str(row["facts"]))
    told = explanation.explain(facts)
    return {
        "sentence": told.sentence,
        "threshold": str(facts["sentence"]),
        "steps": told.steps,
        "would_have_to_change": [told.change],
    }


def _unknown(connection: Connection, customer_id: str) -> str:
    if contact_rows.read_contact(connection, customer_id) is not None:
        return f"no night has decided about {customer_id!r} yet: {known_nights(connection)}"
    known = contact_rows.some_customer_ids(connection)
    return f"unknown customer {customer_id!r}{documents.nearest(customer_id, known)}: look it up in the contacts feed"


def known_nights(connection: Connection) -> str:
    """Return which nights can be asked about, in words."""
    days = [str(day) for day in connection.scalars(decided.decided_days())]
    return f"the latest nights are {', '.join(days[-5:])}" if days else "run a night first: winback run"


def _picked(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(row[name]) for name in names}


def _plain(value: object) -> object:
    """Return a value as JSON can hold it."""
    if isinstance(value, date):
        return str(value)
    return None if isinstance(value, float) and math.isnan(value) else value
