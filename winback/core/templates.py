"""Which template speaks to whom, and which fields it needs.

In: the files of ``templates/`` as texts. Out: parsed templates, found by name, channel and locale, each compiled once.
A file is called ``NAME.CHANNEL[.LOCALE].mjml`` (e-mail) or ``.liquid`` (SMS, WhatsApp); ``_NAME[.LOCALE].mjml`` is a
fragment for ``<mj-include path="_NAME.mjml"/>``. Must never happen: a field that only turns out to be missing while
messages are being sent.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from liquid.exceptions import LiquidError
from markupsafe import escape

from winback import documents
from winback.core.forms import Forms
from winback.core.liquid_parts import Part, joined, whole, with_constants
from winback.core.liquid_rules import LONGEST_TEXT, environment, parse, unbounded_ranges
from winback.core.mail import compile_mail, includes
from winback.core.merge_fields import FieldUse, field_uses
from winback.errors import Fault, TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liquid import BoundTemplate

DEFAULT_LANGUAGE = "en"
"""What a file without a locale is taken to be written in."""

LONGEST_FILE = 256 * 1024
ENDINGS: Mapping[str, str] = {"email": "mjml", "sms": "liquid", "whatsapp": "liquid"}
SEPARATOR = "\x1e"
"""Stands between the parts of a mail that are rendered together; no value holds it, see :func:`clean`."""

_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_KEPT_CONTROLS = "\t\n\r"
_LONE_SURROGATES = range(0xD800, 0xE000)  # half a character: no encoding can write one
_UNSEEN = {ord(char): None for char in _BIDI_CONTROLS} | {
    code: None for code in (*range(0x20), 0x7F, *_LONE_SURROGATES) if chr(code) not in _KEPT_CONTROLS
}

_NAME = re.compile(
    r"(?P<name>[a-z][a-z0-9_-]{0,62})\.(?P<channel>[a-z]+)(\.(?P<locale>[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*))?"
    r"\.(?P<ending>mjml|liquid)"
)
_FRAGMENT = re.compile(r"_[a-z][a-z0-9_-]{0,62}(\.[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*)?\.mjml")


class Key(NamedTuple):
    """What a file name says; ``locale`` is lower case with hyphens, empty for the default."""

    name: str
    channel: str
    locale: str


@dataclass(frozen=True)
class LiquidText:
    """One parsed Liquid text."""

    part: Part
    template: BoundTemplate
    forms: Forms

    def render(self, context: Mapping[str, object]) -> str:
        """Return the text for one context.

        Raises
        ------
        TemplateError
            With file, line and column: a field that is not there, a limit that was reached, a filter's complaint.
        """
        try:
            text = self.forms.render(context)
        except LiquidError as problem:
            raise _located(problem, self.part) from problem
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as problem:
            file = self.part.origin(0)[0]
            raise TemplateError([Fault(file, 0, "", f"cannot be rendered: {type(problem).__name__}")]) from problem
        if len(text) > LONGEST_TEXT:
            raise TemplateError([Fault(self.part.origin(0)[0], 0, "", "the text gets longer than any message")])
        return text


@dataclass(frozen=True, kw_only=True)
class Template:
    """One file, compiled.

    ``plain`` gives the text, for e-mail the subject, the preheader and the text with :data:`SEPARATOR` between them;
    ``html`` is for e-mail only.
    """

    key: Key
    file: str
    content_hash: str
    language: str
    plain: LiquidText
    html: LiquidText | None = None
    fields: tuple[FieldUse, ...]


class Templates:
    """The template files of one project.

    Parameters
    ----------
    files : file name -> text
    business : name, timezone, country, postal_address, public_base_url: the same for every message

    Attributes
    ----------
    compilations : how many files were compiled so far; each is compiled once
    """

    def __init__(self, files: Mapping[str, str], *, business: Mapping[str, str]) -> None:
        self.files = dict(sorted(files.items()))
        self.business = {name: clean(value) for name, value in business.items()}
        self.compilations = 0
        self._by_key = {key: file for file in self.files if (key := parse_name(file))}
        self._compiled: dict[str, Template] = {}
        self._found: dict[tuple[str, str, str | None], str] = {}
        self._environments = {escapes: environment(escapes=escapes) for escapes in (False, True)}

    def names(self) -> list[str]:
        """Return every template's name."""
        return sorted({key.name for key in self._by_key})

    def files_of(self, name: str, channel: str) -> list[str]:
        """Return the files of one template, one a locale."""
        return [file for key, file in sorted(self._by_key.items()) if (key.name, key.channel) == (name, channel)]

    def file_for(self, name: str, channel: str, locale: str | None) -> str:
        """Return the file that speaks to a locale: its own, else its language's, else the default.

        Raises
        ------
        TemplateError
            If there is no such template.
        """
        if (name, channel, locale) in self._found:
            return self._found[name, channel, locale]
        for candidate in fall_back(locale):
            file = self._by_key.get(Key(name, channel, candidate))
            if file:
                self._found[name, channel, locale] = file
                return file
        known = sorted(f"{key.name}.{key.channel}" for key in self._by_key if not key.locale)
        wanted = f"{name}.{channel}"
        message = f"no such template{documents.nearest(wanted, known)}: make {wanted}.{ENDINGS.get(channel, 'liquid')}"
        raise TemplateError([Fault(f"templates/{wanted}", 0, "", message)])

    def get(self, name: str, channel: str, locale: str | None = None) -> Template:
        """Return the template that speaks to a locale, compiled.

        Raises
        ------
        TemplateError
            If there is none, or with every fault in it.
        """
        return self.compiled(self.file_for(name, channel, locale))

    def compiled(self, file: str) -> Template:
        """Return one file compiled; the first call compiles it, later ones do not.

        Raises
        ------
        TemplateError
            With every fault in the file.
        """
        if file not in self._compiled:
            self.compilations += 1
            self._compiled[file] = self._compile(file)
        return self._compiled[file]

    def template_hash(self, name: str, channel: str, locale: str | None = None) -> str:
        """Return 16 hex digits that change with anything the template and its fragments say."""
        return self.compiled(self.file_for(name, channel, locale)).content_hash

    def _compile(self, file: str) -> Template:
        key, source = parse_name(file), self.files[file]
        if key is None or len(source) > LONGEST_FILE:
            what = f"larger than {LONGEST_FILE} characters" if key else "no template's name"
            raise TemplateError([Fault(f"templates/{file}", 0, "", what)])
        path, language = f"templates/{file}", key.locale.partition("-")[0] or DEFAULT_LANGUAGE
        fragments = self._fragments(file, key.locale)
        content = hashlib.sha256("\0".join([source, *(each for _, each in fragments.values())]).encode()).hexdigest()
        html = None
        if key.channel == "email":
            for its_path, its_text in ((path, source), *fragments.values()):
                self._parse(whole(its_text, file=its_path), escapes=True)  # names syntax errors where they stand
            parts = compile_mail(source, file=path, language=language, fragments=fragments)
            html = self._parse(parts.html, escapes=True)
            plain = self._parse(joined((parts.subject, parts.preheader, parts.text), SEPARATOR), escapes=False)
        else:
            plain = self._parse(whole(source, file=path), escapes=False)
        return Template(
            key=key,
            file=path,
            content_hash=content[:16],
            language=language,
            plain=plain,
            html=html,
            fields=field_uses((html or plain).template, (html or plain).part),
        )

    def _fragments(self, file: str, locale: str) -> dict[str, tuple[str, str]]:
        """Return what a file includes: name -> (path, text), the fragment of the locale before the default one."""
        found, faults = {}, []
        known = sorted(name for name in self.files if _FRAGMENT.fullmatch(name))
        for name in includes(self.files[file]):
            stem = name.removesuffix(".mjml")
            candidates = (f"{stem}.{part}.mjml" if part else f"{stem}.mjml" for part in fall_back(locale))
            match = next((item for item in candidates if item in known), None)
            if match is None:
                faults.append(Fault(f"templates/{file}", 0, name, f"no such fragment{documents.nearest(name, known)}"))
            elif includes(self.files[match]):
                faults.append(Fault(f"templates/{match}", 0, name, "a fragment may not include others"))
            else:
                found[name] = (f"templates/{match}", self.files[match])
        if faults:
            raise TemplateError(faults)
        return found

    def _parse(self, part: Part, *, escapes: bool) -> LiquidText:
        written = {f"business.{name}": escape(value) if escapes else value for name, value in self.business.items()}
        part = with_constants(part, written)
        try:
            template = parse(part.text, self._environments[escapes])
        except LiquidError as problem:
            raise _located(problem, part) from problem
        faults = [_fault_at(part, index, message) for index, message in unbounded_ranges(template)]
        if faults:
            raise TemplateError(faults)
        return LiquidText(part, template, Forms(template, escapes=escapes))


def clean(value: str) -> str:
    """Return a text without invisible control characters, among them those that turn the reading direction."""
    # What can be printed holds none of them: a third of the time.
    return value if value.isprintable() else value.translate(_UNSEEN)


def parse_name(file: str) -> Key | None:
    """Return what a file name says, or None when it is no template's name."""
    match = _NAME.fullmatch(file)
    if match is None or ENDINGS.get(match["channel"]) != match["ending"]:
        return None
    return Key(match["name"], match["channel"], _normal(match["locale"] or ""))


def misnamed(files: Iterable[str]) -> list[Fault]:
    """Return a fault for each file that no template and no fragment can be read from."""
    rule = (
        "expected NAME.email[.LOCALE].mjml, NAME.sms[.LOCALE].liquid, NAME.whatsapp[.LOCALE].liquid or _FRAGMENT.mjml"
    )
    wrong = [file for file in files if parse_name(file) is None and not _FRAGMENT.fullmatch(file)]
    return [Fault(f"templates/{file}", 0, "", rule) for file in wrong]


def _normal(locale: str) -> str:
    return locale.replace("_", "-").lower()


def fall_back(locale: str | None) -> list[str]:
    """Return the locales to try: ``fr-CH`` gives ``fr-ch``, ``fr`` and the default ``""``."""
    exact = _normal(locale or "")
    return list(dict.fromkeys([exact, exact.partition("-")[0], ""]))


def _fault_at(part: Part, index: int, message: str) -> Fault:
    file, line, column = part.origin(index)
    return Fault(file, line, f"column {column}", message)


def _located(problem: LiquidError, part: Part) -> TemplateError:
    """Return a Liquid error as ours, with the place in the file a person edits."""
    message = str(problem.args[0]) if problem.args else type(problem).__name__
    index = problem.token.start_index if problem.token and problem.token.start_index >= 0 else 0
    return TemplateError([_fault_at(part, index, message)])
