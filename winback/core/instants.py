"""Times as feeds write them, read as aware UTC instants.

In: a column of texts or of typed times, and the zone a source declared. Out: instants, the rule each bad value broke,
and how many local times stood in a gap or a fold of the clock. Must never happen: a naive time taken for UTC because
nobody said otherwise.

A local time that the clock skips in spring or shows twice in autumn is read with the offset that was in force before
the change (the *first occurrence*; PEP 495, fold 0), and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE_MINUTES = 5

_ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_ISO = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}{_ZONE}?)?"
_OFFSET = rf":[0-9]{{2}}(?:\.[0-9]+)?{_ZONE}$"
# 20000 is the year 1954, 80000 the year 2119: a number between them is a day count of a spreadsheet, not an epoch.
_EXCEL_SERIAL = r"[2-7][0-9]{4}(?:[.,][0-9]+)?"
_EPOCH = r"-?[0-9]{9,19}(?:[.][0-9]+)?"


@dataclass(frozen=True, kw_only=True)
class Instants:
    """A column of times, read.

    Attributes
    ----------
    utc : ``datetime64[us, UTC]``, NaT where a rule is broken
    fault : the rule each row broke, "" for none (object)
    is_naive : rows whose time has no offset although the source declares no zone
    folds, gaps : how many local times the clock showed twice or skipped
    """

    utc: pd.Series
    fault: pd.Series
    is_naive: pd.Series
    folds: int = 0
    gaps: int = 0


def _localise(naive: pd.Series, zone: ZoneInfo) -> tuple[pd.Series, int, int]:
    """Return naive local times as UTC instants, and how many were shown twice or skipped."""
    at = naive.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    odd = naive[at.isna() & naive.notna()]
    if odd.empty:
        return at, 0, 0
    resolved: dict[pd.Timestamp, datetime] = {}
    skipped: set[pd.Timestamp] = set()
    for moment in odd.unique():
        wall = moment.to_pydatetime().replace(tzinfo=zone, fold=0)
        resolved[moment] = wall.astimezone(UTC)
        if resolved[moment].astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
            skipped.add(moment)
    gaps = int(odd.isin(skipped).sum())
    at = at.copy()
    at[odd.index] = pd.to_datetime(odd.map(resolved), utc=True).dt.as_unit("us")
    return at, len(odd) - gaps, gaps


def _tidied(text: pd.Series) -> pd.Series:
    """Return texts with the harmless variants of ISO 8601 written the usual way: lower case, `` +01``, `` UTC``."""
    is_iso = text.str.fullmatch(_ISO)
    odd = text[~is_iso]
    if odd.empty:
        return text
    usual = odd.str.upper().str.replace(r" ?(?:UTC|GMT)$", "Z", regex=True)
    tidied = text.copy()
    tidied[odd.index] = usual.str.replace(r" (?=[Z+-][0-9:]*$)", "", regex=True)
    return tidied


def _text_faults(text: pd.Series, at: pd.Series, is_iso: pd.Series) -> pd.Series:
    """Return the rule each text broke; only the texts that were not read are looked at closely."""
    fault = pd.Series("", index=text.index, dtype=object)
    bad = text[at.isna()]
    if bad.empty:
        return fault
    fault[bad.index] = np.select(
        [
            (bad == "").to_numpy(),
            is_iso[bad.index].to_numpy(),
            bad.str.fullmatch(_EXCEL_SERIAL).to_numpy(),
            bad.str.fullmatch(_EPOCH).to_numpy(),
        ],
        ["timestamp_missing", "timestamp_impossible", "timestamp_excel_serial", "timestamp_epoch"],
        "timestamp_unparsable",
    )
    return fault


def _parsed(text: pd.Series, *, utc: bool) -> pd.Series:
    return pd.to_datetime(text, format="ISO8601", utc=utc, errors="coerce").dt.as_unit("us")


def _read_texts(text: pd.Series, zone: ZoneInfo | None) -> Instants:
    """Read ISO 8601 texts: a date, or a date and a time with or without an offset."""
    tidied = _tidied(text)
    is_iso = tidied.str.fullmatch(_ISO)
    has_offset = is_iso & tidied.str.contains(_OFFSET)
    at = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]")
    folds = gaps = 0
    is_naive = pd.Series(data=False, index=text.index)
    if has_offset.any():
        at[has_offset] = _parsed(tidied[has_offset], utc=True)
    if (is_iso & ~has_offset).any():
        naive = _parsed(tidied[is_iso & ~has_offset], utc=False)
        if zone is None:
            is_naive[naive.index] = naive.notna()
        else:
            at[naive.index], folds, gaps = _localise(naive, zone)
    fault = _text_faults(text, at, is_iso).mask(is_naive, "timestamp_naive")
    return Instants(utc=at, fault=fault, is_naive=is_naive, folds=folds, gaps=gaps)


def _read_typed(values: pd.Series, zone: ZoneInfo | None) -> Instants:
    """Read times that arrive as times."""
    values = values.dt.as_unit("us")
    fault = pd.Series("", index=values.index, dtype=object)
    fault[values.isna()] = "timestamp_missing"
    is_naive = pd.Series(data=False, index=values.index)
    if values.dt.tz is not None:
        return Instants(utc=values.dt.tz_convert("UTC"), fault=fault, is_naive=is_naive)
    if zone is None:
        nothing = pd.Series(pd.NaT, index=values.index, dtype="datetime64[us, UTC]")
        return Instants(utc=nothing, fault=fault.mask(values.notna(), "timestamp_naive"), is_naive=values.notna())
    at, folds, gaps = _localise(values, zone)
    return Instants(utc=at, fault=fault, is_naive=is_naive, folds=folds, gaps=gaps)


def read_instants(values: pd.Series, *, zone: ZoneInfo | None, now: datetime) -> Instants:
    """Return a column of times as instants, with the rule each bad one broke.

    Parameters
    ----------
    values : texts without surrounding blanks, or ``datetime64`` with or without a zone
    zone : the zone the source declared for times that carry no offset; None when it declared none
    now : the present instant (aware); what lies more than five minutes after it is no event yet

    Returns
    -------
    Instants
        Rules: ``timestamp_missing``, ``timestamp_impossible`` (30 February), ``timestamp_excel_serial``,
        ``timestamp_epoch``, ``timestamp_naive``, ``timestamp_unparsable``, ``timestamp_future``,
        ``timestamp_ancient`` (before 1990).
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        read = _read_typed(values, zone)
    else:
        read = _read_texts(values, zone)
    latest = pd.Timestamp(now) + pd.Timedelta(minutes=FUTURE_TOLERANCE_MINUTES)
    fault = read.fault.mask(read.utc > latest, "timestamp_future").mask(read.utc < OLDEST, "timestamp_ancient")
    at = read.utc.mask(fault != "")
    return Instants(utc=at, fault=fault, is_naive=read.is_naive, folds=read.folds, gaps=read.gaps)
