"""Events of a made-up shop, the same for the same numbers on every machine.

Customers differ in how often they come (Pareto rates); days run over two years; four behaviours in the shares of a
shop with a newsletter.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_ON = date(2024, 1, 1)
DAYS = 730
LAST_ON = FIRST_ON + timedelta(days=DAYS - 1)
BEHAVIOURS = ("visit", "open", "click", "purchase")
SHARES = (0.45, 0.30, 0.08, 0.17)
SEED = 7
SECONDS_A_DAY = 86_400


def made_events(*, customers: int, events_per_customer: int, first_row: int = 0) -> pa.Table:
    """Return ``customers`` times ``events_per_customer`` events in the order of time, as a feed gives them."""
    generator = np.random.default_rng(SEED)
    rows = customers * events_per_customer
    rates = generator.pareto(1.6, customers) + 0.05
    customer = generator.choice(customers, rows, p=rates / rates.sum())
    second = np.sort(generator.integers(0, DAYS * SECONDS_A_DAY, rows))
    behaviour = generator.choice(len(BEHAVIOURS), rows, p=SHARES)
    return feed(customer, behaviour, second, first_row=first_row)


def feed(
    customer: NDArray[np.int64], behaviour: NDArray[np.int64], second: NDArray[np.int64], *, first_row: int
) -> pa.Table:
    """Return drawn numbers as the columns of a feed; ``second`` counts from the start of FIRST_ON in UTC."""
    rows = np.arange(first_row, first_row + len(customer))
    start = np.datetime64(FIRST_ON, "us").astype(np.int64)
    names = pa.array([f"customer-{number:07d}" for number in range(int(customer.max()) + 1)])
    return pa.table(
        {
            "customer_id": names.take(pa.array(customer)),
            "behaviour": pa.array(BEHAVIOURS).take(pa.array(behaviour)),
            "occurred_at": pa.array(start + second * 1_000_000).cast(pa.timestamp("us", "UTC")),
            "amount": pa.array(np.where(behaviour == BEHAVIOURS.index("purchase"), 19.9, np.nan)),
            "event_id": pa.array([f"event-{row}" for row in rows.tolist()]),
            "row_number": pa.array(rows),
        }
    )
