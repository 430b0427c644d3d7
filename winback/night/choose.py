"""The preference centre: what a person gets now, and making it what they want.

In: what a link holds, and the choices of a form. Out: channels, topics, fewer, a pause, a language, each in force for
the next plan and the next claim. A yes lifts what the person themselves said no to, and is recorded as a consent with
the words that were read; what an operator or a vendor stopped stays stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from winback.core.reasons import Reason
from winback.ledger import engagements, links, preferences, refusals, who_refused
from winback.ledger.gate_facts import ADDRESS_COLUMNS
from winback.ledger.preferences import LASTING_BASES, Preference
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from winback.ledger.engine import Ledger
    from winback.ledger.links import Addressed
    from winback.ledger.who_refused import Refusal

SOURCE = "preference_page"
PAUSES_DAYS = (30, 90)
KEEP = -1
"""As ``pause_days``: leave the pause as it is."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What one person gets.

    Attributes
    ----------
    channels : whether each channel on which the person can choose is on
    topics : whether each programme that can be chosen is on
    preference : fewer, pause, language
    """

    message: Addressed
    locale: str | None
    channels: Mapping[str, bool]
    topics: Mapping[str, bool]
    preference: Preference

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is sent at all."""
        return not any(self.channels.values())


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a form says. Only what was offered on the page is decided: whatever was not shown stays as it is.

    Attributes
    ----------
    offered, chosen : channels and programmes that the form showed, and those ticked
    pause_days : days from now; 0 ends a pause, :data:`KEEP` leaves it
    wording : names the words the person read
    """

    offered: Collection[str]
    chosen: Collection[str]
    wants_fewer: bool
    pause_days: int
    language: str | None
    wording: str


def standing(ledger: Ledger, prefix: str, *, channels: Sequence[str], topics: Collection[str]) -> Standing | None:
    """Return what the person a link belongs to gets; None if there is no such link, or nobody behind it any more.

    Parameters
    ----------
    channels : the business uses
    topics : programmes that can be chosen
    """
    with ledger.reading() as connection:
        message = links.find_message(connection, prefix)
        found = None if message is None else _look(connection, message, ledger.pepper, channels, topics)
        return None if found is None else found[0]


def choose(ledger: Ledger, before: Standing, choices: Choices, *, now: datetime, today: date) -> Standing | None:
    """Make what a person gets what they want, in one transaction; return how it stands then.

    Parameters
    ----------
    before : what the person was shown
    now, today : the instant, and its business day
    """
    act = Act(now, today, source=SOURCE, actor=SOURCE)
    channels, topics = list(before.channels), list(before.topics)
    with ledger.writing() as connection:
        # A claim that has begun ends first, or sees what is chosen here: a wish that is acknowledged is honoured.
        refusals.let_claims_end(connection, [before.message.customer_id])
        found = _look(connection, before.message, ledger.pepper, channels, topics)
        if found is None:
            return None
        stands, contact = found
        change = _Change(connection, contact, act, ledger.pepper, choices)
        change.channels(stands.channels)
        change.topics(stands.topics)
        wished = _wished(stands.preference, choices, today=today)
        preferences.save_preference(connection, contact["customer_id"], wished, now=now)
        after = _look(connection, before.message, ledger.pepper, channels, topics)
        if after is not None and not after[0].is_stopped:
            # Somebody who wants something else is there. Who only wants it to stop is left alone.
            detail = {"pause_days": choices.pause_days, "wants_fewer": choices.wants_fewer}
            engagements.record(connection, before.message, "preferences", detail=detail, now=now)
        return None if after is None else after[0]


def stop_everything(ledger: Ledger, before: Standing, *, now: datetime, today: date) -> None:
    """Stop all marketing to a person, on every channel."""
    act = Act(now, today, source=SOURCE, actor=SOURCE)
    target = Target(None, customer_id=before.message.customer_id)
    with ledger.reading() as connection:
        if who_refused.is_opted_out(connection, target, pepper=ledger.pepper):
            return
    with ledger.writing() as connection:
        refusals.suppress(connection, target, act, pepper=ledger.pepper, reason=Reason.OPTED_OUT)


class _Change:
    """What one form changes, inside its transaction."""

    def __init__(
        self, connection: Connection, contact: dict[str, Any], act: Act, pepper: bytes, choices: Choices
    ) -> None:
        self.connection, self.contact, self.act, self.pepper = connection, contact, act, pepper
        self.customer_id: str = contact["customer_id"]
        self.offered, self.chosen, self.wording = set(choices.offered), set(choices.chosen), choices.wording

    def channels(self, stands: Mapping[str, bool]) -> None:
        """Switch channels; a yes to one takes back a no to all, and leaves the others off."""
        wanted = {one: one in self.chosen for one in stands if one in self.offered}
        newly = [one for one, is_on in wanted.items() if is_on and not stands[one]]
        if newly and self._is_all_refused():
            self._lift(None)
            for channel, is_on in stands.items():
                if channel not in newly and not is_on:
                    self._suppress(channel)
        for channel in newly:
            self._lift(channel)
            said = preferences.newest_consents(self.connection, self.customer_id).get(channel)
            if said is None or said[0] != "granted" or (said[1] or "") not in LASTING_BASES:
                preferences.grant(self.connection, self.contact, channel, wording=self.wording, now=self.act.at)
        for channel, is_on in wanted.items():
            if not is_on and stands[channel]:
                self._suppress(channel)

    def topics(self, stands: Mapping[str, bool]) -> None:
        """Switch programmes."""
        for programme, is_on in stands.items():
            if programme not in self.offered or (programme in self.chosen) == is_on:
                continue
            if is_on:
                self._suppress(None, programme)
            else:
                self._lift(None, programme)

    def _is_all_refused(self) -> bool:
        found = who_refused.refusals_of(self.connection, self.customer_id, pepper=self.pepper)
        return any(one.channel == refusals.ALL and one.programme is None for one in found)

    def _lift(self, channel: str | None, programme: str | None = None) -> None:
        target = Target(channel, customer_id=self.customer_id)
        refusals.lift(self.connection, target, self.act, pepper=self.pepper, programme=programme)

    def _suppress(self, channel: str | None, programme: str | None = None) -> None:
        refusals.suppress(
            self.connection,
            Target(channel, customer_id=self.customer_id),
            self.act,
            pepper=self.pepper,
            reason=Reason.OPTED_OUT,
            programme=programme,
        )


def _look(
    connection: Connection, message: Addressed, pepper: bytes, channels: Sequence[str], topics: Collection[str]
) -> tuple[Standing, dict[str, Any]] | None:
    """Return how a person stands, and their row; None where nobody is behind the message any more."""
    contact = None if message.is_erased else preferences.read_person(connection, message.customer_id)
    if contact is None:
        return None
    held = who_refused.refusals_of(connection, message.customer_id, pepper=pepper)
    said = preferences.newest_consents(connection, message.customer_id)
    wished = preferences.read_preferences(connection, [message.customer_id]).get(message.customer_id, Preference())
    on: dict[str, bool] = {}
    for channel in channels:
        against = [one for one in held if one.channel in {channel, refusals.ALL} and one.programme is None]
        if contact[ADDRESS_COLUMNS[channel]] and all(one.reason in refusals.LIFTABLE for one in against):
            on[channel] = not against and said.get(channel, ("", None))[0] == "granted"
    shown = {topic: not _is_off(held, topic) for topic in topics}
    locale = wished.language or contact["locale"] or message.locale
    return Standing(message=message, locale=locale, channels=on, topics=shown, preference=wished), contact


def _is_off(held: Sequence[Refusal], programme: str) -> bool:
    return any(one.programme == programme and one.reason in refusals.LIFTABLE for one in held)


def _wished(before: Preference, choices: Choices, *, today: date) -> Preference:
    """Return the wishes after a form; a pause that is asked for again starts again."""
    wished = before._replace(wants_fewer=choices.wants_fewer, language=choices.language or before.language)
    if choices.pause_days == KEEP:
        return wished
    until = today + timedelta(days=choices.pause_days) if choices.pause_days else None
    return wished._replace(paused_until=until)
