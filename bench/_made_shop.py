"""A made shop of a wanted size, and its nights in processes of their own.

The installation's secret is fixed, so that the same shop gives the same decisions, and so the same checksum, on every
machine. The nights are nights of the past: every date is written down here, nothing depends on today.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from bench.__main__ import KIB_PER_MIB
from winback.night.pepper import open_project_ledger
from winback.night.tabulate import list_decisions
from winback.sample.made_project import made_project
from winback.sample.nights import delivered
from winback.sample.shop import play
from winback.settings import load_project

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

PEPPER = "62656e63" * 8
FEEDS = (
    *(("contacts", ","), ("consents", ","), ("orders", ",")),
    *(("scans", ";"), ("engagement", ","), ("machine_opens", ",")),
)
# The shop's feeds have bad rows on purpose; a plain scan passes over them.
READING = "all_varchar = true, header = true, quote = '\"', strict_mode = false, ignore_errors = true"


class Night(NamedTuple):
    """What one night cost, as the operating system saw its process, and what it reported."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_mib: float
    report: dict[str, Any]


def make_shop(root: Path, *, customers: int, events_per_customer: int) -> date:
    """Make the project and return the day of its first night."""
    os.environ["WINBACK_PEPPER"] = PEPPER
    return made_project(root, customers=customers, events_per_customer=events_per_customer)


def live_night(root: Path, as_of: date) -> Night:
    """Run one night by the command line, in a process of its own.

    Raises
    ------
    RuntimeError
        If it does not end with 0.
    """
    command = [sys.executable, "-m", "winback", "--project", str(root), "--json"]
    command += ["run", "--as-of", str(as_of), "--allow-backdated"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the night of {as_of} ended with {process.returncode}: {output}")
    kib = usage.ru_maxrss / (KIB_PER_MIB if sys.platform == "darwin" else 1)
    wall = time.perf_counter() - begun
    return Night(usage.ru_utime + usage.ru_stime, wall, round(kib / KIB_PER_MIB, 1), json.loads(output))


def live_day(root: Path, day: date) -> None:
    """Let a day pass: the feeds grow by what customers do, and by how they take the messages of its night."""
    with open_project_ledger(load_project(root)) as ledger:
        messages = delivered(ledger, day)
    play(root, day=day, messages=messages)


def scan_feeds(root: Path) -> int:
    """Read every feed of the project by DuckDB, add up the length of all values, and return how many events it has."""
    with duckdb.connect(config={"threads": 1}) as engine:
        rows = {name: _scan(engine, f"read_csv('{root / name}.csv', {READING}, delim = '{by}')") for name, by in FEEDS}
        visits = _scan(engine, f"read_parquet('{root / 'visits'}/*.parquet')")
    return visits + sum(rows[name] for name in rows if name not in {"contacts", "consents"})


def _scan(engine: duckdb.DuckDBPyConnection, source: str) -> int:
    """Return how many rows there are, after looking at every value of them."""
    query = f"SELECT count(*), sum(length(COLUMNS(*)::VARCHAR)) FROM {source}"  # noqa: S608  the path is of a temporary folder made above; nobody types it
    row = engine.execute(query).fetchone()
    return int(row[0]) if row else 0


def decisions_digest(root: Path, nights: list[date]) -> str:
    """Return a digest of every decision of some nights."""
    digest = hashlib.sha256()
    for night in nights:
        digest.update(list_decisions(load_project(root), as_of=night).to_csv(index=False).encode())
    return digest.hexdigest()[:16]
