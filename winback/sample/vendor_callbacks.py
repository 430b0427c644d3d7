"""What the fake vendors report later: SendGrid's signed events and Twilio's signed status callbacks.

In: acceptances. Out: reports, each with its delay, and the signatures they carry. All of it depends on the seed, the
faults and the message alone. Must never happen: a report of a state the vendor would not have reached.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winback.channels.made_up_reports import mail_event, text_state
from winback.sample.vendor_faults import share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.sample.acceptance_log import Acceptance
    from winback.sample.vendor_faults import CallbackFaults

MAIL_OUTCOMES: Mapping[str, tuple[dict[str, Any], ...]] = {
    "delivered": ({"event": "delivered", "response": "250 OK"},),
    "bounced": ({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such user"},),
    "blocked": ({"event": "bounce", "type": "blocked", "status": "4.7.1", "reason": "450 try later"},),
    "deferred": ({"event": "deferred", "attempt": "1", "response": "450 busy"}, {"event": "delivered"}),
    "dropped": ({"event": "dropped", "reason": "Bounced Address"},),
    "dropped_unsubscribed": ({"event": "dropped", "reason": "Unsubscribed Address"},),
    "complained": ({"event": "delivered"}, {"event": "spamreport"}),
    "unsubscribed": ({"event": "delivered"}, {"event": "unsubscribe"}),
    "group_unsubscribed": ({"event": "delivered"}, {"event": "group_unsubscribe", "asm_group_id": 1}),
    "opened": ({"event": "delivered"}, {"event": "open", "sg_machine_open": False}),
    "opened_by_machine": ({"event": "delivered"}, {"event": "open", "sg_machine_open": True}),
    "clicked": ({"event": "delivered"}, {"event": "click", "url": "https://example.invalid/s/1"}),
}
"""Outcome to the events that follow ``processed``; a dropped mail is never processed."""

TEXT_OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "delivered": ("sent", "delivered"),
    "read": ("sent", "delivered", "read"),
    "undelivered": ("sent", "undelivered"),
    "failed": ("failed",),
}
"""Outcome to the states that follow the first one; ``undelivered:30005`` names the code, too."""

_USUAL_CODES = {"undelivered": "30003", "failed": "30008"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """One thing a vendor says about one message.

    Attributes
    ----------
    delay_seconds : after the acceptance
    vendor : sendgrid or twilio
    message_id : ours
    state : name of the event or state, for the record
    fields : what is sent
    address : of a status callback, as the request gave it
    is_posted : False when only the vendor's own listing changes
    """

    delay_seconds: float
    vendor: str
    message_id: str
    state: str
    fields: dict[str, Any]
    address: str = ""
    is_posted: bool = True


def reports_of(accepted: Acceptance, faults: CallbackFaults, seed: int, *, now_seconds: float) -> list[Report]:
    """Return what will be reported about one message, in the order it will be sent.

    Parameters
    ----------
    accepted : the message
    faults : what goes wrong on the way
    seed : of every draw
    now_seconds : Unix time of the acceptance
    """

    def happens(name: str, probability: float) -> bool:
        return probability > 0 and share(f"{seed}:{name}", accepted.message_id) < probability

    reports = _stages(accepted, _outcome(accepted, faults, seed), now_seconds)
    is_posted = not happens("missing", faults.missing)
    if happens("reordered", faults.reordered):
        reports.reverse()
    if happens("duplicate", faults.duplicate):
        reports = [again for report in reports for again in (report, _repeated(report))]
    wait = faults.late_seconds if happens("late", faults.late) else 0.0
    return [
        Report(**vars(report) | {"delay_seconds": wait + faults.delay_seconds * place, "is_posted": is_posted})
        for place, report in enumerate(reports, 1)
    ]


def _outcome(accepted: Acceptance, faults: CallbackFaults, seed: int) -> str:
    person = accepted.recipient.removeprefix("whatsapp:")
    if person in faults.people:
        return faults.people[person]
    drawn = share(f"{seed}:outcome", accepted.message_id)
    known = MAIL_OUTCOMES if accepted.vendor == "sendgrid" else TEXT_OUTCOMES
    for outcome, probability in faults.outcomes.items():
        if outcome.partition(":")[0] in known:
            drawn -= probability
            if drawn < 0:
                return outcome
    return "delivered"


def _stages(accepted: Acceptance, outcome: str, now_seconds: float) -> list[Report]:
    """Return the reports of a message as they would come if nothing went wrong on the way."""
    if accepted.vendor == "sendgrid":
        events = MAIL_OUTCOMES[outcome]
        if events[0]["event"] != "dropped":
            events = ({"event": "processed"}, *events)
        return [_mail_report(accepted, event, place, now_seconds) for place, event in enumerate(events)]
    name, _, code = outcome.partition(":")
    states = TEXT_OUTCOMES[name]
    resource = accepted.resource or {}
    if resource.get("status") == "accepted":
        # No callback tells of the first state.
        states = ("queued", *states)
    codes = {name: code or _USUAL_CODES.get(name, "")}
    return [_text_report(accepted, state, codes.get(state, "")) for state in states]


def _mail_report(accepted: Acceptance, event: dict[str, Any], place: int, now_seconds: float) -> Report:
    identity = hashlib.blake2b(f"{accepted.provider_id}:{place}".encode(), digest_size=16).hexdigest()
    fields = mail_event(
        event,
        message_id=accepted.message_id,
        provider_id=accepted.provider_id,
        recipient=accepted.recipient,
        at_seconds=int(now_seconds),
        identity=identity,
    )
    return Report(
        delay_seconds=0, vendor="sendgrid", message_id=accepted.message_id, state=event["event"], fields=fields
    )


def _text_report(accepted: Acceptance, state: str, code: str) -> Report:
    resource = accepted.resource or {}
    fields = text_state(
        state,
        code,
        account=resource.get("account_sid", ""),
        sid=accepted.provider_id,
        sender=resource.get("from") or "",
        recipient=accepted.recipient,
    )
    return Report(
        delay_seconds=0,
        vendor="twilio",
        message_id=accepted.message_id,
        state=state,
        fields=fields,
        address=accepted.callback,
    )


def _repeated(report: Report) -> Report:
    """Return a report as it comes the second time: SendGrid may give a repeated event a new id."""
    if "sg_event_id" not in report.fields or int(report.fields["sg_event_id"], 16) % 2:
        return report
    return Report(**vars(report) | {"fields": report.fields | {"sg_event_id": report.fields["sg_event_id"][::-1]}})
