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


def load_country_rules(text: str, *, file: str) -> CountryRules:
    """Return the country rules a YAML text holds.

    Raises
    ------
    ConfigError
        With every fault in the file.
    """
    return documents.load(text, file=file, model=CountryRules)
