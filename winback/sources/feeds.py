"""What every kind of source hands on: chunks of rows under canonical names, and a mark of how far they were read.

In: the columns a feed has. Out: a :class:`Layout` that maps them, and :class:`Reading`, one pass over one feed. Must
never happen: a column that is missing, renamed or there twice and goes unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from winback.documents import nearest
from winback.errors import SourceMalformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

ROW_NUMBER = "row_number"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The columns one kind of feed may have.

    Attributes
    ----------
    required : without these there is no feed
    optional : read where the feed has them
    keeps_others : whether further columns are handed on under their own names (merge fields)
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    keeps_others: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """Every canonical name."""
        return (*self.required, *self.optional)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked of one feed, whatever kind of source it comes from.

    Attributes
    ----------
    source : its name, for the messages
    wanted : the columns this kind of feed may have
    columns : canonical name -> name in the feed, as winback.yaml says
    mark : what the last reading left, under the same settings; None to read everything
    may_resume : whether rows that were read before may be left out
    """

    source: str
    wanted: Wanted
    columns: Mapping[str, str] = field(default_factory=dict)
    mark: Mapping[str, Any] | None = None
    may_resume: bool = True


@dataclass(frozen=True)
class Layout:
    """Which column of a feed stands where.

    Attributes
    ----------
    places : (position in the feed, name it is handed on under)
    width : how many columns a row of the feed has
    """

    places: tuple[tuple[int, str], ...]
    width: int

    @property
    def names(self) -> list[str]:
        """The names the columns are handed on under."""
        return [name for _, name in self.places]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a feed.

    Attributes
    ----------
    rows : row_number (in a CSV file the line the row begins on) and the columns of the layout
    faults : what never became a row: row_number, column, rule, value
    place : the file, where a feed has several; else ""
    """

    rows: pd.DataFrame
    faults: pd.DataFrame
    place: str = ""

    @property
    def rows_read(self) -> int:
        """How many rows of the feed this chunk is about."""
        return len(self.rows) + len(self.faults)


@dataclass
class Reading:
    """One pass over one feed.

    Attributes
    ----------
    chunks : the rows that have to be read; empty when nothing changed
    rows_before : rows of the feed that were read on an earlier night and are not read again
    is_whole : whether the chunks are the whole feed, not only what was added
    modified_at : when the newest file was written; None where nobody knows
    mark : how far the feed was read (plain JSON); complete once the chunks are exhausted
    """

    chunks: Iterator[Chunk]
    rows_before: int = 0
    is_whole: bool = True
    modified_at: datetime | None = None
    mark: dict[str, Any] = field(default_factory=dict)


def lay_out(ask: Ask, header: Sequence[str]) -> Layout:
    """Return where each wanted column stands among the feed's own names, which ``header`` has in order.

    Raises
    ------
    SourceMalformed
        If a column is missing or there twice, or the mapping names one that does not exist; with the nearest match.
    """
    source, columns, wanted = ask.source, ask.columns, ask.wanted
    names = [name.strip() for name in header]
    twice = [name for name, count in Counter(name for name in names if name).items() if count > 1]
    if twice:
        what = f"column {twice[0]!r} is there {names.count(twice[0])} times: leave one, or rename the others"
        raise SourceMalformed(source, what)
    present = sorted({name for name in names if name})
    for canonical, name in columns.items():
        if canonical not in wanted.known and not wanted.keeps_others:
            what = f"columns names {canonical!r}, which winback does not know{nearest(canonical, list(wanted.known))}"
            raise SourceMalformed(source, what)
        if name not in present:
            raise SourceMalformed(source, _missing(name, present, mapped_as=canonical))
    for canonical in wanted.required:
        if canonical not in columns and canonical not in present:
            raise SourceMalformed(source, _missing(canonical, present, mapped_as=None))
    position_of = {name: position for position, name in enumerate(names) if name}
    handed_on = {canonical: position_of[name] for canonical, name in columns.items()}
    for name, position in position_of.items():
        if name in columns or name in columns.values() or name == ROW_NUMBER:
            continue
        if name in wanted.known or wanted.keeps_others:
            handed_on[name] = position
    return Layout(tuple((position, name) for name, position in handed_on.items()), len(names))


def _missing(name: str, present: list[str], *, mapped_as: str | None) -> str:
    hint = nearest(name, present)
    where = f" (columns maps {mapped_as!r} to it)" if mapped_as is not None else ""
    remedy = "" if mapped_as is not None else f"; if it goes by another name, say so: columns: {{{name}: THE_NAME}}"
    return f"there is no column {name!r}{where}{hint}. The feed has: {', '.join(present) or 'none'}{remedy}"


def fingerprint(value: object) -> str:
    """Return 16 hex digits that change with a plain JSON value."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
