"""Stop writing to one person, or stop everything: at once, and with a line in the audit log.

In: a project and who asks for it. Out: counts. Must never happen: an opt-out that is acknowledged and not effective.
Imports no pandas: pages refuse, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from winback import documents
from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import contact_rows, held_steps, outgoing, refusals, switches
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.ledger.engine import Ledger
    from winback.settings import Project

REASONS = (Reason.OPTED_OUT, Reason.COMPLAINED, Reason.INVALID_ADDRESS)


def suppress(project: Project, who: str, *, channel: str, reason: str, actor: str, now: datetime) -> dict[str, Any]:
    """Opt a person out by address or by customer id, effective when this returns.

    Raises
    ------
    UsageError
        If ``who`` is neither an address nor a known customer, or the reason is none.
    """
    act = refusals.Act(now, project.business_date(now), source="cli", actor=actor)
    with open_project_ledger(project) as ledger:
        return suppress_in(ledger, who, act, channel=channel, reason=reason)


def suppress_in(ledger: Ledger, who: str, act: refusals.Act, *, channel: str, reason: str) -> dict[str, Any]:
    """Do the same as :func:`suppress` in an open ledger, under an act of whoever asks for it."""
    known = {one.value: one for one in REASONS}
    if reason not in known:
        raise UsageError(
            f"--reason {reason}: expected one of {', '.join(known)}{documents.nearest(reason, list(known))}"
        )
    with ledger.writing() as connection:
        target = _target(connection, who, channel)
        new = refusals.suppress(connection, target, act, pepper=ledger.pepper, reason=known[reason])
    return {"channel": channel, "reason": reason, "new": new, "effective_at": act.at.isoformat()}


def _target(connection: Connection, who: str, channel: str) -> refusals.Target:
    """Return whom a word on the command line means."""
    one_channel = None if channel == "all" else channel
    address = read_address(who)
    if address is not None:
        return refusals.Target(one_channel, address=address)
    require_customer(connection, who)
    return refusals.Target(one_channel, customer_id=who)


def read_address(who: str) -> str | None:
    """Return an address in the form addresses are compared in; None for what is none and may be a customer's id.

    Raises
    ------
    UsageError
        If it looks like an address and is none.
    """
    if "@" in who:
        try:
            # Test domains are addresses, too.
            checked = validate_email(who, check_deliverability=False, test_environment=True)
        except EmailNotValidError as problem:
            raise UsageError(f"{who!r} is no e-mail address: {problem}") from problem
        return (checked.ascii_email or checked.normalized).lower()
    if who.startswith("+"):
        try:
            number = phonenumbers.parse(who)
        except phonenumbers.NumberParseException as problem:
            raise UsageError(f"{who!r} is no phone number: {problem}") from problem
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return None


def require_customer(connection: Connection, customer_id: str) -> None:
    """Refuse an id that nobody has.

    Raises
    ------
    UsageError
        If nobody has it.
    """
    if contact_rows.read_contact(connection, customer_id) is None:
        near = documents.nearest(customer_id, contact_rows.some_customer_ids(connection))
        raise UsageError(f"unknown customer {customer_id!r}{near}: give an id of the contacts feed, or an address")


def press_stop(project: Project, *, reason: str, actor: str, now: datetime) -> dict[str, Any]:
    """Press the red button; pressing it again changes nothing."""
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        was_new = switches.press(connection, at=now, by=actor, reason=reason)
    return {"stopped": True, "changed": was_new}


def release_step(project: Project, name: str, *, reason: str, actor: str, now: datetime) -> dict[str, Any]:
    """Release a step that complaints are holding.

    Raises
    ------
    UsageError
        If no such step is held, or no reason is given.
    """
    if not reason.strip():
        raise UsageError("--reason is empty: say why this step may be sent again")
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        held = [step.name for step in held_steps.held_steps(connection)]
        if name not in held:
            near = documents.nearest(name, held)
            raise UsageError(f"--step {name}: no such step is held{near}. Held now: {', '.join(held) or 'none'}")
        held_steps.release_step(connection, name, reason=reason, by=actor, now=now)
    return {"step": name, "held": False}


def release_stop(project: Project, *, reason: str, actor: str, now: datetime) -> dict[str, Any]:
    """Release the red button; releasing it again changes nothing."""
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        was_pressed = switches.release(connection, at=now, by=actor, reason=reason)
    return {"stopped": False, "changed": was_pressed}


def resume_hook(project: Project, name: str, *, reason: str, actor: str, now: datetime) -> dict[str, object]:
    """Ask a listener again, for all that is kept, and write down who says so.

    Raises
    ------
    UsageError
        If winback.yaml names no such hook, or no reason is given.
    """
    if not reason.strip():
        raise UsageError("--reason is empty: say why this hook may be asked again")
    known = [one.name for one in project.config.hooks.outgoing]
    if name not in known:
        raise UsageError(f"--hook {name}: winback.yaml names no such hook: {', '.join(known) or 'none'}")
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        waiting = outgoing.resume(connection, name, by=actor, reason=reason, now=now)
    return {"hook": name, "waiting": waiting}
