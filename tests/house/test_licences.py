"""Everything the library needs may be used, shipped and sold with."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software|Python-2|MPL|Mozilla|Unlicense|0BSD|HPND|Zlib|Public Domain|CC0",
    re.IGNORECASE,
)
# A licence that asks for more than a notice, and why it is fine here.
KNOWN = {
    "text-unidecode": "Artistic or GPL at the user's choice: Artistic is ours",
    "psycopg": "LGPL-3.0: used as a library, not changed; optional",
    "psycopg-binary": "LGPL-3.0: used as a library, not changed; optional",
}


def needed() -> set[str]:
    """Return the names of all run-time dependencies, the optional driver included."""
    found: set[str] = set()
    waiting = [Requirement(item) for item in requires("winback") or []]
    while waiting:
        item = waiting.pop()
        if item.marker is not None and not any(item.marker.evaluate({"extra": e}) for e in ("", "postgres")):
            continue
        name = canonicalize_name(item.name)
        if name in found:
            continue
        found.add(name)
        try:
            waiting += [Requirement(child) for child in requires(name) or [] if "extra ==" not in child]
        except PackageNotFoundError:  # another platform's dependency
            found.discard(name)
    return found


def licence(name: str) -> str:
    data = metadata(name)
    classifiers = [item for item in data.get_all("Classifier") or [] if item.startswith("License")]
    return " ".join([data.get("License-Expression") or "", *classifiers, (data.get("License") or "")[:200]]).strip()


def test_every_dependency_may_be_used():
    odd = {name: licence(name) for name in needed() if not PERMISSIVE.search(licence(name)) and name not in KNOWN}
    assert not odd


def test_no_dependency_is_copyleft_by_accident():
    strict = re.compile(r"\bA?GPL", re.IGNORECASE)
    assert not {name for name in needed() if strict.search(licence(name)) and name not in KNOWN}


def test_our_own_licence_is_whole():
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert text.split()[:3] == ["Apache", "License", "Version"]
    assert "END OF TERMS AND CONDITIONS" in text
