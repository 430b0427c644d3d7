"""How long a text message is, in the units the networks charge for, and what a marketing text must say.

In: the text as it leaves, links and stop words included. Out: characters, encoding, segments. One segment holds 160
GSM-7 characters, or 153 when there are several; one character outside GSM-7 makes it 70 and 67 UTF-16 units. Must
never happen: a character that costs two units lying across the border of two segments, because no phone can join it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GSM_7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_EXTENSION = frozenset("^{}\\[~]|€\f")
GSM_7 = GSM_7_BASIC | GSM_7_EXTENSION

Encoding = Literal["GSM-7", "UCS-2"]
CAPACITY: Mapping[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
"""Units in a message that stands alone, and in each part of a longer one."""

LONGEST_BODY = 1600
"""Most characters the text providers take in one body."""

OPT_OUT_WORDS: Mapping[str, tuple[str, ...]] = {
    "de": ("STOPP", "STOP"),
    "en": ("STOP",),
    "es": ("BAJA", "STOP"),
    "fr": ("STOP",),
    "it": ("STOP",),
}
"""Words a person may answer with, by language; the texts have to name one of them. Other languages: STOP."""

_LAST_BASIC_PLANE = "\uffff"


@dataclass(frozen=True, kw_only=True)
class SmsSize:
    """What a text costs.

    Attributes
    ----------
    characters : as people count them (code points)
    units : septets of GSM-7, or UTF-16 units
    encoding : GSM-7 or UCS-2
    segments : parts the network charges for
    offending : the characters that forced UCS-2, each once, in the order they appear
    """

    characters: int
    units: int
    encoding: Encoding
    segments: int
    offending: tuple[str, ...]


def measure(text: str) -> SmsSize:
    """Return how long a text is as an SMS.

    Examples
    --------
    >>> measure("a" * 161).segments
    2
    >>> measure("prêt").offending
    ('ê',)

    References
    ----------
    3GPP TS 23.038 (alphabet) and TS 23.040 (parts).
    """
    foreign = set(text) - GSM_7
    encoding: Encoding = "UCS-2" if foreign else "GSM-7"
    double = {char for char in set(text) if char > _LAST_BASIC_PLANE} if foreign else GSM_7_EXTENSION & set(text)
    units = len(text) + sum(map(text.count, double))
    alone, part = CAPACITY[encoding]
    if units <= alone:
        segments = 1 if units else 0
    else:
        segments = _parts((1 + (char in double) for char in text), part) if double else -(-units // part)
    offending = tuple(sorted(foreign, key=text.index)) if foreign else ()
    return SmsSize(characters=len(text), units=units, encoding=encoding, segments=segments, offending=offending)


def _parts(costs: Iterable[int], capacity: int) -> int:
    """Return how many parts hold characters of these costs when none may lie across two parts."""
    parts, used = 1, 0
    for cost in costs:
        used += cost
        if used > capacity:
            parts, used = parts + 1, cost
    return parts


def faults_of_text(text: str, *, brand: str, language: str | None) -> list[str]:
    """Return what a marketing text lacks: a body, the sender's name, the words that stop it, or room.

    Parameters
    ----------
    text : as it leaves
    brand : the name the business goes by
    language : two letters, decides which stop words are understood; None where the channel needs none
    """
    faults = []
    if not text.strip():
        faults.append("the text is empty")
    if len(text) > LONGEST_BODY:
        faults.append(f"the text has {len(text)} characters; providers take at most {LONGEST_BODY}")
    if brand not in text:
        faults.append(f"the text does not name the sender: put {{{{ business.name }}}} ({brand}) in it")
    words = OPT_OUT_WORDS.get(language, ("STOP",)) if language is not None else ()
    if words and not any(re.search(rf"\b{word}\b", text) for word in words):
        faults.append(f"the text does not say how to end it: name {' or '.join(words)}")
    return faults
