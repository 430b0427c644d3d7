"""A project that sends by the doubles of the vendors, and a ledger with one planned message a person.

Every person has an address of their own, so what left can be told from the vendors' log by addresses alone, without
asking the ledger anything. Where somebody lives, and when they may be written to there, stands here a second time, in
plain hours: nothing is asked of the code that sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from bench._queued import queue_each
from bench._small_project import LIVE, write
from winback.night.render import read_templates
from winback.settings import load_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from winback.ledger.engine import Ledger
    from winback.settings import Project

PEPPER = b"kills" * 8
NIGHT = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


class Home(NamedTuple):
    """Where somebody is, and the local hours in which texts may arrive there.

    Attributes
    ----------
    country, region : as feeds write them
    zone : of the person
    opens, closes : hours of the local day, every day of the week, half-open
    basis : of a consent that is worth something there
    prefix : of numbers
    """

    country: str
    region: str
    zone: str
    opens: int
    closes: int
    basis: str
    prefix: str

    def has_open(self, at: datetime) -> bool:
        """Whether a text may arrive at an instant."""
        return self.opens <= at.astimezone(ZoneInfo(self.zone)).hour < self.closes


PARIS = Home("FR", "", "Europe/Paris", 10, 20, "express", "+336")
"""On a Tuesday; on a Sunday, as daylight saving has them, no text goes to France at all."""

LONDONER_IN_PARIS = Home("GB", "", "Europe/Paris", 9, 20, "express", "+447")
NEW_YORK = Home("US", "NY", "America/New_York", 8, 21, "pewc", "+1212")
LOS_ANGELES = Home("US", "CA", "America/Los_Angeles", 8, 21, "pewc", "+1213")


@dataclass(frozen=True)
class Person:
    """Somebody who is meant to get one message.

    Attributes
    ----------
    customer_id : in the ledger
    channel : email or sms
    address : as the vendor writes it down
    home : where they are
    """

    customer_id: str
    channel: str
    address: str
    home: Home = PARIS

    def may_get(self, at: datetime) -> bool:
        """Whether a message may arrive at an instant; mails at any."""
        return self.channel == "email" or self.home.has_open(at)


class Limits(NamedTuple):
    """What one night may send and cost; None is no limit of the trial's own."""

    sends: int | None = None
    cost: float | None = None


UNLIMITED = Limits()


def make_project(root: Path, environment: dict[str, str], limits: Limits = UNLIMITED) -> Project:
    """Write a project with one step and one text a channel, and load it."""
    given = {"max_sends_per_night": limits.sends, "max_cost_per_night": limits.cost}
    said = ", ".join(f"{name}: {value}" for name, value in given.items() if value is not None)
    write(root, f"{LIVE}limits: {{{said}}}\n" if said else LIVE, channels=["email", "sms"])
    return load_project(root, environment)


def people_of(trial: int, *, mails: int, texts: int, homes: Sequence[Home] = (PARIS,)) -> list[Person]:
    """Return the people of a trial; no two trials below 100,000 share anybody."""
    mailed = [Person(f"m{trial}-{one}", "email", f"m{trial}-{one}@example.com") for one in range(mails)]
    texted = []
    for one in range(texts):
        home = homes[one % len(homes)]
        digits = 12 - len(home.prefix)
        number = f"{home.prefix}{trial * 1000 + one:0{digits}d}"
        texted.append(Person(f"t{trial}-{one}", "sms", number, home))
    return mailed + texted


def plan(ledger: Ledger, project: Project, planned: list[Person], *, now: datetime = NOW) -> None:
    """Queue one message for each person, as a night would."""
    templates = read_templates(project.root, project.config)
    is_mail = [one.channel == "email" for one in planned]
    addresses = pd.Series([one.address for one in planned], dtype="str")
    homes = [one.home for one in planned]
    contacts = pd.DataFrame({"customer_id": [one.customer_id for one in planned], "first_name": "Anna"}).assign(
        email=addresses.where(is_mail),
        email_key=addresses.where(is_mail),
        phone=addresses.mask(is_mail),
        country=[home.country for home in homes],
        region=[home.region or None for home in homes],
        timezone=[home.zone for home in homes],
        channel=[one.channel for one in planned],
        basis=[home.basis for home in homes],
    )
    queue_each(
        ledger,
        contacts,
        template_hashes={one: templates.template_hash("survey", one, "fr") for one in ("email", "sms")},
        as_of=now.date(),
        now=now,
        expires_at=now + timedelta(days=3),
    )
