"""Judge who followed the links of messages, and let people count where a policy says so.

In: a project, its ledger, the present instant. Out: counts. Every visit that is five minutes old gets a verdict of
:mod:`winback.core.visit_verdicts`; when the rules or the table of programs change, all that are still whole get
another. A person's click becomes an engagement at its first verdict only, so that a change of rules moves nobody.
Imports neither pandas nor Prefect. Must never happen: a program that brings a customer back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winback.core.visit_verdicts import SETTLE, Link, Who, judge, version_of
from winback.ledger import diary, engagements, visits
from winback.night.check import load_programmes
from winback.night.dated_rules import read_visitor_agents
from winback.night.settle import GRACE, NEVER_REPORT

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.core.visit_verdicts import Look, Verdict
    from winback.core.visitor_agents import VisitorAgents
    from winback.ledger.engine import Ledger
    from winback.ledger.visits import Judged, Visited
    from winback.settings import Project

CLICK = "click"
NO_RETURN = frozenset({Link.UNSUBSCRIBE, Link.PREFERENCES, Link.UNSEEN})
"""Links that nobody comes back by."""
_BLOCK = 200


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What visits are judged by.

    Attributes
    ----------
    returning : programmes whose clicks bring customers back
    """

    agents: VisitorAgents
    version: str
    now: datetime
    returning: Collection[str]


def judge_visits(project: Project, ledger: Ledger, *, now: datetime) -> dict[str, int]:
    """Judge what is to be judged.

    Returns
    -------
    visits judged just now by verdict (``human``, ``machine``, ``unknown``), and ``returned``: people whose click counts

    Raises
    ------
    ConfigError
        With every fault in a policy, or in a table of the project's own.
    """
    agents = read_visitor_agents(project)
    version = version_of(agents)
    counts = Counter({str(name): 0 for name in (*Who, "returned")})
    with ledger.reading() as connection:
        waiting = visits.messages_to_judge(connection, version=version, before=now - SETTLE)
    if not waiting:
        return dict(counts)
    returning = {one.programme for one in load_programmes(project.root) if one.clicks_return}
    bench = _Bench(agents=agents, version=version, now=now, returning=returning)
    for start in range(0, len(waiting), _BLOCK):
        with ledger.writing() as connection:
            diary.lock(connection)  # before any row, as whoever forgets somebody does
            counts.update(_judge_some(connection, waiting[start : start + _BLOCK], bench))
    return dict(counts)


def _judge_some(connection: Connection, message_ids: Collection[str], bench: _Bench) -> Counter[str]:
    counts: Counter[str] = Counter()
    verdicts: dict[str, Verdict] = {}
    for visited, found in visits.read_for_judging(connection, message_ids):
        said = judge([one.look for one in found], delivered_at=_arrived_at(visited), agents=bench.agents)
        due = [
            (one, verdict)
            for one, verdict in zip(found, said, strict=True)
            if one.version != bench.version and _is_settled(one.look, visited, now=bench.now)
        ]
        verdicts |= {one.visit_id: verdict for one, verdict in due}
        counts.update(verdict.who.value for _, verdict in due)
        counts["returned"] += _return(connection, visited, due, bench)
    visits.store_verdicts(connection, verdicts, version=bench.version)
    return counts


def _arrived_at(visited: Visited) -> datetime | None:
    """Return when a message was there to be read, as far as that is known.

    What a vendor says of a text's delivery may come after the person has read it; that it was handed over came before.
    """
    is_mail = visited.message.channel == "email"
    return (visited.delivered_at if is_mail else None) or visited.accepted_at


def _is_settled(look: Look, visited: Visited, *, now: datetime) -> bool:
    """Whether a visit can be judged: all is known that could speak against it, or will not be known any more."""
    if look.at > now - SETTLE:
        return False
    is_awaited = visited.message.channel == "email" and visited.delivered_at is None
    return not is_awaited or visited.provider in {*NEVER_REPORT, ""} or look.at <= now - GRACE


def _return(connection: Connection, visited: Visited, due: Collection[tuple[Judged, Verdict]], bench: _Bench) -> int:
    """Let a person's first click count, where the programme says so; return how many that were: one or none."""
    if visited.message.programme not in bench.returning:
        return 0
    clicks = [
        one.look.at
        for one, verdict in due
        if verdict.who is Who.HUMAN and not one.version and one.look.link not in NO_RETURN
    ]
    if not clicks or engagements.read(connection, visited.message.message_id, CLICK) is not None:
        return 0
    engagements.record(connection, visited.message, CLICK, detail={}, now=bench.now, at=min(clicks))
    return 1
