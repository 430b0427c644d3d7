"""From a claimed message to what is handed over: the planned text, rendered for the person as they are now.

In: a claim. Out: :class:`~winback.channels.OutgoingMessage`. Must never happen: a text that nobody planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.channels import OutgoingMessage
from winback.core.rendering import MessageFacts
from winback.errors import SendRefused
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

    from winback.core.policy import Programme
    from winback.core.rendering import Rendered
    from winback.ledger.claims import Claimed
    from winback.settings import Project

CALLBACK_PATH = "/hooks/twilio/status"


class Composer:
    """Knows the project's programmes and templates; compiles each template once.

    Parameters
    ----------
    project : read
    programmes : of the project
    key : the ledger's pepper, which signs links

    Raises
    ------
    TemplateError
        If a template is not sound.
    """

    def __init__(self, project: Project, programmes: Sequence[Programme], *, key: bytes) -> None:
        self.project = project
        self.programmes = {programme.programme: programme for programme in programmes}
        self.templates = read_templates(project.root, project.config)
        fields = merge_fields_of(self.templates, used=used_templates(programmes))
        self.renderer = make_renderer(project, self.templates, key=key, merge_fields=fields)

    def compose(self, message: Claimed) -> OutgoingMessage:
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

    def _addressed(self, message: Claimed, rendered: Rendered, *, kind: str) -> OutgoingMessage:
        contact = message.contact
        configured = getattr(self.project.config.channels, message.channel)
        base = self.project.config.business.public_base_url.rstrip("/")
        is_text = message.channel != "email"
        return OutgoingMessage(
            message_id=message.message_id,
            rendered=rendered,
            address=message.address,
            name=" ".join(part for part in (contact["first_name"], contact["last_name"]) if part),
            sender=getattr(configured, "sender", None) or "",
            status_callback=f"{base}{CALLBACK_PATH}?message_id={message.message_id}" if is_text else "",
            expires_at=message.expires_at,
            programme=message.programme,
            step=message.step,
            kind=kind,
            as_of=message.as_of,
            customer_id=message.customer_id,
        )
