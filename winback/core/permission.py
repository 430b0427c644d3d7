"""May this contact be written to on this channel, for this purpose, today? If not: the strongest reason why.

In: contacts, consent records, suppressions, the dated country rules. Out: a reason a contact and channel, and the
first usable channel of each step. Must never happen: a send without a consent record, or to somebody who said stop
under another customer id or another address.

References
----------
`facts/consent.md` sections 1 and 2; each row of the rules names its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from winback.core.country_rules import BASES_OF_A_PURCHASE
from winback.core.matching import places, rows_at
from winback.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from winback.core.country_rules import CountryRules
    from winback.core.policy import ChannelName, Programme

CHANNELS: tuple[ChannelName, ...] = ("email", "sms", "whatsapp")
REASONS = (
    Reason.ERASED,
    Reason.COMPLAINED,
    Reason.OPTED_OUT,
    Reason.INVALID_ADDRESS,
    Reason.CONSENT_WITHDRAWN,
    Reason.CONSENT_EXPIRED,
    Reason.NO_CONSENT_RECORD,
    Reason.SUNSETTED,
    Reason.COUNTRY_BLOCKED,
    Reason.UNREACHABLE,
)
"""Every reason of this module, strongest first; a smaller place in the list wins."""
RANK = {reason.value: place for place, reason in enumerate(REASONS)}
PERMITTED = len(REASONS)
NAMES = np.array([*(reason.value for reason in REASONS), ""], dtype=object)
CHANNEL = pd.CategoricalDtype([*CHANNELS, ""])
VERDICT = pd.CategoricalDtype(NAMES)
"""What stands against a send, the strongest first; the codes are the ranks."""

GRANTED = "granted"
WITHDRAWN = "withdrawn"


def evaluate(
    contacts: pd.DataFrame,
    consents: pd.DataFrame,
    suppressions: pd.DataFrame,
    *,
    rules: CountryRules,
    programme: str,
    purpose: str,
    as_of: date,
) -> pd.DataFrame:
    """Return what stands against each contact on each channel, in the order of ``contacts``.

    Parameters
    ----------
    contacts : customer_id, email, email_fault, phone, phone_type, phone_fault, country, email_hmac, sms_hmac,
        whatsapp_hmac, and optionally customer_hmac (keyed hash of the id, to know the erased again) and
        last_purchase_on (implied consent of a purchase counts from it)
    consents : customer_id, channel, purpose, status, basis, recorded_at (aware)
    suppressions : channel (or `all`), kind (`address|customer|erased`), key, reason, programme ("" or missing: every
        one), effective_on, lifted_at (NaT: in force)
    rules : from :func:`winback.core.country_rules.load_country_rules`
    programme, purpose : of the send
    as_of : the night's date; what that night itself sunset is no input to it

    Returns
    -------
    customer_id; `email`, `sms`, `whatsapp` (of :data:`VERDICT`): a reason's value, "" where a send is permitted;
    has_email, has_sms, has_whatsapp: is there a usable address; is_sunset: sunset on some channel.
    """
    in_force = _in_force(suppressions, programme=programme, as_of=as_of)
    suppressed = {channel: _suppression_ranks(contacts, in_force, channel) for channel in CHANNELS}
    # An erased person is erased everywhere, by whichever address they are known again.
    is_erased = np.logical_or.reduce([ranks == RANK[Reason.ERASED] for ranks in suppressed.values()])
    newest = _newest(consents, purpose=purpose, as_of=as_of)
    country = _countries(contacts)
    found: dict[str, object] = {"customer_id": contacts["customer_id"].array}
    for channel, has_address in _addresses(contacts).items():
        consent = _consent_ranks(contacts, newest, channel, country, rules=rules, as_of=as_of)
        is_blocked = _is_blocked(contacts, channel, country, rules=rules, as_of=as_of)
        against = {Reason.ERASED: is_erased, Reason.COUNTRY_BLOCKED: is_blocked, Reason.UNREACHABLE: ~has_address}
        found[channel] = pd.Categorical.from_codes(_strongest(suppressed[channel], consent, against), dtype=VERDICT)
        found[f"has_{channel}"] = has_address
    return pd.DataFrame({**found, "is_sunset": _is_sunset(contacts, in_force)})


def evaluate_each(
    contacts: pd.DataFrame,
    consents: pd.DataFrame,
    suppressions: pd.DataFrame,
    *,
    rules: CountryRules,
    programmes: Iterable[Programme],
    as_of: date,
) -> dict[str, pd.DataFrame]:
    """Return :func:`evaluate` for each programme, by its name.

    Worked out once for all programmes of one purpose that no suppression names: for five programmes with a fifth of
    100,000 contacts each that costs a third, because every time everybody's consents are looked through.
    """
    named = set(suppressions["programme"].dropna())
    kinds = {one.programme: (one.programme if one.programme in named else "", one.purpose) for one in programmes}
    found = {
        kind: evaluate(contacts, consents, suppressions, rules=rules, programme=kind[0], purpose=kind[1], as_of=as_of)
        for kind in dict.fromkeys(kinds.values())
    }
    return {programme: found[kind] for programme, kind in kinds.items()}


def for_steps(
    verdicts: pd.DataFrame, countries: pd.Series[str], *, programme: Programme, available: Sequence[str] = CHANNELS
) -> pd.DataFrame:
    """Return, for each step k, the first usable of its channels: channel_k, permission_k, is_permitted_k.

    ``permission_k`` (of :data:`VERDICT`) is "" or the strongest reason over the step's channels; ``channel_k`` (of
    :data:`CHANNEL`) is "" where none is usable.

    Parameters
    ----------
    verdicts : from :func:`evaluate`
    countries : of the contacts, in the same order; a step may name the ones it is for
    programme : its steps
    available : channels the business uses at all; another one reaches nobody
    """
    found: dict[str, object] = {"customer_id": verdicts["customer_id"].array}
    reachable = np.zeros(len(verdicts), dtype=bool)
    for k, step in enumerate(programme.ladder.steps, start=1):
        usable = [channel for channel in step.channels if channel in available]
        ranks = [verdicts[channel].cat.codes.to_numpy() for channel in usable]
        ranks = ranks or [np.full(len(verdicts), RANK[Reason.UNREACHABLE])]
        outside = ~countries.isin(step.countries).to_numpy(bool) if step.countries else np.zeros(len(verdicts), bool)
        is_usable = [(rank == PERMITTED) & ~outside for rank in ranks]
        strongest = np.minimum.reduce(ranks)
        strongest = np.where(outside, np.minimum(strongest, RANK[Reason.COUNTRY_BLOCKED]), strongest)
        permitted = np.logical_or.reduce(is_usable)
        first = np.argmax([*is_usable[: len(usable)], np.ones(len(verdicts), dtype=bool)], axis=0)  # the last: none
        codes = np.array([CHANNEL.categories.get_loc(channel) for channel in [*usable, ""]])
        found[f"channel_{k}"] = pd.Categorical.from_codes(codes[first], dtype=CHANNEL)
        found[f"permission_{k}"] = pd.Categorical.from_codes(np.where(permitted, PERMITTED, strongest), dtype=VERDICT)
        found[f"is_permitted_{k}"] = permitted
        for channel in usable:
            reachable |= verdicts[f"has_{channel}"].to_numpy(bool)
    return pd.DataFrame({**found, "is_reachable": reachable, "is_sunset": verdicts["is_sunset"].to_numpy(bool)})


def _addresses(contacts: pd.DataFrame) -> dict[ChannelName, NDArray[np.bool_]]:
    """Return for each channel who has an address that can be used on it."""

    def sound(name: str) -> NDArray[np.bool_]:
        present = contacts[name].notna() & (contacts[name] != "")
        faulty = contacts[f"{name}_fault"].notna() & (contacts[f"{name}_fault"] != "")
        return np.asarray(present & ~faulty, dtype=bool)

    phone = sound("phone")
    landline = (contacts["phone_type"].astype("str").str.upper() == "FIXED_LINE").to_numpy(bool)
    return {"email": sound("email"), "sms": phone & ~landline, "whatsapp": phone}


def _strongest(
    suppressed: NDArray[np.int64], consent: NDArray[np.int64], against: Mapping[Reason, NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Return the strongest of all that stands against a send on one channel."""
    # Whom no message could reach anyway needs no consent record to be told apart.
    is_unasked = against[Reason.UNREACHABLE] & (consent == RANK[Reason.NO_CONSENT_RECORD])
    claims = [np.where(holds, RANK[reason], PERMITTED) for reason, holds in against.items()]
    ranks = np.minimum.reduce([suppressed, np.where(is_unasked, PERMITTED, consent), *claims])
    return np.asarray(ranks, dtype=np.int64)


def _in_force(suppressions: pd.DataFrame, *, programme: str, as_of: date) -> pd.DataFrame:
    """Return the suppressions that bind this programme tonight, with the rank of their reason."""
    scope = suppressions["programme"].fillna("")
    rows = suppressions[suppressions["lifted_at"].isna() & scope.isin(["", programme])].copy()
    # A reason this program does not know still is somebody's no.
    rows["rank"] = rows["reason"].map(RANK).fillna(RANK[Reason.OPTED_OUT]).astype(np.int64)
    tonight = (rows["reason"] == Reason.SUNSETTED.value) & (rows["effective_on"] >= pd.Timestamp(as_of))
    return rows[~tonight]


def _matches(contacts: pd.DataFrame, rows: pd.DataFrame, column: str) -> NDArray[np.int64]:
    """Return the strongest rank among the suppressions whose key is the contact's ``column``."""
    if rows.empty or column not in contacts:
        return np.full(len(contacts), PERMITTED)
    strongest = rows.groupby("key")["rank"].min()
    at = places(contacts[column], strongest.index)
    return np.where(at >= 0, strongest.to_numpy()[at], PERMITTED)


def _suppression_ranks(contacts: pd.DataFrame, rows: pd.DataFrame, channel: str) -> NDArray[np.int64]:
    """Return the strongest suppression of each contact on a channel: by its address, its id, or its erased id."""
    here = rows[rows["channel"] == channel]
    everywhere = rows[rows["channel"] == "all"]
    both = pd.concat([here, everywhere])
    found = [
        _matches(contacts, here[here["kind"] == "address"], f"{channel}_hmac"),
        _matches(contacts, both[both["kind"] == "customer"], "customer_id"),
        _matches(contacts, both[both["kind"] == "erased"], "customer_hmac"),
    ]
    by_address = everywhere[everywhere["kind"] == "address"]
    found += [_matches(contacts, by_address, f"{name}_hmac") for name in CHANNELS]
    return np.asarray(np.minimum.reduce(found), dtype=np.int64)


def _is_sunset(contacts: pd.DataFrame, in_force: pd.DataFrame) -> NDArray[np.bool_]:
    """Return who was sunset on some channel, whatever else stands against them."""
    sunsets = in_force[in_force["reason"] == Reason.SUNSETTED.value]
    ranks = [_suppression_ranks(contacts, sunsets, channel) for channel in CHANNELS]
    return np.asarray(np.logical_or.reduce([rank < PERMITTED for rank in ranks]), dtype=bool)


def _newest(consents: pd.DataFrame, *, purpose: str, as_of: date) -> pd.DataFrame:
    """Return the newest consent record a (customer, channel) for a purpose; at the same instant the withdrawal wins."""
    rows = consents[consents["purpose"] == purpose].copy()
    at = pd.to_datetime(rows["recorded_at"], utc=True)
    no = (rows["status"] != GRANTED).to_numpy(bool)
    end_of_day = pd.Timestamp(as_of, tz="UTC") + pd.Timedelta(days=1)
    # A withdrawal of unknown time counts as the latest word; a grant of unknown or later time as none.
    rows["at"] = at.fillna(pd.Timestamp.max.tz_localize("UTC").floor("D")).dt.as_unit("us")
    rows["is_no"] = no
    rows = rows[no | (at < end_of_day).to_numpy(bool)]
    if not rows.duplicated(["customer_id", "channel"]).any():
        return rows
    return rows.sort_values(["at", "is_no", "basis"]).drop_duplicates(["customer_id", "channel"], keep="last")


class _Countries(NamedTuple):
    """The distinct countries of some contacts, and which of them each contact's is."""

    codes: NDArray[np.int64]
    names: NDArray[np.object_]


def _consent_ranks(
    contacts: pd.DataFrame, newest: pd.DataFrame, channel: str, country: _Countries, *, rules: CountryRules, as_of: date
) -> NDArray[np.int64]:
    """Return what the consent record of a channel says: permitted, withdrawn, expired, or no record that proves it."""
    records = newest[newest["channel"] == channel]
    at = places(contacts["customer_id"], records["customer_id"])
    mine = rows_at(records[["basis", "at", "is_no"]], at)
    basis, bases = pd.factorize(mine["basis"].astype("str").fillna("").str.lower().to_numpy(object))
    given = pd.to_datetime(mine["at"], utc=True).dt.tz_localize(None).dt.normalize().to_numpy("datetime64[D]")
    if "last_purchase_on" in contacts:
        bought = contacts["last_purchase_on"].to_numpy("datetime64[D]")
        given = np.where(np.isin(bases, BASES_OF_A_PURCHASE)[basis], np.fmax(given, bought), given)
    # One cell a country and basis: is it accepted, and since when must it have been given?
    accepted = np.zeros((len(country.names), len(bases)), dtype=bool)
    since = np.full(accepted.shape, np.datetime64("NaT", "D"))
    for row, name in enumerate(country.names):
        rule = rules.rule(name, channel, as_of)
        if rule is None or rule.is_blocked:
            continue
        accepted[row] = np.isin(bases, rule.bases)
        for kind, days in rule.expires.items():
            since[row, bases == kind] = np.datetime64(as_of) - np.timedelta64(days, "D")
    is_accepted = (at >= 0) & accepted[country.codes, basis]
    is_too_old = given < since[country.codes, basis]
    return np.select(
        [mine["is_no"].fillna(value=False).to_numpy(bool), is_accepted & is_too_old, is_accepted],
        [RANK[Reason.CONSENT_WITHDRAWN], RANK[Reason.CONSENT_EXPIRED], PERMITTED],
        RANK[Reason.NO_CONSENT_RECORD],
    )


def _countries(contacts: pd.DataFrame) -> _Countries:
    """Return each contact's country, `*` where unknown; an unknown country with a +1 number counts as the US."""
    country = contacts["country"].astype("str").fillna("").str.upper()
    american = (country == "") & contacts["phone"].astype("str").fillna("").str.startswith("+1")
    codes, names = pd.factorize(country.mask(american, "US").replace("", "*"))
    return _Countries(np.asarray(codes, dtype=np.int64), np.asarray(names, dtype=object))


def _is_blocked(
    contacts: pd.DataFrame, channel: str, country: _Countries, *, rules: CountryRules, as_of: date
) -> NDArray[np.bool_]:
    """Return to whom no marketing goes on a channel, by country or by the number's prefix."""
    in_force = [rules.rule(name, channel, as_of) for name in country.names]
    blocked = np.array([rule is None or rule.is_blocked for rule in in_force], dtype=bool)[country.codes]
    prefixes = rules.blocked_prefixes(channel, as_of)
    if prefixes:
        blocked |= contacts["phone"].astype("str").fillna("").str.startswith(prefixes).to_numpy(bool)
    return blocked
