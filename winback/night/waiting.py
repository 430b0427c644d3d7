"""Which programmes have to wait tonight, because a source they depend on cannot be trusted.

In: the loads of the night and of the nights before. Out: names of programmes, and what holds them. Must never happen:
a night that takes a feed nobody has read for a quiet one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from winback.ledger import loads
from winback.night.stock_coupons import stocks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Connection

    from winback.core.policy import Programme
    from winback.night.opening import Night
    from winback.night.stock_coupons import Pool
    from winback.settings import Project

PEOPLE = ("contacts", "consents")
UNREAD = "unread"


def held_programmes(night: Night) -> tuple[list[str], list[dict[str, str]]]:
    """Return the programmes that must wait, and the sources that hold them: name, kind, detail."""
    sources: dict[str, Collection[str]] = dict.fromkeys(PEOPLE, ())
    sources |= {source.name: source.delivers for source in night.project.config.sources.events}
    with night.ledger.reading() as connection:
        today = {load.source: load for load in loads.loads_on(connection, night.as_of)}
        held = {}
        for name in sources:
            if name not in today:
                held[name] = (UNREAD, f"not read for {night.as_of} yet: winback sync --as-of {night.as_of}")
            elif today[name].held:
                held[name] = (str(today[name].held), today[name].detail or "")
        delivered = {name: _behaviours(connection, name, sources[name]) for name in held}
    described = [{"name": name, "kind": kind, "detail": detail} for name, (kind, detail) in held.items()]
    missing = missing_behaviours(delivered)
    waiting = {one.programme for one in night.programmes if missing is None or missing & _behaviours_of(one)}
    # Codes are read with the sources: where those were not, nobody knows how many there are.
    is_read = UNREAD not in {kind for kind, _ in held.values()}
    for pool in _low_pools(night) if is_read else ():
        waiting.update(pool.programmes)
        what = f"{pool.stock.free} codes are free, below guards.coupons_low_water: add some to coupons/{pool.name}.csv"
        described.append({"name": pool.name, "kind": "coupons", "detail": what})
    return [one.programme for one in night.programmes if one.programme in waiting], described


def _low_pools(night: Night) -> list[Pool]:
    """Return the pools that may run dry in this night."""
    low_water = night.project.config.guards.coupons_low_water
    pools = stocks(night.project, night.ledger, night.programmes, now=night.now)
    return [pool for pool in pools if pool.stock.free < low_water]


def missing_behaviours(held: Mapping[str, Collection[str]]) -> frozenset[str] | None:
    """Return the behaviours that cannot be trusted while some sources are held; None when that is any behaviour.

    Parameters
    ----------
    held : by the name of each such source, the behaviours it is known to deliver
    """
    # Who is never known to deliver only some behaviours may deliver any.
    if not held.keys().isdisjoint(PEOPLE) or not all(held.values()):
        return None
    return frozenset().union(*held.values())


def sources_of(connection: Connection, project: Project, programmes: Iterable[Programme]) -> dict[str, frozenset[str]]:
    """Return for each programme the sources it would decide wrongly without; its own and those that may deliver any."""
    delivered = {one.name: _behaviours(connection, one.name, one.delivers) for one in project.config.sources.events}
    return {
        programme.programme: frozenset(
            {*PEOPLE} | {name for name, given in delivered.items() if not given or given & _behaviours_of(programme)}
        )
        for programme in programmes
    }


def may_learn(night: Night, behaviours: Collection[str]) -> set[str]:
    """Return the behaviours no source of which is held tonight: what the others do is no ground for a week's fit."""
    sources = {source.name: source.delivers for source in night.project.config.sources.events}
    with night.ledger.reading() as connection:
        held = [load.source for load in loads.loads_on(connection, night.as_of) if load.held and load.source in sources]
        missing = missing_behaviours({name: _behaviours(connection, name, sources[name]) for name in held})
    return set() if missing is None else set(behaviours) - missing


def _behaviours(connection: Connection, source: str, declared: Collection[str]) -> set[str]:
    """Return every behaviour a source delivers, as far as it is known; nothing where it was never read."""
    if declared:
        return set(declared)
    mark = loads.newest_watermark(connection, source)
    return set(json.loads(mark).get("behaviours", ())) if mark else set()


def _behaviours_of(programme: Programme) -> set[str]:
    """Return the behaviours a programme would decide wrongly without: those that count, delay or end a cycle."""
    return {*programme.trigger.behaviours, *programme.trigger.weak, *programme.return_behaviours}
