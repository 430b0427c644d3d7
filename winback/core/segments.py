"""One segment a contact and programme: where the silence stands, in the words of the field.

In: contacts (reachable? sunset?), schedules, and optionally how many sends were ignored. Out: segment and tier.
Must never happen: a contact with two segments or none, or a silence without data called inactivity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import betaln

from winback.core.matching import first_name, places, rows_at

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

UNREACHABLE = "unreachable"
SUNSET = "sunset"
NEW = "new"
DORMANT = "dormant"
LAPSED = "lapsed"
AT_RISK = "at_risk"
DISENGAGED = "disengaged"
ACTIVE = "active"
SEGMENTS = (UNREACHABLE, SUNSET, NEW, DORMANT, LAPSED, AT_RISK, DISENGAGED, ACTIVE)
"""In their order of precedence: the first that holds is the contact's segment."""

_READ = ["n", "silence_days", "threshold_2_days", "threshold_3_days", "overdue_days", "nudge_days", "lapsed_on"]

FREQUENT_EVENTS = 10
IGNORED_BY_CHANCE = 0.05


def is_overdue(schedules: pd.DataFrame) -> NDArray[np.bool_]:
    """Return who is late by the own rhythm: past the overdue clock, or with 10 events or more past the nudge clock.

    A quarter of all silences pass the overdue clock by chance; frequent customers pass it every few weeks, so for
    them the later clock (one silence in 40) is asked.

    Parameters
    ----------
    schedules : n, silence_days, overdue_days, nudge_days (NaN where unknown)
    """
    frequent = (schedules["n"] >= FREQUENT_EVENTS) & schedules["nudge_days"].notna()
    clock = schedules["overdue_days"].where(~frequent, schedules["nudge_days"])
    return np.asarray(schedules["silence_days"] > clock, dtype=bool)


def chance_of_ignoring(ignored: pd.Series[int], *, opened: pd.Series[float], missed: pd.Series[float]) -> pd.Series:
    """Return the probability that an active reader ignores the last ``ignored`` sends in a row.

    Beta-binomial: B(a, b + k) / B(a, b) with the reader's shrunk a (``opened``) and b (``missed``).

    Examples
    --------
    >>> float(chance_of_ignoring(pd.Series([1]), opened=pd.Series([1.0]), missed=pd.Series([1.0])).iloc[0].round(3))
    0.5
    """
    return pd.Series(np.exp(betaln(opened, missed + ignored) - betaln(opened, missed)), index=ignored.index)


def is_ignoring(engagement: pd.DataFrame, *, most_ignored: int) -> pd.Series:
    """Return who has ignored more than chance explains.

    Parameters
    ----------
    engagement : ignored_sends (k since the last engagement), and, where a fit exists, opened and missed (Beta a, b)
    most_ignored : the policy's count, used where there is no fit
    """
    by_count = engagement["ignored_sends"] >= most_ignored
    if "opened" not in engagement:
        return by_count
    chance = chance_of_ignoring(engagement["ignored_sends"], opened=engagement["opened"], missed=engagement["missed"])
    return by_count.where(chance.isna(), chance < IGNORED_BY_CHANCE)


def tiers(schedules: pd.DataFrame, *, as_of: date) -> NDArray[np.int64]:
    """Return 0 before the lapse and 1 to 3 from the first, second and third threshold on."""
    lapsed = (schedules["lapsed_on"] <= pd.Timestamp(as_of)).to_numpy(bool)
    second = (schedules["silence_days"] >= schedules["threshold_2_days"]).to_numpy(bool)
    third = (schedules["silence_days"] >= schedules["threshold_3_days"]).to_numpy(bool)
    return np.where(lapsed, 1 + (second | third).astype(np.int64) + third.astype(np.int64), 0)


def classify(
    contacts: pd.DataFrame,
    schedules: pd.DataFrame,
    *,
    as_of: date,
    oldest_days: int,
    most_ignored: int = 10,
) -> pd.DataFrame:
    """Return one row a contact, in the order of ``contacts``: customer_id, segment, tier, is_overdue.

    Parameters
    ----------
    contacts : customer_id, is_reachable (on a channel of the programme), is_sunset, and optionally ignored_sends,
        opened, missed (see :func:`is_ignoring`), is_cycle_ended (walked the ladder for this silence) and
        has_open_cycle (is walking it)
    schedules : at most one row a customer_id: n, silence_days, threshold_2_days, threshold_3_days, overdue_days,
        nudge_days, lapsed_on
    as_of : the night's date
    oldest_days : a lapse longer ago than this starts no ladder
    most_ignored : sends in a row after which a reader without a fit counts as ignoring us

    Notes
    -----
    Someone with one active day and no overdue silence is `new`, and so is someone without any: nothing is known of
    their rhythm. `dormant` is a lapse past the ladder (walked, or too old to start one) without a sunset.
    """
    known = rows_at(schedules[_READ], places(contacts["customer_id"], schedules["customer_id"]))
    tier, overdue = tiers(known, as_of=as_of), is_overdue(known)
    too_old = (known["lapsed_on"] < pd.Timestamp(as_of) - pd.Timedelta(days=oldest_days)).to_numpy(bool)
    past = _claims(contacts, "is_cycle_ended") | (too_old & ~_claims(contacts, "has_open_cycle"))
    holds = _holding(contacts, known["n"], has_lapsed=tier > 0, past=past, overdue=overdue, most_ignored=most_ignored)
    return pd.DataFrame(
        {
            "customer_id": contacts["customer_id"].array,
            "segment": first_name([holds[name] for name in SEGMENTS[:-1]], SEGMENTS[:-1], ACTIVE),
            "tier": tier,
            "is_overdue": overdue & ~(tier > 0),
        }
    )


def _holding(
    contacts: pd.DataFrame,
    days: pd.Series,
    *,
    has_lapsed: NDArray[np.bool_],
    past: NDArray[np.bool_],
    overdue: NDArray[np.bool_],
    most_ignored: int,
) -> dict[str, NDArray[np.bool_]]:
    """Return of whom each segment but the last would be true if none before it were; ``days`` are the active ones."""
    ignoring = np.zeros(len(contacts), dtype=bool)
    if "ignored_sends" in contacts:
        ignoring = is_ignoring(contacts, most_ignored=most_ignored).to_numpy(bool)
    return {
        UNREACHABLE: ~_claims(contacts, "is_reachable"),
        SUNSET: _claims(contacts, "is_sunset"),
        NEW: days.isna().to_numpy(bool) | ((days <= 1).to_numpy(bool) & ~has_lapsed & ~overdue),
        DORMANT: has_lapsed & past,
        LAPSED: has_lapsed,
        AT_RISK: overdue,
        DISENGAGED: ignoring,
    }


def _claims(contacts: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """Return a boolean column, False where it is not given."""
    if name not in contacts:
        return np.zeros(len(contacts), dtype=bool)
    return np.asarray(contacts[name], dtype=bool)
