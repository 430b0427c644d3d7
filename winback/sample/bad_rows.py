"""The broken rows every real feed has: a few in each file, of kinds that a reader has to set aside or to ignore.

Always fewer than one in two hundred, so that a source with them is still one to trust.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    import numpy as np
    import pyarrow as pa

    Row = dict[str, str]
    Fault = Callable[[Row], Row]

ROWS_PER_BROKEN_ROW = 250
MOST_BROKEN_ROWS = 40


def _set(column: str, value: str) -> Fault:
    return lambda row: {**row, column: value}


def _faults(feed: str, last_day: date) -> list[Fault]:
    """Return the faults of a feed, in the order they are used; each takes a good row and spoils it."""
    # A feed whose good rows carry an offset does so in its broken ones: a bare time would stop the whole feed.
    offset = "Z" if feed in {"consents", "orders"} else ""
    future = f"{last_day + timedelta(days=4000)} 12:00:00{offset}"
    times = ("31/02/2025 25:61", future, f"1899-12-30 00:00:00{offset}", "yesterday")
    same: Fault = dict
    ragged = _set("", "one field too many")
    if feed == "contacts":
        return [ragged, same, _set("id", "")]
    if feed == "consents":
        consents = [_set("status", "perhaps"), _set("channel", "pigeon"), _set("customer_id", "")]
        return [*consents, ragged, same, *(_set("recorded_at", time) for time in times)]
    when, who = {"orders": ("ordered_at", "customer"), "scans": ("scanned_at", "card_holder")}.get(
        feed, ("at", "customer_id")
    )
    events = [*(_set(when, time) for time in times), _set(who, ""), ragged, same]
    if feed == "orders":
        events += [_set("total", "a lot"), _set("total", "999999.99")]
    return events


def spoil(
    feed: str, table: pa.Table, *, delimiter: str, last_day: date, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Return (how many good rows stand before it, broken line), each made from the good row just before it.

    An order with another total and the same number is a conflict: the first stays. An exact copy is a duplicate.

    Parameters
    ----------
    table : the good rows, under the feed's own column names
    last_day : the day the feed reaches; a time far after it is a fault
    """
    count = min(len(table) // ROWS_PER_BROKEN_ROW, MOST_BROKEN_ROWS)
    faults = _faults(feed, last_day)
    lines = []
    for number, place in enumerate(sorted(rng.integers(0, len(table), count).tolist())):
        good = {name: _text(value) for name, value in table.slice(place, 1).to_pylist()[0].items()}
        lines.append((place + 1, delimiter.join(faults[number % len(faults)](good).values())))
    return lines


def _text(value: object) -> str:
    """Return a value as it stands in the file."""
    return "" if value is None else str(value).replace("+00:00", "Z")
