"""One block of a CSV file as rows, each with the number of the line it begins on.

In: bytes that end with a line break. Out: rows as texts, and what could not become a row. Must never happen: a good
row that is lost because of a bad one, or a line number that is off by one.

Two readers that agree. The fast one (Arrow) is believed only where every line provably is one row. Where a block
holds anything unusual (a line break inside quotes, an open quote, NUL, bytes that are no UTF-8, a blank line), the
careful one takes it line by line: a quoted field may run over several lines, but when what it swallows does not make
a proper row, only the line that opened the quote is bad and its followers are read on their own.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from winback.core.sieve import MAX_FIELD_BYTES, NO_FAULTS, faults_frame
from winback.sources.feeds import ROW_NUMBER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from winback.sources.feeds import Layout

# A quoted field that is still open after this many bytes was never meant to be one. It is more than a good field has,
# so that a bad field of some lines is still told of once, and little enough that no quote swallows a file.
MAX_OPEN_BYTES = 4 * MAX_FIELD_BYTES
# What one record may take in all, however many quotes it opens and closes.
MAX_RECORD_BYTES = 8 * 1024 * 1024
_LINE_BREAK = 10
# Where rows begin and end is a matter of single bytes; only then are their fields read as UTF-8.
_BYTEWISE = "latin-1"
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Block:
    """What one block of bytes held.

    Attributes
    ----------
    rows : row_number and the columns of the layout, all texts
    faults : row_number, column, rule, value
    consumed : bytes taken; the rest begins a row that the next block ends
    lines : lines taken
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    consumed: int
    lines: int


def read_block(data: bytes, *, first_line: int, layout: Layout, delimiter: str, is_last: bool) -> Block:
    """Return the rows of a block.

    Parameters
    ----------
    data : whole lines; ends with a line break
    first_line : the number of its first line in the file
    layout : which columns to take
    delimiter : between two fields
    is_last : whether nothing follows, so that a quote that is still open stays open
    """
    return _fast(data, first_line, layout, delimiter) or _Careful(data, first_line, layout, delimiter).read(
        is_last=is_last
    )


def _is_ordinary(data: bytes, breaks: NDArray[np.int64]) -> bool:
    """Return whether lines and rows can be the same thing as far as single bytes tell."""
    if b"\0" in data or b"\n\n" in data or b"\n\r\n" in data or data.startswith((b"\n", b"\r\n")):
        return False
    if data.count(b"\r") != data.count(b"\r\n"):
        return False
    if np.diff(breaks, prepend=-1).max() > MAX_FIELD_BYTES:
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_closed(line: bytes, delimiter: str) -> bool:
    """Return whether no quote is open at the end of a block's last line: Arrow would take it for a whole row."""
    if b'"' not in line:
        return True
    try:
        list(csv.reader([line.decode().rstrip("\r\n")], delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return True


def _fast(data: bytes, first_line: int, layout: Layout, delimiter: str) -> Block | None:
    """Return the rows of a block in which every line is one row; None where that is not certain."""
    breaks = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _LINE_BREAK)
    if not _is_ordinary(data, breaks) or not _is_closed(data[breaks[-2] + 1 if len(breaks) > 1 else 0 :], delimiter):
        return None
    ragged: list[arrow_csv.InvalidRow] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    columns = [str(position) for position in range(layout.width)]
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(data),
            arrow_csv.ReadOptions(use_threads=False, column_names=columns, block_size=len(data) + 1),
            arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
            arrow_csv.ConvertOptions(
                check_utf8=False,
                include_columns=[str(position) for position, _ in layout.places],
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows + len(ragged) != len(breaks):
        return None
    numbers = np.arange(first_line, first_line + len(breaks))
    is_row = np.ones(len(breaks), dtype=bool)
    is_row[[row.number - 1 for row in ragged]] = False
    rows = table.rename_columns(layout.names).to_pandas()
    rows.insert(0, ROW_NUMBER, numbers[is_row])
    faults = NO_FAULTS
    if ragged:
        faults = faults_frame(numbers[~is_row], "", "ragged_row", [row.text[:_SHOWN_CHARACTERS] for row in ragged])
    return Block(rows, faults, len(data), len(breaks))


def _as_text(line: bytes) -> str:
    """Return a line for the csv module, which would take a carriage return for the end of the row."""
    return line.decode(_BYTEWISE).replace("\r", "\0")


@dataclass
class _Careful:
    """The reader that takes a block line by line."""

    data: bytes
    first_line: int
    layout: Layout
    delimiter: str
    numbers: list[int] = field(default_factory=list)
    records: list[list[str]] = field(default_factory=list)
    faults: list[tuple[int, str, str, str]] = field(default_factory=list)

    def read(self, *, is_last: bool) -> Block:
        # A field may be as long as it is: which is too long is this reader's to say, not the csv module's (128 Ki).
        usual = csv.field_size_limit(len(self.data))
        try:
            return self._read(is_last=is_last)
        finally:
            csv.field_size_limit(usual)

    def _read(self, *, is_last: bool) -> Block:
        lines = self.data.split(b"\n")[:-1]
        position = consumed = 0
        while position < len(lines):
            taken = self._take(lines, position, is_last=is_last)
            if not taken:
                break
            consumed += sum(map(len, lines[position : position + taken])) + taken
            position += taken
        columns = list(zip(*self.records, strict=True)) or [()] * self.layout.width
        rows = pd.DataFrame(
            {name: pd.Series(columns[place], dtype="str") for place, name in self.layout.places}, dtype="str"
        )
        rows.insert(0, ROW_NUMBER, np.array(self.numbers, dtype=np.int64))
        found = list(zip(*self.faults, strict=True))
        return Block(rows, faults_frame(*found) if found else NO_FAULTS, consumed, position)

    def _take(self, lines: list[bytes], position: int, *, is_last: bool) -> int:
        """Read the record that begins at a line; return its lines, 0 when the next block is needed to know."""
        line = lines[position].removesuffix(b"\r")
        if not line:
            return 1
        text = _as_text(line)
        fields = text.split(self.delimiter) if '"' not in text else self._fields(text)
        if fields is None:
            return self._take_several(lines, position, is_last=is_last)
        self._keep(fields, self.first_line + position, line)
        return 1

    def _fields(self, text: str) -> list[str] | None:
        """Return the fields of one line; None when a quote is still open at its end."""
        try:
            return next(csv.reader([text], delimiter=self.delimiter, strict=True))
        except csv.Error as problem:
            if "unexpected end" in str(problem):
                return None
        return next(csv.reader([text], delimiter=self.delimiter))

    def _take_several(self, lines: list[bytes], position: int, *, is_last: bool) -> int:
        """Read a record whose quoted field runs on; where that makes no proper row, its first line alone is bad."""
        number = self.first_line + position
        size, quotes, unquoted = len(lines[position]), lines[position].count(b'"'), 0
        for end in range(position + 1, len(lines)):
            size += len(lines[end]) + 1
            found = lines[end].count(b'"')
            quotes += found
            unquoted = 0 if found else unquoted + len(lines[end]) + 1
            if size > MAX_RECORD_BYTES or unquoted > MAX_OPEN_BYTES:
                break
            if quotes % 2 == 0:
                record = lines[position : end + 1]
                fields = self._joined(record)
                if fields is None:
                    break
                self._keep(fields, number, b"\n".join(record))
                return end + 1 - position
        else:
            if not is_last:
                return 0
        self._fault(number, "unclosed_quote", lines[position].decode(errors="replace"))
        return 1

    def _joined(self, lines: list[bytes]) -> list[str] | None:
        """Return the fields of a record of several lines, None if they are no proper row."""
        try:
            texts = [_as_text(line) + "\n" for line in [*lines[:-1], lines[-1].removesuffix(b"\r")]]
            record = list(csv.reader(texts, delimiter=self.delimiter, strict=True))
        except csv.Error:
            return None
        if len(record) != 1 or len(record[0]) != self.layout.width:
            return None
        return None if any(len(value) > MAX_OPEN_BYTES and "\n" in value for value in record[0]) else record[0]

    def _keep(self, fields: list[str], number: int, raw: bytes) -> None:
        """Keep a record, or say why not: its bytes, its fields or their size."""
        shown = raw.decode(errors="replace")
        if b"\0" in raw:
            self._fault(number, "nul_character", shown)
            return
        if b"\r" in raw:
            fields = [value.replace("\0", "\r") for value in fields]
        if not raw.isascii():
            try:
                fields = [value.encode(_BYTEWISE).decode() for value in fields]
            except UnicodeDecodeError:
                self._fault(number, "bad_utf8", shown)
                return
        if len(fields) != self.layout.width:
            self._fault(number, "ragged_row", shown)
            return
        for place, value in enumerate(fields):
            if len(value) > MAX_FIELD_BYTES // 4 and len(value.encode()) > MAX_FIELD_BYTES:
                self._fault(number, "oversize_field", value, dict(self.layout.places).get(place, ""))
                return
        self.numbers.append(number)
        self.records.append(fields)

    def _fault(self, number: int, rule: str, value: str, column: str = "") -> None:
        self.faults.append((number, column, rule, value[:_SHOWN_CHARACTERS]))
