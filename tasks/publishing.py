"""What a night tells Prefect: artifacts, events, log lines. Counts only.

Called inside the task that worked the numbers out, so that artifacts hang on the step that made them and nothing but
ids, dates and counts crosses a task border. Must never happen: a customer's id, name or address in any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from winback.reports import artifacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from winback.reports.artifacts import Row

EVENTS = "winback."


def publish_sources(sources: Sequence[Mapping[str, Any]], refused: Sequence[Row], *, as_of: date) -> None:
    """Show what every source delivered and which rows were refused under which rule; tell of sources that are held."""
    _table("sources", artifacts.sources_table(sources), f"What the sources delivered for {as_of}")
    _table("quarantine", refused, f"Rows refused for {as_of}; the ledger keeps each with its place, values masked")
    for source in sources:
        if source["held"]:
            tell("source.held", as_of=as_of, name=source["name"], kind=source["held"], read=source["read"])


def publish_thresholds(groups: Sequence[Row], *, as_of: date) -> None:
    """Show the thresholds by behaviour, frequency and lifecycle."""
    _table("thresholds", artifacts.thresholds_table(groups), f"Days of silence that are too long, on {as_of}")


def publish_plan(summary: Mapping[str, Any], *, as_of: date) -> None:
    """Show a plan: its head, the segments, why contacts are not written to, the ladder."""
    words = artifacts.night_words(summary, held=summary["held"])
    create_markdown_artifact(words, key="winback-plan", description=f"The plan for {as_of}")
    segments = artifacts.counts_table(summary["segments"], label="segment")
    _table("segments", segments, f"Contacts by segment on {as_of}")
    _table("why-not", artifacts.why_not_table(summary["reasons"]), f"Why contacts get no message on {as_of}")
    _table("ladder", artifacts.ladder_table(summary["steps"]), f"Messages by programme and step on {as_of}")


def publish_night(report: Mapping[str, Any], *, as_of: date) -> None:
    """Show what became of a night's messages."""
    rows = [{"state": state, "messages": count} for state, count in sorted(report["messages"].items())]
    _table("messages", rows, f"Messages by state after the night of {as_of}")


def publish_outbox(index: Path, *, as_of: date) -> None:
    """Link the pages on which people can see every message that stayed on this machine."""
    if index.exists():
        create_link_artifact(index.as_uri(), link_text="outbox", key="winback-outbox", description=f"Until {as_of}")


def tell(event: str, *, as_of: date, name: str = "winback", **counts: float | str | bool) -> None:
    """Emit one of our own events, e.g. ``winback.night.planned``; it carries the run it came from by itself.

    Parameters
    ----------
    event : the name without the leading ``winback.``
    as_of : the business day it is about
    name : what it is about: a source, a programme, the night
    counts : the payload; ids of plans, dates and counts
    """
    emit_event(
        event=EVENTS + event,
        resource={"prefect.resource.id": f"winback.{name}.{as_of}", "prefect.resource.name": f"{name} {as_of}"},
        payload={"as_of": str(as_of), **counts},
    )


def _table(key: str, rows: Sequence[Row], description: str) -> None:
    """Publish a table under a key of ours; an empty one says so."""
    shown = list(rows) or [{"": "nothing"}]
    create_table_artifact(shown, key=f"winback-{key}", description=description)
