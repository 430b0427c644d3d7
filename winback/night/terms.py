"""What the gate of this project goes by: its dated rules, its limits, its programmes and the sources they rest on.

In: a project, its programmes, the ledger. Out: :class:`~winback.ledger.gate.Terms` and a budget. Imports no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.ledger import live_nights
from winback.ledger.engagements import ANSWER
from winback.ledger.gate import Terms
from winback.ledger.returns import Returning
from winback.ledger.spending import Budget
from winback.night.check import read_programmes
from winback.night.dated_rules import read_rules
from winback.night.waiting import sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection

    from winback.core.policy import Programme
    from winback.settings import Project


def gate_terms(connection: Connection, project: Project, programmes: Sequence[Programme]) -> Terms:
    """Return what every message of the project is asked for at its claim."""
    config = project.config
    hours, countries = read_rules(project)
    return Terms(
        countries=countries,
        hours=hours,
        business_zone=config.business.timezone,
        per_week=config.limits.per_contact.per_week,
        returns={one.programme: frozenset({*one.return_behaviours, ANSWER}) for one in programmes},
        sources=sources_of(connection, project, programmes),
        is_welcome=_on_the_list(config.only_to) if config.live and config.only_to else None,
        rehearsals=live_nights.rehearsals(connection) if config.live else (),
    )


def returning_of(project: Project) -> Returning:
    """Return what brings customers back; of a policy that cannot be read only an answer does, until it is mended."""
    found, _ = read_programmes(project.root)
    behaviours = {one.programme: frozenset(one.return_behaviours) for _, one in found}
    return Returning(behaviours, project.zone)


def budget_of(project: Project) -> Budget:
    """Return what a night may send, and a night and a month may cost."""
    limits = project.config.limits
    return Budget(limits.max_sends_per_night, limits.max_cost_per_night, limits.max_cost_per_month)


def _on_the_list(entries: Collection[str]) -> Callable[[str], bool]:
    """Return the question whether an address is on a list of addresses, numbers and ``@domains``."""
    exact = {entry.lower() for entry in entries if not entry.startswith("@")}
    domains = tuple(entry.lower() for entry in entries if entry.startswith("@"))

    def is_welcome(address: str) -> bool:
        return address.lower() in exact or (bool(domains) and address.lower().endswith(domains))

    return is_welcome
