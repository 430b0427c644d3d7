"""Many people's mails in few requests: one content, and for each person what differs in it.

In: prepared mails, each rendered for one person. Out: requests whose substitutions, put back, give exactly each
person's subject, text and HTML. Where people got one form, its blanks become tags. Any other content is cut at its line
breaks (text) and tags (HTML); pieces all people share stay, a piece that differs becomes a tag. Must never happen: one
person's piece in another's mail, a tag that stands in anybody's words.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from winback.core.forms import Letter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from winback.channels import Prepared

LONGEST_SUBSTITUTIONS_BYTES = 10_000
"""Of one person, as JSON: the vendor counts the words alone, so this errs on the safe side."""

LARGEST_REQUEST_BYTES = 30_000_000
MOST_PEOPLE = 1_000

# A form that fewer people got is compared with the others: one request of many people is worth more than many of few.
_WORTH_A_REQUEST = 10
# Where text and HTML are cut. No tag holds one of these, so none can arise where two pieces meet.
_CUTS = {"text/plain": "\n", "text/html": ">"}
# Tags begin with two of these, and with what may stand before the dot in them.
_BRACKET = "["
_BEFORE_TAGS = re.compile(r"\[\[?(w[0-9]*)?\Z")
# A UTF-16 unit is at most six bytes of JSON (an escape), a character two units; a person's field names a few hundred.
_BYTES_A_CHARACTER, _BYTES_A_UNIT, _BYTES_A_TAG, _BYTES_A_PERSON = 12, 6, 30, 500


class MailRequest(NamedTuple):
    """One request and the people it goes to, in the order of its personalizations."""

    people: list[Prepared]
    body: dict[str, Any]


class _Alike(NamedTuple):
    """One of the people who get one content, and what they have in the gaps of its parts, as far as it is known."""

    person: Prepared
    gaps: list[list[str] | None]


class _Composed(NamedTuple):
    content: list[dict[str, str]]
    substitutions: list[dict[str, str]]
    sizes: list[int]


class _Filled:
    """What several people's versions of one part have in common that are one form, filled in.

    Nothing has to be looked for: .5 CPU µs a mail. Its blanks may stand in the middle of words. So that no tag can
    arise where a value meets them, no value may hold the character that tags begin with, and no words before a blank
    may end as a tag begins.
    """

    def __init__(self, letter: Letter) -> None:
        self.form, self.gaps = letter.form, letter.form.different

    @staticmethod
    def is_safe(letter: Letter) -> bool:
        """Return whether tags can stand in the blanks of a letter."""
        words = letter.form.pieces[:-1:2]
        return not any(_BEFORE_TAGS.search(each) for each in words) and _BRACKET not in "".join(letter.values)

    def gaps_of(self, words: str) -> list[str] | None:
        """Return what one person has in the blanks; None where theirs is another form, or no tag can stand in it."""
        is_ours = isinstance(words, Letter) and words.form is self.form and _BRACKET not in "".join(words.values)
        return words.values if isinstance(words, Letter) and is_ours else None

    def can_take(self, words: str) -> bool:
        """Return whether a person's words fit."""
        return self.gaps_of(words) is not None

    def take(self, words: str) -> None:
        """Do nothing: what fits changes no form."""

    def with_tags(self, tags: Sequence[str]) -> str:
        """Return the words with a tag in each blank."""
        return self.form.filled(tags)


class _Common:
    """What several people's versions of one part have in common, and the gaps where somebody has something else.

    Cutting each mail into its 260 pieces and comparing all of them took 75 CPU µs a mail, following from gap to gap
    what is known to be common takes 10; whoever it does not fit widens it.
    """

    def __init__(self, words: str, cut: str) -> None:
        self.cut = cut
        self.pieces = words.split(cut)
        self.gaps: list[int] = []
        self._between = [f"{cut}{words}{cut}"]

    def gaps_of(self, words: str) -> list[str] | None:
        """Return what one person has in the gaps, so that put back it gives their words; None where it does not fit."""
        cut = self.cut
        wrapped = f"{cut}{words}{cut}"
        first, *others = self._between
        if not wrapped.startswith(first):
            return None
        found, at = [], len(first)
        for common in others:
            end = wrapped.find(cut, at)
            if not wrapped.startswith(common, end):
                return None
            found.append(wrapped[at:end])
            at = end + len(common)
        return found if at == len(wrapped) else None

    def can_take(self, words: str) -> bool:
        """Return whether a person's words have as many pieces."""
        return words.count(self.cut) + 1 == len(self.pieces)

    def take(self, words: str) -> None:
        """Make a gap of every piece that one person has differently, who has as many."""
        theirs = words.split(self.cut)
        differs = {number for number, pair in enumerate(zip(self.pieces, theirs, strict=True)) if pair[0] != pair[1]}
        self.gaps = sorted({*self.gaps, *differs})
        begins = [0, *(number + 1 for number in self.gaps)]
        ends = [*self.gaps, len(self.pieces)]
        # A cut at both ends of each, so that a gap ends where the next cut stands.
        pairs = zip(begins, ends, strict=True)
        self._between = [self.cut.join(["", *self.pieces[begin:end], ""]) for begin, end in pairs]

    def with_tags(self, tags: Sequence[str]) -> str:
        """Return the words with a tag in each gap."""
        pieces = self.pieces.copy()
        for number, tag in zip(self.gaps, tags, strict=True):
            pieces[number] = tag
        return self.cut.join(pieces)


def mail_requests(batch: Sequence[Prepared], *, most_people: int = MOST_PEOPLE) -> list[MailRequest]:
    """Return the requests that carry a batch.

    Parameters
    ----------
    batch : bodies of :func:`~winback.channels.request_bodies.mail_body`, in any mixture
    most_people : in one request
    """
    groups: defaultdict[tuple[str, str, str, int | None], list[Prepared]] = defaultdict(list)
    forms = Counter(_form_of(each) for each in batch)
    for each in batch:
        rendered, form = each.message.rendered, _form_of(each)
        # Other texts would share next to nothing; other senders cannot share a request.
        shared = form if forms[form] >= _WORTH_A_REQUEST else None
        groups[rendered.file, rendered.template_hash, each.message.sender, shared].append(each)
    found: list[MailRequest] = []
    for (_file, _hash, _sender, shared), group in groups.items():
        others = group
        while others:
            common, alike, others = _alike(others, have_form=shared is not None)
            found += _requests(common, alike, most_people)
    return found


def _form_of(person: Prepared) -> int | None:
    """Return which form somebody's HTML is, if it is one."""
    html = person.request["content"][-1]["value"]
    return id(html.form) if isinstance(html, Letter) else None


def _alike(people: list[Prepared], *, have_form: bool) -> tuple[list[_Filled | _Common], list[_Alike], list[Prepared]]:
    """Return what the first person's mail has in common with others', who these are, and who is left."""
    common = [
        _common(part["value"], _CUTS[part["type"]], may_be_form=have_form) for part in people[0].request["content"]
    ]
    alike, others = [], []
    for person in people:
        contents = _contents(person)
        gaps = [one.gaps_of(words) for one, words in zip(common, contents, strict=True)]
        if None in gaps:
            if not all(one.can_take(words) for one, words in zip(common, contents, strict=True)):
                others.append(person)
                continue
            for one, words in zip(common, contents, strict=True):
                one.take(words)
        alike.append(_Alike(person, gaps))
    return common, alike, others


def _common(words: str, cut: str, *, may_be_form: bool) -> _Filled | _Common:
    is_form = may_be_form and isinstance(words, Letter) and _Filled.is_safe(words)
    return _Filled(words) if is_form and isinstance(words, Letter) else _Common(words, cut)


def _contents(person: Prepared) -> list[str]:
    return [part["value"] for part in person.request["content"]]


def _requests(common: list[_Filled | _Common], alike: list[_Alike], most_people: int) -> Iterator[MailRequest]:
    """Yield the requests of people whose contents have as many pieces."""
    people = [one.person for one in alike]
    if len(people) == 1:
        yield MailRequest(people, people[0].request)
        return
    composed = _composed(common, alike)
    fits = [size <= LONGEST_SUBSTITUTIONS_BYTES for size in composed.sizes]
    if all(fits):
        yield from _cut_to_size(people, composed, most_people)
    elif any(fits):
        yield from mail_requests(list(compress(people, fits)), most_people=most_people)
        yield from (MailRequest([one], one.request) for one, fit in zip(people, fits, strict=True) if not fit)
    else:
        # Somebody is so different that nothing is shared: halves find them.
        middle = len(people) // 2
        for half in (people[:middle], people[middle:]):
            yield from mail_requests(half, most_people=most_people)


def _composed(common: list[_Filled | _Common], alike: list[_Alike]) -> _Composed:
    """Return the shared content, and for each person what belongs into it."""
    people = [one.person for one in alike]
    of_people = [_values(common, one) for one in alike]
    mark = _mark(people, of_people)
    tags: dict[tuple[str, ...], str] = {}
    in_gaps = [tags.setdefault(column, f"{mark}{len(tags)}]]") for column in zip(*of_people, strict=True)]
    content, at = [], 0
    for one, part in zip(common, people[0].request["content"], strict=True):
        words = one.with_tags(in_gaps[at : at + len(one.gaps)])
        content.append({"type": part["type"], "value": words})
        at += len(one.gaps)
    rows = zip(*tags, strict=True) if tags else ((),) * len(people)
    names = list(tags.values())
    substitutions = [dict(zip(names, row, strict=True)) for row in rows]
    return _Composed(content, substitutions, [_size(each) for each in substitutions])


def _values(common: list[_Filled | _Common], of: _Alike) -> list[str]:
    """Return what one person has in all gaps; what was found before a later person widened a part, looked for again."""
    found: list[str] = []
    for one, gaps, words in zip(common, of.gaps, _contents(of.person), strict=True):
        known = gaps if gaps is not None and len(gaps) == len(one.gaps) else one.gaps_of(words)
        found += known or ()
    return found


def _size(substitutions: dict[str, str]) -> int:
    """Return how many bytes of JSON these take; where they are few anyway, how many they take at most."""
    if not substitutions:
        return 0
    units = len("".join(substitutions.values()).encode("utf-16-le")) // 2
    most = _BYTES_A_UNIT * units + _BYTES_A_TAG * len(substitutions)
    return most if most <= LONGEST_SUBSTITUTIONS_BYTES else len(json.dumps(substitutions))


def _mark(people: list[Prepared], of_people: list[list[str]]) -> str:
    """Return how tags begin: something that stands in nobody's mail, name or header."""
    words = [*_contents(people[0])]
    for person, values in zip(people, of_people, strict=True):
        [personalization] = person.request["personalizations"]
        words += values
        words.append(personalization["subject"])
        words += personalization["to"][0].values()
        words += personalization["headers"].values()
        words += person.request["from"].values()
    everything = "\0".join(words)
    salt = 0
    while (mark := f"{_BRACKET}{_BRACKET}w{salt}.") in everything:
        salt += 1
    return mark


def _cut_to_size(people: list[Prepared], composed: _Composed, most_people: int) -> Iterator[MailRequest]:
    """Yield requests that hold at most so many people and bytes."""
    room = LARGEST_REQUEST_BYTES - len(json.dumps(composed.content)) - _BYTES_A_PERSON
    first, used = 0, 0
    for number, person in enumerate(people):
        size = composed.sizes[number] + _most_bytes(person)
        if number > first and (number - first == most_people or used + size > room):
            yield _request(people[first:number], composed, first)
            first, used = number, 0
        used += size
    yield _request(people[first:], composed, first)


def _most_bytes(person: Prepared) -> int:
    """Return what a personalization can take at most, substitutions apart."""
    [personalization] = person.request["personalizations"]
    words = (personalization["subject"], *personalization["to"][0].values(), *personalization["headers"].values())
    return _BYTES_A_PERSON + _BYTES_A_CHARACTER * sum(map(len, words))


def _request(people: list[Prepared], composed: _Composed, first: int) -> MailRequest:
    personalizations = []
    for person, values in zip(people, composed.substitutions[first : first + len(people)], strict=True):
        [own] = person.request["personalizations"]
        personalizations.append({**own, "substitutions": values} if values else own)
    body = {**people[0].request, "personalizations": personalizations, "content": composed.content}
    return MailRequest(people, body)
