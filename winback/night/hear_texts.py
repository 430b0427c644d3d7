"""Take in a text that somebody sent us: what it asks for is in force when the transaction ends, before any answer.

In: a text whose signature holds, and the dated words. Out: what it meant, once. The words themselves are kept only
where a person has to read them. Imports neither pandas nor Prefect. Must never happen: a stop that is answered and not
in force, or somebody who is written to although nobody knows yet whether they meant stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from winback.core.answer_words import Meaning, Said
from winback.core.reasons import Reason
from winback.core.templates import clean
from winback.ledger import diary, engagements, keys, links, preferences, refusals, reviews, webhook_calls
from winback.ledger.people_tables import contacts
from winback.ledger.refusals import STOP_WORD, Act, Target
from winback.ledger.reviews import Review

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection

    from winback.channels.twilio_answers import SentText
    from winback.core.answer_words import AnswerWords
    from winback.ledger.engine import Ledger
    from winback.ledger.links import Addressed
    from winback.ledger.webhook_calls import Call

LONGEST_KEPT = 1600
"""Characters of a text that a person has to read; providers carry no more."""
REPLY = "reply"
"""The kind of engagement an answer by text is."""


class Heard(NamedTuple):
    """What a text meant.

    ``lifted`` says how many refusals a START took back, ``locales`` in which languages to answer, the best first.
    """

    meaning: Meaning
    lifted: int = 0
    locales: tuple[str | None, ...] = ()


class _Sender(NamedTuple):
    """Who has a number: everybody in the contacts, and the message we last sent there."""

    target: Target
    address_hmac: str
    number_hmac: str
    customer_ids: tuple[str, ...]
    message: Addressed | None

    @property
    def ids(self) -> tuple[str, ...]:
        """Everybody it may be, the one we wrote to last first."""
        written = (self.message.customer_id,) if self.message else ()
        return tuple(dict.fromkeys((*written, *self.customer_ids)))


def hear_text(
    ledger: Ledger, call: Call, text: SentText | None, *, words: AnswerWords, now: datetime, today: date
) -> Heard | None:
    """Store that a call came and do what its text asks for; None if the call was known.

    Parameters
    ----------
    text : read of the call's body; None where it could not be read
    words : what the words mean
    now, today : the instant, and its business day
    """
    with ledger.writing() as connection:
        counts = {"receipts": int(text is not None), "unreadable": int(text is None)}
        if not webhook_calls.store(connection, call, **counts, now=now, keeps_body=False):
            return None
        if text is None:
            return Heard(Meaning.OTHER)
        diary.lock(connection)  # whoever forgets the sender meanwhile comes before all that follows, or after it
        # Twilio has acted on its own understanding of the text already, so that is what counts.
        said = Said(Meaning(text.opt_out.lower())) if text.opt_out else words.read(text.words)
        sender = _sender(connection, text, pepper=ledger.pepper)
        act = Act(now, today, source=STOP_WORD, actor=f"webhook:{call.vendor}")
        lifted = _follow(connection, sender, said.meaning, text, act, pepper=ledger.pepper)
        return Heard(said.meaning, lifted, (*_locales(connection, sender), said.language))


def _sender(connection: Connection, text: SentText, *, pepper: bytes) -> _Sender:
    """Return who has the number of a text."""
    # A number is looked for where it has an index, whatever the channel.
    number_hmac = keys.address_key(pepper, "sms", text.number)
    address_hmac = keys.address_key(pepper, text.channel, text.number)
    query = select(contacts.c.customer_id).where(contacts.c.sms_hmac == number_hmac).order_by(contacts.c.customer_id)
    message = links.newest_message(connection, address_hmac)
    return _Sender(
        target=Target(text.channel, address=text.number),
        address_hmac=address_hmac,
        number_hmac=number_hmac,
        customer_ids=tuple(connection.scalars(query)),
        message=None if message is None or message.is_erased else message,
    )


def _follow(
    connection: Connection, sender: _Sender, meaning: Meaning, text: SentText, act: Act, *, pepper: bytes
) -> int:
    """Do what a text asks for; return how many refusals it took back."""
    if meaning is Meaning.STOP:
        for target in _targets(sender):
            refusals.suppress(connection, target, act, pepper=pepper, reason=Reason.OPTED_OUT)
    elif meaning is Meaning.START:
        found = (refusals.lift(connection, one, act, pepper=pepper, source=STOP_WORD) for one in _targets(sender))
        return sum(found)
    elif meaning is Meaning.DOUBTFUL and sender.ids:
        review = Review(
            0, text.channel, sender.address_hmac, sender.number_hmac, sender.ids[0], act.at,
            clean(text.words[:LONGEST_KEPT]),
        )  # fmt: skip
        reviews.open_review(connection, review, customer_ids=sender.customer_ids)
    elif meaning is Meaning.OTHER and sender.message is not None:
        # An answer to the message we sent there; a text out of nothing answers none.
        engagements.record(connection, sender.message, REPLY, detail={}, now=act.at)
    return 0


def _targets(sender: _Sender) -> list[Target]:
    """Return whom a no, or a yes, is about: the number with everybody who has it, and whom we wrote to there."""
    written = sender.message.customer_id if sender.message else None
    if written is None or written in sender.customer_ids:
        return [sender.target]
    by_message = Target(sender.target.channel, customer_id=written, address_key=sender.address_hmac)
    return [sender.target, by_message]


def _locales(connection: Connection, sender: _Sender) -> tuple[str | None, ...]:
    """Return the languages of the person, as far as they are known."""
    if not sender.ids:
        return ()
    one = sender.ids[0]
    wished = preferences.read_preferences(connection, [one]).get(one)
    person = preferences.read_person(connection, one)
    return (wished.language if wished else None, person["locale"] if person else None)
