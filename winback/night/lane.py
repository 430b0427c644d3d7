"""One channel of one sender: claim, compose, reserve, call, record, until nothing is due.

In: due messages of the channel. Out: each claimed one in a named state. What is claimed together is in flight
together: one request of many mails, or half as many texts as may be under way at once; two claims are in the air. Must
never happen: a message that is handed over twice, or one that was not handed over and is called anything but planned.
"""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from winback.channels import Outcome, SendResult
from winback.core.flow_control import CEILING_CALLS, is_kill_rate
from winback.errors import SendRefused, TemplateError
from winback.ledger import claims, queue, receipts
from winback.ledger.channel_health import channel_feedback
from winback.night.brakes import Brakes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from winback.channels import Channel, Prepared
    from winback.ledger.claims import Claimed
    from winback.night.deliver import Sender

DEFERRED_FOR = timedelta(minutes=5)
HEALTH_DAYS = 7
LONGEST_WAIT = timedelta(minutes=1)
"""What a provider puts off for longer is for the next delivery."""

FLIGHTS = 2
"""Claims in the air: while one is being answered, the next is claimed and composed. More would make more unknown."""

_NOT_SENT = "it was not handed over: the sender was leaving or the channel was stopped"
_OUTCOMES = {
    Outcome.ACCEPTED: queue.Outcome.ACCEPTED,
    Outcome.REFUSED: queue.Outcome.REJECTED,
    Outcome.DEFERRED: queue.Outcome.DEFERRED,
    Outcome.UNKNOWN: queue.Outcome.UNKNOWN,
}


class Flight(NamedTuple):
    """One claim on its way: what was composed, what could not be, and the calls that carry the rest."""

    claimed: Sequence[Claimed]
    ready: Sequence[Prepared]
    refused: Sequence[SendResult]
    calls: Sequence[Future[list[SendResult]]]


class Lane:
    """The way of one channel's messages out of the ledger.

    Parameters
    ----------
    name : of the channel: email, sms, whatsapp
    channel : its provider
    sender : the process it belongs to
    per_second : messages (segments, for texts) a second; None is no limit of ours
    """

    def __init__(self, name: str, channel: Channel, *, sender: Sender, per_second: float | None) -> None:
        self.name, self.channel, self.sender = name, channel, sender
        self.brakes = Brakes(channel.name, per_second=per_second)
        self.counts: Counter[str] = Counter()
        self.is_stopped = False
        self._due_again_at: datetime | None = None
        self._accepted_before_waiting: int | None = None

    def drain(self) -> None:
        """Send until nothing is due, the red button is pressed, the sender leaves or a brake holds."""
        self._ask_health()
        with ThreadPoolExecutor(max_workers=CEILING_CALLS, thread_name_prefix=self.name) as pool, ExitStack() as air:
            flights: deque[Flight] = deque()
            # Whatever happens, what came of calls that were made is written down: each of them, the oldest first.
            for _ in range(FLIGHTS):
                air.callback(self._land_next, flights)
            while not (self.brakes.halted or self.sender.leaving.is_set() or self.sender.left <= 0):
                self.sender.require_lock()
                claim = self._claim()
                self.is_stopped = claim.is_stopped
                if claim.is_drained and not flights and not self._waited():
                    break
                self.sender.left -= len(claim.messages) + sum(claim.refused.values())
                self.counts.update({"refused": sum(claim.refused.values())} if claim.refused else {})
                if claim.messages:
                    flights.append(self._take_off(claim.messages, pool))
                if claim.is_drained or len(flights) == FLIGHTS:
                    self._land_next(flights)

    def _waited(self) -> bool:
        """Wait for what the provider put off for a moment; not twice if nothing was accepted in between."""
        if self._due_again_at is None or self._accepted() == self._accepted_before_waiting:
            return False
        self._accepted_before_waiting = self._accepted()
        seconds = (self._due_again_at - self.sender.watch.now()).total_seconds()
        self._due_again_at = None
        return not self.sender.leaving.wait(max(0.0, seconds))

    def _accepted(self) -> int:
        return self.counts[queue.Outcome.ACCEPTED.value]

    def _ask_health(self) -> None:
        """Stop a channel whose messages bounce or are complained about more than anybody may."""
        since = self.sender.today - timedelta(days=HEALTH_DAYS)
        with self.sender.ledger.reading() as connection:
            feedback = channel_feedback(connection, self.name, since=since)
        if is_kill_rate(feedback):
            self.brakes.halt(
                f"{self.name} is stopped: {feedback.bounced} bounces and {feedback.complained} complaints for "
                f"{feedback.delivered} delivered in {HEALTH_DAYS} days. Look at the addresses and the texts first"
            )

    def _claim(self) -> claims.Claim:
        at_once = self.channel.max_batch if self.channel.max_batch > 1 else max(1, self.brakes.limit.calls // FLIGHTS)
        with self.sender.ledger.writing() as connection:
            return claims.claim(
                connection,
                limit=int(min(at_once, self.sender.left)),
                now=self.sender.watch.now(),
                owner=self.sender.owner,
                channel=self.name,
                terms=self.sender.terms,
                max_sends_per_night=self.sender.budget.sends_per_night,
            )

    def _take_off(self, claimed: Sequence[Claimed], pool: ThreadPoolExecutor) -> Flight:
        """Compose one claim and begin its calls."""
        ready: list[Prepared] = []
        refused: list[SendResult] = []
        for message in claimed:
            try:
                ready.append(self.channel.prepare(self.sender.composer.compose(message)))
            except (SendRefused, TemplateError) as problem:
                refused.append(_result(message.message_id, Outcome.REFUSED, str(problem)))
        ready = self._within_budget(ready)
        programme = claimed[0].programme
        calls = [pool.submit(self._call, call, programme) for call in self.channel.calls(ready)]
        return Flight(claimed, ready, refused, calls)

    def _land_next(self, flights: deque[Flight]) -> None:
        """Wait for the calls of the oldest claim in the air, and record what became of each message."""
        if flights:
            flight = flights.popleft()
            results = [*flight.refused, *(one for call in flight.calls for one in call.result())]
            self._record(results, {one.message.message_id: one for one in flight.ready}, flight.claimed)

    def _within_budget(self, ready: list[Prepared]) -> list[Prepared]:
        """Reserve what the rendered messages cost; leave out those that no longer fit."""
        costs = {one.message.message_id: one.message.rendered.price for one in ready if one.message.rendered.price}
        if not costs:
            return ready
        with self.sender.ledger.writing() as connection:
            goes = claims.reserve_cost(
                connection, costs, budget=self.sender.budget, owner=self.sender.owner, now=self.sender.watch.now()
            )
        self.counts.update({"refused": len(costs) - len(goes)} if len(goes) < len(costs) else {})
        return [one for one in ready if one.message.message_id not in costs or one.message.message_id in goes]

    def _call(self, call: Sequence[Prepared], programme: str) -> list[SendResult]:
        """Make one call, unless the sender is leaving or a brake holds: then nothing of it was handed over."""
        watch, leaving = self.sender.watch, self.sender.leaving
        amount = sum(one.message.rendered.size.segments if one.message.rendered.size else 1 for one in call)
        if self.sender.is_live and not self.brakes.halted:
            leaving.wait(self.brakes.wait_seconds(amount, now_seconds=watch.seconds()))
        if leaving.is_set() or self.brakes.halted:
            return [_result(one.message.message_id, Outcome.DEFERRED, _NOT_SENT, after_seconds=0.0) for one in call]
        results = self.channel.send(call, now=watch.now())
        self.brakes.heed(results, programme=programme, now_seconds=watch.seconds())
        return results

    def _record(self, results: Sequence[SendResult], ready: dict[str, Prepared], claimed: Sequence[Claimed]) -> None:
        """Write down what became of a claim, and what the answers mean for the people."""
        now, attempts = self.sender.watch.now(), {message.message_id: message.attempt_no for message in claimed}
        recorded, meant = [], []
        for result in results:
            prepared = ready.get(result.message_id)
            rendered = prepared.message.rendered if prepared else None
            wait = result.retry_after_seconds
            later = now + (DEFERRED_FOR if wait is None else timedelta(seconds=wait))
            if wait and self.sender.is_live and later <= now + LONGEST_WAIT:
                self._due_again_at = max(later, self._due_again_at or later)
            recorded.append(
                queue.Result(
                    message_id=result.message_id,
                    attempt_no=attempts[result.message_id],
                    outcome=_OUTCOMES[result.outcome],
                    provider=self.channel.name,
                    provider_id=result.provider_id,
                    error=result.error,
                    not_before_at=later if result.outcome is Outcome.DEFERRED else None,
                    segments=rendered.size.segments if rendered and rendered.size else None,
                    cost=rendered.price if rendered else None,
                )
            )
            if result.outcome is Outcome.REFUSED and result.consequence is not None:
                meant.append(
                    receipts.Receipt(
                        message_id=result.message_id,
                        provider=self.channel.name,
                        kind="refused",
                        occurred_at=now,
                        code=result.code or "",
                        consequence=result.consequence.value,
                    )
                )
        with self.sender.ledger.writing() as connection:
            if meant:
                receipts.record_receipts(
                    connection, meant, now=now, today=self.sender.today, pepper=self.sender.ledger.pepper
                )
            queue.record_results(connection, recorded, owner=self.sender.owner, now=now)
        self.counts.update(Counter(one.outcome.value for one in recorded))


def _result(message_id: str, outcome: Outcome, error: str, *, after_seconds: float | None = None) -> SendResult:
    return SendResult(message_id=message_id, outcome=outcome, error=error, retry_after_seconds=after_seconds)
