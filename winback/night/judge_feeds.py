"""Put every guard to a feed, and hear what a person has accepted.

In: a feed, the loads before, what was accepted. Out: a hold or None. Must never happen: an acceptance that outlives
its day or covers another source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.core.feed_guards import ACCEPTABLE, Hold, guard_freshness, guard_quarantine, guard_rows
from winback.documents import nearest
from winback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import date

    from winback.configuration import Source
    from winback.ledger.loads import Load
    from winback.night.read_feeds import Feed
    from winback.settings import Project


def accepted_holds(accept: Iterable[str], *, as_of: date, names: Collection[str]) -> set[tuple[str, str]]:
    """Return (kind, source) of each ``KIND:SOURCE:DATE``.

    Raises
    ------
    UsageError
        If one has another shape, an unknown kind or source, or another date than the night's.
    """
    found = set()
    for text in accept:
        kind, source, day = (*text.split(":", 2), "", "")[:3]
        if kind not in ACCEPTABLE:
            options = ", ".join(ACCEPTABLE)
            raise UsageError(f"--accept {text}: expected KIND:SOURCE:DATE, where KIND is one of {options}")
        if source not in names:
            raise UsageError(f"--accept {text}: there is no source {source!r}{nearest(source, sorted(names))}")
        if day != as_of.isoformat():
            raise UsageError(f"--accept {text}: it names {day or 'no date'}, but this night is {as_of}")
        found.add((kind, source))
    return found


def judge_feed(
    feed: Feed,
    source: Source,
    *,
    project: Project,
    as_of: date,
    before: Sequence[Load],
    is_accepted: Callable[[str], bool],
) -> tuple[Hold | None, list[str]]:
    """Return the first hold nobody has accepted, and the kinds of those that somebody has.

    Parameters
    ----------
    feed, source : what was read, and from where
    before : the loads of earlier nights, newest first
    is_accepted : whether a kind of hold is accepted for this source tonight
    """
    accepted: list[str] = []
    for hold in _holds(feed, source, project=project, as_of=as_of, before=before):
        if not is_accepted(hold.kind):
            return hold, accepted
        accepted.append(hold.kind)
    return None, accepted


def _holds(feed: Feed, source: Source, *, project: Project, as_of: date, before: Sequence[Load]) -> Iterator[Hold]:
    """Yield every hold: what must not be stored first, what is only old last."""
    guards = project.config.guards
    yield from _present(
        guard_quarantine(
            feed.name,
            as_of=as_of,
            bad=len(feed.faults),
            read=feed.read_now,
            is_whole=feed.is_whole,
            max_share=guards.max_quarantined_share,
            max_rows=guards.max_quarantined_rows,
        )
    )
    # What a webhook brought begins with nothing and goes on growing: whether it has stopped tells its newest event.
    told = source.kind == "segment"
    usual = [] if told else [load.read for load in before if load.held in {None, "stale"}]
    yield from _present(guard_rows(feed.name, as_of=as_of, rows=feed.read, earlier_rows=usual, volume=guards.volume))
    if feed.read == 0:
        return  # that it is empty was said already; that it holds nothing new says no more
    is_events = feed.events is not None
    yield from _present(
        guard_freshness(
            feed.name,
            as_of=as_of,
            zone=project.zone,
            newest_at=feed.newest_by_day_end_at if is_events else feed.modified_at,
            max_staleness_hours=source.max_staleness_hours,
            what="event" if is_events else "version of the file",
        )
    )


def _present(hold: Hold | None) -> list[Hold]:
    return [] if hold is None else [hold]
