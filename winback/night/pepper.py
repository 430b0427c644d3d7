"""The project's own secret and its ledger, without pandas: the sender process starts from here.

Must never happen: a key that others can read, or one that is lost with a restart.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from winback.channels.outgoing_hooks import listeners_of
from winback.errors import StoreUnavailable
from winback.ledger.engine import Ledger, open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from winback.settings import Project


def read_pepper(project: Project) -> bytes:
    """Return the secret that keys every hash; made once in ``var/`` where the environment names none.

    Raises
    ------
    StoreUnavailable
        If the file is readable by others, or cannot be read or written.
    """
    given = project.environment.get("WINBACK_PEPPER")
    if given:
        return given.encode()
    file = project.var / "pepper"
    try:
        return read_or_make(file)
    except OSError as problem:
        what = f"{file} cannot be used: {problem}. It keys the suppression list; set WINBACK_PEPPER or mend the file."
        raise StoreUnavailable(what) from problem


def read_or_make(file: Path) -> bytes:
    """Return the secret in a file that only its owner can read; one that is not there is made.

    Raises
    ------
    StoreUnavailable
        If others can read it.
    OSError
        If it cannot be read or written.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StoreUnavailable(f"{file} can be read by others: run `chmod 600 {file}`") from None
        return file.read_bytes()
    value = secrets.token_hex(32).encode()
    with os.fdopen(handle, "wb") as opened:
        opened.write(value)
        opened.flush()
        os.fsync(opened.fileno())
    return value


def link_keys(project: Project, pepper: bytes) -> tuple[bytes, ...]:
    """Return the secrets of links: the first signs, all are believed, so that a changed key leaves old links working.

    ``WINBACK_SECRET_KEY`` names them, the newest first, with commas between; the pepper stands behind them, because it
    signs where no key is named.
    """
    named = project.environment.get("WINBACK_SECRET_KEY", "").split(",")
    return (*(one.strip().encode() for one in named if one.strip()), pepper)


def open_project_ledger(project: Project) -> Ledger:
    """Return the project's ledger; an empty database is made ready, and so is ``var/``, for its owner only."""
    try:
        # Whatever makes a folder in it later would give it the usual mode.
        project.var.mkdir(mode=0o700, exist_ok=True)
    except OSError as problem:
        what = f"{project.var} cannot be made: {problem.strerror}. Make {project.root} writable for this user"
        raise StoreUnavailable(what) from problem
    ledger = open_ledger(project.database_url, pepper=read_pepper(project), create=True)
    ledger.listeners = listeners_of(project)
    return ledger
