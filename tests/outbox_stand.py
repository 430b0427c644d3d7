"""A project whose messages lie in the outbox, its public pages served over HTTP, and somebody at its operator pages."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import databases
import ledger_rows as rows
import operator_world
import outbox_world
import pandas as pd
import uvicorn
import web_world
from sqlalchemy import select

from winback.channels.made_up_reports import VARIABLE
from winback.channels.simulated_vendor import with_made_up_keys
from winback.ledger import cycles, keys, people, verdicts
from winback.ledger.engine import open_ledger
from winback.ledger.message_tables import messages, receipts
from winback.night.deliver import deliver
from winback.night.render import read_templates
from winback.settings import load_project
from winback.web.http_server import Served, listen
from winback.web.public_app import make_public_app

if TYPE_CHECKING:
    from pathlib import Path

    from winback.ledger.engine import Ledger
    from winback.settings import Project

MADE_UP = "made up by the tests"
PEOPLE = {"email": "ann", "sms": "sue", "whatsapp": "tom"}
HOSTILE = "<b>Bob</b>"


def make_project(root: Path, public: str, **environment: str) -> Project:
    """A project whose messages lead to an address, with what the environment says besides."""
    outbox_world.make_project(root)
    file = root / "winback.yaml"
    file.write_text(file.read_text().replace("business: {", f"business: {{public_base_url: '{public}', ", 1))
    usual = {"WINBACK_PEPPER": databases.PEPPER.decode(), "WINBACK_SECRET_KEY": web_world.KEY.decode()}
    return load_project(root, {**usual, VARIABLE: MADE_UP, **environment})


def plan(ledger: Ledger, project: Project) -> None:
    """Queue a message on each channel, each for somebody else."""
    people_ = rows.contacts(*PEOPLE.values(), first_name=[HOSTILE, "Sue", "Tom"], last_name="Lee")
    templates = read_templates(project.root, project.config)
    with ledger.writing() as connection:
        people.replace_contacts(connection, people_, pepper=rows.PEPPER, as_of=rows.NIGHT)
        cycles.open_cycles(connection, rows.open_cycles(*PEOPLE.values()))
        made = []
        for channel, customer in PEOPLE.items():
            people.add_consents(connection, rows.consents(customer, channel=channel), pepper=rows.PEPPER)
            one = rows.messages(
                customer, channel=channel, template_hash=templates.template_hash("survey", channel, "fr")
            )
            of_them = people_.loc[people_.customer_id == customer].iloc[0]
            address = of_them.email if channel == "email" else of_them.phone
            made.append(one.assign(address_hmac=keys.address_key(rows.PEPPER, channel, address)))
        verdicts.queue_messages(connection, pd.concat(made, ignore_index=True), pepper=rows.PEPPER)


class Stand:
    """What a test has in hand."""

    def __init__(self, project: Project, ledger: Ledger, *, clock: web_world.Clock) -> None:
        self.project, self.ledger, self.clock = project, ledger, clock
        self.pages = operator_world.OperatorPages(project, ledger, clock=clock)
        self.ada = self.pages.operator()

    def row(self, channel: str) -> dict:
        with self.ledger.reading() as connection:
            query = select(messages).where(messages.c.customer_id == PEOPLE[channel])
            return dict(connection.execute(query).mappings().one())

    def path(self, channel: str) -> str:
        return f"/outbox/{self.row(channel)['message_id']}"

    def page(self, channel: str, **asked: str) -> str:
        answer = self.ada.get(self.path(channel), params=asked)
        assert answer.status_code == 200
        return answer.text

    def press(self, channel: str, event: str):
        return self.ada.post(f"{self.path(channel)}/reports", {"event": event})

    def receipts(self) -> list[tuple]:
        with self.ledger.reading() as connection:
            columns = receipts.c.kind, receipts.c.provider, receipts.c.code, receipts.c.is_machine
            return [tuple(row) for row in connection.execute(select(*columns).order_by(receipts.c.kind))]

    def again(self, **environment: str) -> Stand:
        """The same, with the operator pages started anew in another environment."""
        project = load_project(self.project.root, {**self.project.environment, **environment})
        return Stand(with_made_up_keys(project), self.ledger, clock=self.clock)


@contextlib.contextmanager
def standing(root: Path, *, sends: bool = True, change: str = "", database_url: str = "", **environment: str):
    """Yield a stand; without ``sends`` its messages are still planned.

    Parameters
    ----------
    change : what stands in place of the channels in winback.yaml
    """
    if database_url:
        environment["WINBACK_DATABASE_URL"] = database_url
    clock = web_world.Clock()
    # The port is bound before the project is written, so that nobody else can take it.
    with listen(Served("here", None, "127.0.0.1", 0)) as sock:
        made = make_project(root, f"http://127.0.0.1:{sock.getsockname()[1]}", **environment)
        if change:
            file = root / "winback.yaml"
            file.write_text(file.read_text().partition("channels:")[0] + change)
            made = load_project(root, made.environment)
        project = with_made_up_keys(made)
        ledger = open_ledger(project.database_url, pepper=databases.PEPPER, create=True)
        plan(ledger, project)
        if sends:
            deliver(project, ledger, now=rows.NOW)
        app = make_public_app(project, ledger, clock=clock)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
        thread = threading.Thread(target=asyncio.run, args=(server.serve([sock]),))
        thread.start()
        try:
            yield Stand(project, ledger, clock=clock)
        finally:
            server.should_exit = True
            thread.join(30)
            ledger.close()
