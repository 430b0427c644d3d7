"""What a mail may be made of: known components, nothing fetched from elsewhere, links to nobody undeclared.

In: MJML with its Liquid hidden, or the compiled HTML. Out: faults. A mail that loads a font, a picture or a style sheet
tells a third party who read it, and when.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from winback import documents
from winback.errors import Fault

LONGEST_HEADER = 998
"""RFC 5322: characters in a line."""

LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_HOSTS = re.compile(r"\{%-?\s*#\s*links to:\s*([^%]*?)\s*-?%\}")
_ADDRESS = re.compile(r"""\b(href|src|srcset|background|action|poster)\s*=\s*["']?([^"'>\s]*)|url\(\s*["']?([^"')]*)""")
_FETCHES = re.compile(r"<(link|script|iframe|form|object|embed|base)\b|@import", re.IGNORECASE)
_BREAKS = re.compile("[\r\n\0]")
_OWN_LINK = re.compile(r"\{\{-?(links\.[a-z]+|terms_url|business\.public_base_url)-?\}\}(?=$|[/?#])")

COMPONENTS = frozenset(
    {"mjml", "mj-head", "mj-body", "mj-all", "mj-attributes", "mj-breakpoint", "mj-class", "mj-include", "mj-preview"}
    | {"mj-style", "mj-title", "mj-accordion", "mj-accordion-element", "mj-accordion-text", "mj-accordion-title"}
    | {"mj-button", "mj-column", "mj-divider", "mj-group", "mj-hero", "mj-image", "mj-navbar", "mj-navbar-link"}
    | {"mj-raw", "mj-section", "mj-spacer", "mj-table", "mj-text", "mj-wrapper"}
)
"""The MJML a template may use. Fonts, carousels and social icons are not among them: they load from other hosts."""


class _Structure(HTMLParser):
    """Notices components that do not exist and components left open."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.faults: list[Fault] = []
        self.open: list[tuple[str, int]] = []

    def fault(self, message: str, line: int | None = None) -> None:
        self.faults.append(Fault(self.file, line or self.getpos()[0], "", message))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1][0] == tag:
            self.open.pop()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if not tag.startswith("mj"):
            return
        if tag not in COMPONENTS:
            self.fault(f"<{tag}> may not be used here{documents.nearest(tag, sorted(COMPONENTS))}")
        self.open.append((tag, self.getpos()[0]))

    def handle_endtag(self, tag: str) -> None:
        if not tag.startswith("mj"):
            return
        if not any(name == tag for name, _ in self.open):
            self.fault(f"</{tag}> closes nothing")
            return
        while (left := self.open.pop())[0] != tag:
            self.fault(f"<{left[0]}> is never closed", left[1])


def structure_faults(hidden: str, *, file: str) -> list[Fault]:
    """Return the components of one file that do not exist, or are never closed."""
    parser = _Structure(file)
    parser.feed(hidden)
    for tag, line in parser.open:
        parser.fault(f"<{tag}> is never closed", line)
    return parser.faults


def host_faults(html: str, *, source: str, file: str) -> list[Fault]:
    """Return everything a mail would fetch from elsewhere, and links to hosts nobody declared."""

    def line_of(value: str) -> int:
        return source[: max(source.find(value), 0)].count("\n") + 1

    declared = {host for names in _HOSTS.findall(source) for host in re.split(r"[,\s]+", names)}
    faults = [
        Fault(file, line_of(match.group()), "", f"{match.group()} loads or runs something: not in a mail")
        for match in _FETCHES.finditer(html)
    ]
    for match in _ADDRESS.finditer(LIQUID.sub(lambda tag: re.sub(r"[\s\"'>]", "", tag.group()), html)):
        attribute, value = match.group(1) or "url()", match.group(2) if match.group(1) else match.group(3)
        if attribute == "href" and not _is_known_link(value, declared):
            message = f"{value or 'an empty link'} leads to a host nobody declared: use links.act, terms_url or mailto:"
            faults.append(
                Fault(file, line_of(value), "href", f"{message}, or add {{% # links to: host %}} (https only)")
            )
        if attribute != "href" and not value.startswith(("data:image/", "cid:")):
            faults.append(
                Fault(file, line_of(value), attribute, f"{value} is fetched from elsewhere: embed it as data:")
            )
    return sorted(set(faults), key=lambda fault: fault.line)


def _is_known_link(value: str, declared: set[str]) -> bool:
    """Return whether a link in a mail leads to the business, to a mailbox or to a declared host."""
    if value.startswith(("mailto:", "tel:", "#")) or _OWN_LINK.match(value):
        return True
    host = re.match(r"https://([^/?#{}@\\]+)(?=[/?#]|$)", value)
    return host is not None and host.group(1) in declared


def is_unicode(words: str) -> bool:
    """Return whether a text can be encoded: one that was cut in the middle of a pair cannot."""
    if words.isascii():
        return True
    try:
        words.encode("utf-16-le")  # half the time of UTF-8
    except UnicodeEncodeError:
        return False
    return True


def header_fault(name: str, value: str) -> str | None:
    """Return why a value may not stand in a mail header, or None when it may.

    A line break in a name would let its owner write headers of their own; the standard library refuses it, the
    vendors' JSON interfaces do not.
    """
    if _BREAKS.search(value):
        return f"the {name} holds a line break or a NUL character"
    if len(value) > LONGEST_HEADER:
        return f"the {name} is {len(value)} characters long; at most {LONGEST_HEADER} fit into a header"
    return None
