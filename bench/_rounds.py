"""Repetitions of one piece of work beside its floor, and what they come to."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable


class Round(NamedTuple):
    """One repetition: what the work cost, what the least that must be done costs, and a checksum of the result."""

    cpu_seconds: float
    wall_seconds: float
    floor_cpu_seconds: float
    checksum: str


def medians(rounds: list[Round]) -> dict[str, Any]:
    """Return the figures of a case.

    Raises
    ------
    RuntimeError
        If the repetitions came to different results.
    """
    sums = {one.checksum for one in rounds}
    if len(sums) != 1:
        raise RuntimeError(f"the same work came to different results: {sorted(sums)}")
    ratio = statistics.median(one.cpu_seconds / one.floor_cpu_seconds for one in rounds)
    return {
        "cpu_seconds": round(statistics.median(one.cpu_seconds for one in rounds), 3),
        "wall_seconds": round(statistics.median(one.wall_seconds for one in rounds), 3),
        "floor_cpu_seconds": round(statistics.median(one.floor_cpu_seconds for one in rounds), 3),
        "ratio_to_floor": round(ratio, 3),
        "checksum": sums.pop(),
    }


def measured(work: Callable[..., Any], *arguments: object) -> tuple[float, float, Any]:
    """Return the CPU seconds and wall seconds of a piece of work, and what it returned."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall, result


def checksum(rows: pd.DataFrame) -> str:
    """Return a digest of all values of a frame that does not depend on the order of its rows."""
    return f"{np.add.reduce(pd.util.hash_pandas_object(rows, index=False).to_numpy()):016x}"


def same(*sums: str) -> str:
    """Return the one checksum of results that must be equal.

    Raises
    ------
    RuntimeError
        If they are not.
    """
    if len(set(sums)) != 1:
        raise RuntimeError(f"results that must be equal are not: {sums}")
    return sums[0]
