"""The kinds of sources there are: the one place that chooses who reads a source.

In: a source as winback.yaml describes it. Out: a :class:`~winback.sources.feeds.Reading`. Must never happen: a mark
that was left under other settings and is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from winback.core.row_rules import CONSENT_COLUMNS, CONTACT_COLUMNS, EVENT_COLUMNS
from winback.errors import SourceUnavailable
from winback.sources.csv_files import read_csv
from winback.sources.feeds import Ask, Reading, Wanted, fingerprint
from winback.sources.parquet_files import read_parquet
from winback.sources.sql_queries import read_query, uses_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from winback.configuration import Source

# Raised when the rules of the border change, so that every feed is read again from its beginning.
RULES_VERSION = 1


def _wanted(known: tuple[str, ...], *required: str, keeps_others: bool = False) -> Wanted:
    optional = tuple(name for name in known if name not in required)
    return Wanted(required=required, optional=optional, keeps_others=keeps_others)


CONTACTS = _wanted(CONTACT_COLUMNS, "customer_id", keeps_others=True)
CONSENTS = _wanted(CONSENT_COLUMNS, "customer_id", "channel", "status", "recorded_at")
EVENTS = _wanted(EVENT_COLUMNS, "customer_id", "occurred_at")
EVENTS_OF_ALL_KINDS = _wanted(EVENT_COLUMNS, "customer_id", "occurred_at", "behaviour")


def reads_since(source: Source) -> bool:
    """Return whether a source is asked only for what came since the last night."""
    return source.query is not None and uses_since(source.query)


def settings_digest(source: Source, *, also: Iterable[str] = ()) -> str:
    """Return a text that changes with anything that changes what is read from a source.

    Parameters
    ----------
    source : as winback.yaml describes it
    also : further facts the reading depends on, e.g. the behaviours that are known
    """
    described = source.model_dump(mode="json", exclude={"max_staleness_hours", "statement_timeout_seconds"})
    return fingerprint([RULES_VERSION, described, sorted(also)])


def open_feed(ask: Ask, source: Source, *, root: Path, environment: Mapping[str, str]) -> Reading:
    """Return one pass over a source.

    Parameters
    ----------
    ask : wants ``CONTACTS``, ``CONSENTS``, ``EVENTS`` or ``EVENTS_OF_ALL_KINDS``
    source : as winback.yaml describes it
    root : what its path is relative to
    environment : holds the URL of a database

    Raises
    ------
    SourceUnavailable
        If it cannot be reached.
    SourceMalformed
        If it is not what was declared. (Both also while its chunks are read.)
    """
    if source.kind == "sql":
        url = environment.get(source.url_env or "")
        if not url:
            what = f"the environment variable {source.url_env} is not set: it holds the URL of the database"
            raise SourceUnavailable(ask.source, what)
        zone = ZoneInfo(source.timezone) if source.timezone else None
        return read_query(ask, source.query or "", url=url, timeout_seconds=source.statement_timeout_seconds, zone=zone)
    path = root / (source.path or "")
    if source.kind == "parquet" or path.suffix == ".parquet":
        return read_parquet(ask, path)
    return read_csv(ask, path, delimiter=source.delimiter)
