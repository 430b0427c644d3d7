"""A project whose messages were sent, and its public pages: in this process, and served by a real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import databases
import httpx
import ledger_rows as rows
import outbox_world
import uvicorn

from winback.core.message_links import capability, short_code
from winback.ledger import queue
from winback.ledger.engine import open_ledger
from winback.ledger.people_tables import contacts
from winback.settings import load_project
from winback.web.http_server import PatientProtocol, Served, listen
from winback.web.public_app import make_public_app
from winback.web.visit_log import VisitLog

if TYPE_CHECKING:
    from winback.ledger.engine import Ledger
    from winback.settings import Project

CHECKOUT = Path(__file__).parents[1]
KEY = b"key of the tests"
LATER = rows.NOW + timedelta(hours=3)


@dataclass
class Clock:
    """What time the pages take it to be."""

    now: object = LATER

    def __call__(self):
        return self.now


class Browser:
    """Asks an app in this process; keeps cookies, follows no redirect."""

    def __init__(self, app, address: str, headers: dict[str, str]) -> None:
        self.app, self.address, self.headers, self.cookies = app, address, headers, httpx.Cookies()

    def request(self, method: str, path: str, **options) -> httpx.Response:
        return asyncio.run(self.ask(method, path, **options))

    async def ask(self, method: str, path: str, **options) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.address, 4000))
        options["headers"] = {**self.headers, **options.get("headers", {})}
        async with httpx.AsyncClient(
            transport=transport, base_url="https://go.acme.example", cookies=self.cookies
        ) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
        return answer

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)


class Pages:
    """The public pages of a project, with one message for each of some customers."""

    def __init__(self, project: Project, ledger: Ledger, *customers: str, clock: Clock | None = None) -> None:
        self.project, self.ledger, self.clock = project, ledger, clock or Clock()
        rows.populate(ledger, *customers)
        self.visits = VisitLog(ledger)
        self.app = make_public_app(project, ledger, clock=self.clock, visit_log=self.visits)
        self.browser = self.visitor()

    def visitor(self, address: str = "192.0.2.1", **headers: str) -> Browser:
        """A browser of its own, at an address of its own."""
        return Browser(self.app, address, headers)

    def message_id(self, customer: str) -> str:
        with self.ledger.reading() as connection:
            return queue.list_messages(connection, customer_id=customer)[0]["message_id"]

    def link(self, customer: str, kind: str) -> str:
        """The path of one of a customer's links: s, l, u or p."""
        message_id = self.message_id(customer)
        if kind in {"s", "l"}:
            return f"/{kind}/{short_code(message_id)}"
        return f"/{kind}/{capability(message_id, {'u': 'unsubscribe', 'p': 'preferences'}[kind], key=KEY)}"


def make_site(pages: Pages, **environment: str) -> Pages:
    """The same pages, started anew with other settings."""
    other = object.__new__(Pages)
    project = replace(pages.project, environment={**pages.project.environment, **environment})
    other.project, other.ledger, other.clock = project, pages.ledger, Clock(pages.clock.now)
    other.app = make_public_app(project, pages.ledger, clock=other.clock)
    other.browser = other.visitor()
    return other


def set_locale(connection, customer: str, locale: str) -> None:
    """Let a customer speak a language."""
    connection.execute(contacts.update().where(contacts.c.customer_id == customer).values(locale=locale))


def make_pages(
    root: Path, *customers: str, database_url: str | None = None, kind: type[Pages] = Pages, **environment: str
) -> Pages:
    """Make a project in a directory, with messages for some customers, and its pages."""
    settings = {"WINBACK_PEPPER": databases.PEPPER.decode(), "WINBACK_SECRET_KEY": KEY.decode(), **environment}
    if not (root / "winback.yaml").exists():
        outbox_world.make_project(root)
    if database_url:
        settings["WINBACK_DATABASE_URL"] = database_url
    project = load_project(root, settings)
    ledger = open_ledger(project.database_url, pepper=databases.PEPPER, create=True)
    return kind(project, ledger, *customers)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def served(project: Project):
    """Yield (process, address) of `winback serve` on a project, and end it."""
    port = free_port()
    command = [sys.executable, "-m", "winback", "--project", str(project.root), "serve"]
    command += ["--public-port", str(port), "--operator-port", "0"]
    environment = {**os.environ, **project.environment, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{address}/healthz")
                break
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        yield process, address
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@contextlib.contextmanager
def serving_here(app, *, head_seconds: float):
    """Yield the port of an app that a thread of this process serves, as `winback serve` does but for its patience."""

    class Impatient(PatientProtocol):
        pass

    Impatient.head_seconds = head_seconds
    server = uvicorn.Server(uvicorn.Config(app, http=Impatient, port=0, lifespan="off", log_config=None, ws="none"))
    with listen(Served("here", app, "127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=asyncio.run, args=(server.serve([sock]),))
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
