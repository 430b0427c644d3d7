"""Let go of what is older than the project wants to keep.

In: a project and a day. Out: counts. Must never happen: the loss of anything that keeps a promise (messages, cycles,
consents, refusals, the audit log).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from winback.ledger import heard_events, outgoing, retention, visits, webhook_calls

if TYPE_CHECKING:
    from datetime import date

    from winback.ledger.engine import Ledger
    from winback.settings import Project


CALLS_DAYS = 30
"""So long the bodies of vendors' calls are kept, in which addresses stand, and what other tools were told."""
HEARD_DAYS = 90
"""So long what a webhook brought is kept: the activity store has had it since the night after."""

VISITS_DAYS = 90
"""So long it is kept from which network, and with which agent, links were followed."""


def retain(project: Project, ledger: Ledger, *, as_of: date) -> dict[str, int]:
    """Empty and delete what is too old, one night a transaction.

    Returns
    -------
    rows: ``facts`` emptied, ``decisions`` deleted, ``quarantine`` deleted, ``webhook_bodies`` emptied, ``heard_events``
    deleted, ``visits`` emptied, ``told`` events deleted
    """
    kept = project.config.retention
    with ledger.reading() as connection:
        emptied = retention.nights_before(connection, as_of - timedelta(days=kept.facts_days))
        deleted = retention.nights_before(connection, as_of - timedelta(days=kept.decisions_days))
    kinds = "facts", "decisions", "quarantine", "webhook_bodies", "heard_events", "visits", "told"
    counts = dict.fromkeys(kinds, 0)
    for night in deleted:
        with ledger.writing() as connection:
            counts["decisions"] += retention.drop_decisions(connection, night)
    for night in emptied:
        with ledger.writing() as connection:
            counts["facts"] += retention.empty_facts(connection, night)
    with ledger.writing() as connection:
        counts["quarantine"] = retention.drop_quarantine(connection, as_of - timedelta(days=kept.quarantine_days))
    midnight = datetime.combine(as_of, time(), UTC)
    with ledger.writing() as connection:
        counts["webhook_bodies"] = webhook_calls.empty_bodies(connection, before=midnight - timedelta(days=CALLS_DAYS))
        counts["heard_events"] = heard_events.drop(connection, before=midnight - timedelta(days=HEARD_DAYS))
        counts["visits"] = visits.empty(connection, before=midnight - timedelta(days=VISITS_DAYS))
        counts["told"] = outgoing.drop(connection, before=midnight - timedelta(days=CALLS_DAYS))
    return counts
