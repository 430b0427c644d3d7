"""Many people's mails in few requests: one content, and for each person what differs in it.

In: prepared mails, each rendered for one person. Out: requests whose substitutions, put back, give exactly each
person's subject, text and HTML. Content is cut at its line breaks (text) and tags (HTML); pieces all people share stay,
a piece that differs becomes a tag. Must never happen: one person's piece in another's mail, a tag that stands in
anybody's words.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from winback.channels import Prepared

LONGEST_SUBSTITUTIONS_BYTES = 10_000
"""Of one person, as JSON: the vendor counts the words alone, so this errs on the safe side."""

LARGEST_REQUEST_BYTES = 30_000_000
MOST_PEOPLE = 1_000

# Where text and HTML are cut. No tag holds one of these, so none can arise where two pieces meet.
_CUTS = {"text/plain": "\n", "text/html": ">"}
# A character is at most twelve bytes of JSON (two escapes), the names of a person's fields a few hundred.
_BYTES_A_CHARACTER, _BYTES_A_PERSON = 12, 500

Pieces = list[list[str]]


class MailRequest(NamedTuple):
    """One request and the people it goes to, in the order of its personalizations."""

    people: list[Prepared]
    body: dict[str, Any]


class _Composed(NamedTuple):
    content: list[dict[str, str]]
    substitutions: list[dict[str, str]]
    sizes: list[int]


def mail_requests(batch: Sequence[Prepared], *, most_people: int = MOST_PEOPLE) -> list[MailRequest]:
    """Return the requests that carry a batch.

    Parameters
    ----------
    batch : bodies of :func:`~winback.channels.request_bodies.mail_body`, in any mixture
    most_people : in one request
    """
    groups: defaultdict[object, list[tuple[Prepared, Pieces]]] = defaultdict(list)
    for each in batch:
        pieces = _pieces(each)
        rendered = each.message.rendered
        counts = tuple(map(len, pieces))
        # Other texts would share next to nothing; other senders cannot share a request.
        groups[rendered.file, rendered.template_hash, each.message.sender, counts].append((each, pieces))
    return [request for group in groups.values() for request in _requests(group, most_people)]


def _pieces(prepared: Prepared) -> Pieces:
    return [part["value"].split(_CUTS[part["type"]]) for part in prepared.request["content"]]


def _requests(group: list[tuple[Prepared, Pieces]], most_people: int) -> Iterator[MailRequest]:
    """Yield the requests of people whose contents have as many pieces."""
    if len(group) == 1:
        yield MailRequest([group[0][0]], group[0][0].request)
        return
    composed = _composed(group)
    fitting = [number for number, size in enumerate(composed.sizes) if size <= LONGEST_SUBSTITUTIONS_BYTES]
    if not fitting:
        # Somebody is so different that nothing is shared: halves find them.
        middle = len(group) // 2
        yield from _requests(group[:middle], most_people)
        yield from _requests(group[middle:], most_people)
        return
    if len(fitting) < len(group):
        known = set(fitting)
        yield from _requests([group[number] for number in fitting], most_people)
        for number, (person, _) in enumerate(group):
            if number not in known:
                yield MailRequest([person], person.request)
        return
    yield from _cut_to_size([person for person, _ in group], composed, most_people)


def _composed(group: list[tuple[Prepared, Pieces]]) -> _Composed:
    """Return the shared content, and for each person what belongs into it."""
    mark = _mark([person for person, _ in group])
    tags: dict[tuple[str, ...], str] = {}
    content = []
    for part_number, part in enumerate(group[0][0].request["content"]):
        shared = []
        for column in zip(*(pieces[part_number] for _, pieces in group), strict=True):
            is_shared = column.count(column[0]) == len(column)
            shared.append(column[0] if is_shared else tags.setdefault(column, f"{mark}{len(tags)}]]"))
        content.append({"type": part["type"], "value": _CUTS[part["type"]].join(shared)})
    rows = zip(*tags, strict=True) if tags else ((),) * len(group)
    names = list(tags.values())
    substitutions = [dict(zip(names, row, strict=True)) for row in rows]
    return _Composed(content, substitutions, [len(json.dumps(each)) if each else 0 for each in substitutions])


def _mark(people: list[Prepared]) -> str:
    """Return how tags begin: something that stands in nobody's mail, name or header."""
    salt = 0
    while True:
        mark = f"[[w{salt}."
        if not any(mark in words for person in people for words in _words(person)):
            return mark
        salt += 1


def _words(person: Prepared) -> Iterator[str]:
    """Yield everything the vendor might look for tags in."""
    [personalization] = person.request["personalizations"]
    yield personalization["subject"]
    yield from personalization["to"][0].values()
    yield from personalization["headers"].values()
    yield from person.request["from"].values()
    for part in person.request["content"]:
        yield part["value"]


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
