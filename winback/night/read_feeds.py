"""Read the sources of one night and judge every row: what is good, what is bad, how far each was read.

In: a project and what earlier nights left. Out: a :class:`Feed` for each source. Nothing is written here. Must never
happen: a source that fails half-way and of which half is used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from winback.core import row_rules
from winback.core.addresses import normalise_emails, normalise_phones
from winback.core.sieve import NO_FAULTS, Checked
from winback.errors import SourceMalformed
from winback.sources import catalogue
from winback.sources.feeds import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from winback.configuration import EventSource, Source
    from winback.settings import Project
    from winback.sources.feeds import Chunk, Reading, Wanted

# Rows are numbered within their file; this far apart, the numbers of several files order and name them all.
PLACE = 2**40
_EVENT_SCHEMA = pa.schema(
    [
        ("row_number", pa.int64()),
        ("customer_id", pa.string()),
        ("behaviour", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("amount", pa.float64()),
        ("event_id", pa.string()),
    ]
)


@dataclass(kw_only=True)
class Feed:
    """What one source held.

    Attributes
    ----------
    name : of the source
    faults : row_number, column, rule, value (not yet masked)
    rows : good contacts or consents
    events : good events (row_number, customer_id, behaviour, occurred_at, amount, event_id)
    read : rows of the whole feed, with those that were read on earlier nights
    read_now : rows that were read this time
    is_whole : whether those are the whole feed
    newest_at : the newest instant in the feed
    newest_by_day_end_at : the newest one that is not after the business day
    modified_at : when the newest file was written
    mark : how far the feed was read
    places : the files the rows came from; the row number of an event is ``place * PLACE + row``
    counts : folds, gaps, duplicates and the like
    """

    name: str
    faults: pd.DataFrame
    rows: pd.DataFrame | None = None
    events: pa.Table | None = None
    read: int
    read_now: int
    is_whole: bool
    newest_at: datetime | None = None
    newest_by_day_end_at: datetime | None = None
    modified_at: datetime | None = None
    mark: dict[str, Any]
    places: list[str]
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass over one source.

    Attributes
    ----------
    name, source : of winback.yaml
    project : the project
    mark : what the last reading left (plain JSON), or None
    also : names the reading depends on besides the source's settings
    day_begins_at, day_end_at : of the business day the night is about
    now : the present instant
    heard : reads what a webhook brought, for a source that is no file and no query
    """

    name: str
    source: Source
    project: Project
    mark: Mapping[str, Any] | None
    also: tuple[str, ...] = ()
    day_begins_at: datetime
    day_end_at: datetime
    now: datetime
    heard: Callable[[Ask], Reading] | None = None

    @property
    def settings(self) -> str:
        """What the mark has to have been left under to be believed."""
        return catalogue.settings_digest(self.source, also=self.also)

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone the source declares."""
        return ZoneInfo(self.source.timezone) if self.source.timezone else None

    def usable_mark(self) -> Mapping[str, Any] | None:
        """Return the mark, unless the settings have changed since, or it reaches beyond the business day.

        Where the feed is known to hold events after the day (a night of long ago), which of its events is the newest
        one of that day cannot be told from the mark: the feed is read again.
        """
        if self.mark is None or self.mark.get("settings") != self.settings:
            return None
        newest = self.mark.get("max_occurred_at")
        return None if newest and datetime.fromisoformat(newest) >= self.day_end_at else self.mark

    def open(self, wanted: Wanted, *, may_resume: bool) -> Reading:
        """Return the reading of the source."""
        ask = Ask(
            source=self.name,
            wanted=wanted,
            columns=self.source.columns,
            mark=self.usable_mark(),
            may_resume=may_resume,
        )
        if self.heard is not None:
            return self.heard(ask)
        return catalogue.open_feed(ask, self.source, root=self.project.root, environment=self.project.environment)


@dataclass
class _Sifted:
    """The chunks of a reading after the rules: good parts as they come, all faults, counts, the newest instants."""

    check: Callable[[pd.DataFrame], Checked]
    pass_over: Pass
    instant: str | None
    faults: list[pd.DataFrame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=lambda: [""])
    read_now: int = 0
    newest_at: datetime | None = None
    newest_by_day_end_at: datetime | None = None

    def rows(self, chunks: Iterator[Chunk]) -> Iterator[pd.DataFrame]:
        """Yield the good rows of each chunk.

        Raises
        ------
        SourceMalformed
            At the first time without an offset, where the source declares no zone.
        """
        for chunk in chunks:
            self.read_now += chunk.rows_read
            checked = self.check(chunk.rows)
            if checked.first_naive:
                what = (
                    f"row {checked.first_naive}{' of ' + chunk.place if chunk.place else ''}: the time has no offset"
                    " and the source declares no zone: add timezone: (for example Europe/Paris) to the source"
                )
                raise SourceMalformed(self.pass_over.name, what)
            self.counts.update(checked.counts)
            faults = pd.concat([chunk.faults, checked.faults], ignore_index=True)
            if len(faults):
                place = f" ({chunk.place})" if chunk.place else ""
                self.faults.append(faults.assign(column=faults["column"] + place))
            if self.instant is not None:
                self._see(checked.rows[self.instant])
            if chunk.place not in self.places:
                self.places.append(chunk.place)
            offset = self.places.index(chunk.place) * PLACE
            yield checked.rows.assign(row_number=checked.rows["row_number"] + offset) if offset else checked.rows

    def _see(self, instants: pd.Series) -> None:
        self.newest_at = _later(self.newest_at, instants.max())
        self.newest_by_day_end_at = _later(
            self.newest_by_day_end_at, instants[instants < self.pass_over.day_end_at].max()
        )

    def feed(self, reading: Reading, *, rows: pd.DataFrame | None = None, events: pa.Table | None = None) -> Feed:
        """Return what was found, together with what the mark of an earlier night knows."""
        before = (self.pass_over.usable_mark() or {}).get("max_occurred_at")
        known = datetime.fromisoformat(before) if before and not reading.is_whole else None
        newest_at = _later(known, self.newest_at)
        facts = {"max_occurred_at": newest_at and newest_at.isoformat(), "settings": self.pass_over.settings}
        return Feed(
            name=self.pass_over.name,
            faults=pd.concat(self.faults, ignore_index=True) if self.faults else NO_FAULTS,
            read=reading.mark["total"],
            read_now=self.read_now,
            is_whole=reading.is_whole,
            newest_at=newest_at,
            newest_by_day_end_at=_later(known, self.newest_by_day_end_at),
            modified_at=reading.modified_at,
            mark={**reading.mark, **facts},
            places=self.places,
            counts=self.counts,
            rows=rows,
            events=events,
        )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later instant; the maximum of no instants, which to pandas is a datetime too, is none."""
    if other is None or pd.isna(other):
        return one
    moment: datetime = other.to_pydatetime() if isinstance(other, pd.Timestamp) else other
    return moment if one is None else max(one, moment)


def read_events(one: Pass, *, behaviours: Collection[str]) -> Feed:
    """Return the events of a source; in append mode only those that were added.

    Raises
    ------
    SourceUnavailable, SourceMalformed
        As :func:`winback.sources.catalogue.open_feed`; also for times without an offset and no declared zone.
    """
    source: EventSource = cast("EventSource", one.source)

    def check(rows: pd.DataFrame) -> Checked:
        return row_rules.check_events(
            rows,
            behaviour=source.behaviour,
            behaviours=behaviours,
            zone=one.zone,
            decimal=source.decimal,
            now=one.now,
        )

    wanted = catalogue.EVENTS if source.behaviour else catalogue.EVENTS_OF_ALL_KINDS
    reading = one.open(wanted, may_resume=source.mode == "append")
    sifted = _Sifted(check, one, "occurred_at")
    tables = [
        pa.Table.from_pandas(rows, schema=_EVENT_SCHEMA, preserve_index=False) for rows in sifted.rows(reading.chunks)
    ]
    events = pa.concat_tables([_EVENT_SCHEMA.empty_table(), *tables])
    is_empty = pc.equal(events["event_id"], "")
    events = events.set_column(5, "event_id", pc.if_else(is_empty, None, events["event_id"]))
    return sifted.feed(reading, events=events)


def read_consents(one: Pass) -> Feed:
    """Return the consents that were added to the feed."""

    def check(rows: pd.DataFrame) -> Checked:
        return row_rules.check_consents(rows, zone=one.zone, now=one.now, unread_at=one.day_begins_at)

    reading = one.open(catalogue.CONSENTS, may_resume=True)
    sifted = _Sifted(check, one, "recorded_at")
    parts = list(sifted.rows(reading.chunks))
    return sifted.feed(reading, rows=pd.concat(parts, ignore_index=True) if parts else None)


def read_contacts(one: Pass, *, known_phones: Callable[[], pd.DataFrame]) -> Feed:
    """Return all contacts, with their addresses in normal form; None as ``rows`` when the feed did not change.

    ``known_phones`` returns the numbers of the contacts that are known, so that they are not looked at again.
    """
    zones = available_timezones()
    reading = one.open(catalogue.CONTACTS, may_resume=False)
    sifted = _Sifted(lambda rows: row_rules.check_contacts(rows, zones=zones), one, None)
    parts = list(sifted.rows(reading.chunks))
    if not parts:
        return sifted.feed(reading)
    settled = row_rules.settle_duplicate_contacts(pd.concat(parts, ignore_index=True))
    sifted.faults.append(settled.faults)
    sifted.counts.update(settled.counts)
    return sifted.feed(reading, rows=as_contacts(settled.rows, known_phones=known_phones()))


def as_contacts(rows: pd.DataFrame, *, known_phones: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return checked rows as contacts: addresses in normal form, everything the feed adds as JSON in ``extra``.

    Parameters
    ----------
    rows : of :func:`winback.core.row_rules.check_contacts`
    known_phones : numbers in this form, which need not be looked at again

    Returns
    -------
    one row a contact: customer_id, email, email_key, email_fault, phone, phone_type, phone_zones, phone_fault, names,
    locale, timezone, country, region, category (missing where nothing is known), extra
    """
    emails = normalise_emails(rows["email"])
    phones = normalise_phones(rows["phone"], rows["country"], known=known_phones)
    plain = [name for name in row_rules.CONTACT_COLUMNS if name not in {"email", "phone"}]
    others = [name for name in rows.columns if name not in {*row_rules.CONTACT_COLUMNS, row_rules.ROW_NUMBER}]
    extra = pd.Series("{}", index=rows.index, dtype="str")
    if others:
        lines = rows[others].to_json(orient="records", lines=True, force_ascii=False).removesuffix("\n").split("\n")
        extra = pd.Series(lines, index=rows.index, dtype="str")
    contacts = pd.concat([rows[plain], emails, phones], axis=1)
    return contacts.assign(**{name: contacts[name].mask(contacts[name] == "") for name in contacts}, extra=extra)
