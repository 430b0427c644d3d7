"""A project of a wanted size, for benches: so many customers, about so many events each."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from winback.sample import lifetimes
from winback.sample.planted import HISTORY_DAYS
from winback.sample.scaffold import scaffold

if TYPE_CHECKING:
    from pathlib import Path

PILOT_CUSTOMERS = 4000
HALVINGS = 12
ENDS_ON = date(2026, 3, 1)


def made_project(
    directory: Path, *, customers: int, events_per_customer: float, ends_on: date = ENDS_ON, seed: int = 1
) -> date:
    """Make a project with a simulated shop of a wanted size and return the day its first night is about.

    The number of events comes within a few per cent of what is asked for; a shop of more than about 60 events a
    customer or fewer than 2 cannot be made, because people stop and everybody comes once.

    Parameters
    ----------
    directory : a new directory
    customers, events_per_customer : the size
    ends_on : the last day of the history
    """
    pace = _pace_for(events_per_customer, seed=seed)
    scaffold(directory, customers=customers, ends_on=ends_on, seed=seed, history_days=HISTORY_DAYS, pace=pace)
    return date.fromordinal(ends_on.toordinal() + 1)


def _pace_for(events_per_customer: float, *, seed: int) -> float:
    """Return the factor on every gap that gives so many events a customer, found on a small shop."""
    low, high = math.log(1 / 8), math.log(32)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rng = np.random.default_rng([seed, 1])
        pilot = lifetimes.found(
            customers=PILOT_CUSTOMERS, ends_on=HISTORY_DAYS, history_days=HISTORY_DAYS, pace=math.exp(middle), rng=rng
        )
        events = len(lifetimes.advance(pilot, until=HISTORY_DAYS, rng=rng).day)
        low, high = (middle, high) if events > events_per_customer * PILOT_CUSTOMERS else (low, middle)
    return math.exp((low + high) / 2)
