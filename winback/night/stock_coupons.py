"""Coupon codes come from files, and go back into them when they were used.

In: ``coupons/POOL.csv`` (code, optionally expires_on) and ``coupons/POOL.redeemed.csv`` (code, redeemed_at) of the
project. Out: pools in the ledger, and which of them are low. Must never happen: a night that promises more coupons than
there are, or a bad line that stops the good ones.
"""

from __future__ import annotations

import csv
import hashlib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

from winback.errors import Fault, SettingsError
from winback.ledger import coupons

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from winback.core.policy import Programme
    from winback.ledger.engine import Ledger
    from winback.settings import Project

FOLDER = "coupons"
LONGEST_CODE = 64


class Pool(NamedTuple):
    """One pool and the programmes that give its codes out."""

    name: str
    stock: coupons.Stock
    programmes: tuple[str, ...]


def stock_coupons(project: Project, ledger: Ledger, programmes: Sequence[Programme], *, now: datetime) -> list[Pool]:
    """Read the files of every pool the programmes name, and return how each stands.

    Raises
    ------
    SettingsError
        With every line that is no code; nothing is stored then.
    """
    faults: list[Fault] = []
    files = [
        _File(pool, project.root / FOLDER / f"{pool}{ending}", column)
        for pool in pools_of(programmes)
        for ending, column in ((".csv", "expires_on"), (".redeemed.csv", "redeemed_at"))
    ]
    with ledger.reading() as connection:
        # What has not changed since it was read is not read again: a pool may be of a million codes.
        new = [file for file in files if not coupons.is_read(connection, file.path.name, file.digest())]
    read = [(file, _rows(file, faults)) for file in new]
    if faults:
        raise SettingsError(faults)
    if read:
        with ledger.writing() as connection:
            for file, rows in read:
                if file.column == "expires_on":
                    codes = [(code, date.fromisoformat(value) if value else None) for code, value in rows]
                    coupons.add(connection, file.pool, codes, now=now)
                else:
                    coupons.redeem(
                        connection, file.pool, [(code, _instant(value) if value else now) for code, value in rows]
                    )
                coupons.note_read(connection, file.path.name, file.digest())
    return stocks(project, ledger, programmes, now=now)


def stocks(project: Project, ledger: Ledger, programmes: Sequence[Programme], *, now: datetime) -> list[Pool]:
    """Return how every pool the programmes name stands."""
    today = project.business_date(now)
    with ledger.reading() as connection:
        return [
            Pool(name, coupons.stock(connection, name, today=today), users)
            for name, users in pools_of(programmes).items()
        ]


def pools_of(programmes: Iterable[Programme]) -> dict[str, tuple[str, ...]]:
    """Return the pools that programmes give codes from, with the programmes."""
    found: dict[str, list[str]] = {}
    for programme in programmes:
        for step in programme.ladder.steps:
            if step.pool and programme.programme not in found.setdefault(step.pool, []):
                found[step.pool].append(programme.programme)
    return {pool: tuple(users) for pool, users in sorted(found.items())}


class _File(NamedTuple):
    """One file of codes; ``column`` is the one beside the code."""

    pool: str
    path: Path
    column: str

    def digest(self) -> str:
        """Return what the file is, "" where there is none."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""


def _rows(file: _File, faults: list[Fault]) -> list[tuple[str, str]]:
    """Return (code, value) of each line of a file; nothing where there is no such file."""
    name = f"{FOLDER}/{file.path.name}"
    if not file.path.exists():
        return []
    try:
        lines = csv.DictReader(file.path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as problem:
        faults.append(Fault(name, 0, "", f"cannot be read: {problem}"))
        return []
    found = []
    for row in lines:
        code, value = (row.get("code") or "").strip(), (row.get(file.column) or "").strip()
        if not code or len(code) > LONGEST_CODE or not code.isprintable():
            what = f"expected a code of 1 to {LONGEST_CODE} characters, in a column named code"
            faults.append(Fault(name, lines.line_num, "code", what))
        elif value and not _is_moment(value, file.column):
            what = f"expected a date like 2026-11-21, not {value[:40]!r}"
            faults.append(Fault(name, lines.line_num, file.column, what))
        else:
            found.append((code, value))
    return found


def _is_moment(value: str, column: str) -> bool:
    try:
        date.fromisoformat(value) if column == "expires_on" else datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _instant(text: str) -> datetime:
    """Return an instant; one without an offset is UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
