"""When a message may arrive, as dated rows with a source (`quiet_hours.yaml`).

In: the text of the file. Out: the hours in force for a country, a region, a channel and a day of the week. Must never
happen: a place without rows that is taken for one without quiet hours.
"""

from __future__ import annotations

# Pydantic reads the annotations of its models when the module runs.
import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winback import documents

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ANYWHERE = "*"
MINUTES_OF_A_DAY = 24 * 60

Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
Minutes = tuple[int, int]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AllowedHours(_Strict):
    """One dated row: on these days, from ``from`` up to but not including ``to``, local time.

    Attributes
    ----------
    country, region : where; region `*` is every region without rows of its own
    on_holidays : whether public holidays count like other days; if not, nothing is sent on them
    valid_from : the row replaces the older ones of its place from this date
    """

    country: Annotated[str, Field(pattern=r"^([A-Z]{2}|\*)$")]
    region: Annotated[str, Field(pattern=r"^([A-Z0-9]{1,3}|\*)$")] = ANYWHERE
    channels: list[Literal["email", "sms", "whatsapp"]] = Field(min_length=1)
    days: list[Day] = Field(min_length=1)
    opens: Clock = Field(alias="from")
    closes: Clock = Field(alias="to")
    on_holidays: bool = True
    valid_from: dt.date
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> AllowedHours:
        if self.minutes[0] >= self.minutes[1]:
            message = f"from ({self.opens}) is not before to ({self.closes})"
            raise ValueError(message)
        return self

    @property
    def minutes(self) -> Minutes:
        """The hours as minutes after local midnight, half-open."""
        opens, closes = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (self.opens, self.closes))
        return opens, closes


class RegionZones(_Strict):
    """The time zones of one region: all of them, where it has several."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    region: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,3}$")]
    zones: list[str] = Field(min_length=1)


class SendHours(_Strict):
    """The whole of `quiet_hours.yaml`."""

    version: Literal[1]
    hours: list[AllowedHours] = Field(min_length=1)
    stricter_of_both: list[str] = []
    zones_source: str = ""
    zones: list[RegionZones] = []

    def zones_of(self, country: str, region: str) -> list[str]:
        """Return the zones of a region, none where the file does not know it."""
        return [zone for row in self.zones if (row.country, row.region) == (country, region) for zone in row.zones]

    def rows(self, country: str, region: str, channel: str, as_of: dt.date) -> list[AllowedHours]:
        """Return the rows in force for one place; its own, else its country's, else those for everywhere."""
        for place in ((country, region), (country, ANYWHERE), (ANYWHERE, ANYWHERE)):
            mine = [row for row in self.hours if (row.country, row.region) == place and channel in row.channels]
            if mine:
                dates = sorted({row.valid_from for row in mine})
                # The oldest rows of a place also cover the time before them: better too polite than not at all.
                newest = max((day for day in dates if day <= as_of), default=dates[0])
                return [row for row in mine if row.valid_from == newest]
        return []

    def regions(self, country: str, channel: str) -> list[str]:
        """Return the regions of a country that have rows of their own."""
        return sorted({row.region for row in self.hours if row.country == country and channel in row.channels})

    def allowed(self, country: str, region: str, channel: str, *, day: dt.date, is_holiday: bool) -> list[Minutes]:
        """Return the allowed minutes of one local day as half-open runs, none where nothing may be sent.

        In a country with rows by region, an unknown region (`*`) gets what *all* of its regions allow.
        """
        places = [region]
        if region == ANYWHERE:
            places = self.regions(country, channel) or [ANYWHERE]
        runs: list[Minutes] = [(0, MINUTES_OF_A_DAY)]
        for place in places:
            here = [
                row.minutes
                for row in self.rows(country, place, channel, day)
                if DAYS[day.weekday()] in row.days and (row.on_holidays or not is_holiday)
            ]
            runs = overlaps(runs, here)
        return runs


def overlaps(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the half-open runs that lie in both lists.

    Examples
    --------
    >>> overlaps([(8, 12), (14, 20)], [(10, 15)])
    [(10, 12), (14, 15)]
    """
    both = [(max(a, c), min(b, d)) for a, b in left for c, d in right]
    return sorted(run for run in both if run[0] < run[1])


def load_send_hours(text: str, *, file: str) -> SendHours:
    """Return the allowed hours a YAML text holds.

    Raises
    ------
    ConfigError
        With every fault in the file.
    """
    return documents.load(text, file=file, model=SendHours)
