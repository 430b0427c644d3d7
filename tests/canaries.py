"""Planted people and keys that can be recognised wherever they turn up."""

from __future__ import annotations

import base64
import csv
import io
import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

CANARIES = 50
KEYS = ("WINBACK_PEPPER", "WINBACK_SECRET_KEY")


def plant_people(contacts: Path, columns: dict[str, str] | None = None) -> set[str]:
    """Give everybody in a feed a name, an address and a number like nobody else's; return all of these.

    Parameters
    ----------
    contacts : at least fifty people
    columns : canonical name -> name in the feed, where they differ
    """
    email, phone, *names = ((columns or {}).get(name, name) for name in ("email", "phone", "first_name", "last_name"))
    rows = list(csv.DictReader(io.StringIO(contacts.read_text())))
    planted = set()
    for number, row in enumerate(rows):
        tag = secrets.token_hex(5)
        row |= {name: f"{name[0].upper()}canary{tag}" for name in names}
        if row[email]:
            row[email] = f"mcanary.{tag}@mail.example"
        if row[phone]:
            row[phone] = f"{row[phone][:-4]}{number:04d}"
        planted |= {row[name] for name in (email, phone, *names) if row[name]}
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    contacts.write_text(out.getvalue())
    assert len(rows) >= CANARIES
    # Two numbers must not have become one.
    assert len({row[phone] for row in rows if row[phone]}) == sum(bool(row[phone]) for row in rows)
    return planted


def planted_keys() -> dict[str, str]:
    """Return secrets of our own."""
    return {name: f"kcanary{secrets.token_hex(12)}" for name in KEYS}


def signs_of(people: set[str], keys: set[str]) -> set[bytes]:
    """Return every form in which these may stand somewhere: plain, in an address, in JSON, as a header's value."""
    found = set()
    for value in people | keys:
        found |= {value, quote(value, safe=""), json.dumps(value)[1:-1]}
    found |= {base64.b64encode(value.encode()).decode().rstrip("=") for value in keys}
    return {value.encode() for value in found}


def seen_in(data: bytes, signs: set[bytes]) -> list[bytes]:
    """Return which signs stand in some bytes, in small letters too."""
    lower = data.lower()
    return sorted(sign for sign in signs if sign in data or sign.lower() in lower)
