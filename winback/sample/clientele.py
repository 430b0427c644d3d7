"""The people of the simulated shop: names, addresses, countries, and what they agreed to.

Nobody real can be reached: e-mail addresses lie in a domain kept for examples, and every valid phone number comes from
a block its regulator keeps for fiction. Where a country has no such block that counts as valid, people have no phone.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.sample.planted import LINES
from winback.settings import data_directory

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOMAIN = "customers.example"
NUMBERS_PER_BLOCK = 100

NO_TIMEZONE = 0.04
EMAIL_FATES = {"good": 0.93, "none": 0.05, "broken": 0.01, "shared with another": 0.01}
HAS_PHONE, NATIONAL_PHONE, BROKEN_PHONE = 0.75, 0.1, 0.01
CONSENTED = {"email": 0.92, "sms": 0.65, "whatsapp": 0.12}
WHATSAPP_IN_GERMANY = 0.5
"""Of the Germans with a phone, so many more: nearly everybody there writes by WhatsApp, and few texts are read."""
WITHDRAWN, RENEWED = 0.045, 0.08
IMPLIED_IN_CANADA, SOFT_OPT_IN_IN_BRITAIN, WRITTEN_IN_AMERICA = 0.35, 0.25, 0.85

FIRST_NAMES = (
    *("Ada", "Amir", "Anna", "Aylin", "Ben", "Chloé", "Clara", "David", "Elif", "Emma", "Farid", "Finn", "Gaëlle"),
    *("Grace", "Hugo", "Ida", "Inès", "Jack", "Jonas", "Jürgen", "Kenji", "Lea", "Léo", "Lina", "Louis", "Mei"),
    *("Mia", "Noah", "Olga", "Omar", "Paul", "Priya", "Quinn", "Rosa", "Samuel", "Sofia", "Théo", "Uma", "Yusuf"),
)
LAST_NAMES = (
    *("Adler", "Bauer", "Bernard", "Brown", "Carter", "Chen", "Dubois", "Evans", "Fischer", "Garcia", "Haddad"),
    *("Hughes", "Ito", "Johnson", "Keller", "Khan", "Lambert", "Lopez", "Martin", "Müller", "Nguyen", "O'Brien"),
    *("Patel", "Petit", "Quint", "Roux", "Schmidt", "Silva", "Smith", "Taylor", "Vogel", "Walker", "Young", "Zhou"),
)


@dataclass(frozen=True)
class Place:
    """Where people live; ``blocks`` are the beginnings of its fictional phone numbers, two digits short."""

    country: str
    region: str
    timezone: str
    locale: str
    share: float
    blocks: tuple[str, ...]


@cache
def places() -> tuple[Place, ...]:
    """Return the places people live in."""
    with (data_directory() / "sample" / "places.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Place(
                row["country"], row["region"], row["timezone"], row["locale"], float(row["share"]),
                # A bare area code stands for its 555-01xx numbers.
                tuple(block if block.startswith("+") else f"+1{block}55501" for block in row["phone_blocks"].split()),
            )
            for row in csv.DictReader(file)
        )  # fmt: skip


def customer_ids(numbers: NDArray[np.int64]) -> pd.Series:
    """Return the ids of customers, e.g. ``C0000042``."""
    return "C" + pd.Series(numbers).astype("str").str.zfill(7)


def make_contacts(*, numbers: NDArray[np.int64], line: NDArray[np.int64], rng: np.random.Generator) -> pd.DataFrame:
    """Return the contacts of some customers, one row each.

    Parameters
    ----------
    numbers : number of each customer
    line : place of each one's main line of business in ``LINES``; its name is the contact's category
    """
    count = len(numbers)
    where = rng.choice(len(places()), size=count, p=_shares())
    table = pd.DataFrame([place.__dict__ for place in places()]).iloc[where].reset_index(drop=True)
    first = pd.Series(np.array(FIRST_NAMES)[rng.integers(0, len(FIRST_NAMES), count)])
    last = pd.Series(np.array(LAST_NAMES)[rng.integers(0, len(LAST_NAMES), count)])
    zone = table["timezone"].where(rng.random(count) >= NO_TIMEZONE, "")
    return pd.DataFrame(
        {
            "customer_id": customer_ids(numbers),
            "email": _emails(first, last, numbers, rng),
            "phone": _phones(numbers, where, rng),
            "first_name": first,
            "last_name": last,
            "locale": table["locale"],
            "timezone": zone,
            "country": table["country"],
            "region": table["region"],
            "category": np.array([entry.name for entry in LINES])[line],
            "points": rng.integers(0, 900, count),
        }
    )


def _shares() -> NDArray[np.float64]:
    shares = np.array([place.share for place in places()])
    weights: NDArray[np.float64] = shares / shares.sum()
    return weights


def _emails(
    first: pd.Series, last: pd.Series, numbers: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.object_]:
    """Return addresses: most are good; some are missing, broken or shared with the customer before."""
    plain = (first + "." + last).str.normalize("NFKD").str.replace(r"[^A-Za-z.]", "", regex=True).str.lower()
    good = (plain + "." + pd.Series(numbers).astype("str") + "@" + DOMAIN).to_numpy(dtype=object)
    fate = rng.choice(len(EMAIL_FATES), size=len(good), p=list(EMAIL_FATES.values()))
    broken = np.array(["not an address", f"@{DOMAIN}", f"two@@{DOMAIN}", "name@localhost"], dtype=object)
    emails: NDArray[np.object_] = np.choose(fate, [good, "", broken[numbers % len(broken)], np.roll(good, 1)])
    return emails


def _phones(numbers: NDArray[np.int64], where: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.object_]:
    """Return phone numbers: most people of a place have one while its blocks last; a few are broken."""
    phones = np.full(len(numbers), "", dtype=object)
    for code, place in enumerate(places()):
        here = np.flatnonzero((where == code) & (rng.random(len(where)) < HAS_PHONE))
        capacity = len(place.blocks) * NUMBERS_PER_BLOCK
        if not capacity:
            continue
        # The customer's own number says which phone number it is, so no two people of one call share one.
        ranks = numbers[here] % capacity
        _, keep = np.unique(ranks, return_index=True)
        blocks = np.array(place.blocks, dtype=object)[ranks[keep] // NUMBERS_PER_BLOCK]
        digits = pd.Series(ranks[keep] % NUMBERS_PER_BLOCK).astype("str").str.zfill(2)
        phones[here[keep]] = (pd.Series(blocks) + digits).to_numpy(dtype=object)
    national = pd.Series(phones).str.replace(r"^\+1(\d{3})(\d{3})(\d{4})$", r"(\1) \2-\3", regex=True)
    phones = np.where(rng.random(len(phones)) < NATIONAL_PHONE, national.to_numpy(dtype=object), phones)
    broken = (rng.random(len(phones)) < BROKEN_PHONE) & (phones == "")
    return np.where(broken, "06 12", phones).astype(object)


def make_consents(
    contacts: pd.DataFrame, *, joined_at: NDArray[np.datetime64], until: np.datetime64, rng: np.random.Generator
) -> pd.DataFrame:
    """Return what these contacts agreed to: granted, granted and withdrawn again, renewed, or no record at all.

    Parameters
    ----------
    contacts : as :func:`make_contacts` gives them
    joined_at : UTC instant of each contact's first event
    until : UTC instant after which nothing is recorded yet
    """
    parts = []
    for channel, share in CONSENTED.items():
        address = contacts["email" if channel == "email" else "phone"]
        asked = np.flatnonzero((address != "") & (rng.random(len(contacts)) < share))
        granted = _granted(contacts.iloc[asked], channel=channel, joined_at=joined_at[asked], rng=rng)
        again = granted[rng.random(len(granted)) < RENEWED]
        renewed = again.assign(
            basis="express",
            recorded_at=again["recorded_at"] + _days(5, 200, len(again), rng),
            source="preference_centre",
            wording="2026-01",
        )
        out = granted[rng.random(len(granted)) < WITHDRAWN]
        withdrawn = out.assign(
            status="withdrawn",
            basis="",
            recorded_at=out["recorded_at"] + _days(5, 400, len(out), rng),
            source="unsubscribe_link" if channel == "email" else "stop",
            wording="",
        )
        parts += [granted, renewed, withdrawn]
    parts.append(_by_messenger(contacts, parts, joined_at=joined_at, rng=rng))
    consents = pd.concat(parts, ignore_index=True)
    consents = consents[consents["recorded_at"] <= until]
    return consents.sort_values("recorded_at", kind="stable", ignore_index=True)


def _by_messenger(
    contacts: pd.DataFrame, granted: list[pd.DataFrame], *, joined_at: NDArray[np.datetime64], rng: np.random.Generator
) -> pd.DataFrame:
    """Return the consents of Germans who asked to be written to by WhatsApp."""
    # Numbers of their own: those of the shop decide who comes when, and shall go on deciding it.
    own = rng.spawn(1)[0]
    known = pd.concat([rows.loc[rows["channel"] == "whatsapp", "customer_id"] for rows in granted])
    may_ask = (contacts["country"] == "DE") & (contacts["phone"] != "") & ~contacts["customer_id"].isin(known)
    asked = np.flatnonzero(may_ask & (own.random(len(contacts)) < WHATSAPP_IN_GERMANY))
    return _granted(contacts.iloc[asked], channel="whatsapp", joined_at=joined_at[asked], rng=own)


def _days(low: int, high: int, count: int, rng: np.random.Generator) -> NDArray[np.timedelta64]:
    return rng.integers(low, high, count).astype("timedelta64[D]")


def _granted(
    people: pd.DataFrame, *, channel: str, joined_at: NDArray[np.datetime64], rng: np.random.Generator
) -> pd.DataFrame:
    """Return one granted consent per contact, on the basis that is usual for the country and channel."""
    count = len(people)
    chance = rng.random(count)
    country = people["country"].to_numpy()
    basis = np.full(count, "express", dtype=object)
    basis[(country == "CA") & (chance < IMPLIED_IN_CANADA)] = "implied"
    basis[(country == "GB") & (chance < SOFT_OPT_IN_IN_BRITAIN) & (channel == "email")] = "soft_optin"
    basis[(country == "US") & (chance < WRITTEN_IN_AMERICA) & (channel == "sms")] = "pewc"
    return pd.DataFrame(
        {
            "customer_id": people["customer_id"].to_numpy(),
            "channel": channel,
            "purpose": "marketing",
            "status": "granted",
            "basis": basis,
            "recorded_at": joined_at + rng.integers(0, 1800, count).astype("timedelta64[s]"),
            "source": np.array(["checkout", "newsletter_form", "shop_till"])[rng.integers(0, 3, count)],
            "wording": np.array(["2023-05", "2024-02", "2025-01"])[rng.integers(0, 3, count)],
        }
    )
