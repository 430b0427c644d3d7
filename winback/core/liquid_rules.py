"""The Liquid that templates may use: which tags and filters, how far a template may go, and dates and money by locale.

In: nothing but names. Out: an environment that knows neither files nor the clock nor Python. Must never happen: a
template that runs for ever, fills the memory, prints a field that is not there, or writes a name as markup.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from io import StringIO
from typing import TYPE_CHECKING, ClassVar

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import UnknownCurrencyError, format_currency, format_decimal, validate_currency
from liquid import BoundTemplate, Environment, RenderContext, StrictUndefined
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.exceptions import FilterArgumentError, OutputStreamLimitError
from liquid.filter import with_context
from liquid.output import LimitedStringIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from liquid.ast import Node
    from liquid.expression import Expression

LONGEST_TEXT = 200_000
LONGEST_RANGE = 1000
FEW_OUTPUTS = 100
TAGS = frozenset(
    {"#", "assign", "break", "capture", "case", "comment", "content", "continue", "cycle", "decrement", "doc", "echo"}
    | {"for", "if", "ifchanged", "illegal", "increment", "liquid", "output", "unless"}
)
FILTERS = frozenset(
    {"abs", "at_least", "at_most", "ceil", "divided_by", "floor", "minus", "modulo", "plus", "round", "times"}
    | {"append", "capitalize", "downcase", "escape", "escape_once", "lstrip", "newline_to_br", "prepend", "remove"}
    | {"remove_first", "replace", "replace_first", "rstrip", "size", "slice", "split", "squish", "strip"}
    | {"strip_newlines", "truncate", "truncatewords", "upcase", "url_encode"}
    | {"compact", "concat", "first", "join", "last", "map", "reverse", "sort", "uniq", "where"}
    | {"date", "default", "money", "number"}
)
"""No `safe` (it would end escaping), no `base64` (it grows without end), nothing that needs Python or the clock."""


class _Counted(LimitedStringIO):
    """Counts characters: encoding each piece to count its bytes was an eighth of the rendering."""

    def write(self, text: str, /) -> int:
        self.size += len(text)
        if self.size > self.limit:
            raise OutputStreamLimitError("the text gets longer than any message", token=None)
        return StringIO.write(self, text)


class _Context(RenderContext):
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _Counted(LONGEST_TEXT - (buf.size if isinstance(buf, LimitedStringIO) else 0))


class _Template(BoundTemplate):
    context_class = _Context
    is_short = False

    def _get_buffer(self) -> StringIO:
        return StringIO() if self.is_short else _Counted(LONGEST_TEXT)


class _Limited(Environment):
    """Liquid with an end to everything."""

    block_nesting_limit: ClassVar[int] = 12
    context_depth_limit: ClassVar[int] = 12
    loop_iteration_limit: ClassVar[int | None] = 10_000
    local_namespace_limit: ClassVar[int | None] = 100_000
    output_stream_limit: ClassVar[int | None] = LONGEST_TEXT
    template_class: type[BoundTemplate] = _Template


# What a filter complains about never holds the value: complaints are stored and shown, people's data are not.


def environment(*, escapes: bool) -> Environment:
    """Return the Liquid of our templates.

    Parameters
    ----------
    escapes : True for HTML, where every value is escaped; False for plain text
    """
    limited = _Limited(undefined=StrictUndefined, autoescape=escapes)
    for name in set(limited.tags) - TAGS:
        del limited.tags[name]
    for name, function in {"date": _date, "money": _money, "number": _number}.items():
        limited.add_filter(name, function)
    limited.add_filter("replace", _bounded(limited.filters["replace"], _size_of_replace))
    limited.add_filter("join", _bounded(limited.filters["join"], _size_of_join))
    for name in set(limited.filters) - FILTERS:
        del limited.filters[name]
    return limited


def parse(text: str, within: Environment) -> BoundTemplate:
    """Return a text as a template.

    One without loops and with few outputs cannot grow out of hand before it is finished, so that its length need not
    be watched while it is written: that watch is a sixth of the rendering.
    """
    template = within.from_string(text)
    if isinstance(template, _Template):
        template.is_short = text.count("{{") <= FEW_OUTPUTS and "for" not in template.analyze().tags
    return template


def unbounded_ranges(template: BoundTemplate) -> Iterator[tuple[int, str]]:
    """Yield (index in the text, message) for each range that could be long.

    The library counts the turns of a loop, but ``reversed``, ``offset`` and ``join`` walk through the whole range
    first: a hundred million numbers took 15 s. So the ends have to be written out, and not far apart.
    """
    for expression in _expressions(template.nodes, RenderContext(template)):
        if not isinstance(expression, RangeLiteral):
            continue
        if not (isinstance(expression.start, IntegerLiteral) and isinstance(expression.stop, IntegerLiteral)):
            yield expression.token.start_index, "the ends of a range must be whole numbers, written out"
        elif expression.stop.value - expression.start.value >= LONGEST_RANGE:
            yield expression.token.start_index, f"a range may hold {LONGEST_RANGE} numbers at most"


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    """Yield every expression of a syntax tree."""
    for node in nodes:
        pending = list(node.expressions())
        while pending:
            expression = pending.pop()
            yield expression
            pending += expression.children()
        yield from _expressions(node.children(context, include_partials=False), context)


def _bounded(function: Callable[..., object], size: Callable[..., int]) -> Callable[..., object]:
    """Return a filter that refuses a result longer than any message, before it is made."""

    def bounded(value: object, *arguments: object, **options: object) -> object:
        if size(value, *arguments) > LONGEST_TEXT:
            raise FilterArgumentError("the result would be longer than any message", token=None)
        return function(value, *arguments, **options)

    for flag in ("with_environment", "with_context"):
        if hasattr(function, flag):
            setattr(bounded, flag, getattr(function, flag))
    return bounded


def _size_of_replace(value: object, old: object = "", new: object = "") -> int:
    text, pattern = str(value), str(old)
    return len(text) + (text.count(pattern) if pattern else len(text) + 1) * len(str(new))


def _size_of_join(value: object, separator: object = " ") -> int:
    if not isinstance(value, list | tuple | range):
        return 0
    return sum(len(str(item)) for item in value) + len(value) * len(str(separator))


def locale_of(name: str) -> Locale:
    """Return what Babel knows about a locale such as ``fr-CH``: the locale, else its language, else English."""
    for candidate in (name.replace("-", "_"), name.replace("-", "_").partition("_")[0]):
        try:
            return Locale.parse(candidate)
        except (ValueError, TypeError, UnknownLocaleError):
            continue
    return Locale("en")


@lru_cache(maxsize=4096)
def _formatted_date(value: str | date, pattern: str, locale: str) -> str:
    day = datetime.fromisoformat(value) if isinstance(value, str) else value
    return format_date(day, pattern, locale=locale_of(locale))


@lru_cache(maxsize=4096)
def _formatted_money(value: float | str, currency: str, locale: str) -> str:
    validate_currency(currency)
    return format_currency(float(value), currency, locale=locale_of(locale))


@lru_cache(maxsize=4096)
def _formatted_number(value: float | str, locale: str) -> str:
    return format_decimal(float(value), locale=locale_of(locale))


@with_context
def _date(value: object, pattern: object = "long", *, context: RenderContext) -> str:
    """``{{ customer.member_since | date: "long" }}``: short, medium, long, full or a CLDR pattern."""
    if not value:
        return ""
    try:
        known = value if isinstance(value, date) else str(value)
        return _formatted_date(known, str(pattern), str(context.resolve("locale")))
    except (ValueError, AttributeError, KeyError) as problem:
        raise FilterArgumentError(
            "date: the value is no date like 2026-01-31, or the pattern is none", token=None
        ) from problem


@with_context
def _money(value: object, currency: object = "", *, context: RenderContext) -> str:
    """``{{ customer.credit | money: "EUR" }}``."""
    if value in (None, ""):
        return ""
    try:
        return _formatted_money(str(value), str(currency), str(context.resolve("locale")))
    except (ValueError, UnknownCurrencyError, OverflowError) as problem:
        raise FilterArgumentError(
            f"money: the value is no number, or {currency!r} is no currency", token=None
        ) from problem


@with_context
def _number(value: object, *, context: RenderContext) -> str:
    """``{{ customer.points | number }}``."""
    if value in (None, ""):
        return ""
    try:
        return _formatted_number(str(value), str(context.resolve("locale")))
    except (ValueError, OverflowError) as problem:
        raise FilterArgumentError("number: the value is no number", token=None) from problem
