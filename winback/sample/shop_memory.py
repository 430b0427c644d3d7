"""What the simulated shop remembers from day to day, in ``var/sample/``, outside of what the engine reads.

``truth.json`` says what is planted and which folder beside it holds the tables; it is replaced in one step when a play
is complete, so a play that was cut short leaves the memory of the day before, and a note of how long each feed was.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from winback.errors import UsageError
from winback.sample.clientele import customer_ids
from winback.sample.lifetimes import NEVER, Lives, Rests, Shop, Streams, from_frame, returns_alone_on, to_frame
from winback.sample.planted import line_names, planted_parameters
from winback.sample.shop_feeds import FEEDS, day_date

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "var/sample"
UNFINISHED = "unfinished.json"


@dataclass
class Memory:
    """Everything a shop remembers.

    Attributes
    ----------
    founders : how many customers the planted history began with; new ones join at the same rate
    comebacks : ``life, returns_on`` of whoever is on the way back
    reactions : one row per message ever reacted to; days are counted from 1970-01-01
    """

    shop: Shop
    seed: int
    founders: int
    comebacks: pd.DataFrame
    reactions: pd.DataFrame


@dataclass(frozen=True)
class Truth:
    """What is true in the simulated shop, for tests and for a demo's report.

    Attributes
    ----------
    parameters : everything of :mod:`winback.sample.planted`, and the seed
    lives : ``customer_id, programme, joined_on, stopped_on`` (NaT: has not stopped) and ``returns_alone_on`` (next sign
        of life if nobody writes; NaT for whoever has stopped), as they stand after ``day``
    reactions : ``customer_id, programme, step, channel, day, planted_probability, returns_on, opted_out,
        machine_opened``, one row per message. The sum of ``planted_probability`` is the number of returns the
        messages are expected to cause; the rows with a ``returns_on`` are those they did cause
    """

    parameters: dict[str, Any]
    lives: pd.DataFrame
    reactions: pd.DataFrame


def remember(root: Path, memory: Memory) -> None:
    """Store a memory and forget the one before."""
    folder = root / FOLDER
    shop = memory.shop
    state = f"day-{day_date(shop.day)}"
    tables = folder / state
    # By itself: parents=True would give it the usual mode, and everything in var/ is its owner's only.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tables.mkdir(parents=True, exist_ok=True)
    to_frame(shop.lives).to_parquet(tables / "lives.parquet", index=False)
    to_frame(shop.streams).to_parquet(tables / "streams.parquet", index=False)
    to_frame(shop.rests).to_parquet(tables / "rests.parquet", index=False)
    memory.comebacks.to_parquet(tables / "comebacks.parquet", index=False)
    memory.reactions.to_parquet(tables / "reactions.parquet", index=False)
    truth = {
        "day": str(day_date(shop.day)),
        "state": state,
        "seed": memory.seed,
        "founders": memory.founders,
        "customers": shop.customers,
        "history_days": shop.history_days,
        "pace": shop.pace,
        "planted": planted_parameters(),
    }
    fresh = folder / "truth.json.new"
    fresh.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    fresh.replace(folder / "truth.json")
    for old in folder.glob("day-*"):
        if old.name != state:
            shutil.rmtree(old)
    (folder / UNFINISHED).unlink(missing_ok=True)


def _read_truth_file(root: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((root / FOLDER / "truth.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"{root} holds no simulated shop: make one with `winback init DIR --sample 2000`"
        raise UsageError(what) from None
    return found


def read_seed(root: Path) -> int:
    """Return the number a shop was made from.

    Raises
    ------
    UsageError
        If the directory holds no simulated shop.
    """
    return int(_read_truth_file(root)["seed"])


def recall(root: Path) -> Memory:
    """Return a stored memory, after undoing a play that was cut short.

    Raises
    ------
    UsageError
        If the directory holds no simulated shop.
    """
    truth = _read_truth_file(root)
    _undo_unfinished(root, day=truth["day"])
    tables = root / FOLDER / truth["state"]
    shop = Shop(
        lives=from_frame(pd.read_parquet(tables / "lives.parquet"), Lives),
        streams=from_frame(pd.read_parquet(tables / "streams.parquet"), Streams),
        rests=from_frame(pd.read_parquet(tables / "rests.parquet"), Rests),
        day=int(np.datetime64(truth["day"], "D").astype(np.int64)),
        customers=truth["customers"],
        history_days=truth["history_days"],
        pace=truth["pace"],
    )
    comebacks = pd.read_parquet(tables / "comebacks.parquet")
    reactions = pd.read_parquet(tables / "reactions.parquet")
    return Memory(shop, truth["seed"], truth["founders"], comebacks, reactions)


def _feed_files(root: Path) -> Iterator[Path]:
    """Yield every file of every feed."""
    for feed in FEEDS.values():
        place = root / feed.path
        yield from sorted(place.glob("*.parquet")) if place.is_dir() else [place]


def note_unfinished(root: Path, *, day: int) -> None:
    """Note how long every feed is before anything is appended to it."""
    sizes = {str(file.relative_to(root)): file.stat().st_size for file in _feed_files(root) if file.exists()}
    note = {"day": str(day_date(day)), "sizes": sizes}
    (root / FOLDER / UNFINISHED).write_text(json.dumps(note), encoding="utf-8")


def _undo_unfinished(root: Path, *, day: str) -> None:
    """Cut the feeds back to where they were before a play that was cut short."""
    file = root / FOLDER / UNFINISHED
    if not file.exists():
        return
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # the note itself was cut short, so nothing had been appended yet
        note = {"day": ""}
    if note["day"] == day:
        for feed_file in _feed_files(root):
            size = note["sizes"].get(str(feed_file.relative_to(root)))
            if size is None:
                feed_file.unlink(missing_ok=True)
            elif feed_file.stat().st_size > size:
                os.truncate(feed_file, size)
    file.unlink()


def _dates(days: pd.Series) -> pd.Series:
    """Return days since 1970-01-01 as dates; NEVER becomes NaT."""
    known = days.where(days != NEVER)
    return pd.to_datetime(known, unit="D")


def read_truth(root: Path) -> Truth:
    """Return what is planted in a directory's simulated shop, and what came of it so far.

    Raises
    ------
    UsageError
        If the directory holds no simulated shop.
    """
    memory = recall(root)
    lives = memory.shop.lives
    table = pd.DataFrame(
        {
            "customer_id": customer_ids(lives.customer),
            "programme": np.array(line_names())[lives.line],
            "joined_on": _dates(pd.Series(lives.joined_on)),
            "stopped_on": _dates(pd.Series(lives.stopped_on)),
            "returns_alone_on": _dates(pd.Series(returns_alone_on(memory.shop))),
        }
    )
    reactions = memory.reactions.assign(
        day=_dates(memory.reactions["day"]), returns_on=_dates(memory.reactions["returns_on"])
    )
    return Truth({**planted_parameters(), "seed": memory.seed}, table, reactions)
