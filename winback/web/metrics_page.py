"""`/metrics`: how things stand, for Prometheus. Counts and instants; nothing about anybody, and no addresses.

Written in Prometheus's text format 0.0.4 by hand: a registry of counters that live in this process has nothing to say
about what stands in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from winback.ledger import held_steps, safety, settlements, standing, switches, unknowns
from winback.web.operator_door import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.web.operator_desk import Desk

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Metric(NamedTuple):
    """One metric and its samples: the values of its labels, and a number."""

    name: str
    kind: str
    told: str
    labels: tuple[str, ...]
    samples: Iterable[tuple[tuple[str, ...], float]]


def make_routes(desk: Desk) -> APIRouter:
    """Return the route of the metrics."""
    routes = APIRouter()

    @routes.get(METRICS, summary="How things stand, for Prometheus")
    def metrics() -> Response:
        with desk.ledger.reading() as connection:
            found = [*_messages(connection, now=desk.clock()), *_control(connection), *_instants(connection)]
        asked = {(app, route, str(status)): count for (app, route, status), count in desk.counts.read().items()}
        told = "Requests answered by this process, by route as it is declared."
        found.append(Metric("winback_web_requests_total", "counter", told, ("app", "route", "status"), asked.items()))
        return PlainTextResponse(exposition(found), headers={"content-type": CONTENT_TYPE})

    return routes


def exposition(metrics: Iterable[Metric]) -> str:
    """Return metrics in Prometheus's text format."""
    lines = []
    for one in metrics:
        lines += [f"# HELP {one.name} {one.told}", f"# TYPE {one.name} {one.kind}"]
        for values, sample in sorted(one.samples):
            pairs = [f'{label}="{value.translate(_ESCAPED)}"' for label, value in zip(one.labels, values, strict=True)]
            # In full: %g would round a million, and an instant.
            lines.append(f"{one.name}{{{','.join(pairs)}}} {sample!r}" if pairs else f"{one.name} {sample!r}")
    return "\n".join(lines) + "\n"


def _messages(connection: Connection, *, now: datetime) -> list[Metric]:
    nights = standing.last_nights(connection, limit=1)
    decided = nights[0].decisions if nights else {}
    return [
        Metric("winback_messages", "gauge", "Messages by channel and state.", ("channel", "state"),
               standing.messages_by_channel(connection).items()),
        Metric("winback_decisions", "gauge", "Contacts of the last night by what was decided.", ("action",),
               {(action,): count for action, count in decided.items()}.items()),
        Metric("winback_unknown_messages", "gauge", "Messages nobody knows the fate of, by age.", ("age",),
               {(age,): count for age, count in unknowns.count_by_age(connection, now=now).items()}.items()),
        Metric("winback_due_messages", "gauge", "Messages that may go now.", (),
               [((), standing.count_due(connection, now=now))]),
        Metric("winback_sent_twice", "gauge", "Messages a provider took more than once: has to be 0.", (),
               [((), safety.count_sent_twice(connection))]),
        Metric("winback_sent_after_opt_out", "gauge", "Messages claimed after a no: has to be 0.", (),
               [((), safety.count_sent_after_no(connection))]),
    ]  # fmt: skip


def _control(connection: Connection) -> list[Metric]:
    held = {("feed", one.name): 1 for one in standing.held_feeds(connection)}
    held |= {("step", step.name): 1 for step in held_steps.held_steps(connection)}
    return [
        Metric("winback_suppressions", "gauge", "Refusals in force.", ("reason", "channel"),
               standing.suppressions_by_reason(connection).items()),
        Metric("winback_held", "gauge", "What waits for a person.", ("kind", "name"), held.items()),
        Metric("winback_stopped", "gauge", "Whether the red button is pressed.", (),
               [((), int(switches.pressed(connection) is not None))]),
    ]  # fmt: skip


def _instants(connection: Connection) -> list[Metric]:
    nights = standing.last_nights(connection, limit=1)
    known = {
        "winback_last_night_timestamp_seconds": nights[0].applied_at if nights else None,
        "winback_last_settle_timestamp_seconds": settlements.settled_at(connection),
    }
    told = {
        "winback_last_night_timestamp_seconds": "When the newest night was carried out.",
        "winback_last_settle_timestamp_seconds": "When the ledger was last settled.",
    }
    return [Metric(name, "gauge", told[name], (), [((), at.timestamp())]) for name, at in known.items() if at]
