"""E-mail addresses and telephone numbers in the one form that is compared, stored and sent to.

In: the columns of a contacts feed. Out: the same rows with the normal form, or the reason why an address cannot be
used. Must never happen: a contact that is dropped because an address is bad, or two spellings of one address that
escape one suppression.

Every distinct value is looked at once. The syntax of e-mail addresses follows RFC 5321 and 5322 as email-validator
checks it, without asking the network; numbers follow the metadata of libphonenumber.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import email_validator
import numpy as np
import pandas as pd
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import timezone as phone_timezones

from winback.core.matching import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

MAX_ADDRESS_CHARACTERS = 254
# The local parts nearly everybody has. The library accepts all of them, which a property test shows; what does not
# look like this goes to the library whole.
_ORDINARY = r"^(?P<local>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@(?P<domain>[A-Za-z0-9.-]+)$"
_MAX_LOCAL_CHARACTERS = 64
_UNKNOWN_ZONE = "Etc/Unknown"
_BETWEEN = "\x1f"
_TEXTABLE = frozenset(
    {
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
        phonenumbers.PhoneNumberType.VOIP,
        phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
    }
)

EmailForm = tuple[str | None, str | None, str | None]
PhoneForm = tuple[str | None, str | None, str | None, str | None]


def normalise_email(address: str) -> EmailForm:
    """Return (shown form, comparison key, fault) of one address.

    Examples
    --------
    >>> normalise_email("Ann.Lee@Example.COM")
    ('Ann.Lee@example.com', 'ann.lee@example.com', None)
    >>> normalise_email("nobody")
    (None, None, 'email_invalid')
    """
    if not address:
        return None, None, "email_missing"
    if len(address) > MAX_ADDRESS_CHARACTERS:
        return None, None, "email_too_long"
    try:
        read = email_validator.validate_email(address, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError as problem:
        is_reserved = "special-use" in str(problem)
        return None, None, "email_reserved_domain" if is_reserved else "email_invalid"
    if read.ascii_email is None:
        return read.normalized, None, "email_not_ascii"
    return read.normalized, read.ascii_email.lower(), None


def _ordinary_forms(addresses: pd.Series) -> pd.DataFrame:
    """Return the forms of plainly ordinary addresses, missing for the others: the library reads each domain once."""
    # pandas would take the parts out one by one among Python objects: 220 CPU ms for 100,000 addresses, not 25.
    parts = pc.extract_regex(pa.array(addresses, from_pandas=True), _ORDINARY)
    local, domain = (pc.struct_field(parts, name).to_pandas().set_axis(addresses.index) for name in ("local", "domain"))
    codes, domains = pd.factorize(domain)
    shown = pd.Series([*map(_shown_domain, domains), None], dtype="str")  # the last one stands for no domain: code -1
    forms = local + "@" + shown.take(codes).set_axis(addresses.index)
    forms = forms.where((local.str.len() <= _MAX_LOCAL_CHARACTERS) & (addresses.str.len() <= MAX_ADDRESS_CHARACTERS))
    return pd.DataFrame({"email": forms, "email_key": forms.str.lower(), "email_fault": pd.Series(dtype="str")})


def _shown_domain(domain: str) -> str | None:
    """Return how a domain is shown; None where it cannot be used, or is compared in another form."""
    form, key, _ = normalise_email(f"a@{domain}")
    return form.removeprefix("a@") if form and form == key else None


def normalise_emails(addresses: pd.Series) -> pd.DataFrame:
    """Return the normal form of a column of e-mail addresses.

    Parameters
    ----------
    addresses : texts without surrounding blanks, "" where there is none

    Returns
    -------
    same index: email (shown form, keeps the case of the local part), email_key (lower-cased ASCII form, for
    comparisons), email_fault (None, or ``email_missing``, ``email_invalid``, ``email_too_long``,
    ``email_reserved_domain``, ``email_not_ascii``); an address with a fault is not written to
    """
    ordinary = _ordinary_forms(addresses)
    is_odd = ordinary["email"].isna().to_numpy()
    forms = {address: normalise_email(address) for address in addresses[is_odd].unique()}
    return _columns(addresses, np.where(is_odd, -1, np.arange(len(addresses))), ordinary, forms)


def normalise_phone(number: str, region: str, zones: dict[int, str] | None = None) -> PhoneForm:
    """Return (E.164 form, type, candidate time zones joined by commas, fault) of one number.

    Parameters
    ----------
    number : as a person writes it
    region : ISO 3166 alpha-2 code that national numbers are read in; "" when nobody declared one
    zones : memory of the zones of whole countries, filled here

    Examples
    --------
    >>> normalise_phone("06 12 34 56 78", "FR")
    ('+33612345678', 'mobile', 'Europe/Paris', None)
    >>> normalise_phone("06 12 34 56 78", "")
    (None, None, None, 'phone_region_missing')
    """
    if not number:
        return None, None, None, "phone_missing"
    try:
        read = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException as problem:
        lacks_region = problem.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and not region
        return None, None, None, "phone_region_missing" if lacks_region else "phone_unparsable"
    kind = phonenumbers.number_type(read)
    if kind == phonenumbers.PhoneNumberType.UNKNOWN:
        return None, None, None, "phone_invalid"
    form = phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164)
    name = phonenumbers.PhoneNumberType.to_string(kind).lower()
    around = _zones_of(read, kind, {} if zones is None else zones) or None
    if kind == phonenumbers.PhoneNumberType.FIXED_LINE:
        return form, name, around, "phone_fixed_line"
    return form, name, around, None if kind in _TEXTABLE else "phone_not_mobile"


def _zones_of(number: phonenumbers.PhoneNumber, kind: int, zones: dict[int, str]) -> str:
    """Return the zones a number may be in. A number tied to no place may be anywhere in its country: asked once."""
    code = number.country_code or 0  # a number that was read has one
    if phonenumbers.is_number_type_geographical(kind, code):
        return _joined(phone_timezones.time_zones_for_geographical_number(number))
    if code not in zones:
        zones[code] = _joined(phone_timezones.time_zones_for_number(number))
    return zones[code]


def _joined(zones: Iterable[str]) -> str:
    return ",".join(zone for zone in zones if zone != _UNKNOWN_ZONE)


def normalise_phones(numbers: pd.Series, regions: pd.Series, *, known: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the normal form of a column of telephone numbers.

    Parameters
    ----------
    numbers : texts, "" where there is none
    regions : ISO 3166 alpha-2 codes, "" where none is declared; same index
    known : phone, phone_type, phone_zones, phone_fault of an earlier result; a number that is its own normal form
        there is not looked at again

    Returns
    -------
    same index: phone (E.164), phone_type, phone_zones (candidate time zones, joined by commas), phone_fault (None, or
    ``phone_missing``, ``phone_region_missing``, ``phone_unparsable``, ``phone_invalid``, ``phone_fixed_line``,
    ``phone_not_mobile``); a number with a fault is not texted
    """
    names = ["phone", "phone_type", "phone_zones", "phone_fault"]
    known = pd.DataFrame(columns=names, dtype="str") if known is None else known[names]
    # A normal form means the same in every country; what is wrong with another number may depend on it.
    at = places(numbers, known["phone"])
    keys = numbers + _BETWEEN + regions
    zones: dict[int, str] = {}
    unseen = keys[at < 0].unique()
    forms = {key: normalise_phone(*_apart(key), zones) for key in unseen}
    return _columns(keys, at, known, forms)


def _apart(key: str) -> tuple[str, str]:
    """Return number and region of a key; a region has no character of the kind that joins them."""
    number, _, region = key.rpartition(_BETWEEN)
    return number, region


def _columns(
    keys: pd.Series, at: NDArray[np.int64], known: pd.DataFrame, forms: Mapping[str, tuple[str | None, ...]]
) -> pd.DataFrame:
    """Return the form of each key: the known one at its place, that of ``forms`` where the place is -1."""
    fresh = pd.DataFrame(list(forms.values()), columns=known.columns, dtype="str")
    place = np.where(at >= 0, at, len(known) + places(keys, pd.Series(list(forms), dtype="str")))
    return pd.concat([known, fresh], ignore_index=True).iloc[place].set_axis(keys.index)
