"""Take in what the sources have: contacts and consents into the ledger, events into the activity store.

In: a project and both stores. Out: :class:`Synced`. A source goes in whole or not at all; one commit of the activity
store, then one transaction of the ledger. A crash between the two does no harm: the next run reads the same rows
again, and the store knows them. Must never happen: a night that acts on a feed that is stale, empty or strange.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime, time
from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from winback.configuration import EventSource
from winback.core.feed_guards import Hold, day_ends_at
from winback.core.row_rules import STANDARD_BEHAVIOURS
from winback.core.sieve import faults_frame, mask
from winback.errors import SourceError, SourceUnavailable
from winback.ledger import loads, people, quarantined_rows, who_refused
from winback.ledger.loads import Load, Override
from winback.night.check import read_programmes
from winback.night.judge_feeds import accepted_holds, judge_feed
from winback.night.notice import notice_returns
from winback.night.opening import be_silent
from winback.night.read_feeds import PLACE, Pass, read_consents, read_contacts, read_events
from winback.night.read_heard import read_heard
from winback.night.source_accounts import Synced, Work, account
from winback.sources.catalogue import reads_since

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

    from winback.activity.intake import Ingested
    from winback.activity.store import ActivityStore
    from winback.configuration import Source
    from winback.ledger.engine import Ledger
    from winback.night.read_feeds import Feed
    from winback.settings import Project

_LOADS_LOOKED_AT = 60  # enough to find 14 that were not held
_MOST_QUARANTINED = 100_000  # of one source a night; a feed of garbage must not fill the ledger


def sync(
    project: Project,
    ledger: Ledger,
    store: ActivityStore,
    *,
    as_of: date,
    now: datetime,
    accept: Collection[str] = (),
    actor: str = "cli",
    progress: Callable[[str, int, int], None] = be_silent,
) -> Synced:
    """Read every source and store what is good; running a date again stores nothing twice.

    Parameters
    ----------
    project, ledger, store : with both stores open
    as_of : business day the night is about; guards measure from it
    now : the present instant (aware); nothing may have happened after it
    accept : holds a person lets through tonight, each ``KIND:SOURCE:DATE`` (volume, empty, stale, quarantine)
    actor : who accepts, for the audit log
    progress : called with (stage, done, total)

    Raises
    ------
    UsageError
        If ``accept`` names an unknown source or kind, or another date.
    StoreError
        If a store cannot be written.
    """
    works, accepted = _prepare(project, ledger, as_of, accept)
    known = _known_behaviours(project)
    for done, work in enumerate(works):
        progress("sync", done, len(works))
        _read(work, project, ledger, as_of=as_of, now=now, known=known)
        _judge(work, project, as_of, accepted)
    _leave_out_erased(ledger, works)
    _store_events(store, works, project, as_of, accepted)
    _store_people_and_loads(ledger, works, as_of=as_of, now=now, actor=actor)
    progress("sync", len(works), len(works))
    return account(works)


def _prepare(
    project: Project, ledger: Ledger, as_of: date, accept: Collection[str]
) -> tuple[list[Work], set[tuple[str, str]]]:
    """Return every source with what earlier nights left of it, and (kind, source) of every hold that is accepted."""
    feeds = project.config.sources
    sources: dict[str, Source] = {"contacts": feeds.contacts, "consents": feeds.consents}
    sources |= {source.name: source for source in feeds.events}
    accepted = accepted_holds(accept, as_of=as_of, names=sources)
    works = [Work(name=name, source=source) for name, source in sources.items()]
    with ledger.reading() as connection:
        _recall(connection, works, as_of)
        said = loads.overrides_on(connection, as_of)
    return works, accepted | {(kind, name) for name, one in said.items() for kind in one.kind.split(",")}


def _known_behaviours(project: Project) -> list[str]:
    """Return what an event may be: the usual behaviours, those the sources declare and those any policy names."""
    found, _ = read_programmes(project.root)
    named = {
        name
        for _, programme in found
        for name in (*programme.trigger.behaviours, *programme.trigger.weak, *programme.return_behaviours)
    }
    declared = {name for source in project.config.sources.events for name in source.delivers}
    return sorted(STANDARD_BEHAVIOURS | named | declared)


def _recall(connection: Connection, works: list[Work], as_of: date) -> None:
    """Fetch what earlier nights left of each source."""
    today = {load.source: load for load in loads.loads_on(connection, as_of)}
    for work in works:
        work.today = today.get(work.name)
        work.before = loads.loads_before(connection, work.name, before=as_of, limit=_LOADS_LOOKED_AT)
        # A query is asked again for what it gave on this date, so that a night that is run twice reads the same.
        until = as_of if reads_since(work.source) else None
        mark = loads.newest_watermark(connection, work.name, before=until)
        work.mark = json.loads(mark) if mark else None


def _read(work: Work, project: Project, ledger: Ledger, *, as_of: date, now: datetime, known: list[str]) -> None:
    """Read a source; one that cannot be read is held."""
    is_events = isinstance(work.source, EventSource)
    one = Pass(
        name=work.name,
        source=work.source,
        project=project,
        mark=work.mark,
        also=tuple(known) if is_events else (),
        day_begins_at=datetime.combine(as_of, time(), tzinfo=project.zone),
        day_end_at=day_ends_at(as_of, project.zone),
        now=now,
        heard=partial(read_heard, ledger) if work.source.kind == "segment" else None,
    )
    try:
        if is_events:
            work.feed = read_events(one, behaviours=known)
        else:
            phones = partial(_known_phones, ledger)
            work.feed = read_contacts(one, known_phones=phones) if work.name == "contacts" else read_consents(one)
    except SourceError as problem:
        kind = "unavailable" if isinstance(problem, SourceUnavailable) else "malformed"
        work.hold = Hold(kind, f"{problem}. Nothing of it was stored.")


def _known_phones(ledger: Ledger) -> pd.DataFrame:
    """Return the telephone numbers of the contacts in the ledger."""
    with ledger.reading() as connection:
        return people.read_phones(connection)


def _judge(work: Work, project: Project, as_of: date, accepted: set[tuple[str, str]]) -> None:
    if work.feed is not None:
        work.hold, work.accepted = judge_feed(
            work.feed,
            work.source,
            project=project,
            as_of=as_of,
            before=work.before,
            is_accepted=lambda kind: (kind, work.name) in accepted,
        )


def _leave_out_erased(ledger: Ledger, works: list[Work]) -> None:
    """Take the events of those who asked to be forgotten out of what was read, and count them."""
    with ledger.reading() as connection:
        for work in works:
            if work.feed is None or work.feed.events is None:
                continue
            ids = work.feed.events["customer_id"]
            erased = who_refused.erased_among(connection, pc.unique(ids).to_pylist(), pepper=ledger.pepper)
            if erased:
                kept = work.feed.events.filter(pc.invert(pc.is_in(ids, pa.array(sorted(erased), pa.string()))))
                work.counts["erased"] += len(ids) - len(kept)
                work.feed.events = kept


def _store_events(
    store: ActivityStore, works: list[Work], project: Project, as_of: date, accepted: set[tuple[str, str]]
) -> None:
    """Put the events of all sources into the activity store, in one commit."""
    ready = [work for work in works if work.events is not None]
    if not ready:
        return
    with store.writing() as writer:
        for work in ready:
            source = cast("EventSource", work.source)
            ingested = writer.ingest(work.name, work.events, mode=source.mode)
            work.new = ingested.new
            _take_account(work, ingested)
            # Ids that were used before are harmless one by one, but a feed full of them has lost its new events.
            _judge(work, project, as_of, accepted)


def _take_account(work: Work, ingested: Ingested) -> None:
    """Count what became of the events, and put those whose id belongs to another event among the bad rows."""
    feed = cast("Feed", work.feed)
    work.counts.update(
        duplicates=ingested.duplicates,
        conflicts=len(ingested.conflicts),
        corrected=ingested.corrected,
        deleted=ingested.deleted,
    )
    numbers = ingested.conflicts["row_number"]
    places = [feed.places[place] for place in numbers // PLACE]
    columns = [f"event_id ({place})" if place else "event_id" for place in places]
    faults = faults_frame(numbers % PLACE, columns, "event_id_conflict", ingested.conflicts["event_id"])
    feed.faults = pd.concat([feed.faults, faults], ignore_index=True)


def _store_people_and_loads(ledger: Ledger, works: list[Work], *, as_of: date, now: datetime, actor: str) -> None:
    """Put contacts and consents into the ledger and write down what became of every source, in one transaction."""
    with ledger.writing() as connection:
        for work in works:
            _store_people(connection, work, ledger.pepper, as_of)
            _record(connection, work, as_of=as_of, now=now, actor=actor, pepper=ledger.pepper)
        notice_returns(connection, [work.events for work in works if work.events is not None], now=now)


def _store_people(connection: Connection, work: Work, pepper: bytes, as_of: date) -> None:
    """Put contacts and consents into the ledger."""
    if not work.goes_in or work.feed is None or work.feed.rows is None:
        return
    rows = work.feed.rows
    if work.name == "contacts":
        changes = people.replace_contacts(connection, rows, pepper=pepper, as_of=as_of)
        work.new = changes.new
        work.counts.update(changes._asdict())
        return
    records = rows.drop(columns="row_number")
    records = records.assign(
        **{name: records[name].mask(records[name] == "", None) for name in ("basis", "source", "wording")}
    )
    work.new = people.add_consents(connection, records, pepper=pepper)
    work.counts["duplicates"] += len(records) - work.new


def _record(connection: Connection, work: Work, *, as_of: date, now: datetime, actor: str, pepper: bytes) -> None:
    """Write down what was read of a source, its bad rows, and who let it through."""
    feed, hold, carried = work.feed, work.hold, work.carried
    if feed is not None and len(feed.faults):
        quarantined_rows.write_quarantine(connection, _quarantine(work.name, feed.faults, as_of=as_of, pepper=pepper))
    for kind in work.accepted:
        reason = f"--accept {kind}:{work.name}:{as_of}"
        loads.allow(connection, Override(work.name, as_of, kind, actor, now, reason))
    earlier = work.today.new if work.today is not None else 0
    mark = {**feed.mark, "behaviours": sorted(work.behaviours)} if feed is not None and work.goes_in else None
    load = Load(
        source=work.name,
        as_of=as_of,
        loaded_at=now,
        read=feed.read if feed is not None else 0,
        new=work.new + earlier,
        quarantined=work.quarantined,
        duplicates=work.counts["duplicates"] + (carried.duplicates if carried else 0),
        conflicts=work.counts["conflicts"] + (carried.conflicts if carried else 0),
        max_occurred_at=feed.newest_at if feed is not None else None,
        held=hold.kind if hold else None,
        detail=hold.detail if hold else None,
        watermark=json.dumps(mark) if mark is not None else None,
    )
    loads.record_load(connection, load)


def _quarantine(source: str, faults: pd.DataFrame, *, as_of: date, pepper: bytes) -> pd.DataFrame:
    """Return bad rows as they are kept: the value masked, and a keyed hash that knows the row again."""
    kept = faults.head(_MOST_QUARANTINED)
    texts = kept["row_number"].astype("str").str.cat([kept["column"], kept["rule"], kept["value"]], sep="\0")
    return pd.DataFrame(
        {
            "source": source,
            "row_number": kept["row_number"],
            "column": kept["column"],
            "rule": kept["rule"],
            "masked_value": kept["value"].map(mask).astype("str"),
            "as_of": pd.Timestamp(as_of),
            "digest": [hashlib.blake2b(text.encode(), key=pepper[:64], digest_size=16).hexdigest() for text in texts],
        }
    )
