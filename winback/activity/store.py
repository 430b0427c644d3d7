"""The activity store: what every customer did, and the profile of each customer's rhythm as of any day.

In: feeds of events. Out: frames for the pure core. Layout of the directory::

    manifest.json   the one commit point: names the files of the present generation
    events/         events, one part per feed, shard and writing; never changed once written
    profiles/       one file a shard: active days, gaps and months per (customer, behaviour)
    dirty/          customers who are rebuilt at the next fold
    assessments/    what the last nights worked out

A store object reads the generation it was opened with, however long it is used; :meth:`ActivityStore.reload` moves on
to the present one. Must never happen: a read that depends on how many shards there are, or in which order rows came.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from winback.activity import assessment_files, event_reads
from winback.activity import manifest as manifests
from winback.activity.columnar import PROFILE_SCHEMA, as_frame, read_files
from winback.activity.event_writer import Writer
from winback.activity.folding import batches, compute_profiles, dirty_customers, rows_of_run
from winback.activity.manifest import Manifest
from winback.core.buckets import bounds, buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date, datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    import pandas as pd

STORED_SHARDS = 8
KEPT_ASSESSMENTS = 14


class ActivityStore:
    """One activity directory; made by :meth:`open`."""

    def __init__(self, root: Path, *, zone: ZoneInfo, manifest: Manifest) -> None:
        self._root = root
        self._zone = zone
        self._manifest = manifest

    @classmethod
    def open(cls, path: Path, *, zone: ZoneInfo, shards: int = STORED_SHARDS) -> ActivityStore:
        """Open a store for reading; where there is none it is empty, and made by the first writer.

        Parameters
        ----------
        path : the activity directory
        zone : business time zone
        shards : how many shards a new store is split into; an old one keeps its own

        Raises
        ------
        StoreUnavailable
            If the store is damaged or its days were counted in another zone.
        """
        manifest = manifests.read_manifest(path) or Manifest(zone=zone.key, shards=shards)
        if manifest.zone != zone.key:
            raise manifests.unavailable(
                path, f"its days were counted in {manifest.zone}, but the business time zone is {zone.key}"
            )
        return cls(path, zone=zone, manifest=manifest)

    @property
    def generation(self) -> int:
        """The generation this object reads: it grows by one with every commit."""
        return self._manifest.generation

    @property
    def folded_through(self) -> date | None:
        """The last business day in the stored profiles."""
        return self._manifest.folded_through

    def reload(self) -> None:
        """Read the present generation from now on."""
        self._manifest = manifests.read_manifest(self._root) or self._manifest

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Yield the store's only writer; leaving the block commits, leaving it by an exception discards.

        Raises
        ------
        StoreBusy
            If another writer is at work.
        StoreUnavailable
            If the directory cannot be written to, or the store is damaged.
        """
        with manifests.writer_lock(self._root):
            present = manifests.read_manifest(self._root)
            if present is None:
                present = self._manifest
                manifests.write_manifest(self._root, present)
            self._manifest = present
            writer = Writer(self._root, present, zone=self._zone)
            writer.discard()
            try:
                yield writer
            except BaseException:
                writer.discard()
                raise
            else:
                writer.commit()
            finally:
                self.reload()

    def profiles(self, as_of: date, *, shard: int = 0, shards: int = 1) -> pd.DataFrame:
        """Return the profiles as they stood at the end of a business day, whatever day has been folded through.

        Parameters
        ----------
        as_of : business day; no event after it counts
        shard, shards : which run of buckets to return; any number of shards

        Returns
        -------
        one row per (customer_id, behaviour), sorted by bucket, customer_id, behaviour: customer_id, behaviour (str),
        n (int64, active days), first_on, last_on (datetime64[s]), log_gap_sum, log_gap_square_sum (int64, in 1/2**32),
        first_gap_days (int64, between the first two active days, 0 after a single one),
        month_01 .. month_12 (int64, active days)
        """
        run = bounds(shard, shards)
        dirty = dirty_customers(self._root, self._manifest)
        tables = [
            self._stored_profiles(batch.shards, run)
            if batch.is_settled
            else compute_profiles(self._root, self._manifest, dirty, batch.shards, as_of=as_of, run=run)
            for batch in batches(self._manifest, dirty, as_of, run=run)
        ]
        return as_frame(pa.concat_tables(tables).drop_columns(["bucket"]))

    def _stored_profiles(self, shards: tuple[int, ...], run: tuple[int, int]) -> pa.Table:
        """Return what was folded last of some stored shards and a run of buckets."""
        stored = [self._manifest.profile(shard) for shard in shards]
        return rows_of_run(read_files(self._root, [file for file in stored if file], PROFILE_SCHEMA), run)

    def event_days(
        self,
        as_of: date,
        *,
        since: date | None = None,
        behaviours: Sequence[str] | None = None,
        shard: int = 0,
        shards: int = 1,
    ) -> pd.DataFrame:
        """Return every active day up to a business day.

        Parameters
        ----------
        as_of : inclusive
        since : exclusive; None: from the first event
        behaviours : which; None means all

        Returns
        -------
        distinct rows, sorted by bucket, customer_id, behaviour, occurred_on: customer_id, behaviour (str),
        occurred_on (datetime64[s])
        """
        return event_reads.event_days(
            self._root, self._manifest, as_of, since=since, behaviours=behaviours, run=bounds(shard, shards)
        )

    def activity_since(
        self, since: date, as_of: date, *, behaviours: Sequence[str], shard: int = 0, shards: int = 1
    ) -> pd.DataFrame:
        """Return who was active after a business day, up to and including another.

        Parameters
        ----------
        since : exclusive
        as_of : inclusive
        behaviours : which count

        Returns
        -------
        one row per customer, sorted by bucket and customer_id: customer_id (str), first_on, last_on (datetime64[s],
        the first and the newest active day within the period)
        """
        return event_reads.activity_since(
            self._root, self._manifest, since, as_of, behaviours=behaviours, run=bounds(shard, shards)
        )

    def customer_history(self, customer_id: str, as_of: date, *, limit: int = 20) -> pd.DataFrame:
        """Return the newest events of one customer, newest first.

        Returns
        -------
        source, behaviour (str), occurred_at (aware UTC), occurred_on (datetime64[s]), amount (float64), event_id (str)
        """
        return event_reads.customer_history(self._root, self._manifest, customer_id, as_of, limit=limit)

    def max_occurred_at(self, source: str, as_of: date) -> datetime | None:
        """Return the instant (aware UTC) of a source's newest event up to a business day, None without any."""
        return event_reads.max_occurred_at(self._root, self._manifest, source, as_of)

    def behaviours(self) -> list[str]:
        """Return the behaviours that were ever seen, sorted."""
        return event_reads.behaviours(self._root, self._manifest)

    def history_days(self, as_of: date) -> dict[str, int]:
        """Return for each behaviour how many days lie between its first event and ``as_of``."""
        return event_reads.history_days(self._root, self._manifest, as_of)

    def counts(self) -> dict[str, int]:
        """Return how much there is: events, profiles, dirty_customers, parts, size_bytes and generation."""
        manifest = self._manifest
        return {
            "events": sum(part.rows for part in manifest.parts),
            "profiles": sum(stored.rows for stored in manifest.profiles if stored),
            "dirty_customers": manifest.dirty.rows if manifest.dirty else 0,
            "parts": len(manifest.parts),
            "size_bytes": sum(stored.size_bytes for stored in manifest.files),
            "generation": manifest.generation,
        }

    def forget(self, customer_id: str) -> int:
        """Remove every trace of a customer, also from files kept for readers; return how many events there were.

        The sources are not ours to change: a feed that still has the customer brings the events back.

        Raises
        ------
        StoreBusy
            If a writer is at work.
        """
        with self.writing() as writer:
            events = writer.forget(customer_id, bucket=int(buckets([customer_id])[0]))
            assessment_files.forget_in_assessments(self._root, customer_id)
            writer.commit(retire=False)
        return events

    def write_assessment(
        self, as_of: date, key: str, frames: Iterable[pd.DataFrame], *, keep: int = KEPT_ASSESSMENTS
    ) -> int:
        """Keep what a night worked out, replacing the same key of the same day as a whole; return the rows.

        Parameters
        ----------
        as_of : business day
        key : what it is, e.g. ``rhythms`` (small letters, digits, ``_ - .``)
        frames : one a shard, all with the same columns, ``customer_id`` among them; taken one at a time
        keep : how many days of assessments stay

        Raises
        ------
        StoreBusy
            If a writer is at work: call this outside :meth:`writing`.
        """
        return self.write_assessments(as_of, ((key, frame) for frame in frames), keep=keep)

    def write_assessments(
        self, as_of: date, frames: Iterable[tuple[str, pd.DataFrame]], *, keep: int = KEPT_ASSESSMENTS
    ) -> int:
        """Keep several things a night worked out, as :meth:`write_assessment` each; the keys may come in turns."""
        with manifests.writer_lock(self._root):
            rows = assessment_files.write_assessments(self._root, as_of, frames)
            assessment_files.prune_assessments(self._root, keep=keep)
        return rows

    def read_assessment(
        self,
        as_of: date,
        key: str,
        *,
        shard: int = 0,
        shards: int = 1,
        columns: Sequence[str] | None = None,
        customer_id: str | None = None,
    ) -> pd.DataFrame | None:
        """Return what :meth:`write_assessment` kept, or None if it was not written or is no longer kept.

        Parameters
        ----------
        shard, shards : which run of buckets
        columns : which columns; default all
        customer_id : one customer's rows only
        """
        return assessment_files.read_assessment(
            self._root, as_of, key, run=bounds(shard, shards), columns=columns, customer_id=customer_id
        )
