"""One source on its way in, and what is told of it afterwards.

In: what was read and stored. Out: :class:`Synced`, with nothing about a person in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from winback.configuration import EventSource
from winback.night.waiting import missing_behaviours
from winback.sources.catalogue import reads_since

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

    from winback.configuration import Source
    from winback.core.feed_guards import Hold
    from winback.ledger.loads import Load
    from winback.night.read_feeds import Feed


@dataclass(frozen=True, kw_only=True)
class SyncedSource:
    """What one source gave on one night.

    Attributes
    ----------
    name : of winback.yaml
    read : rows of the whole feed
    new : events, consents or contacts that were not known before
    quarantined : bad rows
    max_occurred_at : the newest instant in the feed
    held : None, or ``empty``, ``volume``, ``stale``, ``quarantine``, ``malformed``, ``unavailable``
    detail : what a person has to know about it
    rules : how many rows broke each rule this time
    counts : duplicates, conflicts, folds, gaps, changed contacts and the like
    """

    name: str
    read: int
    new: int
    quarantined: int
    max_occurred_at: datetime | None
    held: str | None
    detail: str
    rules: dict[str, int]
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the public form."""
        newest = self.max_occurred_at.isoformat() if self.max_occurred_at else None
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "max_occurred_at": newest}


@dataclass(frozen=True, kw_only=True)
class Synced:
    """What all sources gave.

    Attributes
    ----------
    sources : contacts, consents, then the events in the order of winback.yaml
    held_behaviours : those of which a source is held; None where contacts, consents, or a source that may deliver any
        behaviour is held
    """

    sources: tuple[SyncedSource, ...]
    held_behaviours: frozenset[str] | None

    @property
    def holds_everything(self) -> bool:
        """Whether no behaviour can be trusted."""
        return self.held_behaviours is None

    @property
    def held(self) -> tuple[SyncedSource, ...]:
        """The sources that are held."""
        return tuple(source for source in self.sources if source.held)

    def to_json(self) -> dict[str, Any]:
        """Return the public form."""
        return {"sources": [source.to_json() for source in self.sources]}


@dataclass(kw_only=True)
class Work:
    """One source on its way in."""

    name: str
    source: Source
    before: Sequence[Load] = ()
    today: Load | None = None
    mark: dict[str, Any] | None = None
    feed: Feed | None = None
    hold: Hold | None = None
    accepted: Sequence[str] = ()
    new: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def goes_in(self) -> bool:
        """Whether the rows are stored: those of a stale feed are, they are only old."""
        return self.feed is not None and (self.hold is None or self.hold.kind == "stale")

    @property
    def events(self) -> pa.Table | None:
        """The events to store; None for another kind of source, one that is held, or where nothing was read."""
        if self.feed is None or not self.goes_in or not self.feed.read_now:
            return None
        return self.feed.events

    @property
    def behaviours(self) -> set[str]:
        """Every behaviour the source is known to deliver."""
        found = set(self.mark.get("behaviours", ()) if self.mark else ())
        if isinstance(self.source, EventSource):
            found |= self.source.delivers
        if self.feed is not None and self.feed.events is not None:
            found |= set(pc.unique(self.feed.events["behaviour"]).to_pylist())
        return found

    @property
    def carried(self) -> Load | None:
        """What this date's earlier run read of the same feed and this one did not read again."""
        was_read = self.today is not None and self.today.held in {None, "stale"}
        if not was_read or self.feed is None or self.feed.is_whole or reads_since(self.source):
            return None
        return self.today

    def report(self) -> SyncedSource:
        """Return what is told of this source."""
        rules = Counter(self.feed.faults["rule"]) if self.feed is not None else Counter()
        counts = Counter(self.counts)
        counts.update(self.feed.counts if self.feed is not None else {})
        notes = [self.hold.detail] if self.hold else []
        notes += [f"{rule}: {count:,} row{'s' * (count > 1)}" for rule, count in rules.most_common()]
        notes += [f"accepted by a person tonight: {', '.join(self.accepted)}"] if self.accepted else []
        return SyncedSource(
            name=self.name,
            read=self.feed.read if self.feed is not None else 0,
            new=self.new,
            quarantined=self.quarantined,
            max_occurred_at=self.feed.newest_at if self.feed is not None else None,
            held=self.hold.kind if self.hold else None,
            detail="; ".join(notes),
            rules=dict(rules),
            counts=dict(counts),
        )

    @property
    def quarantined(self) -> int:
        """Bad rows in what was read on this date."""
        return (len(self.feed.faults) if self.feed is not None else 0) + (
            self.carried.quarantined if self.carried else 0
        )


def account(works: Sequence[Work]) -> Synced:
    """Return what is told of all sources, and what has to wait because of those that are held."""
    held = {work.name: work.behaviours for work in works if work.hold}
    return Synced(sources=tuple(work.report() for work in works), held_behaviours=missing_behaviours(held))
