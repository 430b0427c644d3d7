"""What a project says about itself (``winback.yaml``) and what the environment adds.

In: a directory and a mapping of environment variables. Out: one frozen :class:`Project`. Secrets come from the
environment only and are never printed; the wall clock is read here and nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from winback import documents
from winback.errors import Fault, SettingsError, WinbackError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_FILE = "winback.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        message = f"unknown time zone {name!r}{documents.nearest(name, sorted(available_timezones()))}"
        raise ValueError(message)
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Business(_Strict):
    """Who is speaking: shown in every message, and the zone the business day is counted in."""

    name: str = Field(min_length=1)
    timezone: TimeZone
    country: Country
    postal_address: str = Field(min_length=1)
    public_base_url: str = "http://127.0.0.1:8400"


class Source(_Strict):
    """Where rows come from. ``columns`` maps canonical names to the names in the feed."""

    kind: Literal["csv", "parquet", "sql"]
    path: str | None = None
    url_env: str | None = None
    query: str | None = None
    columns: dict[str, str] = {}
    timezone: TimeZone | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    max_staleness_hours: float | None = Field(default=None, gt=0)
    statement_timeout_seconds: int = Field(default=600, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "sql" and not (self.url_env and self.query):
            message = "a source of kind sql needs url_env and query"
            raise ValueError(message)
        if self.kind != "sql" and not self.path:
            message = f"a source of kind {self.kind} needs path"
            raise ValueError(message)
        return self


class EventSource(Source):
    """A feed of events.

    ``append``: rows are only added. ``snapshot``: the feed is the whole truth, so a row that changed is a correction
    and a row that is gone was deleted.
    """

    name: Name
    behaviour: Name | None = None
    mode: Literal["append", "snapshot"] = "append"
    max_staleness_hours: float | None = Field(default=26, gt=0)


class Sources(_Strict):
    """The three kinds of feed."""

    contacts: Source
    consents: Source
    events: list[EventSource] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Sources:
        names = [source.name for source in self.events]
        twice = sorted({name for name in names if names.count(name) > 1})
        reserved = sorted({"contacts", "consents"} & set(names))
        if twice or reserved:
            message = f"event source names must differ, and not be contacts or consents: {', '.join(twice + reserved)}"
            raise ValueError(message)
        return self


class EmailChannel(_Strict):
    """E-mail. ``from`` is the address people see."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    provider: Literal["outbox", "sendgrid", "smtp"] = "outbox"
    sender: str = Field(alias="from", min_length=3)


class SmsChannel(_Strict):
    """SMS. ``from`` is the number or sender name; the price is for one segment, in the business's currency."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    provider: Literal["outbox", "twilio"] = "outbox"
    sender: str = Field(alias="from", min_length=3)
    price_per_segment: float = Field(default=0.07, ge=0)


class WhatsAppChannel(_Strict):
    """WhatsApp, by templates the vendor has approved."""

    provider: Literal["outbox", "twilio"] = "outbox"
    price_per_message: float = Field(default=0.05, ge=0)


class Channels(_Strict):
    """The channels this business uses; one that is left out is never used."""

    email: EmailChannel | None = None
    sms: SmsChannel | None = None
    whatsapp: WhatsAppChannel | None = None


class PerContact(_Strict):
    """How often one person hears from us, over all programmes."""

    per_day: int = Field(default=1, ge=1)
    per_week: int = Field(default=2, ge=1)


class Limits(_Strict):
    """What one night may send and cost."""

    max_sends_per_night: int = Field(default=50_000, ge=0)
    max_cost_per_night: float = Field(default=500, ge=0)
    per_contact: PerContact = PerContact()


class HoldOuts(_Strict):
    """The contacts no programme writes to, so that the effect of all programmes together can be measured."""

    global_share: float = Field(default=0.02, ge=0, le=0.5)


class Guards(_Strict):
    """When a feed or a plan looks too strange to act upon."""

    volume: tuple[float, float] = (0.5, 2.0)
    segment_growth: float = Field(default=2.0, gt=1)
    max_quarantined_share: float = Field(default=0.01, ge=0, le=1)
    max_quarantined_rows: int = Field(default=1000, ge=0)
    max_sunset_share: float = Field(default=0.05, gt=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Guards:
        if not 0 <= self.volume[0] < 1 < self.volume[1]:
            message = "volume must be [low, high] with low below 1 and high above 1"
            raise ValueError(message)
        return self


class Configuration(_Strict):
    """The whole of ``winback.yaml``."""

    version: Literal[1]
    business: Business
    sources: Sources
    channels: Channels
    live: bool = False
    limits: Limits = Limits()
    guards: Guards = Guards()
    hold_out: HoldOuts = HoldOuts()


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project directory, read once.

    Attributes
    ----------
    root : the directory that holds winback.yaml
    config : its content
    database_url : the ledger's SQLAlchemy URL
    activity : the directory of the activity store
    environment : the variables winback was started with; never shown
    """

    root: Path
    config: Configuration
    database_url: str = field(repr=False)
    activity: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def var(self) -> Path:
        """The directory that holds all state."""
        return self.root / "var"

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.config.business.timezone)

    def business_date(self, now: datetime) -> date:
        """Return the business day that the instant ``now`` (aware) falls on."""
        return now.astimezone(self.zone).date()


def wall_clock() -> datetime:
    """Return the present instant, aware UTC. The only place in winback that asks the machine for the time."""
    return datetime.now(tz=UTC)


def data_directory() -> Path:
    """Return where the read-only files lie: in the wheel beside the code, in a checkout in ``data/``.

    Raises
    ------
    WinbackError
        If the installation carries no such files.
    """
    package = Path(__file__).parent
    for place in (package / "data", package.parent / "data"):
        if (place / "rules").is_dir():
            return place
    raise WinbackError("the rules and templates are not installed: the wheel was built without data/; install it again")


def load_configuration(root: Path) -> Configuration:
    """Return the validated ``winback.yaml`` of a project directory.

    Raises
    ------
    SettingsError
        If the directory or the file is missing or cannot be read, or with every fault found in it.
    """
    file = root / CONFIG_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        what = "not found: make a project with `winback init DIR`, or name one with --project"
        raise SettingsError([Fault(str(file), 0, "", what)]) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError([Fault(str(file), 0, "", f"cannot be read: {problem}")]) from problem
    return documents.load(text, file=CONFIG_FILE, model=Configuration, error=SettingsError)


def load_project(root: Path, environment: Mapping[str, str] | None = None) -> Project:
    """Return the project in ``root``.

    Parameters
    ----------
    root : directory
    environment : variables; default the process's own

    Raises
    ------
    SettingsError
        As :func:`load_configuration`.
    """
    environment = dict(os.environ if environment is None else environment)
    root = root.expanduser().resolve()
    default = f"sqlite:///{root / 'var' / 'winback.db'}"
    activity = environment.get("WINBACK_ACTIVITY_URL") or "var/activity"
    return Project(
        root=root,
        config=load_configuration(root),
        database_url=environment.get("WINBACK_DATABASE_URL") or default,
        activity=root / activity.removeprefix("file://"),
        environment=environment,
    )
