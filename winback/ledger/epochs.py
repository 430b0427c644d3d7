"""Is this the database that sent the last messages, or an older copy of it? A restored backup would send them again.

In: the ledger and a twin file outside it. Out: a new epoch at each opening for sending, written to both; or a refusal.
The database keeps every epoch it has seen, the twin the newest: a database that does not know its twin's epoch is an
older copy, or another one. Must never happen: a message that is claimed in a database which has forgotten that it was
sent; a crash between the two writes that looks like a restored backup (the database is written first, so that the twin
can only lag behind).

Another host has a twin of its own that lags behind, too, and that the database knows. What stays unseen: a copy that
was taken and put back between two openings, or put back together with its twin.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, text

from winback.errors import GuardRefused, StoreUnavailable, UsageError
from winback.ledger import diary
from winback.ledger.connections import database_file, new_insert
from winback.ledger.control_tables import epochs, meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from winback.ledger.engine import Ledger

_TWIN = "epoch_twin"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('winback.epochs'))"
_ADVICE = (
    "Nothing is sent. If a backup was put back: let the providers' events come in, run `winback settle`, look at "
    "`winback messages --state planned`, then `winback db adopt --reason ...`. If not: set the right database"
)


class Epoch(NamedTuple):
    """One opening for sending: its number and a random word that no other database has."""

    counter: int
    token: str


def twin_file(ledger: Ledger, var: Path) -> Path:
    """Return where the twin is: beside the SQLite file, in ``var`` for PostgreSQL."""
    if not ledger.is_sqlite:
        return var / "postgresql.epoch"
    file = database_file(ledger.engine.url)
    return file.with_name(f"{file.name}.epoch")


def open_for_sending(ledger: Ledger, twin: Path, *, now: datetime, by: str) -> Epoch:
    """Begin a new epoch, in the database and then in its twin; call it before the first claim.

    Parameters
    ----------
    twin : of :func:`twin_file`
    now : aware
    by : the name of the sender

    Raises
    ------
    GuardRefused
        If this is not the database that the last sender worked on, as far as its twin can tell.
    StoreUnavailable
        If the twin cannot be read or written: without it nothing may be sent.
    """
    with ledger.writing() as connection:
        _lock(connection)
        _require_lineage(connection, _read(twin))
        epoch = _begin(connection, 0, now=now, by=by)
    _write(twin, epoch)
    _remember_twin(ledger)
    return epoch


def adopt(ledger: Ledger, twin: Path, *, reason: str, actor: str, now: datetime) -> Epoch:
    """Take this database for the right one because a person says so, after reconciling; return its new epoch.

    Raises
    ------
    UsageError
        If no reason is given.
    StoreUnavailable
        If the twin cannot be written.
    """
    if not reason.strip():
        raise UsageError("--reason is empty: say why this database may send from now on")
    with ledger.writing() as connection:
        _lock(connection)
        before = _newest(connection)
        known = _read(twin, is_trusted=False)
        floor = known.counter if known else 0
        epoch = _begin(connection, floor, now=now, by=actor)
        after = {"epoch": epoch.counter, "twin": floor, "reason": reason}
        was = {"epoch": before.counter if before else 0}
        diary.record(connection, at=now, actor=actor, action="adopt", subject="database", before=was, after=after)
    _write(twin, epoch, is_forced=True)
    _remember_twin(ledger)
    return epoch


def _require_lineage(connection: Connection, known: Epoch | None) -> None:
    newest = _newest(connection)
    if known is None:
        if _has_twin(connection):
            what = "this database has sent before, but the file that tells it from an older copy is missing"
            raise GuardRefused(f"{what}. {_ADVICE}.")
        return
    found = connection.scalar(select(epochs.c.token).where(epochs.c.counter == known.counter))
    if found != known.token:
        has = f"epoch {newest.counter}" if newest else "no epoch"
        what = f"this is not the database that sent last: it has {has}, the last sender was in epoch {known.counter}"
        raise GuardRefused(f"{what} of another copy. {_ADVICE}.")


def _has_twin(connection: Connection) -> bool:
    """Whether a twin was ever written: before that, none is missing when the very first opening was cut short."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == _TWIN)) is not None


def _remember_twin(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        if _has_twin(connection):
            return
    with ledger.writing() as connection:
        connection.execute(new_insert(connection, meta).values(key=_TWIN, value="written").on_conflict_do_nothing())


def _begin(connection: Connection, floor: int, *, now: datetime, by: str) -> Epoch:
    """Add an epoch above every one that is known."""
    highest = connection.scalar(select(func.max(epochs.c.counter))) or 0
    epoch = Epoch(max(highest, floor) + 1, secrets.token_hex(16))
    connection.execute(epochs.insert().values(**epoch._asdict(), opened_at=now, opened_by=by))
    return epoch


def _newest(connection: Connection) -> Epoch | None:
    query = select(epochs.c.counter, epochs.c.token).order_by(epochs.c.counter.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Epoch(*row)


def _lock(connection: Connection) -> None:
    """Let two openings take turns; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(_LOCK))


def _read(twin: Path, *, is_trusted: bool = True) -> Epoch | None:
    """Return the twin's epoch; None when there is no file, or it is unreadable and not ``is_trusted``."""
    try:
        found = json.loads(twin.read_text(encoding="utf-8"))
        return Epoch(int(found["counter"]), str(found["token"]))
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise StoreUnavailable(
            f"{twin} cannot be read: {problem.strerror}. Without it nothing may be sent"
        ) from problem
    except (ValueError, TypeError, KeyError) as problem:
        if not is_trusted:
            return None
        what = f"{twin} is damaged, so that nobody knows whether this database is the one that sent last. {_ADVICE}."
        raise GuardRefused(what) from problem


def _write(twin: Path, epoch: Epoch, *, is_forced: bool = False) -> None:
    """Replace the twin, on disk before this returns; never by an older epoch, unless a person forces it."""
    try:
        twin.parent.mkdir(mode=0o700, exist_ok=True)
        with _turn(twin):
            known = _read(twin, is_trusted=not is_forced)
            if known is not None and known.counter >= epoch.counter and not is_forced:
                return
            _replace(twin, json.dumps(epoch._asdict()).encode())
    except OSError as problem:
        what = (
            f"{twin} cannot be written: {problem.strerror}. Without it nothing may be sent: mend the disk or the folder"
        )
        raise StoreUnavailable(what) from problem


@contextmanager
def _turn(twin: Path) -> Iterator[None]:
    """Let two senders of one host write the twin one after the other."""
    handle = os.open(twin.with_name(f"{twin.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(file: Path, content: bytes) -> None:
    """Write a file anew, whole or not at all, on disk before this returns."""
    part = file.with_name(f"{file.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
