"""What a trial is, and where it happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bench._small_project import TEXT_PRICE
from bench.killing import world
from bench.killing.sender import POINTS, RANDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from bench.killing.postgres import OwnServer
    from bench.killing.vendors import Vendors

PAUSED, DATABASE_STOPPED = "paused", "database_stopped"
KINDS = (*POINTS, RANDOM, PAUSED)
DAY = timedelta(days=1)
_EACH_LIMITED = 4
_JUMPING = 0.08


@dataclass(frozen=True)
class Ground:
    """Where trials happen.

    Attributes
    ----------
    root : of the project
    vendors : running
    fresh : returns the URL of a ledger without rows
    server : of PostgreSQL, where trials may stop it
    """

    root: Path
    vendors: Vendors
    fresh: Callable[[], str]
    server: OwnServer | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a trial is.

    Attributes
    ----------
    number : of the trial: no two share people, and everything random comes from it
    mails, texts : how many people
    homes : where those live who get texts, in turn
    begins_at, step : when the night begins, and how much later each fault is
    kinds : of faults, drawn evenly
    variant : ``module:function`` that breaks every sender on purpose
    refusals : how many people say no in the meantime
    most_faults : after so many that landed, what is left is sent in peace
    limits : of the night
    has_weather : whether vendors have bursts of 429 and 401 from the k-th call
    jumps : share of senders whose clock is a day off, one way or the other
    are_reported : whether vendors report on what they took
    """

    number: int
    mails: int = 400
    texts: int = 150
    homes: Sequence[world.Home] = (world.PARIS,)
    begins_at: datetime = world.NOW
    step: timedelta = timedelta(seconds=20)
    kinds: Sequence[str] = KINDS
    variant: str = ""
    refusals: int = 6
    most_faults: int = 1_000_000
    limits: world.Limits = world.UNLIMITED
    has_weather: bool = False
    jumps: float = 0.0
    are_reported: bool = False


def everything(number: int, *, mails: int = 400, texts: int = 150) -> Wish:
    """Return a trial in which all that may go wrong may go wrong at once; every fourth has limits that it reaches."""
    limits = world.UNLIMITED
    if number % _EACH_LIMITED == _EACH_LIMITED - 1:
        limits = world.Limits(sends=(mails + texts) * 3 // 4, cost=round(texts / 2 * TEXT_PRICE, 2))
    return Wish(
        number=number,
        mails=mails,
        texts=texts,
        homes=(*[world.PARIS] * 9, world.LOS_ANGELES),
        limits=limits,
        has_weather=True,
        jumps=_JUMPING,
        are_reported=True,
    )
