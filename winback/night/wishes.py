"""What people chose and answered on the public pages, beside what a plan knows of them otherwise.

In: contacts and steps of a run of buckets. Out: the contacts with the columns the rules ask: is_paused, wants_fewer,
is_under_review, messages_month, answered_on, and the locale they chose. As columns of the contacts they are part of the
plan's hash.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core.matching import values_of
from winback.ledger.engagements import newest_answers
from winback.ledger.preferences import FEWER_DAYS, preferences_within
from winback.ledger.reviews import reviewed_within

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection


def with_wishes(
    connection: Connection,
    contacts: pd.DataFrame,
    steps: pd.DataFrame,
    *,
    as_of: date,
    zone: ZoneInfo,
    low: int,
    high: int,
) -> pd.DataFrame:
    """Return the contacts with what they chose and when they last answered.

    Parameters
    ----------
    contacts : customer_id, locale
    steps : taken before the night
    as_of : the night's date; answers of that day count, as activity does
    zone : of the business
    low, high : the buckets the contacts are in
    """
    wished = preferences_within(connection, low=low, high=high)
    until = datetime.combine(as_of + timedelta(days=1), time.min, tzinfo=zone)
    answered = {
        customer_id: pd.Timestamp(at.astimezone(zone).date())
        for customer_id, at in newest_answers(connection, until=until, low=low, high=high).items()
    }
    ids = contacts["customer_id"]
    month = steps[steps["taken_on"] > pd.Timestamp(as_of - timedelta(days=FEWER_DAYS))]
    counts = values_of(ids, month.groupby("customer_id").size()).fillna(0).astype(np.int64)
    paused = {one for one, wish in wished.items() if wish.paused_until is not None and wish.paused_until > as_of}
    sparing = {one for one, wish in wished.items() if wish.wants_fewer}
    return contacts.assign(
        is_paused=ids.isin(paused),
        wants_fewer=ids.isin(sparing),
        is_under_review=ids.isin(reviewed_within(connection, low=low, high=high)),
        messages_month=counts,
        answered_on=values_of(ids, pd.Series(answered, dtype="datetime64[us]")),
        locale=_locales(contacts, {one: wish.language for one, wish in wished.items() if wish.language}),
    )


def _locales(contacts: pd.DataFrame, chosen: Mapping[str, str]) -> pd.Series:
    """Return the locales, those of another language than the person chose replaced by that language."""
    locale = contacts["locale"]
    if not chosen:
        return locale
    wanted = contacts["customer_id"].map(chosen)
    own = locale.astype("str").str.split("-").str[0].str.lower()
    return locale.mask(wanted.notna() & (own != wanted), wanted)
