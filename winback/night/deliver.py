"""Deliver what is due: claim, render, hand over, record. Imports neither pandas nor Prefect; many may run at once.

In: planned messages in the ledger. Out: each claimed one in a named state. The claim commits before anything is handed
over, and the hand-over is one call outside any transaction. Must never happen: a message handed over twice, or in a
text that nobody planned.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from winback.channels import Outcome, OutgoingMessage, Prepared, SendResult
from winback.channels.outbox_pages import write_pages
from winback.channels.registry import open_channels, outbox_of
from winback.core.rendering import MessageFacts
from winback.errors import GuardRefused, SendRefused, StoreUnavailable, TemplateError
from winback.ledger import claims, queue
from winback.ledger.schema import messages
from winback.night.check import load_programmes
from winback.night.render import (
    customer_fields,
    make_renderer,
    merge_fields_of,
    read_templates,
    step_of,
    used_templates,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from winback.channels import Channel
    from winback.core.rendering import Rendered
    from winback.ledger.engine import Ledger
    from winback.settings import Project

DEFERRED_FOR = timedelta(minutes=5)
CALLBACK_PATH = "/hooks/twilio/status"

_OUTCOMES = {
    Outcome.ACCEPTED: queue.Outcome.ACCEPTED,
    Outcome.REFUSED: queue.Outcome.REJECTED,
    Outcome.DEFERRED: queue.Outcome.DEFERRED,
    Outcome.UNKNOWN: queue.Outcome.UNKNOWN,
}


def deliver(project: Project, ledger: Ledger, *, now: datetime, write_outbox_pages: bool = True) -> dict[str, int]:
    """Send everything that is due, and return how many messages ended how.

    Parameters
    ----------
    project, ledger : opened
    now : aware; what is due by then is sent
    write_outbox_pages : also bring ``var/outbox/index.html`` up to date

    Returns
    -------
    ``accepted``, ``rejected``, ``deferred``, ``unknown``: outcomes of calls; ``refused``: what the gate kept back. Only
    those that occurred

    Raises
    ------
    PolicyError, TemplateError, SettingsError
        If the project is not sound; nothing was claimed.
    GuardRefused
        If the red button is pressed; what was claimed before has been recorded.
    """
    sender = _Sender(project, ledger, now=now)
    with ledger.lock(sender.owner, is_used_once=True):
        sender.bury_the_dead()
        try:
            sender.drain()
        finally:
            if write_outbox_pages and sender.counts[Outcome.ACCEPTED.value]:
                _write_pages(project)
    if sender.is_stopped:
        raise GuardRefused("sending is stopped: `winback resume --reason …` lets it go on")
    return dict(sender.counts)


def _write_pages(project: Project) -> None:
    try:
        write_pages(outbox_of(project))
    except OSError as problem:
        what = f"the messages are in the outbox, but its pages cannot be written: {problem}"
        raise StoreUnavailable(what) from problem


class _Sender:
    """One process that sends, known to others by the lock ``owner``."""

    def __init__(self, project: Project, ledger: Ledger, *, now: datetime) -> None:
        self.project, self.ledger, self.now = project, ledger, now
        self.owner = f"sender-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.counts: Counter[str] = Counter()
        self.is_stopped = False
        self.channels = open_channels(project)
        programmes = load_programmes(project.root)
        self.programmes = {programme.programme: programme for programme in programmes}
        self.templates = read_templates(project.root, project.config)
        fields = merge_fields_of(self.templates, used=used_templates(programmes))
        self.renderer = make_renderer(project, self.templates, key=ledger.pepper, merge_fields=fields)

    def bury_the_dead(self) -> None:
        """Call unknown what dead senders left, then settle by evidence what the local outbox holds after all."""
        columns = messages.c.message_id, messages.c.attempts, messages.c.owner
        with self.ledger.writing() as connection:
            queue.recover(connection, is_alive=self.ledger.is_locked, now=self.now)
            left = connection.execute(select(*columns).where(messages.c.state == queue.MessageState.UNKNOWN)).all()
        if not left:
            return
        held = {result.message_id: result for result in outbox_of(self.project).reconcile([row[0] for row in left])}
        with self.ledger.writing() as connection:
            for message_id, attempt_no, owner in left:
                if message_id in held:
                    result = _recorded(held[message_id], attempt_no=attempt_no, provider="outbox")
                    queue.record_results(connection, [result], owner=owner, now=self.now)

    def drain(self) -> None:
        """Send until nothing is due on any channel, or the red button is pressed."""
        for name, channel in self.channels.items():
            while not self.is_stopped:
                with self.ledger.writing() as connection:
                    claim = claims.claim(
                        connection, limit=channel.max_batch, now=self.now, owner=self.owner, channel=name
                    )
                self.is_stopped = claim.is_stopped
                if claim.is_drained:
                    break
                self.counts.update({"refused": sum(claim.refused.values())} if claim.refused else {})
                self.hand_over(claim.messages, channel)

    def hand_over(self, claimed: Sequence[claims.Claimed], channel: Channel) -> None:
        """Render one claim, make one call, record what became of each message."""
        ready: list[Prepared] = []
        results: list[queue.Result] = []
        attempts = {message.message_id: message.attempt_no for message in claimed}
        for message in claimed:
            try:
                ready.append(channel.prepare(self.outgoing(message)))
            except (SendRefused, TemplateError) as problem:
                refused = SendResult(message_id=message.message_id, outcome=Outcome.REFUSED, error=str(problem))
                results.append(_recorded(refused, attempt_no=message.attempt_no, provider=channel.name))
        calls = channel.calls(ready)
        sent = [result for call in calls for result in channel.send(call, now=self.now)]
        posted = [prepared for call in calls for prepared in call]
        for prepared, result in zip(posted, sent, strict=True):
            attempt_no = attempts[result.message_id]
            rendered = prepared.message.rendered
            later = self.now + timedelta(seconds=result.retry_after_seconds or DEFERRED_FOR.total_seconds())
            recorded = _recorded(result, attempt_no=attempt_no, provider=channel.name, rendered=rendered, later=later)
            results.append(recorded)
        with self.ledger.writing() as connection:
            queue.record_results(connection, results, owner=self.owner, now=self.now)
        self.counts.update(Counter(result.outcome.value for result in results))

    def outgoing(self, message: claims.Claimed) -> OutgoingMessage:
        """Return a claimed message, rendered.

        Raises
        ------
        TemplateError, SendRefused
            If it cannot be rendered, or is not what was planned, or lacks what the law asks for.
        """
        step = step_of(self.programmes, message.programme, message.step)
        if step is None:
            raise SendRefused("the policy has no such step any more: it was changed after the plan")
        known = self.templates.template_hash(message.template, message.channel, message.locale)
        if known != message.template_hash:
            raise SendRefused(f"the template {message.template} was changed after the plan")
        rendered = self.renderer.render(
            MessageFacts(
                message_id=message.message_id,
                template=message.template,
                channel=message.channel,
                locale=message.locale,
                programme=message.programme,
                step=message.step,
                day=step.day,
                kind=step.kind,
                terms_url=step.terms_url,
                customer=customer_fields(message.contact),
            )
        )
        faults = self.renderer.faults_of(rendered)
        if faults:
            raise SendRefused("; ".join(faults))
        return self._addressed(message, rendered, kind=step.kind)

    def _addressed(self, message: claims.Claimed, rendered: Rendered, *, kind: str) -> OutgoingMessage:
        contact = message.contact
        configured = getattr(self.project.config.channels, message.channel)
        base = self.project.config.business.public_base_url.rstrip("/")
        is_text = message.channel != "email"
        return OutgoingMessage(
            message_id=message.message_id,
            rendered=rendered,
            address=message.address,
            name=" ".join(part for part in (contact["first_name"], contact["last_name"]) if part),
            sender=getattr(configured, "sender", ""),
            status_callback=f"{base}{CALLBACK_PATH}?message_id={message.message_id}" if is_text else "",
            programme=message.programme,
            step=message.step,
            kind=kind,
            as_of=message.as_of,
            customer_id=message.customer_id,
        )


def _recorded(
    result: SendResult,
    *,
    attempt_no: int,
    provider: str,
    rendered: Rendered | None = None,
    later: datetime | None = None,
) -> queue.Result:
    """Return a channel's result as the ledger records it."""
    return queue.Result(
        message_id=result.message_id,
        attempt_no=attempt_no,
        outcome=_OUTCOMES[result.outcome],
        provider=provider,
        provider_id=result.provider_id,
        error=result.error,
        not_before_at=later if result.outcome is Outcome.DEFERRED else None,
        segments=rendered.size.segments if rendered and rendered.size else None,
        cost=rendered.price if rendered else None,
    )
