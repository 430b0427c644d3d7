"""Thresholds in figures a person can take in: by behaviour, by how often, by how long a customer has been one.

In: the rhythms of a night. Out: one row a group. Must never happen: a row about one customer; :mod:`artifacts` hides
the figures of small groups before anybody sees them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("behaviour", "first_on", "last_on", "usual_gap_days", "silence_days", "threshold_1_days")
FREQUENCIES = ("daily", "weekly", "monthly", "quarterly", "rarer")
FREQUENCY_LIMITS_DAYS = (3, 14, 45, 135)
LIFECYCLES = ("one day", "days", "months", "years")
LIFECYCLE_LIMITS_DAYS = (0, 30, 365)


def group_thresholds(rhythms: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the thresholds by behaviour by frequency by lifecycle.

    Parameters
    ----------
    rhythms : one row per (customer, behaviour): behaviour, first_on, last_on (dates), usual_gap_days, silence_days,
        threshold_1_days (days)

    Returns
    -------
    behaviour; frequency (by the usual gap: up to 3, 14, 45, 135 days, or rarer); lifecycle (first to last activity:
    one day, under 30 days, under a year, longer); customers; the median usual gap and the quartiles of the threshold
    in days; the share (per cent) of the group that is past its threshold
    """
    if rhythms.empty:
        return []
    age_days = (rhythms["last_on"] - rhythms["first_on"]).dt.days.to_numpy()
    gap_days = rhythms["usual_gap_days"].to_numpy(float)
    facts = pd.DataFrame(
        {
            "behaviour": rhythms["behaviour"].astype(str),
            "frequency": np.searchsorted(FREQUENCY_LIMITS_DAYS, gap_days),
            "lifecycle": np.searchsorted(LIFECYCLE_LIMITS_DAYS, age_days),
            "usual_gap_days": gap_days,
            "threshold_days": rhythms["threshold_1_days"].to_numpy(float),
            "is_past": rhythms["silence_days"].to_numpy(float) > rhythms["threshold_1_days"].to_numpy(float),
        }
    )
    grouped = facts.groupby(["behaviour", "frequency", "lifecycle"], sort=True)
    threshold_days = grouped["threshold_days"]
    table = pd.DataFrame(
        {
            "customers": grouped.size(),
            "usual_gap_days": grouped["usual_gap_days"].median(),
            "threshold_days_25": threshold_days.quantile(0.25),
            "threshold_days": threshold_days.median(),
            "threshold_days_75": threshold_days.quantile(0.75),
            "past_threshold_percent": 100 * grouped["is_past"].mean(),
        }
    ).reset_index()
    table["frequency"] = [FREQUENCIES[band] for band in table["frequency"]]
    table["lifecycle"] = [LIFECYCLES[band] for band in table["lifecycle"]]
    rows: list[dict[str, Any]] = table.round(1).to_dict("records")
    return rows
