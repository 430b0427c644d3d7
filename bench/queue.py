"""Queueing messages durably: frames into the ledger's outbox, against what the database's usual way takes.

SQLite: bare sqlite3 with the same rows and settings. PostgreSQL, where there is one: a frame for every 50,000 of the
messages, each a transaction, side by side as the shards of a night; against SQLAlchemy's executemany of the same rows,
in wall seconds, because the server works too. The server has the memory one would give it, and nothing else to do.

The floor on SQLite is one ``executemany`` of the finished rows into a table made by the same statements, with
``synchronous=FULL``: no ids to work out, no bucket, no transaction of a ledger. Both are interleaved; the rows that
stand in the two databases afterwards must be equal.
"""

from __future__ import annotations

import hashlib
import sqlite3
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import insert, select

from bench._rounds import Round, measured, medians, same
from bench.killing.campaign import postgres_ledgers
from bench.killing.postgres import own_server
from winback.ledger.engine import open_ledger
from winback.ledger.message_tables import messages
from winback.ledger.parallel import each_in_parallel
from winback.ledger.verdicts import queue_messages
from winback.night.opening import CONTACTS_PER_SHARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from winback.ledger.engine import Ledger

PEPPER = b"bench" * 8
AS_OF = pd.Timestamp("2026-03-02")
FROM_AT = pd.Timestamp("2026-03-02 09:00", tz="UTC")


def made_messages(count: int) -> pd.DataFrame:
    """Return planned messages, each to an address of its own."""
    numbers = np.arange(count)
    ids = pd.Series(numbers).astype("str").str.zfill(9)
    texts = {"programme": "bench", "channel": "email", "template": "survey", "template_hash": "0" * 16, "locale": "fr"}
    return pd.DataFrame({"customer_id": "customer-" + ids}).assign(
        **texts,
        cycle=1,
        step=numbers % 3 + 1,
        as_of=AS_OF,
        local_day=AS_OF,
        not_before_at=FROM_AT,
        expires_at=FROM_AT + pd.Timedelta(hours=9),
        planned_at=FROM_AT,
        address_hmac=pd.array([hashlib.sha256(one.encode()).hexdigest() for one in ids], dtype="str"),
        policy_hash="1" * 16,
        plan_hash="2" * 16,
        cost=0.0,
        segments=pd.array([1] * count, dtype="Int64"),
    )


def queue(file: Path, frame: pd.DataFrame) -> None:
    """Open the ledger and queue all messages."""
    with open_ledger(f"sqlite:///{file}", pepper=PEPPER) as ledger:
        queue_in(ledger, frame)


def queue_in(ledger: Ledger, frame: pd.DataFrame) -> None:
    """Queue all messages in one transaction."""
    with ledger.writing() as connection:
        queue_messages(connection, frame, pepper=PEPPER)


def queue_in_shards(ledger: Ledger, frame: pd.DataFrame) -> None:
    """Queue messages as a night does, in a transaction for the messages of a shard."""
    starts = range(0, len(frame), CONTACTS_PER_SHARD)
    for _none in each_in_parallel(
        ledger, lambda start: queue_in(ledger, frame.iloc[start : start + CONTACTS_PER_SHARD]), starts
    ):
        pass


def statements_and_rows(file: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return how the table of messages is made, and the rows in it."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT sql FROM sqlite_master WHERE tbl_name = 'messages' AND sql IS NOT NULL ORDER BY type DESC"
        statements = [row[0] for row in connection.execute(query)]
        return statements, connection.execute("SELECT * FROM messages ORDER BY rowid").fetchall()


def insert_bare(file: Path, statements: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Insert finished rows by the standard library alone."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in statements:
            connection.execute(statement)
        with connection:
            connection.executemany(f"INSERT INTO messages VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608  the text is question marks; rows are bound


def run(*, customers: int = 100_000, events_per_customer: int = 0, repetitions: int = 3) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of messages."""
    del events_per_customer  # messages have no events
    frame = made_messages(customers)
    rounds = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            ours, bare = Path(folder) / "ledger.db", Path(folder) / "bare.db"
            open_ledger(f"sqlite:///{ours}", pepper=PEPPER, create=True).close()
            cpu, wall, _none = measured(queue, ours, frame)
            statements, rows = statements_and_rows(ours)
            floor, _wall, _none = measured(insert_bare, bare, statements, rows)
            both = (
                hashlib.sha256(repr(statements_and_rows(file)[1]).encode()).hexdigest()[:16] for file in (ours, bare)
            )
            rounds.append(Round(cpu, wall, floor, same(*both)))
    if len(rows) != customers:
        raise RuntimeError(f"{customers} messages were to be queued, {len(rows)} were")
    figures = medians(rounds)
    per_second = round(customers / figures["cpu_seconds"])
    told = {"case": "queue", "messages": customers, **figures, "messages_per_cpu_second": per_second}
    return {**told, "postgresql": on_postgresql(frame, repetitions)}


def on_postgresql(frame: pd.DataFrame, repetitions: int) -> dict[str, Any] | None:
    """Return rows a second and how many times faster than executemany that is; None where there is no server."""
    # The tables of the rounds before are not to be looked after meanwhile.
    with own_server(shared_buffers="1GB", max_wal_size="8GB", autovacuum="off") as server:
        if server is None:
            return None
        with postgres_ledgers(server.url) as fresh:
            rounds = [postgresql_round(fresh, frame) for _ in range(repetitions)]
            with open_ledger(fresh(), pepper=PEPPER) as ledger:
                version = ledger.engine.dialect.server_version_info or ()
    return {
        "version": ".".join(map(str, version)),
        "rows_per_second": round(len(frame) / statistics.median(ours for ours, _ in rounds)),
        "ratio_to_executemany": round(statistics.median(usual / ours for ours, usual in rounds), 2),
    }


def postgresql_round(fresh: Callable[[], str], frame: pd.DataFrame) -> tuple[float, float]:
    """Return the wall seconds of our way and of the usual one, each into an empty database."""
    url = fresh()
    with open_ledger(url, pepper=PEPPER) as ledger:
        _cpu, ours, _none = measured(queue_in_shards, ledger, frame)
        with ledger.reading() as connection:
            rows = [dict(row) for row in connection.execute(select(messages)).mappings()]
    if len(rows) != len(frame):
        raise RuntimeError(f"{len(frame)} messages were to be queued, {len(rows)} were")
    with open_ledger(fresh(), pepper=PEPPER) as ledger:
        _cpu, usual, _none = measured(executemany, ledger, rows)
    return ours, usual


def executemany(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    """Insert finished rows as SQLAlchemy does it by itself."""
    with ledger.writing() as connection:
        connection.execute(insert(messages), rows)
