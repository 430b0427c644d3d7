"""What a message says, for somebody who looks at it: as it is stored, or rendered again.

In: a message of the ledger. Out: the very request a provider gets, and what a reader of it sees. A message in the local
outbox is shown as it was stored. Of one that a provider took no text is kept: it is rendered again from today's facts,
as long as its template is the one that was planned. Nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winback.channels.local_outbox import LocalOutbox
from winback.channels.registry import outbox_of
from winback.core.sms import measure
from winback.errors import SendRefused, WinbackError
from winback.ledger.claims import Claimed
from winback.ledger.gate_facts import ADDRESS_COLUMNS
from winback.night.check import load_programmes
from winback.night.compose import Composer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.channels import OutgoingMessage
    from winback.channels.local_outbox import Stored
    from winback.ledger.outbox_rows import Letter
    from winback.settings import Project


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One message as its reader sees it.

    Attributes
    ----------
    request : what the provider gets, exactly
    is_stored : as it was handed over; else rendered again
    sender, recipient, name : as the request has them; the name may be empty
    subject, html, headers : empty where the channel has none
    encoding, segments, offending : of an SMS, as networks count it
    price : in the business's currency
    """

    request: dict[str, Any]
    is_stored: bool
    file: str
    language: str
    sender: str
    recipient: str
    name: str
    subject: str
    html: str
    text: str
    headers: tuple[tuple[str, str], ...]
    encoding: str
    segments: int
    offending: tuple[str, ...]
    price: float


def show(project: Project, letter: Letter, *, key: bytes) -> Shown | str:
    """Return what a message says, or a sentence that says why nobody can tell.

    Parameters
    ----------
    letter : of the ledger
    key : the ledger's pepper, which signs links
    """
    message_id: str = letter.row["message_id"]
    outbox = outbox_of(project)
    stored, request = outbox.find([message_id]).get(message_id), outbox.request(message_id)
    if stored is not None and request is not None:
        return _shown(request, letter, of=_facts_of_stored(stored), is_stored=True)
    if letter.contact is None:
        return "The text of this message is not kept, and its reader is in the contacts no more."
    try:
        composer = Composer(project, load_programmes(project.root), key=key)
        outgoing = composer.compose(_as_claimed(letter.row, letter.contact))
        request = LocalOutbox(outbox.folder).prepare(outgoing).request
    except SendRefused as problem:
        return f"The text of this message is not kept, and cannot be made again: {problem}."
    except WinbackError:
        why = "the project's policies or templates have faults: `winback check` names them"
        return f"The text of this message is not kept, and {why}."
    return _shown(request, letter, of=_facts_of_rendered(outgoing), is_stored=False)


def _shown(request: dict[str, Any], letter: Letter, *, of: Mapping[str, Any], is_stored: bool) -> Shown:
    channel = letter.row["channel"]
    said = _mail_parts(request) if channel == "email" else _text_parts(request)
    size = measure(said["text"]) if channel == "sms" else None
    return Shown(
        request=request,
        is_stored=is_stored,
        encoding=size.encoding if size else "UTF-8",
        segments=size.segments if size else 0,
        offending=size.offending if size else (),
        **said,
        **of,
    )


def _facts_of_stored(stored: Stored) -> dict[str, Any]:
    names = ("file", "language", "name", "price")
    return {"recipient": stored.address, **{name: getattr(stored, name) for name in names}}


def _facts_of_rendered(outgoing: OutgoingMessage) -> dict[str, Any]:
    rendered = outgoing.rendered
    names = ("file", "language", "price")
    about = {"recipient": outgoing.address, "name": outgoing.name}
    return {**about, **{name: getattr(rendered, name) for name in names}}


def _mail_parts(request: Mapping[str, Any]) -> dict[str, Any]:
    personalization, sender = request["personalizations"][0], request["from"]
    content = {part["type"]: part["value"] for part in request["content"]}
    return {
        "sender": f"{sender['name']} <{sender['email']}>" if "name" in sender else sender["email"],
        "subject": personalization["subject"],
        "html": content["text/html"],
        "text": content["text/plain"],
        "headers": tuple(sorted(personalization["headers"].items())),
    }


def _text_parts(request: Mapping[str, Any]) -> dict[str, Any]:
    sender = str(request.get("From", "")).removeprefix("whatsapp:")
    return {"sender": sender, "subject": "", "html": "", "text": str(request["Body"]), "headers": ()}


def _as_claimed(row: Mapping[str, Any], contact: Mapping[str, Any]) -> Claimed:
    """Return a message as its sender had it, with the contact as they are now."""
    same = {name: row[name] for name in Claimed._fields if name in row}
    address = contact[ADDRESS_COLUMNS[row["channel"]]] or ""
    return Claimed(**same, attempt_no=row["attempts"], address=address, contact=contact)
