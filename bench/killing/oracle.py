"""Whether anybody was written to twice or forgotten: the people who were meant, the vendors' log and the bare table.

In: who was planned, what the vendors wrote down (by address), the rows of the ledger as the database has them. Nothing
here asks the code that sent. Must never happen: a message that is neither with the vendor nor in a state that says why.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Mapping, Sequence

    from bench.killing.world import Person

ENDED = frozenset({"suppressed", "expired", "unknown", "abandoned", "rejected", "cancelled", "held"})
"""States without a message at the vendor's; each needs a reason or an error beside it."""

TAKEN = frozenset({"accepted", "delivered", "bounced", "undelivered", "dropped", "unknown", "abandoned"})
"""States that a message may have which the vendor holds."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one trial, one line each.

    Attributes
    ----------
    duplicates : taken more than once
    losses : neither taken nor in a state that says why
    strangers : taken for nobody who was meant, or under another's id
    contradictions : the ledger says something else than the log
    after_refusal : taken although the person's no was committed before the claim
    restless : what another run at the fixed point changed
    damages : what the database says about itself
    """

    duplicates: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    after_refusal: tuple[str, ...] = ()
    restless: tuple[str, ...] = ()
    damages: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(getattr(self, each.name) for each in fields(self))

    def __add__(self, other: Verdict) -> Verdict:
        """Return both."""
        return Verdict(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def judge(
    planned: Sequence[Person],
    taken: Mapping[str, Counter[str]],
    rows: Sequence[Mapping[str, Any]],
    *,
    refused: Collection[str],
) -> Verdict:
    """Compare who was meant with what the vendors hold and what the ledger says at the fixed point.

    Parameters
    ----------
    planned : of this trial
    taken : by address, how often each message id was taken; of this trial
    rows : of the table of messages
    refused : ids of customers whose refusal was committed while their message was still planned
    """
    by_customer = {row["customer_id"]: row for row in rows}
    meant = {one.address for one in planned}
    twice, lost, contrary, told = [], [], [], []
    strange = [f"{address} is nobody's" for address in taken.keys() - meant]
    for one in planned:
        row, ids = by_customer.get(one.customer_id), taken.get(one.address)
        if ids and ids.total() > 1:
            twice.append(f"{one.customer_id} was taken {ids.total()} times, and is {row and row['state']}")
        if row is None:
            lost.append(f"{one.customer_id} is not in the ledger any more")
        elif ids:
            strange += [f"{one.customer_id} got {other}" for other in ids if other != row["message_id"]]
            if row["state"] not in TAKEN:
                contrary.append(f"{one.customer_id} was taken, and is {row['state']}")
            if one.customer_id in refused:
                told.append(f"{one.customer_id} had said no before the claim, and was written to")
        elif not _is_explained(row):
            lost.append(f"{one.customer_id} was not taken, and is {row['state']} without a reason")
    if len(rows) != len(planned):
        contrary.append(f"{len(planned)} messages were planned, the ledger has {len(rows)}")
    found = (twice, lost, strange, contrary, told)
    return Verdict(*(tuple(each) for each in found))


def _is_explained(row: Mapping[str, Any]) -> bool:
    has_reason = bool(row["reason"] or row["last_error"])
    return has_reason and (row["state"] in ENDED or (row["state"] == "planned" and bool(row["reason"])))
