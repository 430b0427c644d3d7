"""Everything that can speak against sending a message, asked again at the moment it is claimed.

In: locked messages, what the ledger knows now, and the terms of the project. Out: for each message nothing, or the
state and the reason it gets instead. What a plan knew is no argument here: people say stop, buy and move after plans
are made. The order is :data:`QUESTIONS`; the red button comes before all of it, and the limits of the night
(:mod:`winback.ledger.spending`) after it, both in :func:`winback.ledger.queue.claim`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from winback.core import slots
from winback.core.reasons import Reason
from winback.ledger.gate_facts import ADDRESS_COLUMNS, GRANTED
from winback.ledger.refusals import ALL, PRECEDENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import date

    from winback.core.country_rules import CountryRules
    from winback.core.send_hours import SendHours
    from winback.ledger.gate_facts import Known

ASKED_AGAIN_AFTER = timedelta(hours=1)
LONGEST_PREFIX = 7
"""So much of a number a rule can be about: a plus and six digits (`CountryRule.phone_prefix`)."""
_ARMS = {"control": Reason.CONTROL, "global_control": Reason.GLOBAL_CONTROL}


class Refused(NamedTuple):
    """What a message becomes instead of being sent; back to *planned*, with an instant, it is only put off."""

    state: str
    reason: Reason
    not_before_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the gate goes by besides the ledger; what is not given is not asked.

    Attributes
    ----------
    plan_ttl : how long a plan is worth anything
    countries, hours : the dated rules
    business_zone : stands in for an unknown zone, for e-mail only
    per_week : most messages to one person in seven days, over all programmes
    returns : by programme, the behaviours that bring a customer back
    sources : by programme, the sources it would decide wrongly without
    is_welcome : whether an address may be written to at all (a staging system's list)
    rehearsals : nights whose messages are not for people
    """

    plan_ttl: timedelta = timedelta(hours=36)
    countries: CountryRules | None = None
    hours: SendHours | None = None
    business_zone: str = "UTC"
    per_week: int | None = None
    returns: Mapping[str, Collection[str]] = field(default_factory=dict)
    sources: Mapping[str, Collection[str]] = field(default_factory=dict)
    is_welcome: Callable[[str], bool] | None = None
    rehearsals: Collection[date] = ()


class Gate:
    """Asks every question about the messages of one claim; those that pass count for the caps of those behind them."""

    def __init__(self, known: Known, terms: Terms, *, now: datetime) -> None:
        self.known, self.terms, self.now = known, terms, now
        self.passed: Counter[str] = Counter()
        self.places: dict[slots.Place, tuple[bool, datetime | None]] = {}
        self.objections: dict[tuple[str, str, str, str, datetime], Reason | None] = {}
        self.zone = ZoneInfo(terms.business_zone)
        self.today = now.astimezone(UTC).date()

    def refusals(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, Refused]:
        """Return what speaks against each message, by its id; nothing for those that may go."""
        found = {}
        for row in rows:
            for ask in QUESTIONS:
                refused = ask(self, row)
                if refused is not None:
                    found[row["message_id"]] = refused
                    break
            else:
                self.passed[row["customer_id"]] += 1
        return found

    def age(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse what was planned too long ago, for a window that has closed, or before the project went live."""
        is_over = row["expires_at"] <= self.now or row["planned_at"] + self.terms.plan_ttl <= self.now
        is_over = is_over or row["as_of"] in self.terms.rehearsals
        return Refused("expired", Reason.STEP_MISSED) if is_over else None

    def suppression(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse whom a suppression covers, by address or by customer; the strongest reason is named."""
        if not self.known.suppressions:
            return None
        reason = min(self._holding(row), key=PRECEDENCE.index, default=None)
        return Refused("suppressed", reason) if reason else None

    def _holding(self, row: Mapping[str, Any]) -> Iterator[Reason]:
        for kind, key in (("customer", row["customer_id"]), ("address", row["address_hmac"])):
            for channel, reason, programme in self.known.suppressions.get((kind, key), ()):
                if channel in {ALL, row["channel"]} and programme in {"", row["programme"]}:
                    yield reason

    def consent(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse without a consent record, or on a basis that the country does not accept or that has expired."""
        said = self.known.consents.get((row["customer_id"], row["channel"]))
        if said is None:
            return Refused("suppressed", Reason.NO_CONSENT_RECORD)
        if said.status != GRANTED:
            return Refused("suppressed", Reason.CONSENT_WITHDRAWN)
        contact = self.known.contacts.get(row["customer_id"])
        if self.terms.countries is None or contact is None:
            return None
        number = (contact["phone"] or "")[:LONGEST_PREFIX]
        case = (contact["country"] or "", number, row["channel"], said.basis or "", said.recorded_at)
        if case not in self.objections:
            self.objections[case] = self._objection(self.terms.countries, *case)
        reason = self.objections[case]
        return Refused("suppressed", reason) if reason else None

    def _objection(
        self, countries: CountryRules, country: str, phone: str, channel: str, basis: str, recorded_at: datetime
    ) -> Reason | None:
        given_on = recorded_at.astimezone(UTC).date()
        return countries.objection(
            country=country, phone=phone, channel=channel, basis=basis, given_on=given_on, as_of=self.today
        )

    def wish(self, row: Mapping[str, Any]) -> Refused | None:
        """Put off what would reach somebody who asked for a pause; most of it will not be worth sending after that."""
        wished = self.known.preferences.get(row["customer_id"])
        if wished is None or wished.paused_until is None:
            return None
        ends_at = datetime.combine(wished.paused_until, time.min, tzinfo=self.zone)
        return self._put_off(row, Reason.PAUSED, ends_at.astimezone(UTC)) if ends_at > self.now else None

    def review(self, row: Mapping[str, Any]) -> Refused | None:
        """Put off what would reach somebody who wrote what may mean stop, until a person has read it."""
        is_read = row["customer_id"] not in self.known.under_review
        return None if is_read else self._put_off(row, Reason.UNDER_REVIEW, self.now + ASKED_AGAIN_AFTER)

    def sources(self, row: Mapping[str, Any]) -> Refused | None:
        """Put off what rests on a source that is held now: it may be quiet, or it may be broken."""
        is_held = not self.known.held_sources.isdisjoint(self.terms.sources.get(row["programme"], ()))
        return self._put_off(row, Reason.SOURCE_HELD, self.now + ASKED_AGAIN_AFTER) if is_held else None

    def step(self, row: Mapping[str, Any]) -> Refused | None:
        """Put off what too many people complained about, until a person has looked."""
        is_held = (row["programme"], row["step"], row["channel"]) in self.known.held_steps
        return self._put_off(row, Reason.STEP_HELD, self.now + ASKED_AGAIN_AFTER) if is_held else None

    def activity(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse who has come back since the plan was made."""
        signs = self.known.signs.get(row["customer_id"])
        if not signs:
            return None
        behaviours = self.terms.returns.get(row["programme"], ())
        cycle = self.known.cycles.get((row["programme"], row["customer_id"], row["cycle"]))
        has_come = cycle is not None and any(
            sign.behaviour in behaviours
            and sign.seen_at > row["planned_at"]
            and sign.newest_at.astimezone(self.zone).date() > cycle.last_on
            for sign in signs
        )
        return Refused("cancelled", Reason.RETURNED) if has_come else None

    def cycle(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse what belongs to a cycle that is over."""
        cycle = self.known.cycles.get((row["programme"], row["customer_id"], row["cycle"]))
        if cycle is None:
            return Refused("cancelled", Reason.CYCLE_ENDED)
        if cycle.closed_on is None:
            return None
        has_returned = cycle.close_reason is not None and cycle.close_reason.startswith("return")
        return Refused("cancelled", Reason.RETURNED if has_returned else Reason.CYCLE_ENDED)

    def address(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse a contact who is gone, has another address than the plan looked at, or is not on a staging list."""
        contact = self.known.contacts.get(row["customer_id"])
        channel = row["channel"]
        if (
            contact is None
            or contact["removed_on"] is not None
            or not contact[ADDRESS_COLUMNS[channel]]
            or contact[f"{channel}_hmac"] != row["address_hmac"]
        ):
            return Refused("cancelled", Reason.UNREACHABLE)
        welcome = self.terms.is_welcome
        if welcome is not None and not welcome(contact[ADDRESS_COLUMNS[channel]]):
            return Refused("cancelled", Reason.NOT_ON_THE_LIST)
        return None

    def hour(self, row: Mapping[str, Any]) -> Refused | None:
        """Put off what would arrive in a quiet hour of any zone the contact may be in by now."""
        if self.terms.hours is None:
            return None
        contact = self.known.contacts[row["customer_id"]]
        place = (row["channel"], *(contact[name] or "" for name in slots.PLACE[1:]))
        if place not in self.places:
            rules: dict[str, Any] = {"hours": self.terms.hours, "business_zone": self.terms.business_zone}
            is_open = slots.may_arrive(place, at=self.now, **rules)
            _, opens_at, _ = ("", None, None) if is_open else slots.window_of(place, from_at=self.now, **rules)
            self.places[place] = (is_open, opens_at)
        is_open, opens_at = self.places[place]
        later = opens_at or self.now + timedelta(hours=slots.NIGHT_HOURS)
        return None if is_open else self._put_off(row, Reason.QUIET_HOURS, later)

    def caps(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse who has had as many messages as the limits, or the person's own wish, allow; this claim's included."""
        wished = self.known.preferences.get(row["customer_id"])
        if wished is not None and wished.wants_fewer:
            customer_id = row["customer_id"]
            if self.known.recent_of_sparing.get(customer_id, 0) + self.passed[customer_id]:
                return Refused("cancelled", Reason.FREQUENCY_CAP)
        per_week = self.terms.per_week
        if per_week is None:
            return None
        had = self.known.recent.get(row["customer_id"], 0) + self.passed[row["customer_id"]]
        return Refused("cancelled", Reason.FREQUENCY_CAP) if had >= per_week else None

    def arm(self, row: Mapping[str, Any]) -> Refused | None:
        """Refuse the control group, by whichever way a message for it came to be planned."""
        cycle = self.known.cycles.get((row["programme"], row["customer_id"], row["cycle"]))
        return Refused("cancelled", _ARMS[cycle.arm]) if cycle is not None and cycle.arm in _ARMS else None

    def _put_off(self, row: Mapping[str, Any], reason: Reason, later: datetime) -> Refused:
        """Put a message off, or let it expire where its window closes before that."""
        if later >= row["expires_at"]:
            return Refused("expired", reason)
        return Refused("planned", reason, later)


QUESTIONS = (
    Gate.age,
    Gate.suppression,
    Gate.consent,
    Gate.wish,
    Gate.review,
    Gate.sources,
    Gate.step,
    Gate.activity,
    Gate.cycle,
    Gate.address,
    Gate.hour,
    Gate.caps,
    Gate.arm,
)
"""In this order; the first that objects decides."""
