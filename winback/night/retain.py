"""Let go of what is older than the project wants to keep.

In: a project and a day. Out: counts. Must never happen: the loss of anything that keeps a promise (messages, cycles,
consents, refusals, the audit log).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from winback.ledger import retention

if TYPE_CHECKING:
    from datetime import date

    from winback.ledger.engine import Ledger
    from winback.settings import Project


def retain(project: Project, ledger: Ledger, *, as_of: date) -> dict[str, int]:
    """Empty and delete what is too old, one night a transaction.

    Returns
    -------
    rows: ``facts`` emptied, ``decisions`` deleted, ``quarantine`` deleted
    """
    kept = project.config.retention
    with ledger.reading() as connection:
        emptied = retention.nights_before(connection, as_of - timedelta(days=kept.facts_days))
        deleted = retention.nights_before(connection, as_of - timedelta(days=kept.decisions_days))
    counts = {"facts": 0, "decisions": 0, "quarantine": 0}
    for night in deleted:
        with ledger.writing() as connection:
            counts["decisions"] += retention.drop_decisions(connection, night)
    for night in emptied:
        with ledger.writing() as connection:
            counts["facts"] += retention.empty_facts(connection, night)
    with ledger.writing() as connection:
        counts["quarantine"] = retention.drop_quarantine(connection, as_of - timedelta(days=kept.quarantine_days))
    return counts
