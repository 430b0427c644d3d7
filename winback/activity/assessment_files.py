"""What a night worked out about every customer, kept for a few nights so that it can be looked up.

In: one frame a shard. Out: one Parquet file a (day, key), replaced as a whole. Must never happen: a reader that sees
the shards of two runs mixed.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winback.activity.columnar import as_frame, unreadable_means_unavailable
from winback.activity.manifest import sync_directory
from winback.core.buckets import BUCKETS, buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

FOLDER = "assessments"
BUCKET = "bucket"
KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


def _file(root: Path, as_of: date, key: str) -> Path:
    if not KEY.fullmatch(key):
        raise ValueError(f"assessment key {key!r}: expected small letters, digits, '_', '-' and '.'")
    return root / FOLDER / as_of.isoformat() / f"{key}.parquet"


def _as_table(frame: pd.DataFrame, schema: pa.Schema | None) -> pa.Table:
    """Return a frame with the bucket of each customer, in the schema of the frames before it."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    table = table.append_column(BUCKET, pa.array(buckets(frame["customer_id"]), pa.int16()))
    if schema is None:
        # A column that is empty throughout the first shard says nothing of its type: texts are the ones that are.
        fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]
        schema = pa.schema(fields)
    return table.select(schema.names).cast(schema)


def write_assessments(root: Path, as_of: date, frames: Iterable[tuple[str, pd.DataFrame]]) -> int:
    """Write the frames of several keys, each as a row group of the file of its key; return the number of rows.

    The keys may come in turns, so that what they are made of is read once for all. No file is put in place before the
    last frame has come.
    """
    rows = 0
    with ExitStack() as files:
        writers: dict[str, pq.ParquetWriter] = {}
        for key, frame in frames:
            known = writers.get(key)
            table = _as_table(frame, known.schema if known else None)
            if known is None:
                known = writers[key] = files.enter_context(_replacing(_file(root, as_of, key), table.schema))
            known.write_table(table)
            rows += table.num_rows
        if not writers:
            raise ValueError("an assessment needs at least one frame, which may be empty")
    return rows


@contextmanager
def _replacing(file: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of a file that takes the old one's place when the block is left, unless by an exception."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                yield writer
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(file.parent)


def read_assessment(
    root: Path,
    as_of: date,
    key: str,
    *,
    run: tuple[int, int],
    columns: Sequence[str] | None = None,
    customer_id: str | None = None,
) -> pd.DataFrame | None:
    """Return the rows of a run of buckets, in the order they were written in, or None where nothing was written."""
    file = _file(root, as_of, key)
    if not file.exists():
        return None
    condition = None
    if run != (0, BUCKETS):
        condition = (pc.field(BUCKET) >= run[0]) & (pc.field(BUCKET) < run[1])
    if customer_id is not None:
        of_customer = pc.field("customer_id") == customer_id
        condition = of_customer if condition is None else condition & of_customer
    with unreadable_means_unavailable(root):
        names = [name for name in pq.read_schema(file).names if name != BUCKET]
        table = pq.read_table(file, columns=list(columns) if columns is not None else names, filters=condition)
    return as_frame(table)


def assessed_dates(root: Path) -> list[date]:
    """Return the days that have assessments, oldest first."""
    return sorted(date.fromisoformat(folder.name) for folder in (root / FOLDER).glob("????-??-??"))


def prune_assessments(root: Path, *, keep: int) -> None:
    """Remove all but the newest ``keep`` days."""
    for day in assessed_dates(root)[:-keep]:
        folder = root / FOLDER / day.isoformat()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def forget_in_assessments(root: Path, customer_id: str) -> int:
    """Remove a customer from every assessment; return how many rows there were."""
    removed = 0
    for file in sorted((root / FOLDER).glob("*/*.parquet")):
        with unreadable_means_unavailable(root):
            table = pq.read_table(file)
        kept = table.filter(pc.not_equal(table["customer_id"], customer_id))
        if kept.num_rows < table.num_rows:
            removed += table.num_rows - kept.num_rows
            with _replacing(file, kept.schema) as writer:
                writer.write_table(kept)
    for left in (root / FOLDER).glob("*/.*"):
        left.unlink(missing_ok=True)
    return removed
