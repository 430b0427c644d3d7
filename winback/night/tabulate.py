"""A night's decisions, and messages, as tables: one row a contact, one row a message.

In: the ledger. Out: frames with the public columns, for CSV and JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from winback import documents
from winback.core.decision_facts import COLUMNS
from winback.errors import UsageError
from winback.ledger import queue, verdicts
from winback.night.explain import known_nights
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from datetime import date

    from winback.settings import Project

MESSAGE_COLUMNS = (
    "message_id", "customer_id", "programme", "cycle", "step", "channel", "state", "attempts", "provider",
    "provider_id", "planned_at", "accepted_at", "last_error", "reason", "not_before_at",
)  # fmt: skip
"""The public columns of a message, in the order of INTERFACE."""


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
            raise UsageError(f"no decisions for {as_of}: {known_nights(connection)}")
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
