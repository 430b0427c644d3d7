"""What people do with their messages: they answer on a page, enter, look at their voucher, or say stop.

In: a night's messages that reached somebody, and the app that serves the pages. Out: counts. Every visit goes the way
of a real one: the short link, the page, then its form; a STOP that is texted back comes in Twilio's signed call. Who
does what is a hash, as in :mod:`winback.sample.reactions`. Must never happen: an act that is written into the ledger by
anybody but the pages.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlencode

import pandas as pd
from sqlalchemy import select

from winback.channels.made_up_reports import text_signature
from winback.core.message_links import capability, short_code
from winback.errors import WinbackError
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import contacts
from winback.night.check import load_programmes
from winback.night.pepper import link_keys
from winback.night.render import step_of
from winback.sample import planted
from winback.sample.reactions import uniform
from winback.sample.shop_memory import read_seed, read_truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from starlette.types import ASGIApp, Message, Scope

    from winback.core.policy import Step
    from winback.ledger.engine import Ledger
    from winback.settings import Project

MINUTES_UNTIL_READ = range(10, 130)
"""So long a message lies there before it is read; a machine would have followed its links at once."""
TELEPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)
ANSWER, STOP = "answer", "stop"
INBOUND, STOP_TEXT, TEXTED_NUMBER = "/hooks/twilio/inbound", "Stop", "+33639980001"
_OK, _FOUND = 200, 302


class Pages(Protocol):
    """Makes the app that serves a project's public pages; ``clock`` is what time they take it to be."""

    def __call__(self, project: Project, ledger: Ledger, *, clock: Moment) -> ASGIApp:
        """Return the app."""


@dataclass
class Moment:
    """A clock that somebody sets."""

    now: datetime

    def __call__(self) -> datetime:
        """Return the present instant."""
        return self.now


class Visit(NamedTuple):
    """One person's way: pages that are looked at, in their order, then one form."""

    at: datetime
    act: str
    looks: tuple[str, ...]
    path: str
    form: Mapping[str, str]
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Visited(NamedTuple):
    """How many answered on a page, and how many said stop there."""

    answers: int
    stops: int


class Visitors:
    """The people a project wrote to.

    Parameters
    ----------
    project, ledger : opened; the ledger stays open as long as anybody comes
    pages : makes the app they visit
    """

    def __init__(self, project: Project, ledger: Ledger, *, pages: Pages, starts_at: datetime) -> None:
        # What is texted back is believed only if it is signed, and a shop that sends nothing has no key.
        self._token = secrets.token_hex(16)
        project = replace(project, environment={**project.environment, "TWILIO_AUTH_TOKEN": self._token})
        self._project, self._ledger = project, ledger
        self._clock = Moment(starts_at)
        self._app = pages(project, ledger, clock=self._clock)
        self._programmes = {one.programme: one for one in load_programmes(project.root)}
        self._key = link_keys(project, ledger.pepper)[0]

    def come(self, night: date) -> Visited:
        """Let everybody come whom a night's messages bring to the pages, one after the other.

        Raises
        ------
        WinbackError
            If a page does not answer as it should.
        """
        visits = sorted(self._visits(night))
        asyncio.run(self._walk(visits))
        acts = [visit.act for visit in visits]
        return Visited(answers=acts.count(ANSWER), stops=acts.count(STOP))

    def _visits(self, night: date) -> list[Visit]:
        told = self._told(night)
        if told.empty:
            return []
        key = f"{read_seed(self._project.root)}|pages|" + told["customer_id"] + "|" + told["programme"]
        key = key + "|" + told["step"].astype("str") + f"|{night}"
        drawn = pd.Series(uniform(key), index=told.index)
        comes = drawn < told["returns_on"].notna().map({True: planted.ANSWERS_BROUGHT_BACK, False: planted.ANSWERS})
        stops = (drawn > 1 - told["channel"].map(planted.STOPS)) & told["returns_on"].isna()
        rows = told.assign(act=pd.Series(ANSWER, index=told.index).where(comes, STOP))[comes | stops]
        return [visit for row in rows.to_dict("records") if (visit := self._visit(row)) is not None]

    def _told(self, night: date) -> pd.DataFrame:
        """Return the messages of a night that reached somebody, with when, and whether they bring somebody back."""
        names = ("message_id", "customer_id", "programme", "step", "channel", "accepted_at")
        query = select(*(messages.c[name] for name in names), contacts.c.phone).join_from(
            messages, contacts, contacts.c.customer_id == messages.c.customer_id
        )
        with self._ledger.reading() as connection:
            rows = connection.execute(query.where(messages.c.as_of == night, messages.c.state == "accepted")).all()
        told = pd.DataFrame(rows, columns=[*names, "phone"])
        reactions = read_truth(self._project.root).reactions
        reactions = reactions.loc[
            reactions["day"] == pd.Timestamp(night), ["customer_id", "programme", "step", "returns_on"]
        ]
        return told.merge(reactions, on=["customer_id", "programme", "step"], how="left")

    def _visit(self, row: Mapping[str, object]) -> Visit | None:
        message_id, step = str(row["message_id"]), self._step(row)
        wait = MINUTES_UNTIL_READ[int(message_id[-4:], 16) % len(MINUTES_UNTIL_READ)]
        at = pd.Timestamp(row["accepted_at"]).to_pydatetime() + timedelta(minutes=wait)
        if row["act"] == STOP and row["channel"] != "email":
            return self._text_back(row, at)
        if row["act"] == STOP:
            path = f"/u/{capability(message_id, 'unsubscribe', key=self._key)}"
            return Visit(at, STOP, (path,), path, {"List-Unsubscribe": "One-Click"})
        form = None if step is None else form_of(step, message_id)
        if form is None:
            return None
        code = short_code(message_id)
        return Visit(at, ANSWER, (f"/s/{code}", f"/l/{code}"), f"/l/{code}", form)

    def _text_back(self, row: Mapping[str, object], at: datetime) -> Visit:
        number = f"whatsapp:{row['phone']}" if row["channel"] == "whatsapp" else str(row["phone"])
        form = {"From": number, "To": TEXTED_NUMBER, "Body": STOP_TEXT, "MessageSid": f"SM{row['message_id']}"}
        url = self._project.config.business.public_base_url.rstrip("/") + INBOUND
        signature = text_signature(self._token, url, form)
        return Visit(at, STOP, (), INBOUND, form, ((b"x-twilio-signature", signature.encode()),))

    def _step(self, row: Mapping[str, object]) -> Step | None:
        return step_of(self._programmes, str(row["programme"]), int(str(row["step"])))

    async def _walk(self, visits: Sequence[Visit]) -> None:
        for number, visit in enumerate(visits):
            self._clock.now = visit.at
            visitor = f"198.51.100.{number % 254 + 1}"  # addresses kept for documents
            for path in visit.looks:
                await self._ask(visitor, "GET", path)
            await self._ask(visitor, "POST", visit.path, visit.form, visit.headers)

    async def _ask(
        self,
        visitor: str,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        status = await ask(self._app, visitor, method, path, form=form, headers=headers)
        if status != (_FOUND if path.startswith("/s/") else _OK):
            # The path holds a token: its first letter is enough to find the page.
            raise WinbackError(f"{method} {path[:3]}… was answered with {status} in the simulated shop")


def form_of(step: Step, message_id: str) -> dict[str, str] | None:
    """Return what somebody fills in on the page of a step; None where there is nothing to fill in."""
    dice = int(message_id[:4], 16)
    if step.kind == "survey":
        return {"score": str(dice % 5 + 1), "reason": str(dice % 3)}
    if step.kind == "contest":
        return {"answer": str(dice % 3), "country": step.countries[0], "age": "yes", "agreed": "yes"}
    return {} if step.kind == "coupon" else None


async def ask(
    app: ASGIApp,
    visitor: str,
    method: str,
    path: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> int:
    """Ask an app of this process as a browser would, and return the status of its answer."""
    body = urlencode(form or {}).encode()
    headers = [*headers, (b"host", b"127.0.0.1"), (b"user-agent", TELEPHONE.encode()), (b"accept-language", b"en")]
    if form is not None:
        headers += [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"%d" % len(body))]
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": (visitor, 4000),
        "server": ("127.0.0.1", 80),
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]
