"""The simulated shop's feeds on disk: five of events, contacts and consents, each in the shape such files have in life.

Files are only ever appended to. A feed that had no event on its last day gets one of a guest who is no contact, so
that a small shop's feeds are quiet but not stale.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from winback.sample.bad_rows import spoil
from winback.sample.clientele import customer_ids
from winback.sample.lifetimes import KINDS, Events
from winback.sample.planted import TIMEZONE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EPOCH = date(1970, 1, 1)
OPENS_SECOND, CLOSES_SECOND = 7 * 3600, 22 * 3600
"""People are seen between seven and ten local time: far from the hours that clocks are changed in."""


@dataclass(frozen=True)
class Feed:
    """One feed: its file, its delimiter, and the columns of the file by our own names for them."""

    path: str
    columns: dict[str, str]
    delimiter: str = ","


FEEDS = {
    "contacts": Feed(
        "contacts.csv",
        {
            "customer_id": "id", "email": "mail", "phone": "mobile", "first_name": "first_name",
            "last_name": "last_name", "locale": "language", "timezone": "timezone", "country": "country",
            "region": "region", "category": "category", "points": "points",
        },
    ),
    "consents": Feed(
        "consents.csv",
        {
            "customer_id": "customer_id", "channel": "channel", "purpose": "purpose", "status": "status",
            "basis": "basis", "recorded_at": "recorded_at", "source": "source", "wording": "wording",
        },
    ),
    "orders": Feed(
        "orders.csv",
        {
            "event_id": "order_no", "customer_id": "customer", "occurred_at": "ordered_at", "behaviour": "kind",
            "amount": "total",
        },
    ),
    "scans": Feed("scans.csv", {"customer_id": "card_holder", "occurred_at": "scanned_at"}, delimiter=";"),
    "engagement": Feed(
        "engagement.csv",
        {"event_id": "id", "customer_id": "customer_id", "occurred_at": "at", "behaviour": "event"},
    ),
    "machine_opens": Feed("machine_opens.csv", {"customer_id": "customer_id", "occurred_at": "at"}),
    "visits": Feed(
        "visits", {"event_id": "event_id", "customer_id": "customer_id", "occurred_at": "occurred_at"}
    ),
}  # fmt: skip
_BEHAVIOURS = np.array([kind.habit.behaviour for kind in KINDS], dtype=object)
_FEED_OF_KIND = np.array([kind.habit.feed for kind in KINDS])
_AMOUNTS = np.array([kind.line.typical_amount for kind in KINDS])
EVENT_FEEDS = ("orders", "visits", "scans", "engagement", "machine_opens")


def day_number(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return (day - EPOCH).days


def day_date(number: int) -> date:
    """Return days since 1970-01-01 as a date."""
    return EPOCH + timedelta(days=int(number))


def instant(day: int, hour: int = 0) -> np.datetime64:
    """Return the UTC instant of an hour of a business day."""
    local = datetime.combine(day_date(day), time(hour), ZoneInfo(TIMEZONE))
    return np.datetime64(local.astimezone(UTC).replace(tzinfo=None), "s")


def local_seconds(day: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a local time, in seconds since 1970-01-01 00:00 on the shop's own clock, for each day."""
    return day * 86_400 + rng.integers(OPENS_SECOND, CLOSES_SECOND, len(day))


def to_utc(local: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Return local seconds (between OPENS and CLOSES of their day) as UTC instants."""
    if not len(local):
        return np.zeros(0, dtype="datetime64[s]")
    days = local // 86_400
    first = int(days.min())
    zone = ZoneInfo(TIMEZONE)
    noons = [datetime.combine(day_date(day), time(12), zone) for day in range(first, int(days.max()) + 1)]
    offsets = np.array([(noon.utcoffset() or timedelta()).total_seconds() for noon in noons], dtype=np.int64)
    return (local - offsets[days - first]).astype("datetime64[s]")


def _frame(
    events: Events, feed: str, *, label: str, last_day: int, rng: np.random.Generator, extra: pd.DataFrame | None
) -> pd.DataFrame:
    """Return one feed's rows in the order of time, under our own names."""
    mine = _FEED_OF_KIND[events.kind] == feed
    kind, day = events.kind[mine], events.day[mine]
    local = local_seconds(day, rng)
    rows = pd.DataFrame(
        {
            "customer_id": customer_ids(events.customer[mine]),
            "local": local,
            "behaviour": _BEHAVIOURS[kind],
            "amount": (_AMOUNTS[kind] * np.exp(0.5 * rng.standard_normal(len(kind)))).round(2),
        }
    )
    if extra is not None and len(extra):
        seconds = local_seconds(extra["day"].to_numpy(), rng)
        rows = pd.concat([rows, extra[["customer_id", "behaviour"]].assign(local=seconds)], ignore_index=True)
    if not (day == last_day).any():
        guest = {"customer_id": f"G{day_date(last_day):%y%m%d}", "local": last_day * 86_400 + 21 * 3600}
        behaviour = next(entry.habit.behaviour for entry in KINDS if entry.habit.feed == feed)
        rows = pd.concat([rows, pd.DataFrame([{**guest, "behaviour": behaviour, "amount": 1.0}])], ignore_index=True)
    rows = rows.sort_values(["local", "customer_id", "behaviour"], kind="stable", ignore_index=True)
    rows["event_id"] = f"{feed[0]}{label}-" + rows.index.astype("str")
    rows["occurred_at"] = rows["local"].to_numpy().astype("datetime64[s]")
    if feed != "scans":
        rows["occurred_at"] = to_utc(rows["local"].to_numpy())
    return rows


def append_events(
    root: Path,
    events: Events,
    *,
    label: str,
    last_day: int,
    rng: np.random.Generator,
    machine_opens: pd.DataFrame | None = None,
) -> int:
    """Append events to the feeds and return how many good rows were written.

    Parameters
    ----------
    label : makes the event ids of this call differ from those of every other
    last_day : the day the feeds reach now
    machine_opens : of the programmes' own mails: ``customer_id, behaviour, day``
    """
    written = 0
    for feed in EVENT_FEEDS:
        extra = machine_opens if feed == "machine_opens" else None
        rows = _frame(events, feed, label=label, last_day=last_day, rng=rng, extra=extra)
        if feed == "visits":
            _write_visits(root, rows)
        else:
            append_rows(root, feed, rows, last_day=last_day, rng=rng, as_utc=feed == "orders")
        written += len(rows)
    return written


def _write_visits(root: Path, rows: pd.DataFrame) -> None:
    """Write visits, one Parquet file a month; a single day is a file of its own."""
    folder = root / FEEDS["visits"].path
    folder.mkdir(parents=True, exist_ok=True)
    months = rows["occurred_at"].dt.strftime("%Y-%m")
    is_one_day = rows["local"].iloc[0] // 86_400 == rows["local"].iloc[-1] // 86_400
    for month, part in rows.groupby(months, sort=True):
        name = str(part["occurred_at"].iloc[0].date()) if is_one_day else str(month)
        columns = list(FEEDS["visits"].columns)
        parquet.write_table(pa.Table.from_pandas(part[columns], preserve_index=False), folder / f"{name}.parquet")


def append_rows(
    root: Path, feed: str, rows: pd.DataFrame, *, last_day: int, rng: np.random.Generator, as_utc: bool = True
) -> None:
    """Append rows to a CSV feed, a few broken ones among them; a new file begins with its header."""
    spec = FEEDS[feed]
    file = root / spec.path
    table = pa.Table.from_pandas(rows[list(spec.columns)], preserve_index=False).rename_columns(
        list(spec.columns.values())
    )
    for place, column in enumerate(table.schema):
        if as_utc and pa.types.is_timestamp(column.type):
            table = table.set_column(place, column.name, table.column(place).cast(pa.timestamp("s", tz="UTC")))
    options = csv.WriteOptions(include_header=False, delimiter=spec.delimiter, quoting_style="none")
    broken = spoil(feed, table, delimiter=spec.delimiter, last_day=day_date(last_day), rng=rng)
    is_new = not file.exists()
    written = 0
    with file.open("ab") as out:
        if is_new:
            out.write((spec.delimiter.join(table.column_names) + "\n").encode())
        for stop, line in [*broken, (len(table), "")]:
            piece = io.BytesIO()
            csv.write_csv(table.slice(written, stop - written), piece, options)
            out.write(piece.getvalue())
            out.write((line + "\n").encode() if line else b"")
            written = stop
