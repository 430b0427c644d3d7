"""The sieve every chunk of a feed goes through: rows, the first rule each of them broke, and what may be shown of it.

In: a frame with ``row_number``. Out: :class:`Checked`. A rule looks at a whole column at once; a row is charged with
the first rule it breaks. Must never happen: a bad value that is kept unmasked.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from winback.core.instants import Instants, read_instants

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

MAX_FIELD_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 256
MASK_CHARACTERS = 60

_PLACEHOLDERS = ("null", "none", "nan", "n/a", "#n/a", "nil", "undefined", r"\n")
_BREAKS = "\t\n\r"
# Controls, line separators and marks that turn the direction of text.
_CONTROL_BUT_BREAKS = "[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
_CONTROL = f"[{_BREAKS}{_CONTROL_BUT_BREAKS[1:]}"
# Where none of these bytes stands in a text, none of those characters does: U+0080 to U+009F begin with C2 in UTF-8,
# the marks and separators with E2.
_IS_SUSPECT = np.isin(np.arange(256), [*range(0x20), 0x7F, 0xC2, 0xE2])


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the rules made of one chunk.

    Attributes
    ----------
    rows : the good rows, typed, with ``row_number``
    faults : one row a bad row: row_number, column, rule, value (as it stood in the feed: mask it before it is kept)
    first_naive : the number of the first row whose time has no offset although none was declared; 0 for none
    counts : what was mended or left out and is worth a number, e.g. folds, gaps, duplicates
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    first_naive: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def faults_frame(row_number: object, column: object, rule: object, value: object) -> pd.DataFrame:
    """Return bad rows as a frame; scalars are repeated."""
    frame = pd.DataFrame({"row_number": row_number, "column": column, "rule": rule, "value": value})
    return frame.astype({"row_number": "int64", "column": "str", "rule": "str", "value": "str"})


NO_FAULTS = faults_frame([], [], [], [])


def _may_hold_controls(values: pd.Series) -> bool:
    """Return whether any value may hold a NUL or another control character.

    A look at the bytes takes 1 CPU ms for 100,000 values, the search in each of them 15. Where a column is a part of a
    longer one, the bytes of the whole of it are looked at.
    """
    texts = pa.chunked_array([pa.array(values)])
    data = [np.frombuffer(chunk.buffers()[-1] or b"", dtype=np.uint8) for chunk in texts.chunks]
    return any(_IS_SUSPECT[some].any() for some in data)


def _masked_character(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] == "L":
        return "A" if kind == "Lu" else "a"
    if kind[0] == "N":
        return "9"
    return "?" if kind[0] in "CMS" and character != "+" else character


def mask(value: str) -> str:
    """Return a text that keeps its shape and loses its content.

    Examples
    --------
    >>> mask("Ann-7@shop.example")
    'Aaa-9@aaaa.aaaaaaa'
    """
    shape = "".join(map(_masked_character, value[:MASK_CHARACTERS]))
    more = len(value) - MASK_CHARACTERS
    return f"{shape} (and {more} characters)" if more > 0 else shape


class Sieve:
    """The rows of one chunk and the first rule each of them broke."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.given = frame.reset_index(drop=True)
        self.rows = self.given.copy(deep=False)
        self.rule = pd.Series("", index=self.rows.index, dtype=object)
        self.column = pd.Series("", index=self.rows.index, dtype=object)
        self.first_naive = 0

    @property
    def is_good(self) -> pd.Series:
        """The rows that broke no rule so far."""
        return self.rule == ""

    def flag(self, is_bad: pd.Series, column: str, rule: str) -> None:
        """Charge rows with a rule, unless they broke an earlier one."""
        if is_bad.any():
            new = is_bad & self.is_good
            self.rule[new] = rule
            self.column[new] = column

    def text(self, name: str, *, may_break: bool = False) -> pd.Series:
        """Return a column as trimmed texts, "" for nothing, charged with the rules that every text obeys.

        Parameters
        ----------
        name : of the column; one that the feed does not have is read as empty
        may_break : whether tabs and line breaks may stand in it
        """
        if name not in self.rows:
            self.rows[name] = pd.Series("", index=self.rows.index, dtype="str")
            return self.rows[name]
        values = self.rows[name].astype("str").fillna("")
        is_long = values.str.len() > MAX_FIELD_BYTES // 4  # a character has at most four bytes
        if is_long.any():
            is_oversize = values[is_long].map(lambda value: len(value.encode()) > MAX_FIELD_BYTES).astype(bool)
            self.flag(is_oversize.reindex(values.index, fill_value=False), name, "oversize_field")
        stripped = values.str.strip()
        if _may_hold_controls(values):
            self.flag(values.str.contains("\0", regex=False), name, "nul_character")
            controls = _CONTROL_BUT_BREAKS if may_break else _CONTROL
            self.flag(stripped.str.contains(controls), name, "control_character")
        self.rows[name] = stripped
        return stripped

    def require_id(self) -> None:
        """Charge rows that name no customer."""
        ids = self.text("customer_id")
        self.flag(ids == "", "customer_id", "customer_id_missing")
        self.flag(ids.str.lower().isin(_PLACEHOLDERS), "customer_id", "customer_id_placeholder")
        self.flag(ids.str.len() > MAX_ID_CHARACTERS, "customer_id", "customer_id_too_long")

    def instants(self, name: str, *, zone: ZoneInfo | None, now: datetime) -> Instants:
        """Turn a column into instants, charged with the rules of times."""
        values = self.rows[name]
        if not pd.api.types.is_datetime64_any_dtype(values.dtype):
            values = self.text(name)
        read = read_instants(values, zone=zone, now=now)
        for rule in read.fault[read.fault != ""].unique():
            self.flag(read.fault == rule, name, rule)
        if read.is_naive.any():
            self.first_naive = int(self.rows.loc[read.is_naive, "row_number"].iloc[0])
        self.rows[name] = read.utc
        return read

    def result(self, *columns: str, counts: dict[str, int] | None = None) -> Checked:
        """Return the good rows, with ``row_number`` and the columns named (default all), and the bad ones."""
        is_good = self.is_good
        rows = self.rows[["row_number", *columns]] if columns else self.rows
        counts = counts or {}
        if is_good.all():
            return Checked(rows=rows, faults=NO_FAULTS, first_naive=self.first_naive, counts=counts)
        bad, column = self.given[~is_good], self.column[~is_good]
        value = pd.Series("", index=bad.index, dtype=object)
        for name in column.unique():
            if name in bad:
                value[column == name] = bad.loc[column == name, name].astype("str").fillna("")
        faults = faults_frame(bad["row_number"], column, self.rule[~is_good], value).reset_index(drop=True)
        rows = rows[is_good].reset_index(drop=True)
        return Checked(rows=rows, faults=faults, first_naive=self.first_naive, counts=counts)
