"""Settle what is open: the dead are found, receipts worked in, and what is in doubt for too long is given up.

In: the ledger and the present instant. Out: counts by state, and what does not add up. Imports neither pandas nor
Prefect. Must never happen: a doubt that is not shown, or one that a machine resolves by sending again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from winback.ledger import coupons, held_steps, queue, receipts, returns, settlements, unknowns
from winback.night.brakes import hold_complained_steps

if TYPE_CHECKING:
    from datetime import date, datetime

    from winback.ledger.engine import Ledger
    from winback.ledger.returns import Returning

GRACE = timedelta(hours=24)
"""So long a provider may say nothing about what it accepted."""

NEVER_REPORT = ("outbox", "smtp")
"""Channels that are never heard of again, so that their silence means nothing."""


class Settled(NamedTuple):
    """What one settlement found.

    Attributes
    ----------
    states : all messages by state
    moved : messages that receipts brought further
    abandoned : unknown messages given up just now
    accepted_without_event : accepted more than 24 hours ago, never heard of since
    events_without_row : receipts about messages that this ledger does not know
    unknown_by_age : unknown messages by how long ago they were posted
    held_steps : steps that wait for a person, and why
    returned : cycles closed just now, because their customers came back
    """

    states: dict[str, int]
    moved: int
    abandoned: int
    accepted_without_event: int
    events_without_row: int
    unknown_by_age: dict[str, int]
    held_steps: dict[str, str]
    returned: int = 0


def settle(ledger: Ledger, *, now: datetime, today: date, returning: Returning | None = None) -> Settled:
    """Bring every message that cannot move by itself to its named state, and count what does not add up.

    Parameters
    ----------
    ledger : opened with its pepper
    now, today : the instant, and its business day
    returning : what brings customers back; without it their cycles wait for the next plan
    """
    with ledger.writing() as connection:
        queue.recover(connection, is_alive=ledger.is_locked, now=now)
        told = receipts.settle_pending(connection, now=now, today=today, pepper=ledger.pepper)
        abandoned = unknowns.abandon(connection, now=now)
        hold_complained_steps(connection, now=now, today=today)
        coupons.follow(connection, now=now)
        settlements.note_settled(connection, now=now)
        returned = returns.close_returned(connection, returning, now=now) if returning else 0
    with ledger.reading() as connection:
        return Settled(
            states=queue.count_by_state(connection),
            moved=told.moved,
            abandoned=abandoned,
            accepted_without_event=receipts.count_silent(connection, before=now - GRACE, except_by=NEVER_REPORT),
            events_without_row=receipts.count_strays(connection),
            unknown_by_age=unknowns.count_by_age(connection, now=now),
            held_steps={step.name: why for step, why in held_steps.held_steps(connection).items()},
            returned=returned,
        )
