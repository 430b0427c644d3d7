"""What goes wrong at the fake vendors, and when: a function of the seed and of the number of the request.

In: a list of rules, from JSON. Out: for each request at most one fault, the same one in every run with the same seed.
Must never happen: a fault that depends on the time of day or on the order in which connections happen to be served.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from winback.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class FaultKind(StrEnum):
    """What may happen to one request."""

    LOST_ANSWER = "lost_answer"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    TOO_MANY = "too_many"
    SLOW = "slow"
    HANG = "hang"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNAUTHORIZED = "unauthorized"
    REDIRECT = "redirect"
    WRONG_SUCCESS = "wrong_success"
    CUT_BODY = "cut_body"


ACCEPTING = frozenset(
    {
        FaultKind.LOST_ANSWER,
        FaultKind.ERROR_AFTER,
        FaultKind.SLOW,
        FaultKind.HANG,
        FaultKind.UNREADABLE,
        FaultKind.TRUNCATED,
    }
)
"""Faults in which the messages are taken, unless the rule says otherwise."""

NEVER_ACCEPTING = frozenset({FaultKind.ERROR_BEFORE, FaultKind.CUT_BODY})
"""Faults that would be something else if the messages were taken."""

ALWAYS_ACCEPTING = frozenset({FaultKind.SLOW})
"""Faults after which the vendor says that it took the messages, so it has to."""


@dataclass(frozen=True, kw_only=True)
class FaultRule:
    """One kind of fault and the requests it meets: those listed, those of a range, or a share of all.

    Attributes
    ----------
    kind : what happens
    vendor : sendgrid, twilio, or empty for both
    requests : numbers of requests, counted from 1 for each vendor
    first, last : a range of numbers, both ends included; ``last`` 0 means for ever
    probability : share of the requests at which it begins
    burst : how many requests in a row it then meets
    accepts : whether the messages are taken; None leaves it to the kind
    status : of an error
    seconds : how long a slow answer or a hang takes
    retry_after_seconds : what 429 tells the client to wait; negative tells nothing
    """

    kind: FaultKind
    vendor: str = ""
    requests: tuple[int, ...] = ()
    first: int = 0
    last: int = 0
    probability: float = 0.0
    burst: int = 1
    accepts: bool | None = None
    status: int = 500
    seconds: float = 60.0
    retry_after_seconds: int = 1

    @property
    def is_accepting(self) -> bool:
        """Whether the messages of the request are taken."""
        return self.kind in ACCEPTING if self.accepts is None else self.accepts

    def meets(self, number: int, draws: str) -> bool:
        """Return whether the rule meets a request.

        Parameters
        ----------
        number : of the request
        draws : names this rule's own row of random numbers
        """
        if number in self.requests:
            return True
        if self.first and self.first <= number and (not self.last or number <= self.last):
            return True
        begins = range(max(1, number - self.burst + 1), number + 1) if self.probability else ()
        return any(share(draws, begin) < self.probability for begin in begins)


@dataclass(frozen=True, kw_only=True)
class CallbackFaults:
    """What goes wrong on the way back, each as a share of the messages, and what becomes of the messages.

    Attributes
    ----------
    duplicate : a report comes twice
    reordered : the reports of a message come last first
    late : they come ``late_seconds`` later
    missing : none comes
    delay_seconds : between two reports of a message
    late_seconds : how late late ones are
    outcomes : name of an outcome to its share; what is left is delivered
    people : address to the outcome that person's messages have
    """

    duplicate: float = 0.0
    reordered: float = 0.0
    late: float = 0.0
    missing: float = 0.0
    delay_seconds: float = 0.05
    late_seconds: float = 5.0
    outcomes: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Everything that goes wrong in one run.

    Attributes
    ----------
    seed : of every draw
    rules : the first that meets a request is its fault
    bad_share : share of addresses that are refused, whoever writes to them
    bad_recipients : address to the code it is refused with
    callbacks : faults on the way back
    """

    seed: int = 0
    rules: tuple[FaultRule, ...] = ()
    bad_share: float = 0.0
    bad_recipients: Mapping[str, int] = field(default_factory=dict)
    callbacks: CallbackFaults = field(default_factory=CallbackFaults)

    def fault(self, vendor: str, number: int) -> FaultRule | None:
        """Return what happens to a request of a vendor, or None."""
        for place, rule in enumerate(self.rules):
            if rule.vendor in {"", vendor} and rule.meets(number, f"{self.seed}:{vendor}:{place}"):
                return rule
        return None

    def refusal(self, address: str, usual_code: int) -> int | None:
        """Return the code an address is refused with, or None."""
        known = self.bad_recipients.get(address)
        if known is not None:
            return known or usual_code
        is_bad = self.bad_share > 0 and share(f"{self.seed}:recipient", address) < self.bad_share
        return usual_code if is_bad else None


def share(draws: str, number: object) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{draws}:{number}".encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def fault_plan(given: object, *, seed: int) -> FaultPlan:
    """Return the plan that a JSON document describes.

    Parameters
    ----------
    given : an object with ``requests`` (a list of rules), ``bad_share``, ``bad_recipients`` (a list of addresses, or
        address to code) and ``callbacks``; a bare list is ``requests``
    seed : of every draw

    Raises
    ------
    UsageError
        If something in it is not known, so that a misspelt fault cannot pass as a run without faults.
    """
    document = {"requests": given} if isinstance(given, list) else given
    if not isinstance(document, dict):
        raise UsageError("faults are a JSON object, or a list of rules")
    _refuse_unknown(document, {"requests", "bad_share", "bad_recipients", "callbacks"}, "faults")
    bad = document.get("bad_recipients", {})
    callbacks = document.get("callbacks", {})
    _refuse_unknown(callbacks, {each.name for each in fields(CallbackFaults)}, "callbacks")
    return FaultPlan(
        seed=seed,
        rules=tuple(_rule(rule) for rule in document.get("requests", [])),
        bad_share=float(document.get("bad_share", 0.0)),
        bad_recipients=bad if isinstance(bad, dict) else dict.fromkeys(bad, 0),
        callbacks=CallbackFaults(**callbacks),
    )


def _rule(given: dict[str, Any]) -> FaultRule:
    """Return one rule; it has to say when it applies."""
    _refuse_unknown(given, {each.name for each in fields(FaultRule)}, "a rule of faults")
    if given.get("kind") not in set(FaultKind):
        raise UsageError(f"no fault is called {given.get('kind')!r}: one of {', '.join(FaultKind)}")
    rule = FaultRule(**given | {"kind": FaultKind(given["kind"]), "requests": tuple(given.get("requests", ()))})
    if not (rule.requests or rule.first or rule.probability):
        raise UsageError(f"the fault {rule.kind} never happens: give it requests, first or probability")
    if rule.kind in NEVER_ACCEPTING and rule.accepts:
        raise UsageError(f"the fault {rule.kind} comes before anything is accepted")
    if rule.kind in ALWAYS_ACCEPTING and rule.accepts is False:
        raise UsageError(f"the fault {rule.kind} answers that the messages are accepted, so they are")
    return rule


def _refuse_unknown(given: dict[str, Any], known: set[str], place: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"{place}: {', '.join(unknown)} is not known; known are {', '.join(sorted(known))}")
