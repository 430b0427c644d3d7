"""Sending for real, as far as this machine: claim, render, post over TLS to doubles of the vendors, commit.

Three things. A sender of its own process empties a queue on SQLite (messages a second, CPU, peak memory for a fifth of
the queue and for all of it). The adapters alone, rendering apart, build and post rendered messages. Their floor is
httpx as anybody would use it, given the very objects and headers the adapters posted; the floor below that is httpx
given the finished bytes. All take turns in this process, on connections that are open.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

import httpx
import numpy as np
import pandas as pd

from bench._rounds import Round, measured, medians
from winback.channels import OutgoingMessage
from winback.channels.registry import open_channels
from winback.channels.transport import Transport
from winback.core.rendering import MessageFacts
from winback.ledger import cycles, keys, people, verdicts
from winback.ledger.engine import open_ledger
from winback.night.check import load_programmes
from winback.night.compose import Composer
from winback.night.render import customer_fields, read_templates
from winback.settings import load_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from winback.channels import Channel
    from winback.channels.transport import Answer
    from winback.settings import Project

TEMPLATES = Path(__file__).resolve().parents[1] / "data" / "templates"
PEPPER = "bench" * 8
NIGHT = pd.Timestamp("2026-03-10")
NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
TEXTS_A_MAIL = 10
"""As many mails are sent for each text: a text is a request of its own."""
ADAPTER_MAILS, ADAPTER_TEXTS = 4000, 400

CONFIG = """version: 1
business: {name: Acme, timezone: Europe/Paris, country: FR, postal_address: "1 rue X, Paris"}
sources:
  contacts: {kind: csv, path: contacts.csv}
  consents: {kind: csv, path: consents.csv}
  events: [{name: orders, kind: csv, path: orders.csv, behaviour: purchase, timezone: UTC}]
live: true
channels:
  email: {provider: sendgrid, from: "Acme <hello@acme.example>", people_per_request: 200}
  sms: {provider: twilio, from: "+33639980001", price_per_segment: 0.05, per_second: 100000}
"""
POLICY = """version: 1
programme: winback
trigger: {behaviours: [purchase]}
ladder:
  steps:
    - {day: 30, kind: survey, channels: [email, sms], template: survey}
"""

# A sender is a process without pandas, so that its memory is its own.
SENDER = """
import json, resource, sys, time
from datetime import datetime
from pathlib import Path
import winback.channels.sendgrid_mail, winback.channels.twilio_texts  # whoever sends has loaded these
from winback.night.deliver import deliver
from winback.night.pepper import open_project_ledger
from winback.settings import load_project
def peak_bytes():
    # On Linux ru_maxrss begins with what the process had that started this one.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
project = load_project(Path(sys.argv[1]))
begun, cpu = time.perf_counter(), time.process_time()
with open_project_ledger(project) as ledger:
    counts = deliver(project, ledger, now=datetime.fromisoformat(sys.argv[2]))
print(json.dumps({
    "wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "counts": counts,
    "peak": peak_bytes(),
}))
"""


class Sent(NamedTuple):
    """What a sender of its own process did."""

    per_second: float
    cpu_microseconds: float
    peak_rss_mib: float


class Recording(Transport):
    """Keeps what it is asked to post."""

    posts: list[tuple[str, dict[str, str], bytes]]

    def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Note a post, then make it."""
        self.posts.append((url, dict(headers), body or b""))
        return super().call(method, url, headers=headers, body=body)


@contextmanager
def vendors(folder: Path) -> Iterator[dict[str, Any]]:
    """Start the doubles with TLS; yield what they said, their certificate trusted by this process and its children."""
    log = folder / "vendors.jsonl"
    command = [sys.executable, "-m", "winback.sample.fake_vendors", "--log", str(log), "--tls"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            ready = json.loads(process.stdout.readline() if process.stdout else b"")
            os.environ["SSL_CERT_FILE"] = ready["certificate"]
            yield ready
        finally:
            process.terminate()


def make_project(root: Path, environment: Mapping[str, str]) -> Project:
    """Return a live project with the sample's templates."""
    (root / "policies").mkdir(parents=True)
    shutil.copytree(TEMPLATES, root / "templates")
    (root / "winback.yaml").write_text(CONFIG)
    (root / "policies" / "winback.yaml").write_text(POLICY)
    return load_project(root, {**os.environ, **environment, "WINBACK_PEPPER": PEPPER})


def made_contacts(count: int) -> pd.DataFrame:
    """Return people with an address and a number of their own."""
    ids = pd.Series(np.arange(count)).astype("str").str.zfill(7)
    frame = pd.DataFrame({"customer_id": "c" + ids, "email": "person" + ids + "@example.org"})
    frame = frame.assign(email_key=frame["email"], phone="+336" + ids.str.zfill(8), first_name="Anna " + ids)
    return frame.assign(last_name="O'Neil", locale="fr", country="FR", timezone="Europe/Paris")


def fill(project: Project, channel: str, count: int) -> None:
    """Queue one message for each of ``count`` people, as a night does."""
    frame = made_contacts(count)
    ids = frame["customer_id"]
    templates = read_templates(project.root, project.config)
    addresses = frame["email_key"] if channel == "email" else frame["phone"]
    pepper = PEPPER.encode()
    consents = pd.DataFrame({"customer_id": ids, "channel": channel, "purpose": "marketing", "status": "granted"})
    consents = consents.assign(basis="express", recorded_at=pd.Timestamp("2026-01-01", tz="UTC"), source="form")
    days = dict.fromkeys(("opened_on", "lapsed_on", "anchored_on"), pd.Timestamp("2026-03-01"))
    opened = pd.DataFrame({"customer_id": ids, "programme": "winback", "cycle_no": 1}).assign(
        **days, arm="treated", threshold_days=30.0, step_offsets="0,30,60", policy_hash="1" * 16
    )
    at = pd.Timestamp(NOW)
    queued = pd.DataFrame({"customer_id": ids, "programme": "winback", "cycle": 1, "step": 1}).assign(
        channel=channel,
        as_of=NIGHT,
        local_day=NIGHT,
        template="survey",
        template_hash=templates.template_hash("survey", channel, "fr"),
        locale="fr",
        not_before_at=at,
        planned_at=at,
        expires_at=at + pd.Timedelta(hours=9),
        address_hmac=[keys.address_key(pepper, channel, one) for one in addresses],
        policy_hash="1" * 16,
        plan_hash="2" * 16,
        cost=0.0,
        segments=pd.array([1] * count, dtype="Int64"),
    )
    project.var.mkdir(mode=0o700, exist_ok=True)
    with (
        open_ledger(project.database_url, pepper=pepper, create=True) as ledger,
        ledger.writing() as connection,
    ):
        people.replace_contacts(connection, frame, pepper=pepper, as_of=NIGHT.date())
        people.add_consents(connection, consents.assign(wording="v1"), pepper=pepper)
        cycles.open_cycles(connection, opened)
        verdicts.queue_messages(connection, queued, pepper=pepper)


def sent(folder: Path, ready: Mapping[str, Any], channel: str, count: int) -> Sent:
    """Queue messages, let a process of its own send them, and return how it went."""
    project = make_project(folder / f"{channel}-{count}", ready["environment"])
    fill(project, channel, count)
    command = [sys.executable, "-c", SENDER, str(project.root), NOW.isoformat()]
    done = subprocess.run(command, env=dict(project.environment), capture_output=True, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"the sender ended with {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    if found["counts"] != {"accepted": count}:
        raise RuntimeError(f"{count} messages were to be accepted: {found['counts']}")
    return Sent(count / found["wall"], found["cpu"] / count * 1e6, found["peak"] / (1 << 20))


def outgoing(project: Project, channel: str, count: int) -> list[OutgoingMessage]:
    """Return rendered messages."""
    composer = Composer(project, load_programmes(project.root), key=PEPPER.encode())
    sender = {"email": "Acme <hello@acme.example>", "sms": "+33639980001"}[channel]
    return [_one(composer, row, channel, sender) for row in made_contacts(count).to_dict("records")]


def _one(composer: Composer, row: dict[str, Any], channel: str, sender: str) -> OutgoingMessage:
    message_id = hashlib.sha256(row["customer_id"].encode()).hexdigest()[:32]
    contact = {"extra": None, "region": None, "category": None, **row}
    rendered = composer.renderer.render(
        MessageFacts(
            message_id=message_id,
            template="survey",
            channel=channel,
            locale="fr",
            programme="winback",
            step=1,
            day=30,
            kind="survey",
            customer=customer_fields(contact),
        )
    )
    return OutgoingMessage(
        message_id=message_id,
        rendered=rendered,
        address=row["email" if channel == "email" else "phone"],
        name=f"{row['first_name']} {row['last_name']}",
        sender=sender,
        status_callback="" if channel == "email" else f"https://acme.example/hooks?message_id={message_id}",
        expires_at=NOW + timedelta(hours=9),
        programme="winback",
        step=1,
        kind="survey",
        as_of=NIGHT.date(),
        customer_id=row["customer_id"],
    )


def post_by_adapter(channel: Channel, messages: list[OutgoingMessage]) -> int:
    """Build and post messages as a lane does, a claim at a time; return how many were accepted."""
    accepted = 0
    for first in range(0, len(messages), channel.max_batch):
        prepared = [channel.prepare(message) for message in messages[first : first + channel.max_batch]]
        for call in channel.calls(prepared):
            accepted += sum(result.outcome == "accepted" for result in channel.send(call, now=NOW))
    return accepted


class Post(NamedTuple):
    """One request as the adapter made it: its bytes, and what they say."""

    url: str
    headers: dict[str, str]
    body: bytes
    says: dict[str, Any]


def read_post(url: str, headers: dict[str, str], body: bytes) -> Post:
    """Return a request with what its body says: JSON of mails, the form of a text."""
    if body.startswith(b"{"):
        return Post(url, headers, body, {"json": json.loads(body)})
    return Post(url, headers, body, {"data": parse_qs(body.decode(), keep_blank_values=True)})


def post_objects(client: httpx.Client, posts: list[Post]) -> int:
    """Post the objects by httpx, which writes them down; return how many were answered with success."""
    return sum(client.post(one.url, headers=one.headers, **one.says).is_success for one in posts)


def post_bytes(client: httpx.Client, posts: list[Post]) -> int:
    """Post finished bodies by httpx; return how many were answered with success."""
    return sum(client.post(one.url, headers=one.headers, content=one.body).is_success for one in posts)


def adapter(project: Project, channel: str, count: int, repetitions: int) -> dict[str, Any]:
    """Return what building and posting costs, beside httpx with the same posts."""
    messages = outgoing(project, channel, count)
    recording = Recording()
    recording.posts = []
    post_by_adapter(open_channels(project, recording)[channel], messages)
    posts = [read_post(*one) for one in recording.posts]
    gc.collect()
    gc.freeze()  # a lane never holds so many rendered messages: to look through them again and again is not its work
    ours = open_channels(project, Transport())[channel]
    rounds, bare = [], []
    with httpx.Client(verify=ssl.create_default_context()) as client:
        post_by_adapter(ours, messages[: ours.max_batch])
        post_objects(client, posts[:1])
        for _ in range(repetitions):
            bare.append(measured(post_bytes, client, posts)[0])
            floor, _wall, answered = measured(post_objects, client, posts)
            cpu, wall, accepted = measured(post_by_adapter, ours, messages)
            rounds.append(Round(cpu, wall, floor, f"{accepted} {answered}"))
    figures = medians(rounds)
    if figures["checksum"] != f"{count} {len(posts)}":
        raise RuntimeError(f"{count} messages in {len(posts)} posts, but {figures['checksum']}")
    each = statistics.median(one.cpu_seconds for one in rounds) / count * 1e6
    finished = statistics.median(one.cpu_seconds / floor for one, floor in zip(rounds, bare, strict=True))
    figures |= {"ratio_to_finished_bytes": round(finished, 3), "posts": len(posts)}
    return {**figures, "cpu_microseconds_a_message": round(each, 1)}


def run(*, customers: int = 50_000, events_per_customer: int = 0, repetitions: int = 3) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of queued mails."""
    del events_per_customer  # messages have no events
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with vendors(folder) as ready:
            few, many = (sent(folder, ready, "email", count) for count in (customers // 5, customers))
            texts = sent(folder, ready, "sms", max(1, customers // TEXTS_A_MAIL))
            project = make_project(folder / "adapters", ready["environment"])
            mails = adapter(project, "email", ADAPTER_MAILS, repetitions)
            sms = adapter(project, "sms", ADAPTER_TEXTS, repetitions)
    kept = {name: mails[name] for name in ("cpu_seconds", "wall_seconds", "floor_cpu_seconds", "ratio_to_floor")}
    return {
        "case": "send",
        "messages": customers,
        **kept,
        "checksum": f"{mails['checksum']} {sms['checksum']}",
        "mails_per_second": round(many.per_second),
        "mail_cpu_microseconds": round(many.cpu_microseconds, 1),
        "texts_per_second": round(texts.per_second),
        "text_cpu_microseconds": round(texts.cpu_microseconds, 1),
        "sender_peak_rss_mib": {
            str(customers // 5): round(few.peak_rss_mib, 1),
            str(customers): round(many.peak_rss_mib, 1),
        },
        "adapter": {"email": mails, "sms": sms},
    }
