"""The default provider: nothing leaves the machine; what would have left is kept in ``var/outbox/outbox.db``.

In: prepared messages. Out: *accepted* once they are on the disk. Stored under the message's id, so that a message
given twice is kept once; several senders may store at the same time. Must never happen: *accepted* before the bytes
are safe, or a person's messages still here after they asked to be forgotten.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from winback.channels import Outcome, Prepared, SendResult
from winback.channels.request_bodies import mail_body, text_body
from winback.core.templates import clean
from winback.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from winback.channels import OutgoingMessage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, stored_at TEXT NOT NULL,
    as_of TEXT NOT NULL, programme TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, channel TEXT NOT NULL,
    customer_id TEXT NOT NULL, address TEXT NOT NULL, name TEXT NOT NULL, language TEXT NOT NULL, file TEXT NOT NULL,
    subject TEXT NOT NULL, opening TEXT NOT NULL, characters INTEGER NOT NULL, encoding TEXT NOT NULL,
    segments INTEGER NOT NULL, price REAL NOT NULL, request BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_group ON outbox (as_of, programme, step, channel, position);
CREATE INDEX IF NOT EXISTS outbox_customer ON outbox (customer_id);
CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, position INTEGER NOT NULL);
"""
_COLUMNS = (
    "message_id, stored_at, as_of, programme, step, kind, channel, customer_id, address, name, language, file, "
    "subject, opening, characters, encoding, segments, price"
)
_INSERT = f"INSERT OR IGNORE INTO outbox ({_COLUMNS}, request) VALUES ({', '.join('?' * 19)})"  # noqa: S608  column names of this module; values are bound
_OPENING = 140


class Group(NamedTuple):
    """How many messages one step sent on one channel in one night."""

    as_of: str
    programme: str
    step: int
    kind: str
    channel: str
    messages: int
    segments: int
    price: float


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One message in the outbox, without its request."""

    position: int
    message_id: str
    stored_at: str
    as_of: str
    programme: str
    step: int
    kind: str
    channel: str
    customer_id: str
    address: str
    name: str
    language: str
    file: str
    subject: str
    opening: str
    characters: int
    encoding: str
    segments: int
    price: float


class LocalOutbox:
    """The provider ``outbox``.

    Parameters
    ----------
    folder : ``var/outbox`` of the project; made when it is not there
    """

    name = "outbox"
    channels = frozenset({"email", "sms", "whatsapp"})
    max_batch = 1000

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "outbox.db"

    def prepare(self, message: OutgoingMessage) -> Prepared:
        """Return the request a vendor would get.

        Raises
        ------
        SendRefused
            If a local check says that no vendor could send it.
        """
        body = mail_body if message.rendered.channel == "email" else text_body
        return Prepared(message=message, request=body(message))

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        """Return the batch as one call."""
        return [list(batch)] if batch else []

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Store a batch in one transaction; a message that is there already stays as it was."""
        rows = [_row(prepared, now) for prepared in batch]
        try:
            with self._open() as connection, connection:
                connection.executemany(_INSERT, rows)
        except (sqlite3.Error, StoreUnavailable) as problem:
            # The transaction was rolled back, so provably nothing was kept.
            error = f"the local outbox {self.file} cannot be written: {problem}"
            return [
                SendResult(message_id=each.message.message_id, outcome=Outcome.DEFERRED, error=error) for each in batch
            ]
        return [
            SendResult(
                message_id=each.message.message_id,
                outcome=Outcome.ACCEPTED,
                provider_id=provider_id(each.message.message_id),
            )
            for each in batch
        ]

    def reconcile(self, message_ids: Sequence[str]) -> list[SendResult]:
        """Return *accepted* for each message that is here: the evidence for a sender that died before it could say."""
        found: list[SendResult] = []
        with self._open() as connection:
            for message_id in message_ids:
                if connection.execute("SELECT 1 FROM outbox WHERE message_id = ?", (message_id,)).fetchone():
                    accepted = SendResult(
                        message_id=message_id, outcome=Outcome.ACCEPTED, provider_id=provider_id(message_id)
                    )
                    found.append(accepted)
        return found

    def groups(self) -> list[Group]:
        """Return what is in the outbox, newest night first."""
        query = (
            "SELECT as_of, programme, step, min(kind), channel, count(*), sum(segments), sum(price) FROM outbox "
            "GROUP BY as_of, programme, step, channel ORDER BY as_of DESC, programme, step, channel"
        )
        with self._open() as connection:
            return [Group(*row) for row in connection.execute(query)]

    def first_of_each_group(self, limit: int, *, as_of: str | None = None, after: int = 0) -> list[Stored]:
        """Return the first ``limit`` messages of every (night, programme, step, channel), oldest first.

        Parameters
        ----------
        limit : messages a group
        as_of : only this night
        after : only messages stored after this position
        """
        query = (
            f"SELECT position, {_COLUMNS} FROM (SELECT *, row_number() OVER "  # noqa: S608  column names of this module; values are bound
            "(PARTITION BY as_of, programme, step, channel ORDER BY position) AS place FROM outbox "
            "WHERE ?1 IS NULL OR as_of = ?1) WHERE place <= ?2 AND position > ?3 ORDER BY position"
        )
        with self._open() as connection:
            connection.row_factory = sqlite3.Row
            return [Stored(**dict(row)) for row in connection.execute(query, (as_of, limit, after))]

    def nights_after(self, position: int) -> set[str]:
        """Return the nights that got messages after a position."""
        query = "SELECT DISTINCT as_of FROM outbox WHERE position > ?"
        with self._open() as connection:
            return {str(row[0]) for row in connection.execute(query, (position,))}

    def last_position(self) -> int:
        """Return the position of the newest message."""
        with self._open() as connection:
            return int(connection.execute("SELECT coalesce(max(position), 0) FROM outbox").fetchone()[0])

    def find(self, message_ids: Sequence[str]) -> dict[str, Stored]:
        """Return by their ids those of some messages that are here."""
        query = (
            f"SELECT position, {_COLUMNS} FROM outbox "  # noqa: S608  column names of this module; values are bound
            "WHERE message_id IN (SELECT value FROM json_each(?))"
        )
        with self._open() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(query, (orjson.dumps(list(message_ids)).decode(),))
            return {row["message_id"]: Stored(**dict(row)) for row in rows}

    def request(self, message_id: str) -> dict[str, Any] | None:
        """Return the exact request of one message, or None when it is not here."""
        with self._open() as connection:
            row = connection.execute("SELECT request FROM outbox WHERE message_id = ?", (message_id,)).fetchone()
        return None if row is None else dict(orjson.loads(zlib.decompress(row[0])))

    def forget(self, customer_id: str) -> list[Stored]:
        """Remove everything that was written to one person, and return what it was (for its pages)."""
        query = f"SELECT position, {_COLUMNS} FROM outbox WHERE customer_id = ?"  # noqa: S608  column names of this module; values are bound
        with self._open() as connection:
            connection.row_factory = sqlite3.Row
            gone = [Stored(**dict(row)) for row in connection.execute(query, (customer_id,))]
            with connection:
                connection.execute("DELETE FROM outbox WHERE customer_id = ?", (customer_id,))
            if gone:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def progress(self, name: str) -> int:
        """Return the position up to which a reader has come."""
        with self._open() as connection:
            row = connection.execute("SELECT position FROM progress WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_progress(self, name: str, position: int) -> None:
        """Remember how far a reader has come."""
        with self._open() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (name, position))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose commits survive a power cut and whose deletions leave no trace.

        Raises
        ------
        StoreUnavailable
            If the outbox cannot be opened.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=30)
        except (OSError, sqlite3.Error) as problem:
            raise StoreUnavailable(f"the local outbox {self.file} cannot be opened: {problem}") from problem
        with closing(connection):
            try:
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.executescript(_SCHEMA)
            except sqlite3.Error as problem:
                raise StoreUnavailable(f"the local outbox {self.file} cannot be used: {problem}") from problem
            yield connection


def provider_id(message_id: str) -> str:
    """Return the id the local outbox gives to a message."""
    return f"outbox-{message_id[:16]}"


def _row(prepared: Prepared, now: datetime) -> tuple[object, ...]:
    message, rendered = prepared.message, prepared.message.rendered
    opening = rendered.preheader or " ".join(rendered.text.split())
    size = rendered.size
    return (
        message.message_id,
        now.isoformat(timespec="seconds"),
        message.as_of.isoformat(),
        message.programme,
        message.step,
        message.kind,
        rendered.channel,
        message.customer_id,
        message.address,
        clean(message.name),
        rendered.language,
        rendered.file,
        rendered.subject,
        opening[:_OPENING],
        len(rendered.text),
        size.encoding if size else "UTF-8",
        size.segments if size else 0,
        rendered.price,
        zlib.compress(orjson.dumps(prepared.request), 1),
    )
