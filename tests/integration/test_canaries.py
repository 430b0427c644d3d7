"""Planted people and keys turn up nowhere: not in logs at DEBUG, not in errors, not in tracebacks."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from canaries import CANARIES, plant_people, planted_keys, seen_in, signs_of
from fake_vendor_process import fake_vendors
from night_world import DAY, Shop

LOUD = """
import logging, sys
import python_http_client, sendgrid, sqlalchemy, twilio.rest, urllib3.connectionpool
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
for name in [*logging.root.manager.loggerDict, "sqlalchemy.engine", "sqlalchemy.engine.Engine", "sqlalchemy.pool"]:
    logging.getLogger(name).setLevel(logging.DEBUG)
logging.getLogger("control").debug("everything is loud")
from winback.cli.app import run_command
sys.exit(run_command(sys.argv[1:]))
"""
LIVE = {
    "live": True,
    "channels": {
        "email": {"provider": "sendgrid", "from": "Acme <hello@acme.example>", "people_per_request": 2},
        "sms": {"provider": "twilio", "from": "+33639980001"},
    },
}
BREAKS = "CREATE TRIGGER breaks BEFORE UPDATE OF provider_id ON messages BEGIN SELECT RAISE(ABORT, 'broken'); END"


class Canary:
    """A live shop of planted people, and everything its commands have said."""

    def __init__(self, shop, vendors) -> None:
        self.shop, self.vendors = shop, vendors
        self.people = plant_people(shop.root / "contacts.csv")
        own = planted_keys()
        shop.environment |= vendors.environment | own
        account, token = (vendors.environment[f"TWILIO_{name}"] for name in ("ACCOUNT_SID", "AUTH_TOKEN"))
        pair = base64.b64encode(f"{account}:{token}".encode()).decode()
        self.signs = signs_of(self.people, {*own.values(), vendors.environment["SENDGRID_API_KEY"], token, pair})

    def loud(self, *arguments, code=0, **more) -> bytes:
        """Run one command with every logger at DEBUG; return what it said, in which nobody was named."""
        command = [sys.executable, "-c", LOUD, "--project", str(self.shop.root), *map(str, arguments)]
        environment = {**os.environ, **self.shop.environment, **more}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
        said = done.stdout + done.stderr
        assert done.returncode == code, said.decode()[-3000:]
        assert b"everything is loud" in said
        assert seen_in(said, self.signs) == []
        return said

    def again(self) -> None:
        """Let every message be due once more."""
        now = datetime.now(UTC)
        values = [f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in (now - timedelta(hours=1), now, now + timedelta(days=1))]
        with closing(sqlite3.connect(self.shop.root / "var" / "winback.db")) as connection, connection:
            connection.execute(
                "UPDATE messages SET state = 'planned', not_before_at = ?, planned_at = ?, expires_at = ?", values
            )

    def do(self, statement: str) -> None:
        with closing(sqlite3.connect(self.shop.root / "var" / "winback.db")) as connection, connection:
            connection.execute(statement)


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canary")
    shop = Shop(folder / "shop")
    with fake_vendors(folder) as vendors:
        yield Canary(shop, vendors)


def test_a_night_with_every_fault_names_nobody(canary):
    shop = canary.shop
    canary.loud("run", "--as-of", DAY)
    shop.configure(**LIVE)
    canary.vendors.set_faults([{"kind": kind, "requests": [number]} for number, kind in enumerate(FAULTS, 1)])
    asked = canary.loud("run", "--as-of", DAY, "--allow-backdated", code=3)
    sends = int(asked.split(b"--confirm-count ")[1].split()[0])
    night = ["run", "--as-of", DAY, "--allow-backdated", "--confirm-count", sends]
    canary.loud("--json", *night)  # of long ago, so that nothing goes
    canary.again()
    assert b"unknown" in canary.loud("--json", "deliver")
    assert len(canary.vendors.events("fault")) >= len(FAULTS)
    written = {one for found in canary.vendors.accepted().recipients().values() for one in found}
    assert written <= canary.people
    canary.loud("--json", "settle")
    canary.loud("doctor", code=1)


FAULTS = ("lost_answer", "error_after", "unreadable", "truncated", "error_before", "redirect", "too_many")


def test_credentials_that_are_refused_are_not_repeated(canary):
    canary.again()
    canary.vendors.set_faults([{"kind": "unauthorized", "probability": 1.0}])
    assert b"does not accept the credentials" in canary.loud("deliver", code=4)
    canary.vendors.set_faults([])


def test_a_traceback_names_nobody(canary):
    canary.again()
    canary.do(BREAKS)
    said = canary.loud("deliver", WINBACK_DEBUG="1", code=1)
    assert b"Traceback" in said
    assert b"broken" in said
    canary.loud("deliver", code=1)
    canary.do("DROP TRIGGER breaks")


def test_vendors_that_are_gone_are_told_of_without_naming_anybody(canary):
    canary.again()
    canary.vendors.kill()
    assert b"deferred" in canary.loud("deliver")
    canary.vendors.restart()
    assert len(canary.people) > 3 * CANARIES
