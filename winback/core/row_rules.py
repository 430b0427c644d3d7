"""The rules of the border: which contact, consent or event of a feed is good, and which rule a bad one broke.

In: one chunk of a feed as a frame of canonical columns with ``row_number``. Out: :class:`~winback.core.sieve.Checked`.
Must never happen: a good row that is lost because of a bad one, a bad address that drops a contact, or a "no" that is
not heard because its row is badly written.

Columns are texts, apart from times (``datetime64``) and amounts (numbers) of sources that have types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core.region_codes import COUNTRIES, LANGUAGES
from winback.core.sieve import MAX_ID_CHARACTERS, NO_FAULTS, Checked, Sieve, faults_frame

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from zoneinfo import ZoneInfo

STANDARD_BEHAVIOURS = frozenset({"purchase", "visit", "login", "loyalty_scan", "open", "click"})
CHANNELS = ("email", "sms", "whatsapp")
STATUSES = ("granted", "withdrawn")
BASES = frozenset(
    {
        *("express", "double_opt_in", "pewc", "soft_optin"),
        *("implied", "purchase", "inquiry", "contract", "legitimate_interest"),
    }
)
BASIS_SYNONYMS = {
    **dict.fromkeys(("consent", "opt_in", "optin", "explicit", "express_consent", "explicit_consent"), "express"),
    **dict.fromkeys(("double_optin", "doi", "confirmed_opt_in"), "double_opt_in"),
    **dict.fromkeys(("soft_opt_in", "existing_customer"), "soft_optin"),
    **dict.fromkeys(("written", "prior_express_written_consent"), "pewc"),
}
"""What feeds call the same basis; anything else than these and :data:`BASES` is refused, for it proves nothing."""
DEFAULT_PURPOSE = "marketing"

_NAME_COLUMNS = ("first_name", "last_name", "region", "category")
CONTACT_COLUMNS = (
    "customer_id",
    "email",
    "phone",
    *_NAME_COLUMNS[:2],
    "locale",
    "timezone",
    "country",
    "region",
    "category",
)
CONSENT_COLUMNS = ("customer_id", "channel", "purpose", "status", "basis", "recorded_at", "source", "wording")
EVENT_COLUMNS = ("customer_id", "occurred_at", "event_id", "behaviour", "amount")
ROW_NUMBER = "row_number"

MAX_NAME_CHARACTERS = 200
LARGEST_AMOUNT = 1e12
_NAME = r"[a-z][a-z0-9_]{0,62}"
_PURPOSE = r"[a-z][a-z0-9_-]{0,62}"
_LOCALE = r"([A-Za-z]{2,3})(?:[_-]([A-Za-z]{4}))?(?:[_-]([A-Za-z]{2}|[0-9]{3}))?(?:\.[A-Za-z0-9-]+)?"
_GROUPED = r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?"


def _read_amounts(sieve: Sieve, decimal: str) -> None:
    """Read amounts; an empty one is unknown."""
    if "amount" not in sieve.rows:
        sieve.rows["amount"] = np.nan
        return
    values = sieve.rows["amount"]
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.astype("float64")
    else:
        texts = sieve.text("amount")
        plain = texts
        if decimal == ",":
            is_grouped = texts.str.fullmatch(_GROUPED)
            sieve.flag(~is_grouped & texts.str.contains(".", regex=False), "amount", "amount_unparsable")
            plain = texts.where(~is_grouped, texts.str.replace(".", "", regex=False)).str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(plain, errors="coerce").astype("float64")
        unread = numbers.isna() & (texts != "")
        if unread.any():
            sieve.flag(unread & plain.str.lower().str.fullmatch(r"[+-]?nan"), "amount", "amount_not_finite")
            sieve.flag(unread & plain.str.fullmatch(r"[+-]?[0-9]+,[0-9]{1,2}"), "amount", "amount_decimal_comma")
            sieve.flag(unread, "amount", "amount_unparsable")
    sieve.flag(numbers.abs() == np.inf, "amount", "amount_not_finite")
    sieve.flag(numbers.abs() > LARGEST_AMOUNT, "amount", "amount_out_of_range")
    sieve.rows["amount"] = numbers


def _read_behaviours(sieve: Sieve, behaviour: str | None, known: Collection[str]) -> None:
    """Read which behaviour each event is; the declared one where the row names none."""
    if "behaviour" not in sieve.rows and behaviour is not None:
        sieve.rows["behaviour"] = pd.Series(behaviour, index=sieve.rows.index, dtype="str")
        return
    names = sieve.text("behaviour").str.lower()
    names = names.mask(names == "", behaviour) if behaviour is not None else names
    sieve.flag(names == "", "behaviour", "behaviour_missing")
    sieve.flag(~names.str.fullmatch(_NAME), "behaviour", "behaviour_malformed")
    sieve.flag(~names.isin({*known, behaviour}), "behaviour", "behaviour_unknown")
    sieve.rows["behaviour"] = names


def check_events(
    frame: pd.DataFrame,
    *,
    behaviour: str | None,
    behaviours: Collection[str],
    zone: ZoneInfo | None,
    decimal: str,
    now: datetime,
) -> Checked:
    """Return the good events of a chunk and the bad rows.

    Parameters
    ----------
    frame : row_number, customer_id, occurred_at and, optionally, event_id, behaviour, amount
    behaviour : what the source declares for rows that name none
    behaviours : every behaviour a row may name
    zone : the zone of times that carry no offset; None when the source declared none
    decimal : the mark before the fraction of an amount, "." or ","
    now : the present instant (aware)

    Returns
    -------
    Checked
        rows: row_number, customer_id, behaviour, occurred_at (UTC), amount (float64, NaN unknown), event_id ("" none)
    """
    sieve = Sieve(frame)
    sieve.require_id()
    read = sieve.instants("occurred_at", zone=zone, now=now)
    _read_behaviours(sieve, behaviour, behaviours)
    _read_amounts(sieve, decimal)
    events = sieve.text("event_id")
    sieve.flag(events.str.len() > MAX_ID_CHARACTERS, "event_id", "event_id_too_long")
    counts = {"folds": read.folds, "gaps": read.gaps}
    return sieve.result("customer_id", "behaviour", "occurred_at", "amount", "event_id", counts=counts)


def _read_locales(sieve: Sieve) -> None:
    """Read locales as ``fr`` or ``fr-FR``, whatever mark and case the feed uses."""
    codes, distinct = pd.factorize(sieve.text("locale"))  # a feed knows few, and the pattern costs 5 CPU us each
    texts = pd.Series(distinct, dtype="str")
    parts = texts.str.extract(f"^{_LOCALE}$").fillna("")
    language, script, country = parts[0].str.lower(), parts[1].str.capitalize(), parts[2].str.upper()
    is_known = ((language.str.len() == len("mul")) | language.isin(LANGUAGES)) & (language != "")
    is_known &= (country == "") | country.isin(COUNTRIES) | country.str.isdigit()
    is_unknown = ((texts != "") & ~is_known).to_numpy(dtype=bool)
    sieve.flag(pd.Series(is_unknown[codes], index=sieve.rows.index), "locale", "locale_unknown")
    normal = language + ("-" + script).where(script != "", "") + ("-" + country).where(country != "", "")
    sieve.rows["locale"] = normal.where(texts != "", "").take(codes).set_axis(sieve.rows.index)


def check_contacts(frame: pd.DataFrame, *, zones: Collection[str]) -> Checked:
    """Return the good contacts of a chunk and the bad rows; addresses are not judged here.

    Parameters
    ----------
    frame : row_number, the columns of ``CONTACT_COLUMNS`` the feed has, and any others (merge fields)
    zones : the names of all time zones

    Returns
    -------
    Checked
        rows: row_number, every column of ``CONTACT_COLUMNS`` ("" where nothing is known) and the others, all texts
    """
    sieve = Sieve(frame)
    sieve.require_id()
    for name in ("email", "phone"):
        sieve.text(name)
    for name in _NAME_COLUMNS:
        sieve.flag(sieve.text(name).str.len() > MAX_NAME_CHARACTERS, name, "name_too_long")
    country = sieve.text("country").str.upper()
    sieve.flag((country != "") & ~country.isin(COUNTRIES), "country", "country_unknown")
    sieve.rows["country"] = country
    _read_locales(sieve)
    zone = sieve.text("timezone")
    sieve.flag((zone != "") & ~zone.isin(zones), "timezone", "timezone_unknown")
    others = [name for name in sieve.given.columns if name not in {*CONTACT_COLUMNS, ROW_NUMBER}]
    for name in others:
        sieve.text(name, may_break=True)
    return sieve.result(*CONTACT_COLUMNS, *others)


def settle_duplicate_contacts(rows: pd.DataFrame) -> Checked:
    """Return one row a customer of a whole contacts feed: the first one.

    A later row that says the same is left out and counted (``duplicates``); one that says something else is a fault
    (``customer_id_conflict``): nobody can know which of the two is right.
    """
    is_later = rows["customer_id"].duplicated(keep="first")
    if not is_later.any():
        return Checked(rows=rows, faults=NO_FAULTS, counts={"duplicates": 0})
    is_same = rows.drop(columns=ROW_NUMBER).duplicated(keep="first")
    conflicts = rows[is_later & ~is_same]
    faults = faults_frame(conflicts[ROW_NUMBER], "customer_id", "customer_id_conflict", conflicts["customer_id"])
    duplicates = int((is_later & is_same).sum())
    kept = rows[~is_later].reset_index(drop=True)
    return Checked(rows=kept, faults=faults.reset_index(drop=True), counts={"duplicates": duplicates})


def check_consents(frame: pd.DataFrame, *, zone: ZoneInfo | None, now: datetime, unread_at: datetime) -> Checked:
    """Return the good consents of a chunk and the bad rows.

    A withdrawal is heard even where its row is bad: one of unknown time counts from ``unread_at``, one of unknown
    channel for every channel, one of unknown purpose for marketing. Its row is a fault all the same, so that somebody
    mends it; ``counts["unread_withdrawals"]`` says how many there were.

    Parameters
    ----------
    frame : row_number, customer_id, channel, status, recorded_at and, optionally, purpose, basis, source, wording
    zone : the zone of times that carry no offset; None when the source declared none
    now : the present instant (aware)
    unread_at : the instant from which a withdrawal of unknown time counts (aware)

    Returns
    -------
    Checked
        rows: row_number and ``CONSENT_COLUMNS``; recorded_at in UTC, the others texts
    """
    sieve = Sieve(frame)
    sieve.require_id()
    status = sieve.rows["status"] = sieve.text("status").str.lower()
    channel = sieve.rows["channel"] = sieve.text("channel").str.lower()
    purpose = sieve.text("purpose").str.lower()
    purpose = sieve.rows["purpose"] = purpose.mask(purpose == "", DEFAULT_PURPOSE)
    has_customer = sieve.is_good | ~sieve.column.isin(["customer_id"])
    sieve.flag(~status.isin(STATUSES), "status", "status_unknown")
    sieve.flag(~channel.isin(CHANNELS), "channel", "channel_unknown")
    sieve.flag(~purpose.str.fullmatch(_PURPOSE), "purpose", "purpose_malformed")
    basis = sieve.text("basis").str.lower().str.replace("[- ]", "_", regex=True)
    basis = sieve.rows["basis"] = basis.replace(BASIS_SYNONYMS)
    sieve.flag((basis != "") & ~basis.isin(BASES), "basis", "basis_unknown")
    read = sieve.instants("recorded_at", zone=zone, now=now)
    for name in ("source", "wording"):
        sieve.text(name, may_break=True)
    is_unread = ~sieve.is_good & has_customer & (status == "withdrawn")
    checked = sieve.result(*CONSENT_COLUMNS, counts={"folds": read.folds, "gaps": read.gaps})
    if not is_unread.any():
        return checked
    heard = _heard(sieve.rows.loc[is_unread, [ROW_NUMBER, *CONSENT_COLUMNS]], unread_at)
    return Checked(
        rows=pd.concat([checked.rows, heard], ignore_index=True),
        faults=checked.faults,
        first_naive=checked.first_naive,
        counts={**checked.counts, "unread_withdrawals": int(is_unread.sum())},
    )


def _heard(rows: pd.DataFrame, unread_at: datetime) -> pd.DataFrame:
    """Return badly written withdrawals with the widest meaning they can have."""
    known = rows["channel"].isin(CHANNELS)
    wide = rows[~known].drop(columns="channel").merge(pd.DataFrame({"channel": CHANNELS}), how="cross")
    rows = pd.concat([rows[known], wide], ignore_index=True)
    is_named = rows["purpose"].str.fullmatch(_PURPOSE)
    moment = rows["recorded_at"].fillna(pd.Timestamp(unread_at).tz_convert("UTC"))
    return rows.assign(
        purpose=rows["purpose"].where(is_named, DEFAULT_PURPOSE),
        basis="",
        recorded_at=moment.astype("datetime64[us, UTC]"),
        source="a row in quarantine",
        wording="",
    )
