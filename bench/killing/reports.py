"""What the vendors report afterwards about what they took: twice, late, in any order, while senders live and die.

In: the vendors' log. Out: receipts, handed to the ledger as the web app hands them on, a few at a time; and, worked out
here from the stories alone, the one state each message has to end in and never to fall back from.
"""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta
from typing import TYPE_CHECKING

from winback.ledger import receipts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from winback.ledger.engine import Ledger

# Few bounce: more than 5 % stop a channel, as they should.
_STORIES: tuple[tuple[tuple[str, ...], str, float], ...] = (
    ((), "", 0.4),
    (("accepted", "delivered"), "delivered", 0.3),
    (("accepted", "deferred", "deferred", "delivered"), "delivered", 0.1),
    (("sent", "delivered", "read", "opened"), "delivered", 0.1),
    (("deferred", "opened"), "accepted", 0.07),
    (("accepted", "bounced"), "bounced", 0.003),
    (("delivered", "bounced"), "bounced", 0.003),
    (("sent", "undelivered", "delivered"), "undelivered", 0.01),
)
"""What is told, in the order it happened, and the state it ends in; then its share."""

_TWICE = 0.3

ONWARD = {
    "planned": frozenset(
        ("planned", "sending", "suppressed", "expired", "cancelled", "rejected", "held", "unknown", "accepted")
    ),
    "unknown": frozenset(("unknown", "abandoned", "accepted")),
    "abandoned": frozenset(("abandoned", "accepted")),
    "accepted": frozenset(("accepted",)),
    "delivered": frozenset(("delivered",)),
    "undelivered": frozenset(("undelivered",)),
    "bounced": frozenset(("bounced",)),
    **{one: frozenset((one,)) for one in ("suppressed", "expired", "cancelled", "rejected")},
}
"""Where a message may be later, receipts apart; what is being sent may be anywhere a planned one may be."""

_BY_RECEIPT = {
    "accepted": ("delivered", "undelivered", "dropped", "bounced"),
    "delivered": ("undelivered", "dropped", "bounced"),
    "undelivered": ("dropped", "bounced"),
}


def may_follow(before: str, after: str) -> bool:
    """Whether a message that was in one state may be in another later, when no person has had a hand in it."""
    onward = ONWARD["planned"] if before == "sending" else ONWARD.get(before, frozenset())
    if after in onward:
        return True
    # What leads to accepted leads to whatever receipts make of that.
    start = "accepted" if "accepted" in onward else before
    return after in _BY_RECEIPT.get(start, ())


class Reports:
    """What is still to be reported in one trial.

    Parameters
    ----------
    draws : where everything random comes from
    pepper : of the ledger
    """

    def __init__(self, draws: random.Random, *, pepper: bytes) -> None:
        self._draws, self._pepper = draws, pepper
        self._waiting: list[receipts.Receipt] = []
        self.ends: dict[str, str] = {}
        """By address, the state of what was reported on."""

    def hear(self, address: str, message_id: str, *, now: datetime) -> None:
        """Take in that the vendor took a message; what will be told of it depends on the address alone."""
        if address in self.ends:
            return
        story, end, _share = random.Random(hashlib.sha256(address.encode()).digest()).choices(  # noqa: S311  a trial has to be repeatable; nothing is secret
            _STORIES, [share for *_, share in _STORIES]
        )[0]
        self.ends[address] = end
        for place, kind in enumerate(story):
            at = now + timedelta(seconds=place)
            told = receipts.Receipt(message_id, "double", kind, at, detail=kind)
            self._waiting += [told, told] if self._draws.random() < _TWICE else [told]
        self._draws.shuffle(self._waiting)

    def tell(self, ledger: Ledger, *, now: datetime, share: float = 0.5) -> None:
        """Hand a share of what is waiting to the ledger, whatever order it is in."""
        count = round(len(self._waiting) * share)
        told, self._waiting = self._waiting[:count], self._waiting[count:]
        if told:
            with ledger.writing() as connection:
                receipts.record_receipts(connection, told, now=now, today=now.date(), pepper=self._pepper)

    def expected(self) -> Mapping[str, str]:
        """Return by address the state that must come of what was reported."""
        return {address: end for address, end in self.ends.items() if end}
