"""Parquet files and the DuckDB that reads them: the only place that knows how rows lie on the disk.

In: Arrow tables. Out: files that are wholly on the disk, and relations over them. Must never happen: a query that
takes the machine (one thread, 512 MiB, then it spills into the store's own directory) or that fetches an extension
from outside.
"""

from __future__ import annotations

import itertools
import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from winback.activity.manifest import StoredFile, spill_directory, unavailable
from winback.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

# Events lie in the order of their feed, mostly that of time: small groups let a night skip the history (0.63 CPU s
# for 1 % of 2 M events, 0.68 with groups of 131,072).
ROW_GROUP_ROWS = 65_536
MEMORY_LIMIT = "512MB"
_CONNECTIONS = itertools.count(1)
MONTHS = tuple(f"month_{month:02d}" for month in range(1, 13))
EVENT_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("bucket", pa.int16(), nullable=False),
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("behaviour", pa.string(), nullable=False),
        pa.field("occurred_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("occurred_on", pa.date32(), nullable=False),
        pa.field("amount", pa.float64()),
        pa.field("event_id", pa.string()),
    ]
)
PROFILE_SCHEMA = pa.schema(
    [
        ("bucket", pa.int16()),
        ("customer_id", pa.string()),
        ("behaviour", pa.string()),
        ("n", pa.int64()),
        ("first_on", pa.date32()),
        ("last_on", pa.date32()),
        ("log_gap_sum", pa.int64()),
        ("log_gap_square_sum", pa.int64()),
        ("first_gap_days", pa.int64()),
        *((month, pa.int64()) for month in MONTHS),
    ]
)
CUSTOMER_SCHEMA = pa.schema([("bucket", pa.int16()), ("customer_id", pa.string())])
# Columns with few distinct values; a dictionary of event ids would only be thrown away again.
ENCODED = ("source", "bucket", "customer_id", "behaviour", "occurred_on")


def write_file(root: Path, name: str, table: pa.Table) -> StoredFile:
    """Write one new file and wait until its bytes are on the disk.

    Raises
    ------
    StoreUnavailable
        If there is no room or no permission.
    """
    path = root / name
    encoded = [column for column in ENCODED if column in table.column_names]
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("xb") as stream:
            pq.write_table(table, stream, compression="zstd", row_group_size=ROW_GROUP_ROWS, use_dictionary=encoded)
            stream.flush()
            os.fsync(stream.fileno())
            size_bytes = stream.tell()
    except OSError as problem:
        raise StoreUnavailable(
            f"activity store {root}: {name} cannot be written ({problem.strerror or problem}); nothing was changed; "
            "make room or mend the permissions, and run the command again"
        ) from problem
    return StoredFile(file=name, size_bytes=size_bytes, rows=table.num_rows)


@contextmanager
def connection(root: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an in-memory DuckDB for queries over the store's files.

    Raises
    ------
    StoreUnavailable
        If a file turns out to be unreadable.
    """
    config: dict[str, Any] = {
        # With two threads a fold costs the same CPU for 2 M events and 40 % more for a night's 20 k.
        "threads": 1,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill_directory(root, os.getpid(), next(_CONNECTIONS))),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with unreadable_means_unavailable(root), closing(duckdb.connect(config=config)) as engine:
        yield engine


@contextmanager
def unreadable_means_unavailable(root: Path) -> Iterator[None]:
    """Say of any failure to read a file of the store that the store is unavailable, and what to do."""
    try:
        yield
    except duckdb.OutOfMemoryException as problem:
        raise StoreUnavailable(
            f"activity store {root}: a query needs more than its {MEMORY_LIMIT} and there is no room to put the rest "
            f"({str(problem).splitlines()[0]}); free disk space there and run the command again"
        ) from problem
    except (duckdb.IOException, duckdb.InvalidInputException, pa.ArrowInvalid, OSError) as problem:
        what = str(problem).splitlines()[0]
        raise unavailable(
            root, f"a data file cannot be read ({what}); if another process has just written, run the command again"
        ) from problem


def relation(
    engine: duckdb.DuckDBPyConnection, root: Path, files: Sequence[StoredFile], schema: pa.Schema
) -> duckdb.DuckDBPyRelation:
    """Return the rows of several files as one relation; of no files, an empty one."""
    if not files:
        return engine.from_arrow(schema.empty_table())
    return engine.read_parquet([str(root / stored.file) for stored in files])


def read_files(root: Path, files: Sequence[StoredFile], schema: pa.Schema) -> pa.Table:
    """Return the rows of several files, in the order of the files."""
    with unreadable_means_unavailable(root):
        return pa.concat_tables(
            [schema.empty_table(), *(pq.read_table(root / stored.file, schema=schema) for stored in files)]
        )


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as pandas frame: days as datetime64[s], texts as str."""
    # Parquet has no timestamps of whole seconds; what was one comes back in milliseconds.
    days = {pa.date32(), pa.timestamp("ms")}
    fields = [field.with_type(pa.timestamp("s")) if field.type in days else field for field in table.schema]
    return table.cast(pa.schema(fields)).to_pandas()
