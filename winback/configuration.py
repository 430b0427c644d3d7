"""What ``winback.yaml`` may say: the Pydantic models behind it.

In: plain values. Out: one frozen :class:`Configuration`. Every field carries the sentence that editors and references
show. Must never happen: a key that nobody reads, or a secret in a file.
"""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from winback import documents


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        message = f"unknown time zone {name!r}{documents.nearest(name, sorted(available_timezones()))}"
        raise ValueError(message)
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]


class Business(_Strict):
    """Who is speaking: shown in every message, and the zone the business day is counted in."""

    name: str = Field(min_length=1)
    """The name people know you by; stands in every message."""
    timezone: TimeZone
    """The zone in which business days are counted, e.g. `Europe/Paris`."""
    country: Country
    """Two letters, e.g. `FR`."""
    postal_address: str = Field(min_length=1)
    """Stands in every e-mail, as the law asks."""
    public_base_url: str = "http://127.0.0.1:8400"
    """Where links in messages lead."""


class Source(_Strict):
    """Where rows come from. ``columns`` maps canonical names to the names in the feed."""

    kind: Literal["csv", "parquet", "sql", "segment"]
    """What the feed is. CSV may be gzipped (by name); `segment`, for events only, is what Segment's webhook brings."""
    path: str | None = None
    """File, or pattern of files, relative to the project (csv, parquet)."""
    url_env: str | None = None
    """The environment variable that holds the database's SQLAlchemy URL (sql)."""
    query: str | None = None
    """The query to run, read only (sql); `:since` is bound to the newest instant known."""
    columns: dict[str, str] = {}
    """Canonical name -> name in the feed."""
    timezone: TimeZone | None = None
    """The zone of times without an offset; without it such times are an error."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Of a CSV; found out where it is not given."""
    decimal: Literal[".", ","] = "."
    """The decimal mark of amounts."""
    max_staleness_hours: float | None = Field(default=None, gt=0)
    """How old the newest row may be before the programmes that need this source are held."""
    statement_timeout_seconds: int = Field(default=600, gt=0)
    """How long a query may run (sql)."""

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "sql" and not (self.url_env and self.query):
            message = "a source of kind sql needs url_env and query"
            raise ValueError(message)
        if self.kind not in {"sql", "segment"} and not self.path:
            message = f"a source of kind {self.kind} needs path"
            raise ValueError(message)
        return self


def _file_or_query(source: Source) -> Source:
    """Refuse a source of people that nobody can read as a whole."""
    if source.kind == "segment":
        message = "a source of kind segment brings events only: expected csv, parquet or sql"
        raise ValueError(message)
    return source


PeopleSource = Annotated[Source, AfterValidator(_file_or_query)]


class EventSource(Source):
    """A feed of events.

    ``append``: rows are only added. ``snapshot``: the feed is the whole truth, so a row that changed is a correction
    and a row that is gone was deleted.
    """

    name: Name
    """The source's name, in messages and in `--accept`."""
    behaviour: Name | None = None
    """What the events are; without it each row has a column `behaviour`."""
    mode: Literal["append", "snapshot"] = "append"
    """Whether rows are only ever added, or the feed is the whole truth (changes correct, absence deletes)."""
    max_staleness_hours: float | None = Field(default=26, gt=0)
    """How old the newest event may be before the programmes that need this source are held."""
    events: dict[Annotated[str, Field(min_length=1)], Name] = {}
    """Name of a Segment event -> the behaviour it is (segment); an event that is not named here is not kept."""

    @property
    def delivers(self) -> frozenset[str]:
        """The behaviours it may deliver, as far as that was declared; none means any."""
        return frozenset({self.behaviour} if self.behaviour else self.events.values())

    @model_validator(mode="after")
    def _told_or_read(self) -> EventSource:
        is_segment = self.kind == "segment"
        if is_segment != bool(self.events):
            message = "a source of kind segment needs events, and no other has them"
            raise ValueError(message)
        if is_segment and (self.path or self.query or self.columns or self.behaviour or self.mode != "append"):
            message = "a source of kind segment takes no path, query, columns, behaviour or mode"
            raise ValueError(message)
        return self


class Sources(_Strict):
    """The three kinds of feed."""

    contacts: PeopleSource
    """Everybody you may know: one row a customer, the whole list each time."""
    consents: PeopleSource
    """Who agreed to what, when: one row an act."""
    events: list[EventSource] = Field(min_length=1)
    """What customers did."""

    @model_validator(mode="after")
    def _distinct(self) -> Sources:
        names = [source.name for source in self.events]
        twice = sorted({name for name in names if names.count(name) > 1})
        reserved = sorted({"contacts", "consents"} & set(names))
        if twice or reserved:
            message = f"event source names must differ, and not be contacts or consents: {', '.join(twice + reserved)}"
            raise ValueError(message)
        if [source.kind for source in self.events].count("segment") > 1:
            message = "there is one webhook for Segment: name all its events in one source"
            raise ValueError(message)
        return self

    @property
    def segment(self) -> EventSource | None:
        """The source that Segment's webhook fills, or None."""
        return next((source for source in self.events if source.kind == "segment"), None)


class EmailChannel(_Strict):
    """E-mail."""

    model_config = ConfigDict(populate_by_name=True)

    provider: Literal["outbox", "sendgrid", "smtp"] = "outbox"
    """Where messages go; `outbox` keeps them on this machine."""
    sender: str = Field(alias="from", min_length=3)
    """The sender people see, e.g. `Acme <hello@acme.example>`."""
    people_per_request: int = Field(default=200, ge=1, le=1000)
    """Most people one request to SendGrid carries; a lost answer leaves that many messages unknown."""
    per_second: float | None = Field(default=None, gt=0)
    """Most e-mails a second and sending process; nothing sets no limit."""


class SmsChannel(_Strict):
    """SMS; prices are in the business's currency."""

    model_config = ConfigDict(populate_by_name=True)

    provider: Literal["outbox", "twilio"] = "outbox"
    """Where messages go; `outbox` keeps them on this machine."""
    sender: str = Field(alias="from", min_length=3)
    """The number, or the sender's name where a country allows it."""
    price_per_segment: float = Field(default=0.07, ge=0)
    """What one part of a text costs."""
    per_second: float | None = Field(default=1, gt=0)
    """Most parts of texts a second and sending process; a long number may send one, a short code a hundred."""


ContentValue = Literal["name", "text", "act", "unsubscribe", "preferences"]


class WhatsAppContent(_Strict):
    """A WhatsApp template the vendor holds and WhatsApp has approved."""

    sid: str = Field(pattern=r"^HX[0-9a-fA-F]{32}$")
    """The template's id at Twilio (its ContentSid)."""
    variables: dict[Annotated[str, Field(pattern=r"^[0-9]{1,3}$")], ContentValue] = {}
    """Number of a variable -> what stands there: the person's `name`, the whole `text`, or a link."""


class WhatsAppChannel(_Strict):
    """WhatsApp, by templates the vendor has approved."""

    model_config = ConfigDict(populate_by_name=True)

    provider: Literal["outbox", "twilio"] = "outbox"
    """Where messages go; `outbox` keeps them on this machine."""
    sender: str = Field(default="", alias="from")
    """The number of the business; without it a Messaging Service picks one (`TWILIO_MESSAGING_SERVICE_SID`)."""
    contents: dict[Annotated[str, Field(pattern=r"^[^/]+\.whatsapp(\.[A-Za-z-]+)?\.liquid$")], WhatsAppContent] = {}
    """Name of a file in `templates/` -> the vendor's template that is sent in its place."""
    price_per_message: float = Field(default=0.05, ge=0)
    """What one message costs."""
    per_second: float | None = Field(default=80, gt=0)
    """Most messages a second and sending process."""


class Channels(_Strict):
    """The channels this business uses; one that is left out is never used."""

    email: EmailChannel | None = None
    """E-mail."""
    sms: SmsChannel | None = None
    """SMS."""
    whatsapp: WhatsAppChannel | None = None
    """WhatsApp."""


class PerContact(_Strict):
    """How often one person hears from us, over all programmes."""

    per_day: int = Field(default=1, ge=1)
    """Most messages a day."""
    per_week: int = Field(default=2, ge=1)
    """Most messages in seven days."""


class Limits(_Strict):
    """What one night may send and cost."""

    max_sends_per_night: int = Field(default=50_000, ge=0)
    """Most messages a night; the others are deferred."""
    max_cost_per_night: float = Field(default=500, ge=0)
    """Most money a night; messages that do not fit are deferred."""
    max_cost_per_month: float | None = Field(default=None, ge=0)
    """Most money a calendar month, over all its nights; nothing sets no limit."""
    per_contact: PerContact = PerContact()
    """Most messages to one person."""


class HoldOuts(_Strict):
    """The contacts no programme writes to, so that the effect of all programmes together can be measured."""

    global_share: float = Field(default=0.02, ge=0, le=0.5)
    """The share of all contacts; the same people for every programme."""


class Guards(_Strict):
    """When a feed or a plan looks too strange to act upon."""

    volume: tuple[float, float] = (0.5, 2.0)
    """A feed with fewer or more rows than these multiples of its last 14 loads' median is held."""
    segment_growth: float = Field(default=2.0, gt=1)
    """A plan that starts more ladders than this multiple of the last seven nights' median is held."""
    max_quarantined_share: float = Field(default=0.01, ge=0, le=1)
    """A feed with a larger share of bad rows is held."""
    max_quarantined_rows: int = Field(default=1000, ge=0)
    """A feed with more bad rows is held."""
    coupons_low_water: int = Field(default=100, ge=1)
    """With fewer free codes in a pool the programmes that give them out wait, until codes are added."""
    max_sunset_share: float = Field(default=0.05, gt=0, le=1)
    """A night that would sunset a larger share of all contacts sunsets nobody until a person has looked."""

    @model_validator(mode="after")
    def _ordered(self) -> Guards:
        if not 0 <= self.volume[0] < 1 < self.volume[1]:
            message = "volume must be [low, high] with low below 1 and high above 1"
            raise ValueError(message)
        return self


class Web(_Strict):
    """The public pages."""

    trusted_proxies: list[str] = []
    """Addresses of the proxies in front of the pages; only what they say of a visitor's address is believed."""
    per_visitor: int = Field(default=120, ge=1)
    """Most requests a minute from one address; a valid one-click unsubscribe is never refused."""
    per_link: int = Field(default=20, ge=1)
    """Most requests a minute of one link, from wherever they come."""
    link_hosts: list[Host] = []
    """Hosts a step's `url` may lead to (https only), e.g. `www.acme.example`; nothing else is redirected to."""


class Listener(_Strict):
    """Another tool that is told what happens, by signed webhooks (Standard Webhooks)."""

    name: Name
    """What you call it; stands in `winback settle`, `winback doctor` and `winback resume --hook`."""
    url_env: str = Field(min_length=1)
    """The environment variable that holds its address: https, or http on this machine."""
    secret_env: str = Field(min_length=1)
    """The environment variable that holds its secret (`whsec_…`); several with commas, the newest first."""
    events: list[Literal["lapse", "return", "sunset", "suppression", "lift"]] = Field(min_length=1)
    """What it is told: `lapse`, `return`, `sunset`, `suppression`, and `lift` when a suppression is taken back."""


class Hooks(_Strict):
    """What other tools are told."""

    outgoing: list[Listener] = []
    """Who is told; nobody, unless you name somebody."""

    @model_validator(mode="after")
    def _distinct(self) -> Hooks:
        names = [one.name for one in self.outgoing]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"names of hooks must differ: {', '.join(twice)}"
            raise ValueError(message)
        return self


class Retention(_Strict):
    """How long the ledger keeps what no promise rests on."""

    facts_days: int = Field(default=90, ge=7)
    """How long the numbers behind each decision are kept, so that `explain` can show every rule."""
    decisions_days: int = Field(default=730, ge=30)
    """How long decisions are kept at all."""
    quarantine_days: int = Field(default=90, ge=7)
    """How long rows that were refused are kept."""


class Configuration(_Strict):
    """The whole of ``winback.yaml``."""

    version: Literal[1]
    """The version of this format."""
    business: Business
    """Who is speaking."""
    sources: Sources
    """Where the data come from."""
    channels: Channels
    """How people are reached."""
    live: bool = False
    """Nothing leaves this machine unless this says true."""
    only_to: list[str] = []
    """For staging: the addresses, numbers and `@domains` a live system may write to; nothing means everybody."""
    limits: Limits = Limits()
    """Where a night stops."""
    guards: Guards = Guards()
    """When to stop and ask."""
    hold_out: HoldOuts = HoldOuts()
    """The global control group."""
    retention: Retention = Retention()
    """What is let go with time."""
    web: Web = Web()
    """What the public pages trust."""
    hooks: Hooks = Hooks()
    """Which other tools are told what happens."""
