"""CSV files, plain or gzipped, read in blocks, from where the last night ended when the file only grew.

In: a file. Out: a :class:`~winback.sources.feeds.Reading`. Must never happen: a file that was replaced and is taken
for one that grew, or a half-written last line that is taken for the whole one for good.

How far a file was read is known by the hash of everything up to its last line break: only when the same bytes stand
there again is the rest read alone. A last line without a line break is read each night until it has one.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

from winback.errors import SourceMalformed, SourceUnavailable
from winback.sources.csv_rows import Block, read_block
from winback.sources.feeds import Ask, Chunk, Layout, Reading, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import stat_result
    from pathlib import Path

BLOCK_BYTES = 8 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
_EDGE_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
_NO_DELIMITERS = '"\r\n\0'
_FOREIGN = {
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet: export it as CSV",
    b"\x1f\x8b": "gzipped: let its name end in .csv.gz",
    b"PAR1": "a Parquet file: let its name end in .parquet",
}


def file_status(source: str, path: Path) -> stat_result:
    """Return the size and times of a file.

    Raises
    ------
    SourceUnavailable
        If there is no such file, or it may not be read.
    """
    try:
        status = path.stat()
        if path.is_dir():
            raise SourceUnavailable(source, f"{path} is a directory: name the file in it")
        with path.open("rb"):
            return status
    except FileNotFoundError as problem:
        raise SourceUnavailable(source, f"there is no file {path}: put it there, or mend its path") from problem
    except (OSError, ValueError) as problem:
        raise SourceUnavailable(source, f"{path} cannot be read: {problem}") from problem


def file_identity(path: Path, status: stat_result) -> dict[str, Any]:
    """Return what an unchanged file has unchanged: size, time of writing, and a hash of both its ends."""
    edges = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        edges.update(stream.read(_EDGE_BYTES))
        stream.seek(max(0, status.st_size - _EDGE_BYTES))
        edges.update(stream.read(_EDGE_BYTES))
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "edges": edges.hexdigest()}


def is_same_file(before: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Return whether a mark was left when a file had this identity."""
    return all(before.get(name) == value for name, value in identity.items())


def written_at(status: stat_result) -> datetime:
    """Return when a file was written."""
    return datetime.fromtimestamp(status.st_mtime, tz=UTC)


def _prefix_hash(path: Path, size: int) -> hashlib.blake2b:
    """Return the hash of the first ``size`` bytes of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while size > 0 and (piece := stream.read(min(size, BLOCK_BYTES))):
            digest.update(piece)
            size -= len(piece)
    return digest


def read_csv(ask: Ask, path: Path, *, delimiter: str | None) -> Reading:
    """Return the rows of a CSV file that were not read before.

    Parameters
    ----------
    ask : a file that only grew may be read from its old end where ``may_resume`` is set
    path : a name that ends in ``.gz`` is unpacked
    delimiter : between two fields; None to look which of comma, semicolon, tab and bar the header uses most

    Raises
    ------
    SourceUnavailable
        If the file is not there.
    SourceMalformed
        If it is no CSV file in UTF-8, or its columns are not as declared. (Also while the chunks are read.)
    """
    status = file_status(ask.source, path)
    file, mark = _CsvFile(ask, path, status.st_size), ask.mark or {}
    reading = Reading(iter(()), modified_at=written_at(status), mark=file_identity(path, status))
    is_untouched = bool(mark) and is_same_file(mark, reading.mark)
    before = None if is_untouched else file.read_before(mark)
    if is_untouched or (before is not None and mark["end"] == status.st_size):
        return replace(reading, rows_before=mark["total"], is_whole=False, mark={**mark, **reading.mark})
    header, layout, used = file.read_header(delimiter)
    if before is not None and ask.may_resume and mark["lines"]:
        file.resume(before, mark)
        reading.rows_before, reading.is_whole = mark["rows"], False
    else:
        file.skip_header(header)
    reading.chunks = file.chunks(layout, used, reading)
    return reading


class _CsvFile:
    """One file while it is read: where the next block begins, and the hash of all before it."""

    def __init__(self, ask: Ask, path: Path, size: int) -> None:
        self.ask = ask
        self.source = ask.source
        self.path = path
        self.size = size
        self.is_gzipped = path.suffix == ".gz"
        self.digest = hashlib.blake2b(digest_size=16)
        self.position = 0
        self.line = 1
        self.rows = 0

    def read_before(self, mark: Mapping[str, Any]) -> hashlib.blake2b | None:
        """Return the hash of what an earlier reading took, if that still stands where it stood; else None."""
        if not mark or self.is_gzipped or mark["end"] > self.size:
            return None
        prefix = _prefix_hash(self.path, mark["end"])
        return prefix if prefix.hexdigest() == mark["digest"] else None

    def resume(self, prefix: hashlib.blake2b, mark: Mapping[str, Any]) -> None:
        """Go to where an earlier reading ended."""
        self.digest, self.position, self.line, self.rows = prefix, mark["end"], mark["lines"] + 1, mark["rows"]

    def skip_header(self, header: bytes) -> None:
        """Go to the first row."""
        self.digest.update(header)
        self.position = len(header)
        self.line = 2 if header else 1

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            with gzip.open(self.path) if self.is_gzipped else self.path.open("rb") as stream:
                yield cast("IO[bytes]", stream)
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise SourceMalformed(
                self.source, f"{self.path} is no whole gzip file ({problem}): copy it again"
            ) from problem
        except OSError as problem:
            raise SourceUnavailable(self.source, f"{self.path} cannot be read: {problem}") from problem

    def read_header(self, delimiter: str | None) -> tuple[bytes, Layout, str]:
        """Return the bytes of the header's line, where the columns stand, and the delimiter."""
        if delimiter is not None and (not delimiter.isascii() or delimiter in _NO_DELIMITERS):
            raise SourceMalformed(
                self.source, f"delimiter {delimiter!r} cannot be one: name a comma, semicolon, tab or bar"
            )
        with self._open() as stream:
            start = stream.read(_EDGE_BYTES)
        for magic, what in _FOREIGN.items():
            if start.startswith(magic):
                raise SourceMalformed(self.source, f"{self.path} is {what}")
        line = start.partition(b"\n")[0]
        if not start.removeprefix(_BOM).strip():
            return b"", Layout((), 0), delimiter or ","
        if b"\r" in line.removesuffix(b"\r") or (len(line) == len(start) == _EDGE_BYTES):
            what = "its first line does not end: lines must end with LF or CR LF, and the first must name the columns"
            raise SourceMalformed(self.source, f"{self.path} is no CSV file: {what}")
        try:
            text = line.removeprefix(_BOM).removesuffix(b"\r").decode()
            used = delimiter or max(_DELIMITERS, key=text.count)
            names = next(csv.reader([text], delimiter=used, strict=True), [])
        except (UnicodeDecodeError, csv.Error) as problem:
            raise SourceMalformed(self.source, f"the header of {self.path} cannot be read: {problem}") from problem
        layout = lay_out(self.ask, names)
        return start[: len(line) + 1], layout, used

    def chunks(self, layout: Layout, delimiter: str, reading: Reading) -> Iterator[Chunk]:
        """Yield the rows from the present position to the end; leaves in the reading how far that was."""
        rest = b""
        for piece in self._pieces() if layout.width else ():
            data = rest + piece
            end = data.rfind(b"\n") + 1
            if end:
                is_last = not piece and end == len(data)
                block = read_block(
                    data[:end], first_line=self.line, layout=layout, delimiter=delimiter, is_last=is_last
                )
                yield self._counted(block, data)
                rest = data[block.consumed :]
            else:
                rest = data
            if len(rest) > MAX_LINE_BYTES:
                what = f"line {self.line} of {self.path} has more than {MAX_LINE_BYTES} bytes: this is no CSV file"
                raise SourceMalformed(self.source, what)
        reading.mark |= {"end": self.position, "lines": self.line - 1, "rows": self.rows}
        reading.mark |= {"digest": self.digest.hexdigest(), "total": self.rows}
        if rest:
            block = read_block(rest + b"\n", first_line=self.line, layout=layout, delimiter=delimiter, is_last=True)
            chunk = Chunk(block.rows, block.faults)
            reading.mark["total"] += chunk.rows_read
            yield chunk

    def _counted(self, block: Block, data: bytes) -> Chunk:
        chunk = Chunk(block.rows, block.faults)
        self.digest.update(data[: block.consumed])
        self.position += block.consumed
        self.line += block.lines
        self.rows += chunk.rows_read
        return chunk

    def _pieces(self) -> Iterator[bytes]:
        """Yield the bytes from the present position on, and an empty piece at the end."""
        with self._open() as stream:
            stream.seek(self.position)
            left = self.size - self.position
            while piece := stream.read(BLOCK_BYTES if self.is_gzipped else min(BLOCK_BYTES, left)):
                left -= len(piece)
                yield piece
        yield b""
