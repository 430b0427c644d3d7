"""Coupon codes come from files, and go back into them when they were used.

In: ``coupons/POOL.csv`` (code, optionally expires_on) and ``coupons/POOL.redeemed.csv`` (code, redeemed_at) of the
project. Out: pools in the ledger, and which of them are low. Must never happen: a night that promises more coupons than
there are, or a bad line that stops the good ones.
"""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from winback.errors import Fault, SettingsError
from winback.ledger import coupons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from winback.core.policy import Programme
    from winback.ledger.engine import Ledger
    from winback.settings import Project

FOLDER = "coupons"
Value = TypeVar("Value")
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
    read = {}
    for pool in pools_of(programmes):
        file = project.root / FOLDER / f"{pool}.csv"
        used = project.root / FOLDER / f"{pool}.redeemed.csv"
        read[pool] = (
            _rows(file, "expires_on", date.fromisoformat, faults),
            _rows(used, "redeemed_at", _instant, faults),
        )
    if faults:
        raise SettingsError(faults)
    with ledger.writing() as connection:
        for pool, (codes, redeemed) in read.items():
            coupons.add(connection, pool, codes, now=now)
            coupons.redeem(connection, pool, [(code, at or now) for code, at in redeemed])
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


def _rows(
    file: Path, column: str, parse: Callable[[str], Value], faults: list[Fault]
) -> list[tuple[str, Value | None]]:
    """Return (code, value) of each line of a file; nothing where there is no such file."""
    name = f"{FOLDER}/{file.name}"
    if not file.exists():
        return []
    try:
        lines = csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as problem:
        faults.append(Fault(name, 0, "", f"cannot be read: {problem}"))
        return []
    found = []
    for row in lines:
        code, value = (row.get("code") or "").strip(), (row.get(column) or "").strip()
        if not code or len(code) > LONGEST_CODE or not code.isprintable():
            what = f"expected a code of 1 to {LONGEST_CODE} characters, in a column named code"
            faults.append(Fault(name, lines.line_num, "code", what))
            continue
        try:
            found.append((code, parse(value) if value else None))
        except ValueError:
            faults.append(Fault(name, lines.line_num, column, f"expected a date like 2026-11-21, not {value[:40]!r}"))
    return found


def _instant(text: str) -> datetime:
    """Return an instant; one without an offset is UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
