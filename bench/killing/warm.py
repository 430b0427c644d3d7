"""What every sender is forked from: a process in which everything is imported, and one delivery has run for nothing.

Only the server that forks senders imports this. The delivery is of an empty ledger in a folder of its own; it reads the
rules, the zones and the holidays that every delivery reads, so that a killed sender costs its kill and not its start.
No connection, lock, file or thread of it is left when it ends.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench._small_project import LIVE, write
from winback.core import slots
from winback.ledger.engine import open_ledger, upgrade
from winback.night.dated_rules import read_rules
from winback.night.deliver import deliver
from winback.settings import load_project

_AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
_PLACES = [("sms", "FR", "", "Europe/Paris", ""), ("sms", "US", "CA", "America/Los_Angeles", "")]
_NOWHERE = {
    **dict.fromkeys(("SENDGRID_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"), "none"),
    **dict.fromkeys(("SENDGRID_BASE_URL", "TWILIO_BASE_URL"), "http://127.0.0.1:9"),
}
"""Nothing is due, so nothing is called."""

_NEEDED = (
    "bench.killing.sender",
    "holidays.countries",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "twilio.rest.api.v2010.account",
    "winback.channels.sendgrid_mail",
    "winback.channels.twilio_texts",
)


def warm_up() -> None:
    """Import what a sender imports, and deliver nothing once."""
    # The doubles speak plain HTTP: to read the machine's certificates took a quarter of a sender's start.
    os.environ["SSL_CERT_FILE"] = os.devnull
    for name in _NEEDED:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, LIVE, channels=["email", "sms"])
        project = load_project(root, _NOWHERE)
        hours, _countries = read_rules(project)
        for place in _PLACES:
            slots.may_arrive(place, hours=hours, at=_AT, business_zone="Europe/Paris")
        url = f"sqlite:///{root / 'warm.db'}"
        upgrade(url)
        with open_ledger(url, pepper=b"warm" * 8) as ledger:
            deliver(project, ledger, now=_AT, write_outbox_pages=False)


warm_up()
