"""From an MJML file to the parts of a mail, once per template: HTML, plain text, subject, preheader, all still Liquid.

In: MJML that holds Liquid. Out: :class:`Part` texts that still hold Liquid and know where in which file each piece of
it came from. Liquid is hidden from the MJML compiler behind markers, so that ``{% if a < b %}`` is no markup and a tag
that the compiler would drop is noticed. Must never happen: a mail that fetches anything from another host.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from mjml import mjml2html

from winback.core.liquid_parts import Part, Tag
from winback.core.mail_safety import LIQUID, host_faults, structure_faults
from winback.errors import Fault, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMENT = re.compile(r"<!--(?!\[if|<!\[|\s*<!\[).*?-->", re.DOTALL)
_INCLUDE = re.compile(r"""<mj-include\s+path=["']([^"']*)["']\s*(?:/>|>\s*</mj-include>)""")
_END = "</body>"
_UNSEEN = (
    '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all" aria-hidden="true">'
    '<a href="{{ links.unseen }}" tabindex="-1">&nbsp;</a></div>'
)
"""A link that neither eyes nor screen readers nor keyboards come to: whoever follows it is a program."""
_ROOT = re.compile(r"<mjml(?:\s[^>]*)?>")


@dataclass(frozen=True, kw_only=True)
class MailParts:
    """The Liquid texts of one mail."""

    subject: Part
    preheader: Part
    html: Part
    text: Part


class _Markers:
    """Liquid taken out of the MJML, in order; a marker holds the position in the list.

    Markers are letters and digits, because the compiler writes anything else in an attribute as an escape; they hold a
    digest of the source, so that no source holds one.
    """

    def __init__(self, source: str) -> None:
        self.tags: list[Tag] = []
        self._word = f"q{hashlib.sha256(source.encode()).hexdigest()[:12]}"
        self._pattern = re.compile(rf"{self._word}n([0-9]+)z")

    def hide(self, text: str, *, file: str) -> str:
        """Return ``text`` with a marker for every piece of Liquid."""

        def mark(match: re.Match[str]) -> str:
            before = text[: match.start()]
            column = match.start() - before.rfind("\n")
            self.tags.append(Tag(match.group(), file, before.count("\n") + 1, column))
            return f"{self._word}n{len(self.tags) - 1}z"

        return LIQUID.sub(mark, text)

    def numbers(self, text: str) -> set[int]:
        """Return which pieces of Liquid a text has markers for."""
        return {int(number) for number in self._pattern.findall(text)}

    def show(self, text: str) -> Part:
        """Return the text with the Liquid back in its places."""
        pieces: list[str] = []
        tags, length, end = [], 0, 0
        for match in self._pattern.finditer(text):
            tag = self.tags[int(match.group(1))]
            pieces += [text[end : match.start()], tag.text]
            tags.append((length + match.start() - end, tag))
            length += match.start() - end + len(tag.text)
            end = match.end()
        return Part("".join([*pieces, text[end:]]), tuple(tags))


def includes(source: str) -> list[str]:
    """Return the fragments an MJML text asks for, as it names them."""
    return [match.group(1) for match in _INCLUDE.finditer(_COMMENT.sub("", source))]


def compile_mail(source: str, *, file: str, language: str, fragments: Mapping[str, tuple[str, str]]) -> MailParts:
    """Return the parts of the mail an MJML file describes.

    Parameters
    ----------
    source : the file's text; ``<mj-title>`` is the subject, ``<mj-preview>`` the preheader
    file : its name, for the messages
    language : put as ``lang`` into the HTML, for screen readers
    fragments : name used in ``<mj-include path="…"/>`` -> (file, text)

    Raises
    ------
    TemplateError
        With every fault: unknown or unclosed components, no subject, Liquid that would be lost, outside hosts.
    """
    markers = _Markers(source)
    faults = []
    pieces = {}
    for name, (its_file, text) in {**fragments, "": (file, source)}.items():
        plain = _COMMENT.sub(lambda match: "\n" * match.group().count("\n"), text)
        pieces[name] = markers.hide(plain, file=its_file)
        faults += structure_faults(pieces[name], file=its_file)
    hidden = _INCLUDE.sub(lambda match: pieces.get(match.group(1), ""), pieces[""])
    head = _Head()
    head.feed(hidden)
    if not head.title:
        faults.append(Fault(file, 1, "mj-title", "a mail needs a subject: write it into <mj-title> in <mj-head>"))
    if faults:
        raise TemplateError(faults)
    html = _to_html(hidden, file=file, language=language, markers=markers)
    dropped = sorted(markers.numbers(hidden) - markers.numbers(html))
    faults = [_misplaced(markers.tags[number]) for number in dropped]
    faults += host_faults(markers.show(html).text, source=source, file=file)
    if faults:
        raise TemplateError(faults)
    body, end, rest = html.rpartition(_END)
    if end:
        html = f"{body}{markers.hide(_UNSEEN, file=file)}{end}{rest}"
    return MailParts(
        subject=markers.show(head.title),
        preheader=markers.show(head.preview),
        html=markers.show(html),
        text=markers.show(_plain_text(html)),
    )


def _to_html(hidden: str, *, file: str, language: str, markers: _Markers) -> str:
    """Return compiled HTML, its language set and no fonts linked."""
    root = _ROOT.search(hidden)
    if root and "lang=" not in root.group():
        hidden = f'{hidden[: root.start()]}<mjml lang="{language}" dir="auto"{hidden[root.start() + 5 :]}'
    try:
        return str(mjml2html(hidden, fonts={}))
    except ValueError as problem:
        place = re.search(r"position ([0-9]+):([0-9]+)", str(problem))
        named = sorted(markers.numbers(hidden[int(place.group(1)) : int(place.group(2))])) if place else []
        if not named:
            raise TemplateError([Fault(file, 1, "", f"this is no MJML: {problem}")]) from problem
        raise TemplateError([_misplaced(markers.tags[number]) for number in named]) from problem


def _misplaced(tag: Tag) -> Fault:
    return Fault(tag.file, tag.line, f"column {tag.column}", f"{tag.text} stands where MJML takes no text")


class _Head(HTMLParser):
    """Reads the subject and the preheader, white space made single."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = ""
        self.read: dict[str, str] = {"mj-title": "", "mj-preview": ""}

    @property
    def title(self) -> str:
        return " ".join(self.read["mj-title"].split())

    @property
    def preview(self) -> str:
        return " ".join(self.read["mj-preview"].split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        del tag
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.read:
            self.read[self.inside] += data


class _PlainText(HTMLParser):
    """Writes a compiled mail down as plain text; links are kept as ``words: address``."""

    BREAKS: Mapping[str, str] = {
        "br": "\n",
        "tr": "\n\n",
        "p": "\n\n",
        "div": "\n",
        "h1": "\n\n",
        "h2": "\n\n",
        "li": "\n- ",
    }
    SILENT = frozenset({"style", "title", "head"})
    HIDEABLE = frozenset({"div", "span", "p", "td", "tr", "table"})

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.silence = ""
        self.link: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if self.silence:
            return
        is_hidden = tag in self.HIDEABLE and "display:none" in (values.get("style") or "").replace(" ", "")
        if tag in self.SILENT or is_hidden:
            self.silence = tag
        elif tag == "a" and values.get("href"):
            self.link = (str(values["href"]), len(self.written))
        elif tag == "img":
            self.written.append(values.get("alt") or "")
        else:
            self.written.append(self.BREAKS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if self.silence:
            self.silence = "" if tag == self.silence else self.silence
        elif tag == "a" and self.link:
            address, start = self.link
            words = "".join(self.written[start:]).strip()
            self.written[start:] = [address if words in ("", address) else f"{words}: {address}"]
            self.link = None
        elif tag in ("p", "h1", "h2", "tr"):
            self.written.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self.silence:
            self.written.append(re.sub(r"\s+", " ", data))


def _plain_text(html: str) -> str:
    """Return a compiled mail as plain text."""
    parser = _PlainText()
    parser.feed(html)
    return tidy_text("".join(parser.written))


def tidy_text(text: str) -> str:
    """Return a text without blanks at line ends and without more than one empty line in a row."""
    if "\n\n\n" not in text and " \n" not in text and "\n " not in text and "\t" not in text:
        return text.strip()
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]*\n[ \t]*", "\n", text)).strip()
