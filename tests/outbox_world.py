"""Messages, a small project and its templates, for tests of rendering, the outbox and delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from bench import _small_project
from winback.channels import OutgoingMessage
from winback.core.rendering import MessageFacts, Prices, Rendered, Renderer
from winback.core.templates import Templates
from winback.settings import Project, load_project

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = date(2026, 3, 10)
MAIL = """<mjml><mj-head><mj-title>{{ customer.first_name | default: "Hello" }}, hi</mj-title>
<mj-preview>From us to you</mj-preview></mj-head><mj-body><mj-section><mj-column>
<mj-text>Hi {{ customer.first_name }} of {{ customer.shop | default: "nowhere" }}</mj-text>
<mj-button href="{{ links.act }}">Open</mj-button>
<mj-text>{{ business.name }}, {{ business.postal_address }} <a href="{{ links.unsubscribe }}">Stop</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
SMS = _small_project.TEXT
FILES = {"survey.email.mjml": MAIL, "survey.sms.liquid": SMS, "survey.whatsapp.liquid": SMS}
BUSINESS = {
    "name": "Acme",
    "timezone": "Europe/Paris",
    "country": "FR",
    "postal_address": "1 rue X, Paris",
    "public_base_url": "http://127.0.0.1:8400",
}
CHANNELS = ["email", "sms", "whatsapp"]
CONFIG = f"""{_small_project.CONFIG}channels:
  email: {{from: "Acme <hello@acme.example>"}}
  sms: {{from: "+33600000000", price_per_segment: 0.07}}
  whatsapp: {{price_per_message: 0.05}}
"""
POLICY = _small_project.policy(CHANNELS)
RENDERER = Renderer(
    Templates(FILES, business=BUSINESS),
    key=b"k",
    prices=Prices(per_sms_segment=0.07, per_whatsapp_message=0.05),
    merge_fields=["shop"],
)


def rendered(number: int = 0, *, channel: str = "email", **customer: object) -> Rendered:
    return RENDERER.render(
        MessageFacts(
            message_id=f"{number:032x}",
            template="survey",
            channel=channel,
            locale="en",
            programme="winback",
            step=1,
            day=30,
            kind="survey",
            customer={"first_name": "Anna", **customer},
        )
    )


def outgoing(
    number: int = 0, *, channel: str = "email", text: dict | None = None, **changes: object
) -> OutgoingMessage:
    """A message; ``text`` changes what was rendered."""
    message = OutgoingMessage(
        message_id=f"{number:032x}",
        rendered=replace(rendered(number, channel=channel), **(text or {})),
        address=f"person{number}@example.org" if channel == "email" else f"+3361{number:07d}",
        name="Anna Miller",
        sender={"email": "Acme <hello@acme.example>", "sms": "+33600000000"}.get(channel, ""),
        programme="winback",
        step=1,
        kind="survey",
        as_of=NIGHT,
        customer_id=f"c{number}",
    )
    return replace(message, **changes)


def make_project(root: Path, files: dict[str, str] | None = None, **environment: str) -> Project:
    _small_project.write(root, CONFIG, channels=CHANNELS, templates=files or FILES)
    return load_project(root, environment)
