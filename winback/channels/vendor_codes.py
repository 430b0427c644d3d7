"""What a vendor's answers and reports mean: dated tables with a source a row (``data/vendors/*.yaml``).

In: a status, a code, an event. Out: a class of sending.md §3 and the consequence. A code that no row names refuses one
message or fails it, and never suppresses anybody. Must never happen: a vendor's new code taken for a yes, a person's
address in what is kept of an answer.
"""

from __future__ import annotations

# Pydantic reads the annotations of its models when the module runs.
import datetime as dt
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from winback import documents
from winback.channels import Consequence, Outcome, ReceiptKind
from winback.errors import SettingsError
from winback.settings import data_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_WAIT_SECONDS = 24 * 3600.0
_LONGEST_SAYING = 300
# Wherever a number or an address may stand in what a vendor says, with or without its country code.
_PERSONAL = re.compile(r"[^\s<>\"'=:]+@[^\s<>\"',;]+|\+?\d(?:[ ()/-]?\d){6,}")
_ID = re.compile(r"[!-~]{1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_Source = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Meaning(_Strict):
    """What an answer means for the messages it is about."""

    outcome: Outcome
    consequence: Consequence | None = None
    source: _Source


class _Status(Meaning):
    status: int


class _Code(Meaning):
    code: int


class _Event(_Strict):
    """What a report means.

    Attributes
    ----------
    event : the vendor's word
    type : of the event, where one word covers several; None is any
    reason : what the vendor's reason begins with; None is any
    """

    event: str
    type: str | None = None
    reason: str | None = None
    kind: ReceiptKind
    consequence: Consequence | None = None
    source: _Source


class ListMeaning(_Strict):
    """What being on one of a vendor's lists means: a kind of receipt and a consequence, as an event has them."""

    list: str
    kind: ReceiptKind
    consequence: Consequence
    source: _Source


class CodeTable(_Strict):
    """One vendor's table.

    Attributes
    ----------
    checked_on : when the sources were last compared
    other_status : of an answer no row names
    """

    version: int
    vendor: str
    checked_on: dt.date
    other_status: Outcome
    statuses: list[_Status]
    codes: list[_Code] = []
    events: list[_Event] = []
    lists: list[ListMeaning] = []

    def of_status(self, status: int) -> Meaning:
        """Return what an HTTP status means."""
        for row in self.statuses:
            if row.status == status:
                return row
        return Meaning(outcome=self.other_status, source="no row")

    def of_code(self, code: int) -> Meaning | None:
        """Return what a vendor's own code means, or None where no row names it."""
        return next((row for row in self.codes if row.code == code), None)

    def of_event(self, event: str, *, type_: str = "", reason: str = "") -> _Event | None:
        """Return what a report means, or None where no row names it; rows that say more stand first."""
        for row in self.events:
            is_type = row.type is None or row.type == type_
            if row.event == event and is_type and (row.reason is None or reason.startswith(row.reason)):
                return row
        return None


@lru_cache(maxsize=8)
def code_table(vendor: str) -> CodeTable:
    """Return a vendor's table; read once.

    Raises
    ------
    SettingsError
        If the installed file is not sound.
    """
    file = f"vendors/{vendor}.yaml"
    text = (data_directory() / file).read_text(encoding="utf-8")
    return documents.load(text, file=file, model=CodeTable, error=SettingsError)


def vendor_id(value: object) -> str | None:
    """Return an id or a code as a vendor gave it, or None where it is none that could be stored and asked for."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def without_persons(said: str, *known: str) -> str:
    """Return a vendor's words without addresses, numbers and control characters, short enough to store.

    Parameters
    ----------
    said : by the vendor
    known : what is known to be personal: the address, the name
    """
    text = _CONTROL.sub(" ", said)
    for value in known:
        if value.strip():
            text = text.replace(value, "…")
    return _PERSONAL.sub("…", text).strip()[:_LONGEST_SAYING]


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return how long a provider asks to wait, between 0 and a day, or None when it does not say.

    Parameters
    ----------
    headers : of the answer; ``Retry-After`` in seconds or as a date, else ``X-RateLimit-Reset`` in seconds of the epoch
    now : aware
    """
    asked = (headers.get("Retry-After") or "").strip()
    seconds = _seconds(asked, now)
    if seconds is None and not asked:
        reset = (headers.get("X-RateLimit-Reset") or "").strip()
        seconds = int(reset) - now.timestamp() if reset.isascii() and reset.isdigit() and len(reset) < 12 else None  # noqa: PLR2004  no epoch has more digits
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _seconds(asked: str, now: datetime) -> float | None:
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        at = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
