"""Ask the vendor about texts that were accepted and never heard of: a callback may be lost, or never have had a way in.

In: a live project whose texts go by a vendor that answers such questions. Out: receipts, worked in as those of a
callback are. Imports neither pandas nor Prefect. Must never happen: a settlement that asks for hours, or stops because
nobody answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from winback.channels.registry import open_polls
from winback.errors import SettingsError
from winback.ledger import receipts
from winback.ledger.silent_texts import silent_texts
from winback.night.hear_vendors import as_kept

if TYPE_CHECKING:
    from datetime import datetime

    from winback.ledger.engine import Ledger
    from winback.settings import Project

MOST_ASKED = 200
"""Texts asked about in one settlement; the next one goes on with the others."""


class Polled(NamedTuple):
    """What asking brought.

    Attributes
    ----------
    asked : texts
    moved : messages that came to another state by it
    warnings : what could not be done, and what to do about it
    """

    asked: int = 0
    moved: int = 0
    warnings: tuple[str, ...] = ()


def poll(project: Project, ledger: Ledger, *, now: datetime, at_most: int = MOST_ASKED) -> Polled:
    """Ask about the texts that have been silent for too long, at most so many, the oldest first."""
    try:
        polls = open_polls(project)
    except SettingsError as problem:
        return Polled(warnings=(str(problem),))
    if polls is None:
        return Polled()
    with ledger.reading() as connection:
        silent = silent_texts(connection, provider=polls.name, now=now, limit=at_most)
    told, warnings, asked, unknown = [], [], 0, 0
    for one in silent:
        asked += 1
        said = polls.ask(one.message_id, one.provider_id, now=now)
        unknown += said.is_unknown
        if said.fault:
            warnings.append(said.fault)
            break
        if said.receipt is not None:
            told.append(as_kept(said.receipt))
    if unknown:
        warnings.append(f"Twilio does not know {unknown:,} texts it accepted: is this the account that sent them?")
    if not told:
        return Polled(asked, 0, tuple(warnings))
    with ledger.writing() as connection:
        recorded = receipts.record_receipts(
            connection, told, now=now, today=project.business_date(now), pepper=ledger.pepper
        )
    return Polled(asked, recorded.moved, tuple(warnings))
