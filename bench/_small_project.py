"""The smallest project that sends: one programme, one step, one short text a channel. Imports no pandas.

For the harness that kills senders, benchmarks and tests, each of which says what is different in its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONFIG = """version: 1
business: {name: Acme, timezone: Europe/Paris, country: FR, postal_address: "1 rue X, Paris"}
sources:
  contacts: {kind: csv, path: contacts.csv}
  consents: {kind: csv, path: consents.csv}
  events: [{name: orders, kind: csv, path: orders.csv, behaviour: purchase, timezone: UTC}]
"""
TEXT_PRICE = 0.07
LIVE = f"""{CONFIG}live: true
channels:
  email: {{provider: sendgrid, people_per_request: 10, from: "Acme <hello@acme.example>"}}
  sms: {{provider: twilio, per_second: 2000, from: "+33600000000", price_per_segment: {TEXT_PRICE}}}
"""
"""By the real providers, few mails a request, so that a night has many calls."""

MAIL = """<mjml><mj-head><mj-title>Hi {{ customer.first_name }}</mj-title></mj-head><mj-body><mj-section><mj-column>
<mj-text>Hi {{ customer.first_name }}</mj-text><mj-button href="{{ links.act }}">Open</mj-button>
<mj-text>{{ business.name }}, {{ business.postal_address }} <a href="{{ links.unsubscribe }}">Stop</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
TEXT = "{{ business.name }}: hi {{ customer.first_name }} {{ links.act }} STOP"


def policy(channels: Sequence[str]) -> str:
    """Return a policy with one step by some channels."""
    return (
        "version: 1\nprogramme: winback\ntrigger: {behaviours: [purchase]}\nladder:\n  steps:\n"
        f"    - {{day: 30, kind: survey, channels: [{', '.join(channels)}], template: survey}}\n"
    )


def write(root: Path, config: str, *, channels: Sequence[str], templates: Mapping[str, str] | None = None) -> None:
    """Write a project's files, over what is there.

    Parameters
    ----------
    root : made where it is not there
    config : of winback.yaml
    channels : of the one step
    templates : by file name; the short ones above where none are given
    """
    texts = {"survey.email.mjml": MAIL} | {f"survey.{one}.liquid": TEXT for one in channels if one != "email"}
    files = {"winback.yaml": config, "policies/winback.yaml": policy(channels)}
    files |= {f"templates/{name}": text for name, text in (texts if templates is None else templates).items()}
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
