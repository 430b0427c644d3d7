"""Guards on a plan as a whole: far more new ladders than usual, too large a share sunset.

In: counts. Out: one :class:`Guard` each. A person who has looked at the plan lets it pass with ``--accept``.
"""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from winback.core.feed_guards import ACCEPTABLE
from winback.errors import UsageError
from winback.ledger import cycles

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from sqlalchemy import Connection

GUARDS = ("growth", "sunsets")
NIGHTS_LOOKED_AT = 7
FEWEST_NIGHTS = 3
ALWAYS_FINE = 100
"""So many sends are never too many: small shops jump around."""
FEWEST_SUNSETS = 20


class Guard(NamedTuple):
    """One question asked of a plan, its answer, and what it was answered from."""

    name: str
    ok: bool
    detail: str


def split_accepted(accept: Collection[str], *, as_of: date, may_hold_feeds: bool = True) -> tuple[list[str], list[str]]:
    """Return what a person accepts about the plan as a whole (``growth:DATE``), and about single feeds.

    Raises
    ------
    UsageError
        If one is neither, or names another day than the night's. Names of feeds are looked at by the sync.
    """
    of_plan, of_feeds = [], []
    for text in accept:
        kind, _, day = text.partition(":")
        if may_hold_feeds and kind in ACCEPTABLE:
            of_feeds.append(text)
        elif kind not in GUARDS:
            shapes = [f"{name}:DATE" for name in GUARDS]
            shapes += [f"KIND:SOURCE:DATE with KIND one of {', '.join(ACCEPTABLE)}"] if may_hold_feeds else []
            raise UsageError(f"--accept {text}: expected {', '.join(shapes)}")
        elif day != as_of.isoformat():
            raise UsageError(f"--accept {text}: it names {day or 'no date'}, but this night is {as_of}")
        else:
            of_plan.append(text)
    return of_plan, of_feeds


def recent_starts(connection: Connection, as_of: date) -> list[int]:
    """Return how many ladders each of the last nights started with a message, the oldest first."""
    nights = cycles.nights_before(connection, as_of)[-NIGHTS_LOOKED_AT:]
    return [int(json.loads(night.summary or "{}").get("starts", 0)) for night in nights]


def guard_growth(starts: int, recent: Sequence[int], *, growth: float, as_of: date, accept: Collection[str]) -> Guard:
    """Refuse a plan that starts more than ``growth`` times as many ladders as the last seven nights' median.

    Only first messages are compared: the crowd of a programme's first night comes to its later steps all at once, and
    that is no sign of a broken feed.
    """
    usual = median(recent) if len(recent) >= FEWEST_NIGHTS else None
    if usual is None:
        return Guard("growth", ok=True, detail=f"{starts} new ladders; under {FEWEST_NIGHTS} nights to compare with")
    most = max(ALWAYS_FINE, growth * usual)
    if starts <= most or f"growth:{as_of}" in accept:
        return Guard("growth", ok=True, detail=f"{starts} new ladders, at most {most:.0f} expected")
    return Guard(
        "growth",
        ok=False,
        detail=f"{starts} new ladders, but the last {len(recent)} nights had a median of {usual:.0f}: a person has to "
        f"look. If it is right: winback run --as-of {as_of} --accept growth:{as_of}",
    )


def guard_sunsets(sunsets: int, contacts: int, *, share: float, as_of: date, accept: Collection[str]) -> Guard:
    """Refuse a plan that would sunset more than a share of everybody in scope: unknown is not inactive."""
    most = max(FEWEST_SUNSETS, share * contacts)
    if sunsets <= most or f"sunsets:{as_of}" in accept:
        return Guard("sunsets", ok=True, detail=f"{sunsets} sunsets, at most {most:.0f} a night")
    return Guard(
        "sunsets",
        ok=False,
        detail=f"{sunsets} of {contacts} contacts would be sunset, at most {most:.0f} a night: a person has to look. "
        f"If it is right: winback run --as-of {as_of} --accept sunsets:{as_of}",
    )
