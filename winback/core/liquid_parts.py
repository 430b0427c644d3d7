"""Liquid texts that know where each piece of them came from, however they were taken apart and put together.

In: the files people write. Out: :class:`Part` texts, from whose every character the way back leads to a file, a line
and a column, so that a fault found in a compiled mail is named where a person can mend it.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLAIN_OUTPUT = re.compile(r"\{\{\s*([a-z_]+\.[a-z_]+)\s*\}\}")


class Tag(NamedTuple):
    """A piece of Liquid and where it stands: line and column count from 1."""

    text: str
    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Part:
    """A text that holds Liquid.

    Attributes
    ----------
    text : what Liquid parses
    tags : the pieces that come from a file, each with its offset in ``text``, ascending
    """

    text: str
    tags: tuple[tuple[int, Tag], ...]

    def origin(self, index: int) -> tuple[str, int, int]:
        """Return (file, line, column) of the character at ``index``, or of the last piece of Liquid before it."""
        place = max(bisect.bisect_right(self.tags, index, key=lambda item: item[0]) - 1, 0)
        start, tag = self.tags[place] if self.tags else (0, Tag("", "", 1, 1))
        before = tag.text[: max(index - start, 0)]
        line_start = before.rfind("\n") + 1
        return tag.file, tag.line + before.count("\n"), len(before) - line_start + (1 if line_start else tag.column)


def whole(text: str, *, file: str) -> Part:
    """Return a file that is Liquid from end to end as a part."""
    return Part(text, ((0, Tag(text, file, 1, 1)),))


def joined(parts: Sequence[Part], separator: str) -> Part:
    """Return several parts as one, so that one rendering serves all of them."""
    tags, length = [], 0
    for part in parts:
        tags += [(length + start, tag) for start, tag in part.tags]
        length += len(part.text) + len(separator)
    return Part(separator.join(part.text for part in parts), tuple(tags))


def with_constants(part: Part, values: Mapping[str, str]) -> Part:
    """Return a part in which the fields that are the same for everybody are written out already.

    Parameters
    ----------
    values : field, such as ``business.name`` -> what stands for it; left alone where it could be taken for Liquid
    """
    pieces, tags, length, end = [], [], 0, 0
    for start, tag in part.tags:
        field = _PLAIN_OUTPUT.fullmatch(tag.text)
        value = values.get(field.group(1)) if field else None
        shown = tag.text if value is None or "{" in value else value
        pieces += [part.text[end:start], shown]
        if shown is tag.text:
            tags.append((length + start - end, tag))
        length += start - end + len(shown)
        end = start + len(tag.text)
    return Part("".join([*pieces, part.text[end:]]), tuple(tags))
