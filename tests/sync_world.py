"""A small shop whose sources are read night by night: for the tests of sync."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import yaml

from winback.activity.store import ActivityStore
from winback.ledger import people, quarantined_rows
from winback.night.sync import sync
from winback.settings import load_project

DAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 3, 30, tzinfo=UTC)
BUSINESS = {"name": "Acme", "timezone": "Europe/Paris", "country": "FR", "postal_address": "1 rue X, Paris"}
CONTACTS = "customer_id,email,phone,country,first_name,shoe_size\n"
CONSENTS = "customer_id,channel,purpose,status,basis,recorded_at\n"
EVENTS = "customer_id,occurred_at,event_id,amount\n"


class Shop:
    """One project with both stores, and nights to run on it."""

    def __init__(self, root, ledger):
        self.root, self.ledger, self.environment = root, ledger, {}
        self.sources = {
            "contacts": {"kind": "csv", "path": "contacts.csv"},
            "consents": {"kind": "csv", "path": "consents.csv"},
            "events": [{"name": "orders", "kind": "csv", "path": "orders.csv", "behaviour": "purchase"}],
        }
        self.write(
            "contacts.csv", CONTACTS + "".join(f"c{n},c{n}@shop.example,061234{n:04d},FR,Ann,{n}\n" for n in range(20))
        )
        granted = "".join(f"c{n},email,marketing,granted,express,2026-01-01T00:00:00Z\n" for n in range(20))
        self.write("consents.csv", CONSENTS + granted)
        self.write("orders.csv", EVENTS + "".join(order(n) for n in range(100)))

    def write(self, name, text):
        path = self.root / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def add(self, name, text):
        with (self.root / name).open("a") as stream:
            stream.write(text)

    @property
    def store(self):
        return ActivityStore.open(self.root / "var/activity", zone=self.project.zone)

    @property
    def project(self):
        config = {"version": 1, "business": BUSINESS, "sources": self.sources, "channels": {}}
        self.write("winback.yaml", yaml.safe_dump(config))
        return load_project(self.root, self.environment)

    def night(self, day=DAY, *, accept=(), now=None):
        now = now or datetime.combine(day, NOW.timetz())
        synced = sync(self.project, self.ledger, self.store, as_of=day, now=now, accept=accept, actor="cli:tester")
        return {source.name: source for source in synced.sources}, synced

    def events(self):
        days = self.store.profiles(date(2026, 12, 31))
        return int(days["n"].sum())

    def contacts(self, day=DAY):
        with self.ledger.reading() as connection:
            return people.read_contacts(connection, as_of=day).set_index("customer_id")

    def quarantine(self, source=None):
        with self.ledger.reading() as connection:
            return quarantined_rows.read_quarantine(connection, source=source)


def order(number, *, days_ago=1):
    day = datetime(2026, 11, 21, 0, 30, tzinfo=UTC) - timedelta(days=days_ago + number)
    return f"c{number % 20},{day.isoformat()},o{number},10.5\n"
