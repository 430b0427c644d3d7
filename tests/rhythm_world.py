"""Customers by the gaps between their active days, as profiles: what thresholds and fits are worked out from."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from winback.core.rhythm import profiles_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

AS_OF = date(2026, 11, 1)


def profiles(
    gaps_by_customer: Mapping[str, Sequence[int]], *, silence_days: int = 10, behaviour: str = "purchase"
) -> pd.DataFrame:
    """Return the profiles of customers who have all been silent for the same number of days."""
    ids, days = [], []
    for customer, gaps in gaps_by_customer.items():
        day = AS_OF - timedelta(days=silence_days + sum(gaps))
        for gap in [0, *gaps]:
            day += timedelta(days=gap)
            ids.append(customer)
            days.append(day.isoformat())
    return profiles_of(ids, np.array(days, dtype="datetime64[D]"), behaviour=behaviour)
