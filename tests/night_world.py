"""A small hand-made shop and the real command line on it: for the tests of whole nights.

The shop's history ends on the eve of ``DAY``, a date in the past, so its nights run with ``--allow-backdated``. Two
programmes count different behaviours, so that a held source of one leaves the other alone.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from unittest.mock import patch

import yaml
from outbox_world import FILES

from winback.cli.app import run_command
from winback.ledger import diary
from winback.night.pepper import open_project_ledger
from winback.settings import load_project

DAY = date(2026, 3, 10)
PEPPER = "pepper of the tests"  # pragma: allowlist secret
CHECKOUT = Path(__file__).parents[1]
CONTACTS = "customer_id,email,phone,first_name,last_name,locale,country,category,shop\n"
CONSENTS = "customer_id,channel,purpose,status,basis,recorded_at,source,wording\n"
EVENTS = "customer_id,occurred_at,event_id,amount\n"
TERMS = "https://www.acme.example/terms"
CUSTOMERS = 90
SEED = 7


@dataclass(frozen=True)
class Answered:
    """What one command line gave."""

    code: int
    out: bytes
    err: str

    @property
    def data(self):
        """Standard output, read as JSON: fails when anything else was printed there."""
        return json.loads(self.out)


def policy(name="winback", **changes) -> dict:
    """A programme of three steps; ``changes`` replace its top-level keys."""
    return {
        "version": 1,
        "programme": name,
        "trigger": {"behaviours": ["purchase"]},
        "threshold": {"horizon_days": 60, "floor_days": 14, "ceiling_days": 120, "default_days": 40},
        "ladder": {
            "steps": [
                {"day": 30, "kind": "survey", "channels": ["email", "sms"], "template": "survey"},
                {"day": 40, "kind": "message", "channels": ["sms", "email"], "template": "survey"},
                {"day": 50, "kind": "coupon", "channels": ["email"], "template": "survey"},
            ],
        },
        "hold_out": {"share": 0.2},
        "backlog": {"first_night": 500, "per_night": 500, "oldest_days": 365},
        **changes,
    }


READERS = {
    "trigger": {"behaviours": ["visit"]},
    "ladder": {"steps": [{"day": 30, "kind": "survey", "channels": ["email"], "template": "survey"}]},
    "value": 0.5,
}


class Shop:
    """A project directory, and the command line on it.

    The secret is the same for every shop, so that two of them put the same people into the control group.
    """

    def __init__(self, root: Path, *, customers: int = CUSTOMERS, environment: dict[str, str] | None = None) -> None:
        self.root, self.environment = root, {"WINBACK_PEPPER": PEPPER, **(environment or {})}
        root.mkdir(parents=True)
        self.config = {
            "version": 1,
            "business": {"name": "Acme", "timezone": "Europe/Paris", "country": "FR", "postal_address": "1 rue X"},
            "sources": {
                "contacts": {"kind": "csv", "path": "contacts.csv"},
                "consents": {"kind": "csv", "path": "consents.csv"},
                "events": [
                    {"name": "orders", "kind": "csv", "path": "orders.csv", "behaviour": "purchase"},
                    {"name": "visits", "kind": "csv", "path": "visits.csv", "behaviour": "visit"},
                ],
            },
            "channels": {"email": {"from": "Acme <hello@acme.example>"}, "sms": {"from": "+33639980001"}},
            "hold_out": {"global_share": 0.02},
        }
        for name, text in FILES.items():
            self.write(f"templates/{name}", text)
        self.policies(winback={}, readers=READERS)
        self.configure()
        for name, text in people(customers).items():
            self.write(name, text)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def add(self, name: str, *lines: str) -> None:
        with (self.root / name).open("a") as stream:
            stream.writelines(line + "\n" for line in lines)

    def drop(self, name: str, start: str) -> None:
        """Take the lines of a file that begin like this away."""
        lines = (self.root / name).read_text().splitlines(keepends=True)
        self.write(name, "".join(line for line in lines if not line.startswith(start)))

    def configure(self, **changes) -> None:
        """Write winback.yaml, with some of its top-level keys replaced."""
        self.config |= changes
        self.write("winback.yaml", yaml.safe_dump(self.config, sort_keys=False))

    def policies(self, **wanted: dict) -> None:
        """Write one policy file each, replacing those that are there."""
        for file in (self.root / "policies").glob("*.yaml"):
            file.unlink()
        for name, changes in wanted.items():
            self.write(f"policies/{name}.yaml", yaml.safe_dump(policy(name, **changes), sort_keys=False))

    def copy(self, root: Path) -> Shop:
        """Return another shop that is the same to the last byte of its state."""
        shutil.copytree(self.root, root)
        other = copy.copy(self)
        other.root, other.environment, other.config = root, dict(self.environment), copy.deepcopy(self.config)
        return other

    @property
    def project(self):
        return load_project(self.root, {**os.environ, **self.environment})

    def do(self, *arguments: object, code: int | None = 0) -> Answered:
        """Run one command line in this process; ``code`` is the exit code it must end with (None: any)."""
        answered = winback("--project", self.root, *arguments, environment=self.environment)
        if code is not None:
            assert answered.code == code, f"{arguments}: {answered.code}\n{answered.err}\n{answered.out.decode()}"
        return answered

    def night(self, day: date = DAY, *arguments: object, code: int | None = 0) -> dict:
        """Run one night and return its report."""
        return self.do("--json", "run", "--as-of", day, "--allow-backdated", *arguments, code=code).data

    def freshen(self, day: date) -> None:
        """Let somebody be seen in each feed on the eve of a day, so that no feed is stale."""
        eve = moment(day - timedelta(days=1)).isoformat()
        self.add("orders.csv", f"c000,{eve},fresh-{day},20")
        self.add("visits.csv", f"c002,{eve},fresh-{day},")

    def decisions(self, day: date = DAY) -> bytes:
        """Return the CSV of a night's decisions."""
        return self.do("decisions", "--as-of", day).out

    def decided(self, day: date = DAY) -> dict[str, dict]:
        rows = self.do("decisions", "--as-of", day, "--format", "json").data
        return {row["customer_id"]: row for row in rows}

    def messages(self, *arguments: object) -> list[dict]:
        return self.do("messages", "--format", "json", *arguments).data

    @contextmanager
    def open_ledger(self):
        """Yield the ledger and the lines of its audit log, the oldest first."""
        with open_project_ledger(self.project) as ledger:
            with ledger.reading() as connection:
                lines = diary.read_entries(connection)
            yield ledger, lines[::-1]

    def shuffle_feeds(self, seed: int) -> None:
        """Put the rows of every feed into another order."""
        for file in self.root.glob("*.csv"):
            header, *lines = file.read_text().splitlines(keepends=True)
            random.Random(seed).shuffle(lines)
            file.write_text(header + "".join(lines))


def winback(*arguments: object, environment: dict[str, str] | None = None) -> Answered:
    """Run one command line in this process, with its own standard output and error."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True), io.StringIO()
    with patch.dict(os.environ, environment or {}), redirect_stdout(out), redirect_stderr(err):
        code = run_command([str(argument) for argument in arguments])
    return Answered(code, out.buffer.getvalue(), err.getvalue())


def start(*arguments: object, **options) -> subprocess.Popen:
    """Start the real program in a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-m", "winback", *map(str, arguments)]
    return subprocess.Popen(command, cwd=CHECKOUT, **pipes)


def tree(root: Path, *but: str) -> dict[str, str]:
    """Return the digest of every file under a directory, and every folder, without those named."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(root.rglob("*"))
        if path.name not in but
    }


def moment(day: date, hour: int = 8) -> datetime:
    """Return an instant of a day."""
    return datetime.combine(day, time(hour), tzinfo=UTC)


def event(customer: str, days_ago: int, number: int, *, day: date = DAY) -> str:
    at = moment(day - timedelta(days=days_ago)).isoformat()
    return f"{customer},{at},{customer}-{number},{10 + number}"


def people(customers: int) -> dict[str, str]:
    """Return the feeds of a shop in which people come at their own pace and some of them have stopped."""
    dice = random.Random(SEED)
    contacts, consents, orders, visits = [], [], [], []
    for number in range(customers):
        one = f"c{number:03d}"
        email = "" if number % 17 == 3 else f"Person{number}@mail.example"
        phone = f"+3361234{number:04d}" if number % 3 else ""
        country = ("FR", "DE", "GB")[number % 3]
        contacts.append(
            f"{one},{email},{phone},Ann{number},Lee,{('fr', 'de', 'en')[number % 3]},{country},,shop{number % 4}"
        )
        if number % 11 != 5:
            consents.append(f"{one},email,marketing,granted,express,2024-01-05T10:00:00Z,form,v1")
        if number % 4:
            consents.append(f"{one},sms,marketing,granted,express,2024-01-05T10:00:00Z,form,v1")
        if number % 19 == 7:
            consents.append(f"{one},email,marketing,withdrawn,,2025-06-01T10:00:00Z,form,v1")
        if number % 13 == 12:
            continue  # never seen
        gap, last = (
            dice.choice((4, 7, 12, 20)),
            1 if number % 5 == 0 else dice.choice((1, 2, 5, 18, 30, 45, 60, 90, 130, 200)),
        )
        into = visits if number % 6 == 2 else orders
        days = last
        for count in range(dice.choice((1, 3, 8, 15, 25))):
            into.append(event(one, days, count))
            days += max(1, round(dice.gauss(gap, gap / 3)))
    # Somebody is seen on the eve in every feed, and somebody was there two years ago.
    orders += [event("c000", 1, 900), event("c000", 730, 901)]
    visits += [event("c002", 1, 900), event("c002", 730, 901)]
    return {
        "contacts.csv": CONTACTS + "\n".join(contacts) + "\n",
        "consents.csv": CONSENTS + "\n".join(consents) + "\n",
        "orders.csv": EVENTS + "\n".join(orders) + "\n",
        "visits.csv": EVENTS + "\n".join(visits) + "\n",
    }
