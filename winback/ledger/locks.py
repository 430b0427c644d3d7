"""Locks that prove their holder alive: they end with the process, however it ends.

One host: ``flock`` on a file beside the database. PostgreSQL: an advisory lock on the holder's own connection.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from winback.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


def _lock_file(database: Path, name: str) -> Path:
    if not name.replace("-", "").replace("_", "").isalnum():
        message = f"a lock's name becomes a file's name: letters, digits, - and _ only, not {name!r}"
        raise ValueError(message)
    return database.with_name(f"{database.name}.{name}.lock")


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def file_lock(database: Path, name: str, *, is_used_once: bool = False) -> Iterator[bool]:
    """Yield whether the lock ``name`` of a database file was free; hold it, if so, until the block ends.

    The file stays: removing it would let two processes lock two files of one name. Only that of a name which nobody
    uses again (a sender's) is taken away by its holder.
    """
    file = _lock_file(database, name)
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise StoreUnavailable(f"the lock file {file} cannot be made: {problem}") from problem
    try:
        is_held = _try_lock(handle)
        yield is_held
        if is_held and is_used_once:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def is_file_locked(database: Path, name: str) -> bool:
    """Whether a living process holds the lock ``name`` of a database file."""
    try:
        handle = os.open(_lock_file(database, name), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(handle)
    finally:
        os.close(handle)


@contextmanager
def advisory_lock(connection: Connection, name: str) -> Iterator[bool]:
    """Yield whether the lock ``name`` was free; hold it, if so, on this connection (in autocommit) until the end."""
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"winback").digest(), signed=True)
    is_held = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}))
    try:
        yield is_held
    finally:
        if is_held:
            connection.scalar(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
