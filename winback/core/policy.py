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
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(_Strict):
    """The shortest and the longest threshold, in days of silence."""

    floor_days: int = Field(default=7, ge=1)
    ceiling_days: int = Field(default=730, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if self.floor_days > self.ceiling_days:
            message = f"floor_days ({self.floor_days}) is above ceiling_days ({self.ceiling_days})"
            raise ValueError(message)
        return self


class Silence(_Strict):
    """The trigger of a win-back: no counted behaviour for too long.

    ``behaviours`` are the signals that count as life; the silence is the shortest over them. ``weak`` ones (opens)
    may only delay a lapse: they never start one, never end one.
    """

    behaviours: list[Behaviour] = Field(min_length=1)
    weak: list[Behaviour] = []

    @model_validator(mode="after")
    def _distinct(self) -> Silence:
        both = sorted(set(self.behaviours) & set(self.weak))
        if both:
            message = f"a behaviour is either counted or weak, not both: {', '.join(both)}"
            raise ValueError(message)
        return self


class Threshold(Bounds):
    """How long a silence is too long.

    Attributes
    ----------
    horizon_days : the H of "will this contact come back alone within H days?"
    by_category : other floors and ceilings for contacts of a category
    sends_per_month : how often the programme's readers are written to anyway; sets the prior for opens and clicks
    default_days : the threshold where there is too little data to fit and no sending frequency is known
    seasonal : whether the yearly rhythm may lift the chance of return (needs two years of history)
    min_history_days : with a shorter history nobody is sunset
    """

    horizon_days: int = Field(default=90, ge=7, le=730)
    by_category: dict[str, Bounds] = {}
    sends_per_month: float | None = Field(default=None, gt=0, le=300)
    default_days: int = Field(default=90, ge=1)
    seasonal: bool = False
    min_history_days: int = Field(default=400, ge=0)


class Step(_Strict):
    """One rung: which message, on which channels (first usable one wins), how many days after the first."""

    day: int = Field(ge=1)
    kind: Literal["survey", "contest", "coupon", "message"]
    channels: list[ChannelName] = Field(min_length=1)
    template: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    terms_url: str | None = None
    countries: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = []

    @model_validator(mode="after")
    def _contest_has_terms(self) -> Step:
        if self.kind == "contest" and not (self.terms_url and self.countries):
            message = "a contest needs terms_url and countries"
            raise ValueError(message)
        if len(set(self.channels)) < len(self.channels):
            message = "a channel is named twice"
            raise ValueError(message)
        return self


class Ladder(_Strict):
    """The steps of one cycle.

    ``mode`` says when step k is due: *anchored* ``day_k - day_1`` after the contact's own threshold is crossed;
    *calendar* at literally ``day_k`` days of silence; *multiple* at ``day_k / day_1`` times the own threshold;
    *probability* when the chance of coming back alone falls under .5, .25 and .1.
    A step that could not be taken within ``late_by_days`` is missed. After the last step the contact has
    ``answer_days`` to come back before the cycle ends.
    """

    mode: Mode = "anchored"
    steps: list[Step] = Field(min_length=1, max_length=9)
    min_days_between: int = Field(default=7, ge=1)
    late_by_days: int = Field(default=14, ge=1)
    answer_days: int = Field(default=14, ge=1)

    @model_validator(mode="after")
    def _ascending(self) -> Ladder:
        days = [step.day for step in self.steps]
        for earlier, later in pairwise(days):
            if later - earlier < self.min_days_between:
                message = f"step at day {later} comes less than {self.min_days_between} days after day {earlier}"
                raise ValueError(message)
        if self.mode == "probability" and len(days) > 3:  # noqa: PLR2004  the three chances are .5, .25 and .1
            message = "mode probability knows three steps (chance of return under .5, .25, .1)"
            raise ValueError(message)
        return self


class HoldOut(_Strict):
    """The control group: kept from all messages so that the difference can be measured.

    ``share`` "auto" is half of the contacts while fewer than 20,000 are eligible, and a tenth from there on.
    """

    share: Annotated[float, Field(ge=0, le=0.9)] | Literal["auto"] = "auto"
    salt: str = "1"


class Backlog(_Strict):
    """How the silences that are older than the programme are let in, so that day one is no blast.

    Attributes
    ----------
    first_night : most cycles opened on the programme's first night
    per_night : most older cycles opened on every later night
    oldest_days : a silence that passed its threshold longer ago than this starts no ladder
    """

    first_night: int = Field(default=500, ge=0)
    per_night: int = Field(default=500, ge=0)
    oldest_days: int = Field(default=365, ge=0)


class Programme(_Strict):
    """One policy file.

    Attributes
    ----------
    value : what one send is worth to the business; decides which programme may write when several are due
    purpose : the consent purpose a send needs
    returns : behaviours that end a cycle; default the trigger's counted behaviours
    cycles_per_year : most cycles opened for one contact within 365 days
    """

    version: Literal[1]
    programme: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    description: str = ""
    trigger: Silence
    threshold: Threshold = Threshold()
    ladder: Ladder
    end: Literal["sunset", "none"] = "sunset"
    hold_out: HoldOut = HoldOut()
    backlog: Backlog = Backlog()
    purpose: str = "marketing"
    value: float = 1.0
    returns: list[Behaviour] = []
    cycles_per_year: int = Field(default=3, ge=1)
    approve_over: int | None = Field(default=None, ge=0)

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
