"""Many nights of the simulated shop in one process: a night, what its messages do, the days until the next night.

In: a directory with a simulated shop, and its pages if people are to visit them. Out: the same shop some weeks later,
its ledger, its outbox, and counts that tell the story. This is what the demo watches (:mod:`winback.cli.past_nights`)
and what benchmarks and tests of whole months start from.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles, steps
from winback.ledger.people_tables import suppressions
from winback.night.pepper import open_project_ledger
from winback.night.run import run
from winback.sample.page_visits import Visited, Visitors
from winback.sample.reactions import Message
from winback.sample.scaffold import scaffold
from winback.sample.shop import play
from winback.settings import load_project, wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Column, ColumnElement

    from winback.ledger.engine import Ledger
    from winback.sample.page_visits import Pages
    from winback.settings import Project

# One shard: a small shop is faster in one piece, and decisions never depend on the number.
SHARDS = 1


@dataclass(frozen=True)
class NightTold:
    """What one night did, in counts."""

    as_of: date
    new_messages: int
    sends: int
    held_out: int
    sunset: int
    held: tuple[str, ...]
    visited: Visited


def every(days: int, *, before: date, nights: int) -> list[date]:
    """Return the dates of some nights, ``days`` apart, the last one ``days`` before a date; the earliest first."""
    return [before - timedelta(days=days * back) for back in range(nights, 0, -1)]


def live_through(root: Path, nights: Sequence[date], *, until: date, pages: Pages | None = None) -> Iterator[NightTold]:
    """Live through some nights and the days between them; yield what each night did.

    Parameters
    ----------
    root : a project directory with a simulated shop whose history ends the day before the first night
    nights : business days, ascending
    until : the last day to live through, e.g. the day before a night that somebody else runs
    pages : makes the public pages that people visit after a night; None if nobody does

    Raises
    ------
    WinbackError
        Whatever a night raises, and if a page does not answer as it should.
    """
    project = load_project(root)
    with ExitStack() as stack:
        visitors: Visitors | None = None
        if pages is not None:
            open_ledger = stack.enter_context(open_project_ledger(project))
            begins_at = datetime.combine(nights[0], time.min, tzinfo=project.zone)
            visitors = Visitors(project, open_ledger, pages=pages, starts_at=begins_at)
        yield from _live(project, nights, until=until, visitors=visitors)


def _live(project: Project, nights: Sequence[date], *, until: date, visitors: Visitors | None) -> Iterator[NightTold]:
    root = project.root
    for night, next_night in zip(nights, [*nights[1:], until + timedelta(days=1)], strict=True):
        # Whoever keeps this shop looks at every plan: the first night's crowd takes its later steps together, too.
        looked_at = [f"growth:{night}", f"sunsets:{night}"]
        report = run(project, as_of=night, now=wall_clock(), allow_backdated=True, accept=looked_at, shards=SHARDS)
        with open_project_ledger(project) as ledger:
            play(root, day=next_night - timedelta(days=1), messages=delivered(ledger, night))
        decided = report["decisions"]
        yield NightTold(
            as_of=night,
            new_messages=report["new_messages"],
            sends=decided.get("send", 0),
            held_out=decided.get("hold_out", 0),
            sunset=decided.get("sunset", 0),
            held=tuple(item["name"] for item in report["held"]),
            visited=visitors.come(night) if visitors else Visited(0, 0),
        )


def delivered(ledger: Ledger, night: date) -> list[Message]:
    """Return the messages of a night that reached somebody."""
    columns = (messages.c[name] for name in ("customer_id", "step", "channel", "as_of", "programme"))
    query = select(*columns).where(messages.c.as_of == night, messages.c.state == "accepted")
    with ledger.reading() as connection:
        return [Message(*row) for row in connection.execute(query)]


def story(project: Project) -> dict[str, Any]:
    """Return what has happened in a project so far, in counts.

    Returns
    -------
    messages : by step of the ladder
    channels : by channel
    cycles : by arm, how many were opened and how many ended in a return
    sunset : contacts who are left in peace now
    """
    with open_project_ledger(project) as ledger, ledger.reading() as connection:

        def counts(column: Column[Any], *where: ColumnElement[bool]) -> dict[Any, int]:
            query = select(column, func.count()).where(*where).group_by(column).order_by(column)
            return dict(connection.execute(query).tuples().all())

        opened = counts(cycles.c.arm)
        returned = counts(cycles.c.arm, cycles.c.close_reason == "returned")
        return {
            "messages": counts(messages.c.step),
            "channels": counts(messages.c.channel),
            "withheld": sum(counts(steps.c.step, steps.c.arm != "treated").values()),
            "cycles": {arm: {"opened": count, "returned": returned.get(arm, 0)} for arm, count in opened.items()},
            "sunset": sum(counts(suppressions.c.reason, suppressions.c.reason == "sunset").values()),
        }


def found_and_live(
    root: Path, *, customers: int, nights: Sequence[date], until: date, tell: Callable[[str], None], pages: Pages
) -> None:
    """Found a shop and live through its nights, telling each in a line."""
    scaffold(root, customers=customers, ends_on=nights[0] - timedelta(days=1))
    tell(f"a shop of {customers:,} customers; its history ends on {nights[0] - timedelta(days=1)}")
    for told in live_through(root, nights, until=until, pages=pages):
        held = f"  held: {', '.join(told.held)}" if told.held else ""
        tell(
            f"night of {told.as_of}   messages {told.new_messages:4d}   answered {told.visited.answers:3d}   "
            f"said stop {told.visited.stops:2d}   control group {told.held_out:4d}   "
            f"left in peace {told.sunset:3d}{held}"
        )
