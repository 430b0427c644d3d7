"""The public pages on SQLite while a night is being sent: how long people wait, and how much vendors may tell.

A sender of its own process empties a queue by doubles of the vendors; meanwhile people follow short links and say no
by one click, each on a connection of their own, at a steady pace. Then the vendors report about the whole night in
signed batches of 1,000. The floor of a short link is a bare Starlette route that reads one row with sqlite3 and
redirects; both take turns, a few connections asking as fast as they can.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from bench._web_load import FLOOR, People, ask, requests_per_second, serving
from bench.send import NOW, PEPPER, SENDER, fill, make_project, vendors
from winback.core.message_links import capability, short_code
from winback.ledger.engine import open_ledger
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import suppressions
from winback.sample.event_signer import EventSigner
from winback.settings import load_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench._web_load import Server, Timings
    from winback.settings import Project

BATCH = 1000
TAPS_EVERY_SECONDS, CLICKS_EVERY_SECONDS = 0.02, 0.1
CLICKS = 2000
"""So many people at most say no while the night is sent."""
REQUESTS, READ_PATHS = 4000, 500
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# People of a bench come from one address; what is too often for one visitor is not what is measured.
UNLIMITED = "web: {per_visitor: 1000000000, per_link: 1000000000}\n"


class Night(NamedTuple):
    """What people met while a night was sent."""

    seconds: float
    redirects: Timings
    one_clicks: Timings


class Reports(NamedTuple):
    """What became of the vendors' reports."""

    events: int
    per_second: float
    rss_mib: tuple[float, float]


def of_pages(project: Project) -> list[str]:
    """Return the command that serves a project's public pages on a free port."""
    return ["-m", "winback", "--project", str(project.root), "serve", "--public-port", "0", "--no-operator"]


def message_ids(project: Project) -> list[str]:
    """Return the ids of all messages."""
    with open_ledger(project.database_url, pepper=None) as ledger, ledger.reading() as connection:
        return list(connection.scalars(select(messages.c.message_id).order_by(messages.c.message_id)))


def asks(server: Server, method: str, paths: Sequence[str], status: HTTPStatus, **options: Any) -> Callable[[], None]:  # noqa: ANN401  handed on to ask() as they are
    """Return what asks for one path after the other, and raises where the answer has another status."""
    order = itertools.cycle(paths)

    def once() -> None:
        found = ask(server, method, next(order), **options)
        if found != status:
            raise RuntimeError(f"{method}: expected {status}, got {found}")

    return once


def live_night(project: Project, server: Server, ids: Sequence[str]) -> Night:
    """Let a sender empty the queue while people come; return what they met.

    Raises
    ------
    RuntimeError
        If the sender fails, or somebody gets another answer than the right one.
    """
    taps = [f"/s/{short_code(one)}" for one in ids[::7]]
    clicks = [f"/u/{capability(one, 'unsubscribe', key=PEPPER.encode())}" for one in ids[:: max(1, len(ids) // CLICKS)]]
    following = People(asks(server, "GET", taps, HTTPStatus.FOUND), every_seconds=TAPS_EVERY_SECONDS)
    body = b"List-Unsubscribe=One-Click"
    leaving = People(
        asks(server, "POST", clicks, HTTPStatus.OK, body=body, headers=FORM), every_seconds=CLICKS_EVERY_SECONDS
    )
    command = [sys.executable, "-c", SENDER, str(project.root), NOW.isoformat()]
    begun = time.perf_counter()
    with subprocess.Popen(command, env=dict(project.environment), stdout=subprocess.PIPE, text=True) as sender:
        following.start()
        leaving.start()
        told, _ = sender.communicate()
        seconds = time.perf_counter() - begun
        night = Night(seconds, following.timings(), leaving.timings())
    counts = json.loads(told)["counts"] if sender.returncode == 0 else {}
    if counts.keys() - {"accepted", "refused"} or sum(counts.values()) != len(ids):
        raise RuntimeError(f"the sender ended with {sender.returncode}: {counts}")
    _require_stored(project, min(len(clicks), night.one_clicks.answers))
    return night


def _require_stored(project: Project, clicks: int) -> None:
    """Raise where a no that was answered is not in the ledger."""
    with open_ledger(project.database_url, pepper=None) as ledger, ledger.reading() as connection:
        of_people = select(func.count()).select_from(suppressions).where(suppressions.c.kind == "customer")
        stored = connection.scalar(of_people) or 0
    if stored != clicks:
        raise RuntimeError(f"{clicks} people said no, {stored} are believed")


def signed_batches(ids: Sequence[str], signer: EventSigner) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """Yield the bodies and headers of SendGrid's reports, 1,000 events in each."""
    at = int(NOW.timestamp()) + 60
    for first in range(0, len(ids), BATCH):
        events = [
            {
                "email": f"person{place:07d}@example.org",
                "timestamp": at,
                "smtp-id": f"<{one}@example.invalid>",
                "event": "delivered",
                "category": ["winback", "step-1"],
                "sg_event_id": f"{one[::-1]}",
                "sg_message_id": f"{one[:22]}.recvd-5f9c-{place}",
                "response": "250 2.0.0 OK  queued as 4XyZ",
                "message_id": one,
            }
            for place, one in enumerate(ids[first : first + BATCH], first)
        ]
        body = json.dumps(events).encode()
        yield body, {"Content-Type": "application/json", **signer.headers(body, str(at))}


def hear_reports(server: Server, batches: Sequence[tuple[bytes, Mapping[str, str]]], events: int) -> Reports:
    """Post reports one batch after the other; return how many events a second were taken, and the memory it took.

    Raises
    ------
    RuntimeError
        If one is not acknowledged.
    """
    begun, early = time.perf_counter(), 0.0
    for place, (body, headers) in enumerate(batches):
        status = ask(server, "POST", "/hooks/sendgrid", body=body, headers=headers)
        if status != HTTPStatus.NO_CONTENT:
            raise RuntimeError(f"a signed report was answered with {status}")
        early = server.rss_mib() if place == len(batches) // 5 else early
    seconds = time.perf_counter() - begun
    return Reports(events, events / seconds, (round(early, 1), round(server.rss_mib("VmHWM"), 1)))


def against_floor(project: Project, server: Server, ids: Sequence[str], repetitions: int) -> dict[str, Any]:
    """Return what a redirect costs beside the least that it can."""
    database = project.database_url.removeprefix("sqlite:///")
    ours, bare = [f"/s/{short_code(one)}" for one in ids], [f"/s/{one}" for one in ids]
    rounds = []
    with serving(["-c", FLOOR, database], project.environment) as floor:
        for one, paths in ((server, ours), (floor, bare)):
            requests_per_second(one, paths, count=REQUESTS // 10)
        for _ in range(repetitions):
            least, mine = (
                requests_per_second(one, paths, count=REQUESTS) for one, paths in ((floor, bare), (server, ours))
            )
            rounds.append((mine, least))
    cpu, floor_cpu = (statistics.median(one[place][1] for one in rounds) for place in (0, 1))
    return {
        "cpu_seconds": round(cpu, 3),
        "floor_cpu_seconds": round(floor_cpu, 3),
        "ratio_to_floor": round(statistics.median(mine[1] / (least[1] or 1) for mine, least in rounds), 3),
        "requests": REQUESTS,
        "requests_per_second": round(statistics.median(mine[0] for mine, _ in rounds)),
        "floor_requests_per_second": round(statistics.median(least[0] for _, least in rounds)),
        "requests_ratio": round(statistics.median(mine[0] / least[0] for mine, least in rounds), 3),
    }


def run(*, customers: int = 50_000, events_per_customer: int = 0, repetitions: int = 3) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of queued mails."""
    del events_per_customer  # messages have no events
    signer = EventSigner(1)
    with tempfile.TemporaryDirectory() as name, vendors(Path(name)) as ready:
        environment = {**ready["environment"], "SENDGRID_WEBHOOK_PUBLIC_KEY": signer.public_key}
        project = make_project(Path(name) / "shop", environment)
        with (project.root / "winback.yaml").open("a") as config:
            config.write(UNLIMITED)
        project = load_project(project.root, project.environment)
        fill(project, "email", customers)
        ids = message_ids(project)
        with serving(of_pages(project), project.environment) as server:
            night = live_night(project, server, ids)
            figures = against_floor(project, server, ids[:READ_PATHS], repetitions)
        batches = list(signed_batches(ids, signer))
        with serving(of_pages(project), project.environment) as server:
            reports = hear_reports(server, batches, len(ids))
    return {
        "case": "web",
        "messages": customers,
        **figures,
        "night_seconds": round(night.seconds, 1),
        "redirect_milliseconds": night.redirects._asdict(),
        "one_click_milliseconds": night.one_clicks._asdict(),
        "webhook_events": reports.events,
        "webhook_events_per_second": round(reports.per_second),
        "webhook_rss_mib": {str(customers // 5): reports.rss_mib[0], str(customers): reports.rss_mib[1]},
        "checksum": f"{len(ids)} {reports.events}",
    }
