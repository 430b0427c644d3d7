"""A programme as data: the Pydantic models behind ``policies/*.yaml``.

A programme is a *trigger* (which silence, of which behaviours), a *threshold*, a *ladder* of steps, an end and limits.
The win-back at 30, 60 and 90 days is one policy among others.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winback import documents
from winback.errors import PolicyError

Behaviour = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ChannelName = Literal["email", "sms", "whatsapp"]
Mode = Literal["anchored", "calendar", "multiple", "probability"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Bounds(_Strict):
    """The shortest and the longest threshold, in days of silence."""

    floor_days: int = Field(default=7, ge=1)
    """No silence shorter than this is too long."""
    ceiling_days: int = Field(default=730, ge=1)
    """A silence longer than this is too long for anybody."""

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if self.floor_days > self.ceiling_days:
            message = f"floor_days ({self.floor_days}) is above ceiling_days ({self.ceiling_days})"
            raise ValueError(message)
        return self


class Silence(_Strict):
    """The trigger of a win-back: no counted behaviour for too long."""

    behaviours: list[Behaviour] = Field(min_length=1)
    """The behaviours that count as life. The silence is the shortest over them: moving from shop to app is no lapse."""
    weak: list[Behaviour] = []
    """Behaviours (opens) that may only delay a lapse: they never start a ladder and never end one."""

    @model_validator(mode="after")
    def _distinct(self) -> Silence:
        both = sorted(set(self.behaviours) & set(self.weak))
        if both:
            message = f"a behaviour is either counted or weak, not both: {', '.join(both)}"
            raise ValueError(message)
        return self


class Threshold(Bounds):
    """How long a silence is too long."""

    horizon_days: int = Field(default=90, ge=7, le=730)
    """The H of the question "will this contact come back alone within H days?"."""
    by_category: dict[str, Bounds] = {}
    """Other floors and ceilings for contacts of a category (the contacts' column `category`)."""
    sends_per_month: float | None = Field(default=None, gt=0, le=300)
    """How often the readers are written to anyway; sets the prior for opens and clicks."""
    default_days: int = Field(default=90, ge=1)
    """The threshold where there is too little data to fit and no sending frequency is known."""
    seasonal: bool = False
    """Whether the yearly rhythm may lift the chance of return; used only where it helped on the own past."""
    min_history_days: int = Field(default=400, ge=0)
    """With a shorter recorded history nobody is sunset."""


class Step(_Strict):
    """One rung of the ladder: which message, when, on which channels."""

    day: int = Field(ge=1)
    """The day of the step; what it counts from, the ladder's mode says."""
    kind: Literal["survey", "contest", "coupon", "message"]
    """What the message asks for. A contest needs `terms_url` and `countries`."""
    channels: list[ChannelName] = Field(min_length=1)
    """The channels to try, in this order: the first on which the contact may be written to is used."""
    template: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """The template's name: `templates/NAME.CHANNEL[.LOCALE].mjml` or `.liquid`."""
    terms_url: str | None = None
    """Where the rules of a contest stand."""
    page: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None
    """The section of `pages/texts.LANGUAGE.yaml` its landing page speaks from; default the kind's own."""
    pool: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] | None = None
    """Where a coupon's codes come from: `coupons/POOL.csv`. Without it the page itself is what is shown at the till."""
    url: Annotated[str, Field(pattern=r"^https://[^\s\x00-\x1f\\\\@]+$", max_length=2000)] | None = None
    """Where the link of a plain message leads (https); its host has to stand in `web.link_hosts`."""
    countries: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = []
    """The countries this step is for; empty means all. A contest has to name them."""

    @model_validator(mode="after")
    def _contest_has_terms(self) -> Step:
        if self.kind == "contest" and not (self.terms_url and self.countries):
            message = "a contest needs terms_url and countries"
            raise ValueError(message)
        if self.url and self.kind != "message":
            message = f"a {self.kind} has a page of its own: url is for kind message"
            raise ValueError(message)
        if self.pool and self.kind != "coupon":
            message = f"a {self.kind} gives out no codes: pool is for kind coupon"
            raise ValueError(message)
        if len(set(self.channels)) < len(self.channels):
            message = "a channel is named twice"
            raise ValueError(message)
        return self


CHANCES = 3


class Ladder(_Strict):
    """The steps of one cycle, and when each is due."""

    mode: Mode = "anchored"
    """When step k is due. `anchored`: `day_k - day_1` after the contact's own threshold is crossed. `calendar`: at
    literally `day_k` days of silence. `multiple`: at `day_k / day_1` times the own threshold. `probability`: when the
    chance of coming back alone falls under .5, .25 and .1."""
    steps: list[Step] = Field(min_length=1, max_length=9)
    """The rungs, days ascending."""
    min_days_between: int = Field(default=7, ge=1)
    """Steps never come closer than this."""
    late_by_days: int = Field(default=14, ge=1)
    """A step whose window passed without any night (an outage) is skipped after so many days; one that was only
    deferred or held is not."""
    answer_days: int = Field(default=14, ge=1)
    """How long a contact has to come back after the last step before the ladder ends."""
    one_offs: Literal["touch", "ladder"] = "touch"
    """What a contact gets who has been active on a single day only. `touch`: step 1 and nothing more; without an answer
    the cycle closes, and nobody is sunset. `ladder`: every step, like everybody else."""

    @model_validator(mode="after")
    def _ascending(self) -> Ladder:
        days = [step.day for step in self.steps]
        for earlier, later in pairwise(days):
            if later - earlier < self.min_days_between:
                message = f"step at day {later} comes less than {self.min_days_between} days after day {earlier}"
                raise ValueError(message)
        if self.mode == "probability" and len(days) > CHANCES:
            message = "mode probability knows three steps (chance of return under .5, .25, .1)"
            raise ValueError(message)
        return self


class HoldOut(_Strict):
    """The control group: kept from all messages so that the difference can be measured."""

    share: Annotated[float, Field(ge=0, le=0.9)] | Literal["auto"] = "auto"
    """The control group's share; `auto` is a half while there are fewer than 20,000 contacts, then a tenth."""
    salt: str = "1"
    """Another salt draws another control group for cycles opened from then on."""


class Backlog(_Strict):
    """How the silences that are older than the programme are let in, so that day one is no blast."""

    first_night: int = Field(default=500, ge=0)
    """Most cycles opened on the programme's first night."""
    per_night: int = Field(default=500, ge=0)
    """Most older cycles opened on every later night; fresh lapses are never capped."""
    oldest_days: int = Field(default=365, ge=0)
    """A silence that passed its threshold longer ago than this starts no ladder."""


class Programme(_Strict):
    """One policy file."""

    version: Literal[1]
    """The version of this format."""
    programme: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """The programme's name; part of every message's identity, so never change it while cycles are open."""
    description: str = ""
    """For people."""
    trigger: Silence
    """Whose silence, of which behaviours."""
    threshold: Threshold = Threshold()
    """What bounds a contact's own threshold."""
    ladder: Ladder
    """The steps."""
    end: Literal["sunset", "none"] = "sunset"
    """What the end of the ladder without an answer means: no more marketing, or nothing."""
    hold_out: HoldOut = HoldOut()
    """The control group."""
    backlog: Backlog = Backlog()
    """How old silences are let in."""
    topic: dict[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], Annotated[str, Field(min_length=1, max_length=80)]] = {}
    """What the preference page calls what this programme sends, by language (`en: Offers of the week`); a person can
    switch it off by itself. Without it the programme is not shown there."""
    purpose: str = "marketing"
    """The consent purpose a send needs."""
    value: float = 1.0
    """What one send is worth to the business: of several programmes that are due the highest writes."""
    returns: list[Behaviour] = []
    """Behaviours that end a cycle; empty means the trigger's counted behaviours."""
    clicks_return: bool = False
    """Whether somebody who follows a link comes back by that, once five minutes have shown no sign of a program; else
    only what a person does counts: a purchase, a visit, a form that was sent."""
    cycles_per_year: int = Field(default=3, ge=1)
    """Most cycles opened for one contact within 365 days."""
    approve_over: int | None = Field(default=None, ge=0)
    """A night on which the programme would send more than this waits for a person's agreement."""

    @model_validator(mode="after")
    def _weak_never_returns(self) -> Programme:
        weak = sorted(set(self.returns) & set(self.trigger.weak))
        if weak:
            message = f"a weak behaviour proves no return: {', '.join(weak)}"
            raise ValueError(message)
        return self

    @property
    def return_behaviours(self) -> list[str]:
        """The behaviours that end a cycle."""
        return self.returns or self.trigger.behaviours

    @property
    def policy_hash(self) -> str:
        """Return 16 hex digits that change with anything the policy says."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_programme(text: str, *, file: str) -> Programme:
    """Return the programme a policy file describes.

    Raises
    ------
    PolicyError
        With every fault in the file, as ``file:line: path: message``.
    """
    return documents.load(text, file=file, model=Programme, error=PolicyError)
