"""What a vendor took: an append-only file, one JSON line a person, written before the vendor answers.

In: acceptances and events of the fake vendors. Out: the oracle of every test of sending: which message was taken, how
often, for whom and with what content, told by somebody other than the sender. Must never happen: an answer that was
begun before its lines were with the operating system, or a line that was torn by a kill and is read as an acceptance.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from winback.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """One person's message, as a vendor took it.

    Attributes
    ----------
    vendor : sendgrid or twilio
    message_id : ours, as it came with the request; empty when none came
    recipient : e-mail address or number, as it came
    content_sha256 : of what the person would read: :func:`content_hash`
    provider_id : the vendor's own id of this message
    request : number of the request that carried it, counted from 1 for each vendor
    utc : instant, ISO 8601
    monotonic : the same instant on the clock that never jumps, in seconds
    callback : where reports about a text go
    resource : a text's resource as Twilio shows it, so that a restarted vendor still lists it
    """

    vendor: str
    message_id: str
    recipient: str
    content_sha256: str
    provider_id: str
    request: int = 0
    utc: str = ""
    monotonic: float = 0.0
    callback: str = ""
    resource: dict[str, Any] | None = None


@dataclass(frozen=True)
class AcceptedMessages:
    """Everything one log holds, in the order it was taken.

    Attributes
    ----------
    rows : one a person, the same message twice when it was taken twice
    """

    rows: tuple[Acceptance, ...]

    def counts(self) -> Counter[str]:
        """Return how often each of our message ids was taken."""
        return Counter(row.message_id for row in self.rows)

    def twice(self) -> dict[str, int]:
        """Return the message ids that were taken more than once, with their counts."""
        return {message_id: count for message_id, count in self.counts().items() if count > 1}

    def recipients(self) -> dict[str, set[str]]:
        """Return the addresses each message id went to."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            found.setdefault(row.message_id, set()).add(row.recipient)
        return found

    def contents(self) -> dict[str, set[str]]:
        """Return the hashes of what each message id said."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            found.setdefault(row.message_id, set()).add(row.content_sha256)
        return found


class AppendOnlyLog:
    """A file that only grows; each call is with the operating system when it returns.

    Parameters
    ----------
    path : made when it is not there
    is_synced : also wait until the bytes are on the disk
    """

    def __init__(self, path: Path, *, is_synced: bool = False) -> None:
        self.path = path
        self.is_synced = is_synced
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if _is_torn(path):
            # What a kill left of a line was never answered; a line of its own keeps the next one whole.
            os.write(self._file, b"\n")

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write one line a row, all with one call where the system lets it.

        Raises
        ------
        StoreUnavailable
            If it cannot be written; nothing may be answered about these rows, nor about any other.
        """
        left = memoryview(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        try:
            while left:
                left = left[os.write(self._file, left) :]
            if self.is_synced:
                os.fsync(self._file)
        except OSError as problem:
            raise StoreUnavailable(f"the log {self.path} cannot be written: {problem}") from problem

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class VendorRecord:
    """Both files of one run: acceptances, and beside them everything else that happened.

    Parameters
    ----------
    log : where acceptances go; events go to :func:`events_file` of it
    is_synced : wait for the disk before an answer
    """

    def __init__(self, log: Path, *, is_synced: bool = False) -> None:
        self._acceptances = AppendOnlyLog(log, is_synced=is_synced)
        self._events = AppendOnlyLog(events_file(log))

    def accept(self, accepted: Iterable[Acceptance], request: int) -> None:
        """Write down what was taken by one request."""
        instant = {"request": request, **now()}
        self._acceptances.append(_as_line(one) | instant for one in accepted)

    def event(self, kind: str, **details: object) -> None:
        """Write down what happened beside the acceptances."""
        self._events.append([{"kind": kind, **details, **now()}])

    def close(self) -> None:
        """Close both files."""
        self._acceptances.close()
        self._events.close()


def now() -> dict[str, Any]:
    """Return this instant on both clocks, as the logs name it."""
    return {"utc": datetime.now(tz=UTC).isoformat(timespec="microseconds"), "monotonic": time.monotonic()}


def events_file(log: Path) -> Path:
    """Return the file beside an acceptance log that holds the events."""
    return log.with_name(f"{log.stem}.events{log.suffix}")


def content_hash(*parts: str) -> str:
    """Return the hash of what a person reads.

    Parameters
    ----------
    parts : of a mail the subject and then each content in order, substitutions applied; of a text its body, or the id
        of its template and the variables as they were sent
    """
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def read_acceptances(log: Path) -> AcceptedMessages:
    """Return what a log holds; a file that is not there holds nothing."""
    return AcceptedMessages(tuple(Acceptance(**row) for row in _lines(log)))


def read_events(log: Path, *kinds: str) -> list[dict[str, Any]]:
    """Return the events beside an acceptance log, oldest first.

    Parameters
    ----------
    log : the acceptance log
    kinds : only these; all when there are none
    """
    return [row for row in _lines(events_file(log)) if not kinds or row.get("kind") in kinds]


def _as_line(one: Acceptance) -> dict[str, Any]:
    row = dict(vars(one))
    for name in ("callback", "resource"):
        if not row[name]:
            del row[name]
    return row


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a log; torn lines were never answered and are no rows: no beginning of an object is one."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                continue


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
