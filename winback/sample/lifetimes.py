"""The lives of the simulated shop's customers: who comes when, who stops, who is brought back.

Tables of arrays: *lives* (one per customer and line of business), *streams* (one per life and habit, with the day of
its next event) and *rests*. :func:`advance` lets all of them live until a day; the planted history and each later day
are that one function. Days count from 1970-01-01. All chance comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from winback.sample.planted import ALSO, LINES, REST_SPREAD, SEASON_AMPLITUDE, SEASON_PEAK_DAY, Habit, Line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Days = NDArray[np.int64]
    Indices = NDArray[np.int64]
    Numbers = NDArray[np.float64]

NEVER = 2**31 - 1
"""A day that does not come."""

YEAR_DAYS = 365.2425
_KEY = 2**20
"""More than any day, so that life and day make one number that sorts."""


class Kind(NamedTuple):
    """One habit of one line; its place in :data:`KINDS` is its code."""

    line: Line
    habit: Habit
    is_main: bool


KINDS = tuple(Kind(line, habit, place == 0) for line in LINES for place, habit in enumerate(line.habits))
_WITHIN = np.array([kind.habit.within for kind in KINDS])
_IS_MAIN = np.array([kind.is_main for kind in KINDS])
_OUTLIVES = np.array([kind.habit.outlives for kind in KINDS])
_COUNTS = np.array([kind.habit.counts for kind in KINDS])
_REST = np.array([kind.line.rest if kind.is_main else 0.0 for kind in KINDS])
_REST_LOG_DAYS = np.log([max(1.0, kind.line.rest_days) for kind in KINDS])
_STOP_FIRST = np.array([kind.line.stop_after_first if kind.is_main else 0.0 for kind in KINDS])
_STOP_LATER = np.array([kind.line.stop_later if kind.is_main else 0.0 for kind in KINDS])


@dataclass
class Lives:
    """One row per (customer, line).

    Attributes
    ----------
    customer : number of the customer
    line : place in :data:`winback.sample.planted.LINES`
    joined_on : day of the first main event
    stopped_on : day of the main event after which the life stopped, or NEVER
    """

    customer: Indices
    line: Indices
    joined_on: Days
    stopped_on: Days


@dataclass
class Streams:
    """One row per (life, habit).

    Attributes
    ----------
    life : row in :class:`Lives`
    kind : place in :data:`KINDS`
    log_gap : logarithm of this person's own median gap in days
    next_on : day of the next event, or NEVER
    n : events so far
    """

    life: Indices
    kind: Indices
    log_gap: Numbers
    next_on: Days
    n: Indices


@dataclass
class Rests:
    """One row per rest: after its event of ``from_on`` the life does nothing until ``until_on``."""

    life: Indices
    from_on: Days
    until_on: Days


Table = TypeVar("Table", Lives, Streams, Rests)


@dataclass
class Shop:
    """Everybody, as they stand at the end of ``day``."""

    lives: Lives
    streams: Streams
    rests: Rests
    day: int
    customers: int
    history_days: int
    pace: float = 1.0


class Events(NamedTuple):
    """What happened: one entry per event, in no order that means anything."""

    customer: Indices
    kind: Indices
    day: Days


def _season(day: Days) -> Numbers:
    """Return the factor by which the gap that begins on a day is longer than usual."""
    angle = 2 * np.pi * (np.mod(day, YEAR_DAYS) - SEASON_PEAK_DAY) / YEAR_DAYS
    factor: Numbers = 1 - SEASON_AMPLITUDE * np.cos(angle)
    return factor


def _gaps(log_gap: Numbers, kind: Indices, day: Days, rng: np.random.Generator) -> Days:
    """Draw the gap, in whole days of at least 1, that begins on ``day`` in each stream."""
    gap = np.exp(log_gap + _WITHIN[kind] * rng.standard_normal(len(kind))) * _season(day)
    drawn: Days = np.clip(np.rint(gap), 1, 20_000).astype(np.int64)
    return drawn


def join(*, first: int, joined_on: Days, pace: float, rng: np.random.Generator) -> tuple[Lives, Streams]:
    """Return the lives and streams of new customers.

    Parameters
    ----------
    first : number of the first of them; the others follow
    joined_on : day each one comes for the first time
    pace : factor on every usual gap
    """
    numbers = np.arange(first, first + len(joined_on))
    shares = np.array([line.share for line in LINES])
    line = rng.choice(len(LINES), size=len(numbers), p=shares / shares.sum())
    parts = [(numbers, line, joined_on)]
    names = [entry.name for entry in LINES]
    for main, second, share in ALSO:
        also = (line == names.index(main)) & (rng.random(len(numbers)) < share)
        later = joined_on[also] + rng.integers(0, 90, int(also.sum()))
        parts.append((numbers[also], np.full(int(also.sum()), names.index(second)), later))
    customer, codes, days = (np.concatenate(columns).astype(np.int64) for columns in zip(*parts, strict=True))
    lives = Lives(customer, codes, days, np.full(len(days), NEVER))
    return lives, _begin(lives, pace=pace, rng=rng)


def _begin(lives: Lives, *, pace: float, rng: np.random.Generator) -> Streams:
    """Return the streams of new lives; the main habit begins on the day of joining, the others a gap later."""
    parts = []
    for code, kind in enumerate(KINDS):
        has = lives.line == LINES.index(kind.line)
        has &= rng.random(len(has)) < kind.habit.share
        life = np.flatnonzero(has)
        usual = np.log(kind.habit.usual_gap_days * pace) + kind.habit.between * rng.standard_normal(len(life))
        codes = np.full(len(life), code)
        begin = lives.joined_on[life]
        first = begin if kind.is_main else begin + _gaps(usual, codes, begin, rng)
        parts.append((life, codes, usual, first, np.zeros(len(life), dtype=np.int64)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Streams(*columns)


def found(*, customers: int, ends_on: int, history_days: int, pace: float, rng: np.random.Generator) -> Shop:
    """Return a shop whose customers joined evenly over the history, and of whom nothing has happened yet."""
    joined_on = np.sort(ends_on + 1 - rng.integers(1, history_days + 1, customers))
    lives, streams = join(first=1, joined_on=joined_on, pace=pace, rng=rng)
    nothing = np.zeros(0, dtype=np.int64)
    rests = Rests(nothing, nothing, nothing)
    return Shop(lives, streams, rests, ends_on - history_days, customers, history_days, pace)


def admit(shop: Shop, *, joined_on: Days, rng: np.random.Generator) -> None:
    """Add new customers to a shop."""
    if not len(joined_on):
        return
    lives, streams = join(first=shop.customers + 1, joined_on=joined_on, pace=shop.pace, rng=rng)
    streams.life += len(shop.lives.customer)
    shop.lives = _stack(shop.lives, lives)
    shop.streams = _stack(shop.streams, streams)
    shop.customers += len(joined_on)


def _stack(above: Table, below: Table) -> Table:
    names = [field.name for field in fields(above)]
    return type(above)(*(np.concatenate([getattr(above, name), getattr(below, name)]) for name in names))


def _pick(table: Table, rows: Indices | NDArray[np.bool_]) -> Table:
    return type(table)(*(getattr(table, field.name)[rows] for field in fields(table)))


def advance(shop: Shop, *, until: int, rng: np.random.Generator) -> Events:
    """Let everybody live up to and including the day ``until``, and return what happened."""
    streams, lives = shop.streams, shop.lives
    main = np.flatnonzero(_IS_MAIN[streams.kind])
    happened = [_walk(shop, main, np.full(len(main), until), rng)]
    other = np.flatnonzero(~_IS_MAIN[streams.kind])
    outlives = _OUTLIVES[streams.kind[other]]
    limit = np.where(outlives, until, np.minimum(until, lives.stopped_on[streams.life[other]]))
    happened.append(_walk(shop, other, limit, rng))
    over = other[(lives.stopped_on[streams.life[other]] <= until) & ~outlives]
    streams.next_on[over] = NEVER
    shop.rests = _pick(shop.rests, shop.rests.until_on > until)
    shop.day = until
    rows, days = (np.concatenate(column) for column in zip(*happened, strict=True))
    return Events(lives.customer[streams.life[rows]], streams.kind[rows], days)


def _walk(shop: Shop, rows: Indices, limit: Days, rng: np.random.Generator) -> tuple[Indices, Days]:
    """Let some streams run, each up to its own last day, and return (row, day) of their events.

    One round is the next event of every stream that still has one; the rounds shrink quickly.
    """
    streams = shop.streams
    seen_rows, seen_days = [], []
    going = streams.next_on[rows] <= limit
    rows, limit = rows[going], limit[going]
    while len(rows):
        due, kind = streams.next_on[rows], streams.kind[rows]
        day = _after_rest(shop, rows, due)
        happens = day == due
        seen_rows.append(rows[happens])
        seen_days.append(day[happens])
        streams.n[rows] += happens
        following = np.where(happens, day + _gaps(streams.log_gap[rows], kind, day, rng), day)
        streams.next_on[rows] = _stop_or_rest(shop, rows, day, following, rng)
        going = streams.next_on[rows] <= limit
        rows, limit = rows[going], limit[going]
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *seen_rows]), np.concatenate([nothing, *seen_days])


def _after_rest(shop: Shop, rows: Indices, due: Days) -> Days:
    """Return the day each event is due, or the end of the rest it would fall into; main habits end a rest by it."""
    rests, kind = shop.rests, shop.streams.kind[rows]
    if not len(rests.life):
        return due
    keys = rests.life * _KEY + rests.from_on  # in this order already: see _stop_or_rest
    place = np.searchsorted(keys, shop.streams.life[rows] * _KEY + due, side="right") - 1
    inside = (place >= 0) & (rests.life[place] == shop.streams.life[rows]) & (due < rests.until_on[place])
    inside &= ~_OUTLIVES[kind] & ~_IS_MAIN[kind] & (due > rests.from_on[place])
    return np.where(inside, rests.until_on[place], due)


def _stop_or_rest(shop: Shop, rows: Indices, day: Days, following: Days, rng: np.random.Generator) -> Days:
    """Return when each stream goes on, after some people stopped for good or went to rest at this event."""
    streams, kind = shop.streams, shop.streams.kind[rows]
    if not _IS_MAIN[kind].any():
        return following
    stops = rng.random(len(rows)) < np.where(streams.n[rows] == 1, _STOP_FIRST[kind], _STOP_LATER[kind])
    shop.lives.stopped_on[streams.life[rows[stops]]] = day[stops]
    rests = ~stops & (rng.random(len(rows)) < _REST[kind])
    length = np.exp(_REST_LOG_DAYS[kind] + REST_SPREAD * rng.standard_normal(len(rows)))
    following = np.where(rests, day + np.maximum(1, np.rint(length)).astype(np.int64), following)
    fresh = Rests(streams.life[rows[rests]], day[rests], following[rests])
    both = _stack(shop.rests, fresh)
    shop.rests = _pick(both, np.lexsort((both.from_on, both.life)))
    return np.where(stops, NEVER, following)


def bring_back(shop: Shop, life: Indices, *, day: int, rng: np.random.Generator) -> None:
    """Let stopped lives begin again on ``day``: the main habit on that very day, the others a gap later."""
    shop.lives.stopped_on[life] = NEVER
    streams = shop.streams
    rows = np.flatnonzero(np.isin(streams.life, life) & ~_OUTLIVES[streams.kind])
    gaps = _gaps(streams.log_gap[rows], streams.kind[rows], np.full(len(rows), day), rng)
    streams.next_on[rows] = day + np.where(_IS_MAIN[streams.kind[rows]], 0, gaps)


def returns_alone_on(shop: Shop) -> Days:
    """Return, per life, the day of its next sign of life if nobody writes, or NEVER for one that has stopped."""
    counts = np.flatnonzero(_COUNTS[shop.streams.kind])
    earliest = np.full(len(shop.lives.customer), NEVER)
    next_on = shop.streams.next_on[counts]
    next_on = np.where(next_on == NEVER, NEVER, _after_rest(shop, counts, np.minimum(next_on, _KEY - 1)))
    np.minimum.at(earliest, shop.streams.life[counts], next_on)
    return earliest


def to_frame(table: Lives | Streams | Rests) -> pd.DataFrame:
    """Return a table of arrays as a frame, for storing."""
    return pd.DataFrame({field.name: getattr(table, field.name) for field in fields(table)})


def from_frame(frame: pd.DataFrame, kind: type[Table]) -> Table:
    """Return a stored table of arrays."""
    return kind(*(frame[field.name].to_numpy().copy() for field in fields(kind)))
