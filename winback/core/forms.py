"""Form letters: people who differ only in what is written out as it is share one rendering.

In: a parsed text, and the facts of one person. Out: what the text says to them, character for character what Liquid
would write. A value that is only ever printed, or asked whether it is there, becomes a blank of the form; every other
value a text reads is part of what the form is known by. Must never happen: one person's value in another's text.

Rendering a mail by Liquid is 200 CPU µs, filling its two forms 15 (`./do bench render`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from liquid import RenderContext
from liquid.ast import BlockNode, ConditionalBlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path
from liquid.builtin.expressions.logical import LogicalAndExpression, LogicalNotExpression, LogicalOrExpression
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from markupsafe import escape

from winback.core.mail_safety import is_unicode
from winback.core.merge_fields import PLAIN_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from liquid import BoundTemplate
    from liquid.ast import Node
    from liquid.expression import Expression

MARK = "\x1f"
"""Stands around a blank's number; no value holds it, see :func:`~winback.core.templates.clean`."""

MOST_FORMS = 256
"""Of one text: where a value that is not only printed differs from person to person, forms are not worth keeping."""

_MISSING = object()

Place = tuple[str, ...]
"""Where a value stands among the facts: ``("customer", "first_name")``, ``("terms_url",)``."""

# What these write at once, they write for good: a `capture` or a loop could still do something with a blank's mark.
_PLAIN_NODES = (BlockNode, CommentNode, ConditionalBlockNode, ContentNode, IfNode, OutputNode, UnlessNode)
_CONDITIONS = (BooleanExpression, LogicalAndExpression, LogicalNotExpression, LogicalOrExpression)


class Form(NamedTuple):
    """A text with blanks: words, then the number of a place, and so on, words at both ends.

    Attributes
    ----------
    pieces : the words, at even places; what stands between them does not matter
    blanks : the number of the place whose value stands at each odd one
    different : every such number once
    is_unicode : whether the words can be encoded
    """

    pieces: list[str]
    blanks: list[int]
    different: list[int]
    is_unicode: bool

    def filled(self, values: Iterable[str]) -> str:
        """Return the text with a value for each of ``different``."""
        shown = dict(zip(self.different, values, strict=True))
        pieces = self.pieces.copy()
        pieces[1::2] = [shown[number] for number in self.blanks]
        return "".join(pieces)


class Letter(str):
    """A form filled in: a text that knows what it has in common with others.

    Attributes
    ----------
    form : the same object for all who got the same form
    values : for each of ``form.different``, as it stands in the text
    """

    __slots__ = ("form", "values")

    form: Form
    values: list[str]

    @classmethod
    def of(cls, form: Form, values: list[str]) -> Letter:
        """Return a form filled in."""
        letter = cls(form.filled(values))
        letter.form, letter.values = form, values
        return letter

    def is_unicode(self) -> bool:
        """Return whether it can be encoded, without a look at what it has in common with others."""
        return self.form.is_unicode and is_unicode("".join(self.values))


class Forms:
    """The forms of one text.

    Parameters
    ----------
    template : parsed
    escapes : whether values are escaped when they are written
    """

    def __init__(self, template: BoundTemplate, *, escapes: bool) -> None:
        self._template, self._escapes = template, escapes
        self._known: dict[tuple[object, ...], Form] = {}
        read = {_place(variable.segments) for found in template.analyze().globals.values() for variable in found}
        # A whole mapping, or a field whose name is a value itself: what is read is known only when it is.
        self._is_open = None in read or any(MARK in str(node) for node in template.nodes)
        places = sorted({place for place in read if place is not None} | {("locale",)})
        printed = _only_printed(template) - {("locale",)}
        self._places = [(place[0], place[1] if len(place) > 1 else None, place in printed) for place in places]

    def render(self, facts: Mapping[str, object]) -> str:
        """Return the text for one person, a :class:`Letter` where it has a form."""
        if self._is_open:
            return self._template.render(facts)
        known_by: list[object] = []
        printed: list[str | None] = []
        for root, name, is_printed in self._places:
            value = _value(facts, root, name)
            is_blank = is_printed and type(value) is str
            printed.append(str(value) if is_blank else None)
            # With its type: 1, 1.0 and true are equal, and written differently.
            known_by.append(None if is_blank else (type(value), value))
        key = tuple(known_by)
        try:
            form = self._known.get(key)
        except TypeError:  # a list, which is nobody's key
            return self._template.render(facts)
        if form is None:
            form = self._made(facts, printed)
            if len(self._known) >= MOST_FORMS:
                self._known.clear()
            self._known[key] = form
        return Letter.of(form, [self._shown(printed[number]) for number in form.different])

    def _made(self, facts: Mapping[str, object], printed: list[str | None]) -> Form:
        """Return the form that these facts, and all that differ in blanks only, are written into."""
        marked = dict(facts)
        for number, ((root, name, _), value) in enumerate(zip(self._places, printed, strict=True)):
            mark = f"{MARK}{number}{MARK}"
            fields = marked.get(root)
            if value is not None:
                marked[root] = {**fields, name: mark} if isinstance(fields, dict) else mark
        pieces = self._template.render(marked).split(MARK)
        blanks = [int(number) for number in pieces[1::2]]
        return Form(pieces, blanks, sorted(set(blanks)), is_unicode("".join(pieces[::2])))

    def _shown(self, value: str | None) -> str:
        return str(escape(value)) if self._escapes else value or ""


def _place(segments: Iterable[object]) -> Place | None:
    """Return where the value stands that a variable begins with; None where only rendering tells."""
    listed = list(segments)
    wanted = 1 if listed[:1] and listed[0] in PLAIN_FIELDS else 2
    place = tuple(name for name in listed[:wanted] if isinstance(name, str))
    return place if len(place) == wanted else None


def _value(facts: Mapping[str, object], root: str, name: str | None) -> object:
    """Return a value; what is not there is nothing anybody else has either."""
    found = facts.get(root, _MISSING)
    if name is None:
        return found
    return found.get(name, _MISSING) if isinstance(found, dict) else _MISSING


def _only_printed(template: BoundTemplate) -> set[Place]:
    """Return the places that a text prints as they are, or asks for, and does nothing else with."""
    harmless: set[Place] = set()
    harmful: set[Place] = set()
    for node in _nodes(template.nodes, RenderContext(template)):
        if not isinstance(node, _PLAIN_NODES):
            return set()
        for expression in node.expressions():
            for path, is_harmless in _uses(expression, is_harmless=True):
                place = _place(path.path)
                whole = place is not None and len(place) == len(path.path)
                (harmless if is_harmless and whole else harmful).add(place or ())
    return harmless - harmful


def _nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.children(context, include_partials=False), context)


def _uses(expression: Expression, *, is_harmless: bool) -> Iterator[tuple[Path, bool]]:
    """Yield every path in an expression, and whether its value is only printed or asked for there."""
    if isinstance(expression, Path):
        yield expression, is_harmless
    keeps = isinstance(expression, _CONDITIONS) or (
        isinstance(expression, FilteredExpression) and not expression.filters
    )
    for child in expression.children():
        yield from _uses(child, is_harmless=is_harmless and keeps)
