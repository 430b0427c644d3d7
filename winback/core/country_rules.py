"""What each country accepts as permission to send marketing, as dated rows with a source (`countries.yaml`).

In: the text of the file. Out: the row in force for a country, a channel and a day. Must never happen: a rule without
a source, or a country that no row covers and that is taken for a free one.
"""

from __future__ import annotations

# Pydantic reads the annotations of its models when the module runs.
import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from winback import documents
from winback.core.reasons import Reason

BASES_OF_A_PURCHASE = ("implied", "purchase")
"""Bases that each further purchase renews."""


class CountryRule(BaseModel):
    """One dated row: what a country accepts as permission on a channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    country: Annotated[str, Field(pattern=r"^([A-Z]{2}|\*)$")]
    channel: Literal["email", "sms", "whatsapp"]
    bases: list[str]
    expires: dict[str, Annotated[int, Field(ge=1)]] = {}
    is_blocked: bool = False
    phone_prefix: Annotated[str, Field(pattern=r"^\+[0-9]{1,6}$")] | None = None
    valid_from: dt.date
    source: Annotated[str, Field(min_length=1)]


class CountryRules(BaseModel):
    """The whole of `countries.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1]
    rules: list[CountryRule] = Field(min_length=1)

    def rule(self, country: str, channel: str, as_of: dt.date) -> CountryRule | None:
        """Return the row in force for a country and channel; a country without rows of its own gets those of `*`."""
        for place in (country, "*"):
            rows = [r for r in self.rules if (r.country, r.channel, r.phone_prefix) == (place, channel, None)]
            begun = [row for row in rows if row.valid_from <= as_of]
            if rows:
                by_date = sorted(begun or rows, key=lambda row: row.valid_from)
                return by_date[-1] if begun else by_date[0]
        return None

    def blocked_prefixes(self, channel: str, as_of: dt.date) -> tuple[str, ...]:
        """Return the phone prefixes to which no marketing goes on a channel."""
        rows = [r for r in self.rules if r.channel == channel and r.is_blocked and r.valid_from <= as_of]
        return tuple(row.phone_prefix for row in rows if row.phone_prefix)

    def objection(
        self, *, country: str, phone: str, channel: str, basis: str, given_on: dt.date, as_of: dt.date
    ) -> Reason | None:
        """Return what speaks against sending on a granted consent, or None; the same as a plan would say.

        Parameters
        ----------
        country : of the contact; where unknown, a number of +1 counts as the US
        basis : of the consent record
        given_on : when it was recorded. A basis that rests on a purchase is renewed by each one, which only the plan
            knows of; it cannot expire between a plan and its messages

        References
        ----------
        `facts/consent.md` sections 1 and 2.
        """
        place = country.upper() or ("US" if phone.startswith("+1") else "*")
        rule = self.rule(place, channel, as_of)
        if rule is None or rule.is_blocked or basis.lower() not in rule.bases:
            return Reason.NO_CONSENT_RECORD
        days = rule.expires.get(basis.lower())
        if days is not None and basis.lower() not in BASES_OF_A_PURCHASE and given_on < as_of - dt.timedelta(days):
            return Reason.CONSENT_EXPIRED
        return Reason.COUNTRY_BLOCKED if phone.startswith(self.blocked_prefixes(channel, as_of)) else None


def load_country_rules(text: str, *, file: str) -> CountryRules:
    """Return the country rules a YAML text holds.

    Raises
    ------
    ConfigError
        With every fault in the file.
    """
    return documents.load(text, file=file, model=CountryRules)
