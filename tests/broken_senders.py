"""Senders that are broken on purpose, so that the kills are seen to find what they are there for.

Each function changes the process it is called in, which is that of one sender and dies with it.
"""

from __future__ import annotations

from sqlalchemy import update

from winback.channels import Outcome
from winback.channels.registry import OPENERS
from winback.ledger import claims, gate, queue, spending
from winback.ledger.message_tables import attempts, messages


def marks_after_the_send() -> None:
    """Nothing is in doubt: what fails is posted again, and what has no result counts as never posted."""
    for name in ("sendgrid", "twilio"):
        OPENERS[name] = _retrying(OPENERS[name])

    def recover(connection, *, is_alive, now) -> int:
        del now
        owners = set(connection.scalars(messages.select().with_only_columns(messages.c.owner).distinct()).all())
        dead = [owner for owner in owners if owner and not is_alive(owner)]
        return _put_back(connection, messages.c.owner.in_(dead))

    queue.recover = recover


def checkpoints_at_the_fetch() -> None:
    """What was fetched counts as sent."""
    real = claims.claim

    def claim(connection, **given):
        found = real(connection, **given)
        taken = messages.c.message_id.in_([one.message_id for one in found.messages])
        connection.execute(update(messages).where(taken).values(state="accepted", lease_until=None))
        return found

    claims.claim = claim


def trusts_the_lease() -> None:
    """A lease that is over proves its holder dead and its messages unsent."""

    def recover(connection, *, is_alive, now) -> int:
        del is_alive
        return _put_back(connection, messages.c.lease_until < now)

    queue.recover = recover


def forgets_the_hour() -> None:
    """Nobody is asleep."""
    gate.QUESTIONS = tuple(ask for ask in gate.QUESTIONS if ask is not gate.Gate.hour)


def forgets_who_said_no() -> None:
    """What a plan knew is good enough."""
    gate.QUESTIONS = tuple(ask for ask in gate.QUESTIONS if ask is not gate.Gate.suppression)


def forgets_the_limits() -> None:
    """A night may send and cost whatever it likes."""

    def reserve(connection, wanted, **limits) -> set[str]:
        del connection, limits
        return {one.message_id for one in wanted}

    spending.reserve_sends = spending.reserve_cost = reserve


def _put_back(connection, which) -> int:
    sending = messages.c.state == "sending"
    ids = connection.scalars(messages.select().with_only_columns(messages.c.message_id).where(sending, which)).all()
    back = update(messages).where(messages.c.message_id.in_(ids))
    connection.execute(back.values(state="planned", owner=None, lease_until=None))
    connection.execute(update(attempts).where(attempts.c.message_id.in_(ids)).values(outcome="deferred"))
    return len(ids)


def _retrying(opener):
    def opened(*arguments):
        channel = opener(*arguments)
        if channel is not None:
            real = channel.send

            def send(batch, *, now):
                for _attempt in range(3):
                    results = real(batch, now=now)
                    if not any(result.outcome is Outcome.UNKNOWN for result in results):
                        break
                return results

            channel.send = send
        return channel

    return opened
