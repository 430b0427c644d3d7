"""Deciding about everybody: drafts, arbitration, limits and guards of a night whose sources are read and assessed.

The floor is to read what a plan has to read at the least: contacts, consents and profiles. A plan writes nothing, so
every repetition makes the same one; its hash is part of the checksum.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench._made_shop import make_shop
from bench._rounds import Round, checksum, measured, medians
from winback.ledger import people
from winback.night.assess import assess, population_fits
from winback.night.opening import Night, open_night
from winback.night.plan import Plan, plan
from winback.night.run import sync_sources
from winback.settings import load_project, wall_clock

if TYPE_CHECKING:
    from datetime import date


def read_least(night: Night) -> None:
    """Read contacts, consents and profiles once."""
    with night.ledger.reading() as connection:
        people.read_contacts(connection, as_of=night.as_of)
        people.read_consents(connection)
    night.store.profiles(night.as_of)


def decided(made: Plan, shards: int) -> str:
    """Return a checksum of a plan's hash and of every decision in it."""
    rows = pd.concat([made.one_each(shard) for shard in range(shards)])
    return f"{made.plan_hash}-{checksum(rows[['customer_id', 'programme', 'action', 'reason', 'step']])}"


def rounds_of(root: Path, as_of: date, repetitions: int) -> list[Round]:
    """Plan the same night several times."""
    rounds = []
    with open_night(load_project(root), as_of=as_of, now=wall_clock()) as night:
        assess(night)
        for _ in range(repetitions):
            with tempfile.TemporaryDirectory() as shards:
                floor, _wall, _none = measured(read_least, night)
                cpu, wall, made = measured(lambda into: plan(night, population_fits(night), folder=into), Path(shards))
                rounds.append(Round(cpu, wall, floor, decided(made, night.shards)))
    return rounds


def run(*, customers: int = 100_000, events_per_customer: int = 20, repetitions: int = 3) -> dict[str, Any]:
    """Run the case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shop"
        as_of = make_shop(root, customers=customers, events_per_customer=events_per_customer)
        sync_sources(load_project(root), as_of=as_of, now=wall_clock())
        rounds = rounds_of(root, as_of, repetitions)
    return {"case": "plan", "customers": customers, **medians(rounds)}
