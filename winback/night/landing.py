"""What a short link opens, and what a person does there: an answer, an entry, a coupon.

In: what the link holds, and a form. Out: the message with its step, and the act that was recorded, once. Looking
changes nothing and gives nothing out; only a form does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from winback.core.message_links import unseen_prefixes
from winback.core.slots import PLACE
from winback.ledger import coupons, engagements, links, preferences
from winback.ledger.links import Addressed
from winback.night.render import step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from winback.core.policy import Programme, Step
    from winback.core.slots import Place
    from winback.ledger.coupons import Coupon
    from winback.ledger.engagements import Engagement
    from winback.ledger.engine import Ledger


@dataclass(frozen=True, kw_only=True)
class Landing:
    """One person's landing page.

    Attributes
    ----------
    locale : of the person, as far as it is known
    country : of the person, "" where it is not known
    place : where the person may be, as the hours file has it
    answered : what they did here before
    """

    message: Addressed
    step: Step
    locale: str | None
    country: str
    place: Place
    answered: Engagement | None


def target_of(ledger: Ledger, prefix: str) -> tuple[Addressed, str | None] | None:
    """Return the message of a short link and where it leads, None for one of our own pages; None if there is none."""
    with ledger.glancing() as connection:
        message = links.find_message(connection, prefix)
    return None if message is None else (message, message.target)


def unseen_target_of(ledger: Ledger, code: str, *, keys: Sequence[bytes]) -> tuple[Addressed, str | None] | None:
    """Return the same for the link in a mail that nobody sees: it leads where the other one does.

    Parameters
    ----------
    keys : the secrets of links, those that were in use before among them
    """
    found = (target_of(ledger, prefix) for prefix in unseen_prefixes(code, keys=keys))
    return next((one for one in found if one is not None), None)


def open_landing(ledger: Ledger, prefix: str, *, programmes: Mapping[str, Programme]) -> Landing | None:
    """Return a landing page; None if there is none, or nobody it is for any more."""
    with ledger.reading() as connection:
        message = links.find_message(connection, prefix)
        if message is None or message.is_erased:
            return None
        step = step_of(programmes, message.programme, message.step)
        person = preferences.read_person(connection, message.customer_id)
        if step is None or person is None:
            return None
        wished = preferences.read_preferences(connection, [message.customer_id]).get(message.customer_id)
        return Landing(
            message=message,
            step=step,
            locale=(wished.language if wished else None) or person["locale"] or message.locale,
            country=person["country"] or "",
            place=(message.channel, *(person[name] or "" for name in PLACE[1:])),
            answered=engagements.read(connection, message.message_id, step.kind),
        )


def imagined(step: Step, programme: str, number: int, *, locale: str) -> Landing:
    """Return a step's landing page as nobody in particular sees it: there is no message, and nothing to answer.

    Parameters
    ----------
    programme, number : which step it is, counted from 1
    locale : what the page speaks
    """
    nobody = Addressed(
        message_id="",
        customer_id="",
        programme=programme,
        cycle=0,
        step=number,
        channel="email",
        locale=locale,
        state="planned",
        as_of=date.min,
        address_hmac=None,
        target=None,
    )
    return Landing(message=nobody, step=step, locale=locale, country="", place=("email", "", "", "", ""), answered=None)


def answer(ledger: Ledger, landing: Landing, detail: Mapping[str, object], *, now: datetime) -> Engagement:
    """Record what a person said, once: of two answers the first stays."""
    with ledger.writing() as connection:
        return engagements.record(connection, landing.message, landing.step.kind, detail=detail, now=now)


def reveal_coupon(ledger: Ledger, landing: Landing, *, now: datetime, today: date) -> Coupon | None:
    """Give a person their code, the same one each time; None where the step has no pool, or the pool is dry.

    Parameters
    ----------
    today : the day where the person is
    """
    pool = landing.step.pool
    with ledger.writing() as connection:
        code = coupons.reveal(connection, pool, landing.message.message_id, now=now, today=today) if pool else None
        if code is not None or not pool:
            engagements.record(connection, landing.message, landing.step.kind, detail={}, now=now)
    return code
