"""When each contact's message may arrive, worked out once for each distinct place and mapped back.

In: contacts with a channel, the hours file, the 24 hours a night may fill. Out: the first allowed slot, or why there is
none (:mod:`winback.core.slots`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core.slots import PLACE, Place, Window, window_of

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from winback.core.send_hours import SendHours


def windows(
    contacts: pd.DataFrame,
    *,
    hours: SendHours,
    from_at: datetime,
    business_zone: str,
    known: dict[Place, Window] | None = None,
) -> pd.DataFrame:
    """Return when each contact's message may arrive: window, not_before_at, expires_at, in the order of ``contacts``.

    Parameters
    ----------
    contacts : channel ("" for none), country, region, timezone (stored; may be missing or wrong), phone_zones (zones
        of the number, joined with `|`; may be missing)
    hours : from :func:`winback.core.send_hours.load_send_hours`
    from_at : the instant the night's sending may begin; the slot must start within 24 hours of it
    business_zone : stands in for an unknown zone, for e-mail only
    known : memory of the windows of places, filled here; only for calls that differ in nothing but the contacts

    Returns
    -------
    window : "" where there is a slot, else `quiet_hours` or `no_timezone`; not_before_at and expires_at (aware UTC,
        half-open), NaT where there is no slot.
    """
    known = {} if known is None else known
    codes, places = _distinct_places(contacts.reindex(columns=PLACE))
    for place in places:
        if place not in known:
            known[place] = window_of(place, hours=hours, from_at=from_at, business_zone=business_zone)
    table = pd.DataFrame([known[place] for place in places], columns=["window", "not_before_at", "expires_at"])
    for name in ("not_before_at", "expires_at"):
        table[name] = pd.to_datetime(table[name], utc=True).astype("datetime64[us, UTC]")
    table["window"] = table["window"].astype("str")
    return table.take(codes).set_axis(contacts.index)


def _distinct_places(contacts: pd.DataFrame) -> tuple[NDArray[np.int64], list[Place]]:
    """Return the distinct rows as texts, "" for nothing, and which of them each contact's is.

    Column by column, as numbers: a tenth of what a MultiIndex of texts costs.
    """
    texts = contacts.astype("str").fillna("")
    codes = np.zeros(len(texts), dtype=np.int64)
    for name in texts:
        own, distinct = pd.factorize(texts[name])
        codes, _ = pd.factorize(codes * max(1, len(distinct)) + own)
    _, firsts = np.unique(codes, return_index=True)
    return codes, list(texts.iloc[firsts].itertuples(index=False, name=None))
