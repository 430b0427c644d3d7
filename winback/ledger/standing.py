"""How things stand, in counts: nights, messages, programmes, refusals. What the operator pages and the metrics read.

In: the ledger. Out: counts and days, nothing about anybody. Imports no pandas.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, loads, nights, plans, steps
from winback.ledger.people_tables import suppressions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection


class NightCounts(NamedTuple):
    """One night: when it was carried out, by which plan, and what that plan decided about how many contacts."""

    as_of: date
    plan_hash: str
    started_at: datetime
    applied_at: datetime | None
    summary: dict[str, Any]

    @property
    def decisions(self) -> dict[str, int]:
        """Contacts by action."""
        return dict(self.summary.get("decisions", {}))


class ProgrammeCounts(NamedTuple):
    """One programme: open cycles by the last step taken (0: none yet), and closed ones by why."""

    programme: str
    open_by_step: dict[int, int]
    closed: dict[str, int]

    @property
    def open(self) -> int:
        """How many cycles are open."""
        return sum(self.open_by_step.values())


class Held(NamedTuple):
    """Something that waits for a person, and why."""

    kind: str
    name: str
    detail: str


def last_nights(connection: Connection, *, limit: int) -> list[NightCounts]:
    """Return the newest nights, the newest first."""
    columns = nights.c.as_of, nights.c.plan_hash, nights.c.started_at, nights.c.applied_at, plans.c.summary
    query = select(*columns).outerjoin(plans, plans.c.plan_hash == nights.c.plan_hash)
    rows = connection.execute(query.order_by(nights.c.as_of.desc()).limit(limit))
    return [
        NightCounts(row.as_of, row.plan_hash, row.started_at, row.applied_at, json.loads(row.summary or "{}"))
        for row in rows
    ]


def messages_by_night(connection: Connection, days: Sequence[date]) -> dict[date, dict[str, int]]:
    """Return how many messages of some nights are in each state."""
    counts: defaultdict[date, dict[str, int]] = defaultdict(dict)
    columns = messages.c.as_of, messages.c.state
    query = select(*columns, func.count().label("count_")).where(messages.c.as_of.in_(days)).group_by(*columns)
    for row in connection.execute(query.order_by(*columns)):
        counts[row.as_of][row.state] = row.count_
    return dict(counts)


def messages_by_channel(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many messages there are, by channel and state."""
    columns = messages.c.channel, messages.c.state
    query = select(*columns, func.count().label("count_")).group_by(*columns).order_by(*columns)
    return {(row.channel, row.state): row.count_ for row in connection.execute(query)}


def count_due(connection: Connection, *, now: datetime) -> int:
    """Return how many messages might go at this moment."""
    due = messages.c.state == "planned", messages.c.not_before_at <= now, messages.c.expires_at > now
    return int(connection.scalar(select(func.count()).select_from(messages).where(*due)) or 0)


def suppressions_by_reason(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many refusals are in force, by reason and channel."""
    columns = suppressions.c.reason, suppressions.c.channel
    query = select(*columns, func.count().label("count_")).where(suppressions.c.lifted_at.is_(None))
    rows = connection.execute(query.group_by(*columns).order_by(*columns))
    return {(row.reason, row.channel): row.count_ for row in rows}


def programmes(connection: Connection) -> list[ProgrammeCounts]:
    """Return for each programme how many contacts stand on which step, and how their cycles ended."""
    of_cycle = [steps.c[name] == cycles.c[name] for name in ("programme", "customer_id", "cycle_no")]
    newest = select(func.max(steps.c.step)).where(*of_cycle).correlate(cycles).scalar_subquery()
    on_step = select(cycles.c.programme, func.coalesce(newest, 0).label("step")).where(cycles.c.closed_on.is_(None))
    standing = on_step.subquery()
    columns = standing.c.programme, standing.c.step
    found: defaultdict[str, ProgrammeCounts] = defaultdict(lambda: ProgrammeCounts("", {}, {}))
    for row in connection.execute(select(*columns, func.count().label("count_")).group_by(*columns).order_by(*columns)):
        found[row.programme].open_by_step[row.step] = row.count_
    ended = cycles.c.programme, cycles.c.close_reason
    query = select(*ended, func.count().label("count_")).where(cycles.c.closed_on.is_not(None)).group_by(*ended)
    for row in connection.execute(query.order_by(*ended)):
        found[row.programme].closed[row.close_reason or "closed"] = row.count_
    return [found[name]._replace(programme=name) for name in sorted(found)]


def held_feeds(connection: Connection) -> list[Held]:
    """Return the sources that were held when they were last read, and why."""
    newest = select(loads.c.source, func.max(loads.c.as_of).label("as_of")).group_by(loads.c.source).subquery()
    last = (loads.c.source == newest.c.source) & (loads.c.as_of == newest.c.as_of)
    query = select(loads.c.source, loads.c.held, loads.c.detail).join(newest, last).where(loads.c.held.is_not(None))
    rows = connection.execute(query.order_by(loads.c.source))
    return [Held("feed", row.source, f"{row.held}: {row.detail}" if row.detail else row.held) for row in rows]
