"""What the public pages say, language by language: files of ours, and over them those of the project.

In: ``data/pages/texts.LANGUAGE.yaml`` and the project's ``pages/texts.LANGUAGE.yaml``. Out: for each language every
text there is, English where a language lacks one. Must never happen: a page in two halves of two languages because a
key was misspelt; such a key is a fault with its line.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from babel import Locale

from winback import documents
from winback.errors import Fault, SettingsError
from winback.settings import data_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FALLBACK = "en"
PAGES = ("survey", "contest", "coupon", "message")
"""The landing pages; a project may add sections of its own, each with the keys of one of these."""
_NAME = re.compile(r"texts\.([a-z]{2,3})\.yaml")
_TAG = re.compile(r"\s*([A-Za-z]{2,3})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([0-9.]+))?\s*")


class Language(NamedTuple):
    """One language of the pages: its code, the way it runs (`ltr`, `rtl`), and everything said in it."""

    code: str
    direction: str
    texts: Mapping[str, Any]


class PageTexts:
    """Every language the pages speak.

    Parameters
    ----------
    root : the project directory
    business : the name of the business, put in place of ``{business}``

    Raises
    ------
    SettingsError
        With every fault of the project's files.
    """

    def __init__(self, root: Path, *, business: str) -> None:
        ours, theirs = _files(data_directory() / "pages"), _files(root / "pages")
        faults: list[Fault] = []
        english = _read(ours[FALLBACK], "", faults)
        found: dict[str, dict[str, Any]] = {}
        for code in sorted({*ours, *theirs}):
            texts = copy.deepcopy(english)
            if code in ours:
                _lay_over(texts, _read(ours[code], "", faults))
            if code in theirs:
                own = _read(theirs[code], "pages/", faults)
                faults += _unknown(own, english, f"pages/{theirs[code].name}", theirs[code])
                _lay_over(texts, own)
            found[code] = _named(texts, business)
        if faults:
            raise SettingsError(faults)
        self.languages = {
            code: Language(code, Locale.parse(code).text_direction, texts) for code, texts in found.items()
        }

    def choose(self, wanted: Iterable[str | None], *, accepted: str = "") -> Language:
        """Return the first language we speak of those wanted, then of those a browser accepts, else English.

        Parameters
        ----------
        wanted : locales, None where nothing is known
        accepted : the header Accept-Language
        """
        for locale in (*wanted, *_preferred(accepted)):
            code = (locale or "").replace("_", "-").partition("-")[0].lower()
            if code in self.languages:
                return self.languages[code]
        return self.languages[FALLBACK]


def _files(folder: Path) -> dict[str, Path]:
    """Return the text files of a folder by language."""
    if not folder.is_dir():
        return {}
    named = {file: _NAME.fullmatch(file.name) for file in sorted(folder.iterdir())}
    return {match[1]: file for file, match in named.items() if match}


def _read(file: Path, folder: str, faults: list[Fault]) -> dict[str, Any]:
    name = f"{folder}{file.name}"
    try:
        value, _ = documents.parse(file.read_text(encoding="utf-8"), file=name, error=SettingsError)
    except SettingsError as problem:
        faults += problem.faults
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        faults.append(Fault(name, 0, "", f"cannot be read: {problem}"))
        return {}
    if not isinstance(value, dict):
        faults.append(Fault(name, 1, "", "expected sections with texts in them"))
        return {}
    return value


def _unknown(own: Mapping[str, Any], known: Mapping[str, Any], name: str, file: Path) -> list[Fault]:
    """Return a fault for each text that no page shows; sections of the project's own take a landing page's keys."""
    _, lines = documents.parse(file.read_text(encoding="utf-8"), file=name, error=SettingsError)
    of_any_page = {key for page in PAGES for key in known.get(page, {})}
    faults = []
    for section, texts in own.items():
        allowed = set(known[section]) if section in known else of_any_page
        if not isinstance(texts, dict):
            faults.append(Fault(name, lines.get((section,), 1), str(section), "expected texts by name"))
            continue
        for key in texts:
            if key not in allowed:
                near = documents.nearest(str(key), sorted(map(str, allowed)))
                what = f"no page shows such a text{near}"
                faults.append(Fault(name, lines.get((section, key), 1), f"{section}.{key}", what))
    return faults


def _lay_over(texts: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Put one file's texts in place of those that are there."""
    for name, value in own.items():
        if isinstance(value, dict) and isinstance(texts.get(name), dict):
            _lay_over(texts[name], value)
        else:
            texts[name] = value


def _named(value: Any, business: str) -> Any:  # noqa: ANN401  texts, lists of them, and sections of both
    """Return the texts with the name of the business in them."""
    if isinstance(value, dict):
        return {key: _named(one, business) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one, business) for one in value]
    return str(value).replace("{business}", business)


def _preferred(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, the best first; whatever is not one is left out."""
    found = []
    for place, part in enumerate(header[:256].split(",")):
        match = _TAG.fullmatch(part)
        if match:
            weight = float(match[2]) if match[2] and match[2].count(".") < 2 and match[2] != "." else 1.0  # noqa: PLR2004  a number has one point
            found.append((-weight, place, match[1]))
    return [tag for _, _, tag in sorted(found)]
