"""Whether anybody was written to twice or forgotten: the people who were meant, the vendors' log and the bare table.

In: who was planned, what the vendors wrote down (by address), the rows of the ledger as the database has them. Nothing
here asks the code that sent. Must never happen: a message that is neither with the vendor nor in a state that says why.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from bench._small_project import TEXT_PRICE
from bench.killing.reports import may_follow

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bench.killing.shifts import Shifts
    from bench.killing.world import Limits, Person

ENDED = frozenset({"suppressed", "expired", "unknown", "abandoned", "rejected", "cancelled", "held"})
"""States without a message at the vendor's; each needs a reason or an error beside it."""

TAKEN = frozenset({"accepted", "delivered", "bounced", "undelivered", "dropped", "unknown", "abandoned"})
"""States that a message may have which the vendor holds."""

_MILLION = 1_000_000


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
    in_quiet_hours : taken when nothing might arrive where the person is
    over_limits : the night sent or cost more than it might
    backwards : a state that fell back between two looks, or is not what the receipts come to
    restless : what another run at the fixed point changed
    damages : what the database says about itself
    """

    duplicates: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    after_refusal: tuple[str, ...] = ()
    in_quiet_hours: tuple[str, ...] = ()
    over_limits: tuple[str, ...] = ()
    backwards: tuple[str, ...] = ()
    restless: tuple[str, ...] = ()
    damages: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(getattr(self, each.name) for each in fields(self))

    def __add__(self, other: Verdict) -> Verdict:
        """Return both, each line once."""
        names = [each.name for each in fields(self)]
        return Verdict(*(tuple(dict.fromkeys(getattr(self, name) + getattr(other, name))) for name in names))


def judge(
    planned: Sequence[Person],
    taken: Mapping[str, Counter[str]],
    rows: Sequence[Mapping[str, Any]],
    *,
    reported: Mapping[str, str],
) -> Verdict:
    """Compare who was meant with what the vendors hold and what the ledger says at the fixed point.

    Parameters
    ----------
    planned : of this trial
    taken : by address, how often each message id was taken; of this trial
    rows : of the table of messages
    reported : by address, the state that everything the vendors reported comes to
    """
    by_customer = {row["customer_id"]: row for row in rows}
    lost, strange, contrary, backwards = [], [], [], []
    for one in planned:
        row, ids = by_customer.get(one.customer_id), taken.get(one.address)
        if row is None:
            lost.append(f"{one.customer_id} is not in the ledger any more")
        elif ids:
            strange += [f"{one.customer_id} got {other}" for other in ids if other != row["message_id"]]
            if row["state"] not in TAKEN:
                contrary.append(f"{one.customer_id} was taken, and is {row['state']}")
            meant = reported.get(one.address, row["state"])
            if row["state"] != meant:
                backwards.append(f"{one.customer_id} is {row['state']}; what was reported comes to {meant}")
        elif not _is_explained(row):
            lost.append(f"{one.customer_id} was not taken, and is {row['state']} without a reason")
    if len(rows) != len(planned):
        contrary.append(f"{len(planned)} messages were planned, the ledger has {len(rows)}")
    return Verdict(
        losses=tuple(lost), strangers=tuple(strange), contradictions=tuple(contrary), backwards=tuple(backwards)
    )


def judge_log(
    planned: Sequence[Person],
    taken: Mapping[str, Counter[str]],
    *,
    refused: Collection[str],
    limits: Limits,
) -> Verdict:
    """Look at what the vendors hold in the middle of a night: these must hold at any moment.

    Parameters
    ----------
    refused : ids of customers whose refusal was committed while their message was still planned
    """
    people = {one.address: one for one in planned}
    strange = [f"{address} is nobody's" for address in taken.keys() - people.keys()]
    twice, told = [], []
    for address, ids in taken.items():
        customer_id = people[address].customer_id if address in people else address
        if ids.total() > 1:
            twice.append(f"{customer_id} was taken {ids.total()} times")
        if customer_id in refused:
            told.append(f"{customer_id} had said no before the claim, and was written to")
    sends = sum(ids.total() for ids in taken.values())
    texts = sum(ids.total() for address, ids in taken.items() if not address.count("@"))
    over = []
    if limits.sends is not None and sends > limits.sends:
        over.append(f"{sends} messages were taken of a night that may send {limits.sends}")
    # In millionths: money that is added up as fractions is more than it is.
    if limits.cost is not None and texts * round(TEXT_PRICE * _MILLION) > round(limits.cost * _MILLION):
        over.append(f"{texts} texts at {TEXT_PRICE} were taken of a night that may cost {limits.cost}")
    return Verdict(
        duplicates=tuple(twice), strangers=tuple(strange), after_refusal=tuple(told), over_limits=tuple(over)
    )


def judge_hours(people: Iterable[Person], seconds: Mapping[str, Sequence[float]], shifts: Shifts) -> Verdict:
    """Say who got something at an hour at which no sender who was at work might have written to them."""
    wrong = []
    for one in people:
        for taken_seconds in seconds.get(one.address, ()):
            instants = list(shifts.instants(taken_seconds))
            if not any(one.may_get(at) for pair in instants for at in pair):
                hours = (
                    ", ".join(sorted({f"{earliest:%d %b %H:%M} UTC" for earliest, _ in instants})) or "nobody's time"
                )
                wrong.append(f"{one.customer_id} in {one.home.zone} got something at {hours}")
    return Verdict(in_quiet_hours=tuple(wrong))


def judge_steps(before: Mapping[str, str], after: Mapping[str, str]) -> Verdict:
    """Say which messages fell back between two looks at the table: states by customer."""
    fallen = [
        f"{one} was {was}, and is {after.get(one)}" for one, was in before.items() if not _goes_on(was, after, one)
    ]
    return Verdict(backwards=tuple(fallen))


def _goes_on(was: str, after: Mapping[str, str], one: str) -> bool:
    return one in after and may_follow(was, after[one])


def _is_explained(row: Mapping[str, Any]) -> bool:
    has_reason = bool(row["reason"] or row["last_error"])
    return has_reason and (row["state"] in ENDED or (row["state"] == "planned" and bool(row["reason"])))
