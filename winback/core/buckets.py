"""Customers are spread over a fixed number of buckets; a shard is a run of buckets.

Decisions never depend on how many shards there are, because a bucket depends on the customer's id alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

BUCKETS = 1024


def buckets(customer_ids: Iterable[str]) -> NDArray[np.int16]:
    """Return the bucket (0 ≤ b < 1024) of each customer id, the same on every machine and in every version."""
    values = np.asarray(customer_ids, dtype=object)
    hashes: NDArray[np.uint64] = pd.util.hash_array(values, categorize=False)
    return (hashes % np.uint64(BUCKETS)).astype(np.int16)


def bounds(shard: int, shards: int) -> tuple[int, int]:
    """Return the half-open run of buckets ``[low, high)`` that shard ``shard`` of ``shards`` holds."""
    if not 0 <= shard < shards <= BUCKETS:
        message = f"shard {shard} of {shards}: expected 0 <= shard < shards <= {BUCKETS}"
        raise ValueError(message)
    return shard * BUCKETS // shards, (shard + 1) * BUCKETS // shards
