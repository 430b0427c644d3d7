"""Parquet files, one or a glob of them; a file that did not change since the last night is not read again.

In: a pattern. Out: a :class:`~winback.sources.feeds.Reading`. Row numbers count from 1 in each file. Must never
happen: files of which one has other columns and that are read all the same.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from winback.errors import SourceMalformed, SourceUnavailable
from winback.sources.csv_files import file_identity, file_status, is_same_file, written_at
from winback.sources.feeds import Ask, Chunk, Reading, lay_out
from winback.sources.typed_columns import as_chunk, check_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATCH_ROWS = 131_072
_MAGIC = "*?["


def matching_files(source: str, pattern: Path) -> list[Path]:
    """Return the files a path or glob names, in the order of their names.

    Raises
    ------
    SourceUnavailable
        If there is none.
    """
    if not any(character in str(pattern) for character in _MAGIC) or pattern.exists():
        return [pattern]
    files = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))  # noqa: PTH207  Path.glob refuses absolute patterns
    if not files:
        raise SourceUnavailable(source, f"no file matches {pattern}: put the files there, or mend the path")
    return files


def read_parquet(ask: Ask, pattern: Path) -> Reading:
    """Return the rows of the Parquet files that a path or glob names and that changed since they were read.

    Raises
    ------
    SourceUnavailable
        If a file is not there.
    SourceMalformed
        If one is no Parquet file, or its columns are not as declared. (Also while the chunks are read.)
    """
    known = ask.mark["files"] if ask.mark is not None else {}
    statuses = {path: file_status(ask.source, path) for path in matching_files(ask.source, pattern)}
    identities = {path: file_identity(path, status) for path, status in statuses.items()}
    unread = [path for path, identity in identities.items() if not is_same_file(known.get(str(path), {}), identity)]
    if not ask.may_resume and (unread or len(known) != len(statuses)):
        unread = list(statuses)
    marks = {str(path): known[str(path)] for path in statuses if path not in unread}
    taken = {path: _columns_of(ask, path) for path in unread}
    reading = Reading(
        iter(()),
        sum(entry["rows"] for entry in marks.values()),
        is_whole=not marks,
        modified_at=max(map(written_at, statuses.values())),
        mark={"files": {**marks, **{str(path): dict(identities[path]) for path in unread}}},
    )
    reading.chunks = _chunks(ask.source, taken, reading, has_several=len(statuses) > 1)
    return reading


def _columns_of(ask: Ask, path: Path) -> dict[str, str]:
    """Return the columns to take from a file: canonical name -> name in the file."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError) as problem:
        raise SourceMalformed(ask.source, f"{path} is no Parquet file, or not a whole one: {problem}") from problem
    layout = lay_out(ask, schema.names)
    check_types(ask.source, pa.schema([schema.field(position).with_name(name) for position, name in layout.places]))
    return {name: schema.names[position] for position, name in layout.places}


def _chunks(
    source: str, taken: Mapping[Path, Mapping[str, str]], reading: Reading, *, has_several: bool
) -> Iterator[Chunk]:
    """Yield the rows of files; leaves in the reading how many rows each has."""
    for path, names in taken.items():
        row = 1
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(names.values()))):
                    table = pa.table({name: batch.column(original) for name, original in names.items()})
                    yield as_chunk(source, table, first_row=row, place=path.name if has_several else "")
                    row += table.num_rows
        except (pa.ArrowException, OSError) as problem:
            raise SourceMalformed(source, f"{path} is damaged after row {row - 1}: {problem}") from problem
        reading.mark["files"][str(path)]["rows"] = row - 1
    reading.mark["total"] = sum(entry["rows"] for entry in reading.mark["files"].values())
