"""A full night on real histories: every decision explained one by one, sums that add up, increments like a fresh start.

The events are real; contacts and consents are made up here. The data sets lie beside a checkout; where they are not,
these tests skip and say so.
"""

import csv
import gzip
import os
import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest
from night_world import CONSENTS, Shop, policy

from winback.core import explanation
from winback.core.reasons import Reason
from winback.ledger import verdicts
from winback.night.opening import open_store

SHARED = Path(os.environ.get("WINBACK_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
SEED = 11

# name, a day inside the data, how many customers (None: all of them), days to look ahead
SETS = [
    ("cdnow", date(1998, 1, 2), 1200, 90),
    ("online_retail", date(2011, 10, 3), 1200, 60),
    ("grocery_elog", date(2007, 6, 4), None, 60),
    ("rails_commits", date(2016, 1, 4), 1200, 180),
]

pytestmark = pytest.mark.shared


def events_of(name: str, customers: int | None) -> list[tuple[str, str]]:
    """Return (customer, day) of a seeded sample of the customers, or of all."""
    file = SHARED / f"{name}.csv.gz"
    if not file.exists():
        pytest.skip(f"needs the data set {file} (WINBACK_SHARED)")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        rows = [(row["customer_id"], row["timestamp"]) for row in csv.DictReader(stream)]
    ids = sorted({customer for customer, _ in rows})
    kept = set(ids if customers is None else random.Random(SEED).sample(ids, customers))
    return [row for row in rows if row[0] in kept]


def shop_of(root: Path, name: str, customers: int | None, horizon_days: int) -> Shop:
    """Return a project whose only feed is a real one, under the names its file gives its columns."""
    rows = events_of(name, customers)
    ids = sorted({customer for customer, _ in rows})
    shop = Shop(root, customers=1)
    shop.write(
        "orders.csv.gz", gzip.compress(("customer_id,timestamp\n" + "".join(f"{a},{b}\n" for a, b in rows)).encode())
    )
    shop.write(
        "contacts.csv",
        "customer_id,email,country,locale,shop\n"
        + "".join(f"{one},p{n}@mail.example,FR,fr,real\n" for n, one in enumerate(ids)),
    )
    consents = [
        f"{one},email,marketing,granted,express,1990-01-05T10:00:00Z,form,v1\n" for n, one in enumerate(ids) if n % 10
    ]
    shop.write("consents.csv", CONSENTS + "".join(consents))
    source = {
        "name": "orders",
        "kind": "csv",
        "path": "orders.csv.gz",
        "behaviour": "purchase",
        "timezone": "UTC",
        "columns": {"occurred_at": "timestamp"},
        # Nobody commits or buys on some days of these histories.
        "max_staleness_hours": 240,
    }
    shop.configure(sources=shop.config["sources"] | {"events": [source]}, guards={"volume": [0.02, 50.0]})
    # The histories grow for years before and after the night; a night reads only what was known on its day.
    threshold = policy()["threshold"] | {"horizon_days": horizon_days, "ceiling_days": 365}
    shop.policies(winback={"threshold": threshold, "hold_out": {"share": 0.1}})
    return shop


@pytest.mark.parametrize(("name", "day", "customers", "horizon_days"), SETS, ids=[one[0] for one in SETS])
def test_a_night_of_long_ago_is_decided_and_explained(tmp_path, name, day, customers, horizon_days):
    shop = shop_of(tmp_path / "shop", name, customers, horizon_days)
    report = shop.night(day)
    contacts = len((shop.root / "contacts.csv").read_text().splitlines()) - 1

    # Sums: one decision a contact, one message a send, and each count is told once.
    assert report["contacts"] == contacts
    for key in ("decisions", "reasons", "segments"):
        assert sum(report[key].values()) == contacts
    assert report["decisions"]["send"] == sum(report["steps"].values()) == sum(report["channels"].values())
    assert report["new_messages"] == report["decisions"]["send"] > 0
    assert report["messages"] == {"accepted": report["new_messages"]}
    decided = shop.decided(day)
    assert Counter(row["reason"] for row in decided.values()) == report["reasons"]

    # Every decision, from the facts stored with it and nothing else.
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        rows = verdicts.read_decisions(connection, day)
    assert len(rows) == contacts
    for row in rows[rows["reason"] != Reason.NO_PROGRAMME.value].to_dict("records"):
        facts = explanation.read_facts(row["facts"])
        told = explanation.explain(facts)
        assert (told.action, told.reason) == (row["action"], row["reason"])
        assert facts["last_on"] is None or facts["last_on"] <= str(day)

    # One of each reason as a person would ask, and the numbers are those of the history.
    days = history(name, customers, day)
    asked = {row["reason"]: one for one, row in decided.items()}
    for reason, one in asked.items():
        story = shop.do("--json", "explain", one, "--as-of", day).data
        assert (story["reason"], story["action"]) == (reason, decided[one]["action"])
        if one in days:
            silence = (day - max(days[one])).days
            assert decided[one]["silence_days"] == silence
            assert f"{silence} days ago ({max(days[one])})" in story["sentence"]
    unknown = [one for one in decided if one not in days]
    assert {decided[one]["reason"] for one in unknown} <= {"no_programme", "no_activity"}


def history(name: str, customers: int | None, until: date) -> dict[str, list[date]]:
    """Return the days of each customer up to a day, straight from the file."""
    found: dict[str, list[date]] = {}
    for one, day in events_of(name, customers):
        if day <= str(until):
            found.setdefault(one, []).append(date.fromisoformat(day))
    return found


def test_a_later_night_thinks_like_a_fresh_project(tmp_path):
    """Four weeks later, so that the population is due to be fitted again."""
    name, day, customers, horizon_days = SETS[2]
    later = day + timedelta(days=28)
    old = shop_of(tmp_path / "old", name, customers, horizon_days)
    cut(old, name, customers, day)
    old.night(day)
    cut(old, name, customers, later)
    old.night(later, code=None)
    new = shop_of(tmp_path / "new", name, customers, horizon_days)
    new.night(later)
    kept = [open_store(shop.project).read_assessment(later, "rhythms-winback") for shop in (old, new)]
    assert len(kept[0]) > 1000
    assert kept[0].equals(kept[1])
    profiles = [open_store(shop.project).profiles(later) for shop in (old, new)]
    assert profiles[0].equals(profiles[1])
    thresholds = [{one: row["threshold_days"] for one, row in shop.decided(later).items()} for shop in (old, new)]
    walking = {one for one, row in old.decided(later).items() if row["arm"]}
    assert {one: days for one, days in thresholds[0].items() if one not in walking} == {
        one: days for one, days in thresholds[1].items() if one not in walking
    }


def cut(shop: Shop, name: str, customers: int | None, until: date) -> None:
    """Let the feed hold only what had happened by a day."""
    rows = [row for row in events_of(name, customers) if row[1] <= str(until)]
    text = "customer_id,timestamp\n" + "".join(f"{a},{b}\n" for a, b in rows)
    shop.write("orders.csv.gz", gzip.compress(text.encode()))
