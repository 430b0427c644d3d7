"""Read back what was decided, and why: one customer's story, or a table of everybody.

In: the ledger's stored decisions. Out: plain values for people and programs. Nothing is decided anew: an explanation
replays the stored facts, so an old night is explained by what it knew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from winback import documents
from winback.core import explanation
from winback.core.decisions import COLUMNS
from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import people, queue, verdicts
from winback.ledger.retention import NO_FACTS
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy import Connection

    from winback.settings import Project

MESSAGE_COLUMNS = (
    "message_id", "customer_id", "programme", "cycle", "step", "channel", "state", "attempts", "provider",
    "provider_id", "planned_at", "accepted_at", "last_error", "reason", "not_before_at",
)  # fmt: skip
"""The public columns of a message, in the order of INTERFACE."""

_SENTENCES = {reason.value: reason.sentence for reason in Reason}


def list_decisions(project: Project, *, as_of: date) -> pd.DataFrame:
    """Return one row for each contact in scope on a night, by customer id.

    Raises
    ------
    UsageError
        If no night of that day was carried out.
    """
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        found = verdicts.read_decisions(connection, as_of, columns=COLUMNS)
        if found.empty:
            raise UsageError(f"no decisions for {as_of}: {_nights(connection)}")
    return found


def list_messages(project: Project, *, state: str | None, as_of: date | None) -> pd.DataFrame:
    """Return one row a message.

    Raises
    ------
    UsageError
        If there is no such state.
    """
    states = [one.value for one in queue.MessageState]
    if state is not None and state not in states:
        raise UsageError(f"no state {state!r}{documents.nearest(state, states)}: there are {', '.join(states)}")
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        rows = queue.list_messages(connection, state=state, as_of=as_of)
    found = pd.DataFrame(rows, columns=list(MESSAGE_COLUMNS) if not rows else None)
    return found[list(MESSAGE_COLUMNS)]


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
        history = verdicts.read_history(connection, customer_id)
        messages = queue.list_messages(connection, customer_id=customer_id)
        if history.empty:
            raise UsageError(_unknown(connection, customer_id))
        days = history["as_of"].dt.date
        day = as_of or max(days)
        mine = history[days == day]
        if mine.empty:
            known = ", ".join(str(one) for one in sorted(days)[-5:])
            raise UsageError(f"no decision about {customer_id!r} on {day}; the latest are of {known}")
    row = mine.iloc[0]
    story = _replayed(row)
    return {
        "customer_id": customer_id,
        "as_of": str(day),
        "action": str(row["action"]),
        "reason": str(row["reason"]),
        **story,
        "decision": {name: _plain(row[name]) for name in COLUMNS},
        "history": [
            {name: _plain(one[name]) for name in ("as_of", "programme", "action", "reason", "step", "channel")}
            for one in history[days <= day].iloc[::-1].to_dict("records")
        ],
        "messages": [
            {name: _plain(message[name]) for name in ("message_id", "as_of", "step", "channel", "state", "reason")}
            for message in messages
            if message["as_of"] <= day
        ],
    }


def _replayed(row: pd.Series) -> dict[str, Any]:
    """Return sentence, threshold, steps and what would have to change, from the stored facts."""
    if row["reason"] == Reason.NO_PROGRAMME.value:
        change = "a programme that counts what this contact does"
        return {
            "sentence": Reason.NO_PROGRAMME.sentence,
            "threshold": "",
            "steps": [],
            "would_have_to_change": [change],
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
    if people.read_contact(connection, customer_id) is not None:
        return f"no night has decided about {customer_id!r} yet: {_nights(connection)}"
    known = people.some_customer_ids(connection)
    return f"unknown customer {customer_id!r}{documents.nearest(customer_id, known)}: look it up in the contacts feed"


def _nights(connection: Connection) -> str:
    days = [str(day) for day in connection.scalars(verdicts.decided_days())]
    return f"the latest nights are {', '.join(days[-5:])}" if days else "run a night first: winback run"


def _plain(value: object) -> object:
    """Return a cell as JSON can hold it."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return str(value.date())
    if hasattr(value, "item"):
        return value.item()
    return value
