"""What a text that somebody sends us means: a withdrawal, a wish to come back, a call for help, or none of them.

In: the text, and the dated words of `answer_words.yaml`. Out: a :class:`Meaning`. A word counts only as the whole
message; a stop word inside another text is doubtful, for a person to read. Must never happen: "STOP PLEASE" that is not
heard, or "don't stop" that sends somebody away.
"""

from __future__ import annotations

# Pydantic reads the annotations of its models when the module runs.
import datetime as dt
import unicodedata
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from winback import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ANY_LANGUAGE = "*"
LONGEST_TEXT = 4096
"""So much of a text is looked at; the providers carry less."""

Phrase = tuple[str, ...]
Word = Annotated[str, Field(min_length=1, max_length=64)]
_INVISIBLE = frozenset({"Cf", "Mn", "Me", "Cc"})


class Meaning(StrEnum):
    """What a text asks for; ``DOUBTFUL`` holds a stop word among others, ``OTHER`` none."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    DOUBTFUL = "doubtful"
    OTHER = "other"


class Said(NamedTuple):
    """What a text means, and the language of its word: "" where it has none of its own."""

    meaning: Meaning
    language: str = ""


class AnswerRule(BaseModel):
    """One dated row: words that mean one thing in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    means: Literal["stop", "start", "help"]
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3}|\*)$")]
    words: list[Word] = Field(min_length=1)
    valid_from: dt.date
    source: Annotated[str, Field(min_length=1)]


class AnswerWords(BaseModel):
    """The whole of `answer_words.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1]
    polite: dict[str, list[Word]] = {}
    words: list[AnswerRule] = Field(min_length=1)

    @cached_property
    def meanings(self) -> dict[Phrase, Said]:
        """What each folded phrase means; of two rows with one phrase the stop counts, then the first."""
        found: dict[Phrase, Said] = {}
        for row in sorted(self.words, key=lambda row: row.means != "stop"):
            language = "" if row.language == ANY_LANGUAGE else row.language
            for word in row.words:
                found.setdefault(fold(word), Said(Meaning(row.means), language))
        return found

    @cached_property
    def stops(self) -> frozenset[Phrase]:
        """The phrases that mean stop."""
        return frozenset(phrase for phrase, said in self.meanings.items() if said.meaning is Meaning.STOP)

    @cached_property
    def courtesies(self) -> frozenset[Phrase]:
        """The phrases that change nothing."""
        return frozenset(fold(word) for words in self.polite.values() for word in words)

    def read(self, text: str) -> Said:
        """Return what a text means.

        Examples
        --------
        >>> words.read("Stop, please!").meaning
        <Meaning.STOP: 'stop'>
        >>> words.read("stop by the shop tomorrow?").meaning
        <Meaning.DOUBTFUL: 'doubtful'>
        """
        spoken = fold(text[:LONGEST_TEXT])
        for phrase in (spoken, _once(_without(spoken, self.courtesies))):
            said = self.meanings.get(phrase)
            if said is not None:
                return said
        return Said(Meaning.DOUBTFUL if _holds_any(spoken, self.stops) else Meaning.OTHER)


def fold(text: str) -> Phrase:
    """Return the words of a text, without what makes no difference: case, accents, punctuation, emoji, width.

    Letters that stand alone are one word: ``S.T.O.P``.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = (character for character in plain if character.isspace() or _is_visible(character))
    words = "".join(character if character.isalnum() else " " for character in kept).split()
    return ("".join(words),) if len(words) > 1 and all(len(word) == 1 for word in words) else tuple(words)


def _is_visible(character: str) -> bool:
    """Whether a character is none of the marks and signs that stand inside a word and are not seen, or not counted."""
    return unicodedata.category(character) not in _INVISIBLE


def _without(spoken: Phrase, phrases: frozenset[Phrase]) -> Phrase:
    """Return the words that are part of none of some phrases; the longest phrase is taken first."""
    longest = max(map(len, phrases), default=0)
    kept: list[str] = []
    place = 0
    while place < len(spoken):
        width = next((n for n in range(longest, 0, -1) if spoken[place : place + n] in phrases), 0)
        kept += () if width else spoken[place : place + 1]
        place += width or 1
    return tuple(kept)


def _once(spoken: Phrase) -> Phrase:
    """Return one word for a word that is said again and again."""
    return spoken[:1] if len(set(spoken)) == 1 else spoken


def _holds_any(spoken: Phrase, phrases: frozenset[Phrase]) -> bool:
    """Whether a phrase stands somewhere in what was said."""
    widths = {len(phrase) for phrase in phrases}
    return any(part in phrases for width in widths for part in _parts(spoken, width))


def _parts(spoken: Sequence[str], width: int) -> Iterator[Phrase]:
    yield from (tuple(spoken[place : place + width]) for place in range(len(spoken) - width + 1))


def load_answer_words(text: str, *, file: str) -> AnswerWords:
    """Return the words a YAML text holds.

    Raises
    ------
    ConfigError
        With every fault in the file.
    """
    return documents.load(text, file=file, model=AnswerWords)
