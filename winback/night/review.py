"""Read what may mean stop: list the texts that wait, and settle one.

In: a project and what a person decided. Out: plain values. Must never happen: a text that is settled twice, or a stop
that is acknowledged and not effective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import refusals, reviews
from winback.ledger.refusals import STOP_WORD, Act, Target
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from datetime import datetime

    from winback.settings import Project


def list_reviews(project: Project) -> list[dict[str, Any]]:
    """Return the texts that wait to be read, the oldest first."""
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        found = reviews.open_reviews(connection)
    return [
        {
            "number": one.id,
            "received_at": one.received_at.isoformat(timespec="seconds"),
            "channel": one.channel,
            "customer_id": one.customer_id,
            "text": one.said or "",
        }
        for one in found
    ]


def settle_review(project: Project, number: int, *, outcome: str, actor: str, now: datetime) -> dict[str, Any]:
    """Settle a text as a person has read it; effective when this returns.

    Parameters
    ----------
    outcome : ``stop`` or ``keep``

    Raises
    ------
    UsageError
        If no text of that number waits.
    """
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        review = reviews.find_open(connection, number)
        if review is None:
            waiting = ", ".join(str(one.id) for one in reviews.open_reviews(connection)) or "none"
            raise UsageError(f"no text {number} waits to be read; waiting now: {waiting}")
        if outcome == reviews.STOP:
            # It was a text with a stop word, so START takes it back as it does any other.
            act = Act(now, project.business_date(now), source=STOP_WORD, actor=actor)
            target = Target(review.channel, customer_id=review.customer_id, address_key=review.address_hmac)
            refusals.suppress(connection, target, act, pepper=ledger.pepper, reason=Reason.OPTED_OUT)
        reviews.settle_review(connection, review, outcome, by=actor, now=now)
    return {"number": number, "channel": review.channel, "customer_id": review.customer_id, "outcome": outcome}
