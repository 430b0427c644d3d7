"""A project that sends by the doubles of the vendors, and a ledger with one planned message a person.

Every person has an address of their own, so what left can be told from the vendors' log by addresses alone, without
asking the ledger anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from winback.ledger import cycles, keys, people, verdicts
from winback.night.render import read_templates
from winback.settings import load_project

if TYPE_CHECKING:
    from pathlib import Path

    from winback.ledger.engine import Ledger
    from winback.settings import Project

PEPPER = b"kills" * 8
NIGHT = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
_GIVEN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_CONFIG = """version: 1
live: true
business: {name: Acme, timezone: Europe/Paris, country: FR, postal_address: "1 rue X, Paris"}
sources:
  contacts: {kind: csv, path: contacts.csv}
  consents: {kind: csv, path: consents.csv}
  events: [{name: orders, kind: csv, path: orders.csv, behaviour: purchase, timezone: UTC}]
channels:
  email: {provider: sendgrid, people_per_request: 10, from: "Acme <hello@acme.example>"}
  sms: {provider: twilio, per_second: 2000, from: "+33600000000", price_per_segment: 0.07}
"""
_POLICY = """version: 1
programme: winback
trigger: {behaviours: [purchase]}
ladder:
  steps:
    - {day: 30, kind: survey, channels: [email, sms], template: survey}
"""
_MAIL = """<mjml><mj-head><mj-title>Hi {{ customer.first_name }}</mj-title></mj-head><mj-body><mj-section><mj-column>
<mj-text>Hi {{ customer.first_name }}</mj-text><mj-button href="{{ links.act }}">Open</mj-button>
<mj-text>{{ business.name }}, {{ business.postal_address }} <a href="{{ links.unsubscribe }}">Stop</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""
_TEXT = "{{ business.name }}: hi {{ customer.first_name }} {{ links.act }} STOP"


@dataclass(frozen=True)
class Person:
    """Somebody who is meant to get one message.

    Attributes
    ----------
    customer_id : in the ledger
    channel : email or sms
    address : as the vendor writes it down
    """

    customer_id: str
    channel: str
    address: str


def make_project(root: Path, environment: dict[str, str]) -> Project:
    """Write a project with one step and one text a channel, and load it."""
    for name, text in {
        "winback.yaml": _CONFIG,
        "policies/winback.yaml": _POLICY,
        "templates/survey.email.mjml": _MAIL,
        "templates/survey.sms.liquid": _TEXT,
    }.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return load_project(root, environment)


def people_of(trial: int, *, mails: int, texts: int) -> list[Person]:
    """Return the people of a trial; no two trials below 100,000 share anybody."""
    mailed = [Person(f"m{trial}-{one}", "email", f"m{trial}-{one}@example.com") for one in range(mails)]
    numbers = (f"+336{trial:05d}{one:03d}" for one in range(texts))
    return mailed + [Person(f"t{trial}-{one}", "sms", number) for one, number in enumerate(numbers)]


def plan(ledger: Ledger, project: Project, planned: list[Person]) -> None:
    """Queue one message for each person, as a night would: contacts, consents, open cycles, messages."""
    templates = read_templates(project.root, project.config)
    everybody = [one.customer_id for one in planned]
    is_mail = [one.channel == "email" for one in planned]
    channels = [one.channel for one in planned]
    addresses = pd.Series([one.address for one in planned])
    day = pd.Timestamp(NIGHT)
    contacts = pd.DataFrame({"customer_id": everybody, "first_name": "Anna", "country": "FR"}).assign(
        email=addresses.where(is_mail),
        email_key=addresses.where(is_mail),
        phone=addresses.mask(is_mail),
        timezone="Europe/Paris",
    )
    consents = pd.DataFrame({"customer_id": everybody, "channel": channels, "purpose": "marketing"}).assign(
        status="granted", basis="express", recorded_at=pd.Timestamp(_GIVEN), source="form", wording="v1"
    )
    opened = pd.DataFrame({"customer_id": everybody, "programme": "winback", "cycle_no": 1}).assign(
        **dict.fromkeys(("opened_on", "lapsed_on", "anchored_on"), pd.Timestamp("2026-03-01")),
        arm="treated",
        threshold_days=30.0,
        step_offsets="0,30,60",
        policy_hash="policy",
    )
    with ledger.writing() as connection:
        people.replace_contacts(connection, contacts, pepper=PEPPER, as_of=NIGHT)
        people.add_consents(connection, consents, pepper=PEPPER)
        cycles.open_cycles(connection, opened)
        messages = pd.DataFrame({"customer_id": everybody, "programme": "winback", "channel": channels}).assign(
            cycle=1,
            step=1,
            as_of=day,
            local_day=day,
            template="survey",
            template_hash=[templates.template_hash("survey", channel, "fr") for channel in channels],
            locale="fr",
            not_before_at=pd.Timestamp(NOW),
            expires_at=pd.Timestamp(NOW + timedelta(days=3)),
            planned_at=pd.Timestamp(NOW),
            address_hmac=[keys.address_key(PEPPER, one.channel, one.address) for one in planned],
            policy_hash="policy",
            plan_hash="plan",
            cost=0.0,
            segments=1,
        )
        queued = verdicts.queue_messages(connection, messages, pepper=PEPPER)
    if queued.new != len(planned):
        raise RuntimeError(f"{len(planned)} messages were to be planned: {queued}")
