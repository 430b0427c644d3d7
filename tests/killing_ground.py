"""Where the tests kill senders: the doubles of the vendors, and ledgers on either database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import databases

from bench.killing import campaign
from bench.killing.vendors import vendors
from bench.killing.wishes import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def grounds(folder: Path, shared: str | None) -> Iterator[Ground]:
    """Yield a place for trials that share its vendors, so no two of them may share a number.

    Parameters
    ----------
    folder : empty
    shared : URL of the PostgreSQL database that every trial empties; None for SQLite
    """

    def emptied() -> str:
        databases.empty(str(shared))
        return str(shared)

    with vendors(folder, seed=7) as running, campaign.sqlite_ledgers(folder) as fresh:
        yield Ground(folder / "project", running, emptied if shared else fresh)
