"""`/outbox`: the messages, what each of them says and what became of it, and buttons that report in a vendor's place.

A mail is shown in a frame that may do nothing: no script, no form, nothing loaded. The buttons are there where nothing
the project sends can leave this machine (:mod:`winback.channels.simulated_vendor`); what they report comes over HTTP to
the public hooks, signed, as a vendor's reports do. Must never happen: a button on a message a person may have got.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from winback.channels.made_up_reports import BEGINNINGS, stayed_here
from winback.channels.outbox_pages import CHANNEL_NAMES
from winback.channels.registry import outbox_of
from winback.channels.request_bodies import is_message_id
from winback.channels.simulated_vendor import SimulatedVendor, Told, events_of, simulated_vendor, stays_here
from winback.channels.transport import TimeOuts, Transport
from winback.core.message_links import message_links
from winback.errors import SendDeferred, SendUnknown
from winback.ledger import diary, outbox_rows
from winback.ledger.gate_facts import UNSENT_STATES
from winback.ledger.outbox_rows import Wanted
from winback.ledger.queue import MessageState
from winback.night.pepper import link_keys
from winback.night.shown_message import Shown, show
from winback.web.answer_headers import POLICY
from winback.web.operator_desk import seen
from winback.web.operator_door import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.ledger.outbox_rows import Letter
    from winback.web.operator_desk import Desk

ON_A_PAGE = 50
LAST_PAGE = 999_999
FRAMING_POLICY = f"{POLICY}; frame-src 'self'"
"""Of the page around a mail: its frame shows what we serve, and nothing that a link in it leads to."""
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "frame-ancestors 'self'; form-action 'none'; base-uri 'none'"
)
"""Of a mail itself: looks only, wherever it is opened."""
WIDTHS = {"desktop": "Desktop", "phone": "Phone"}
EVENT_NAMES: Mapping[str, str] = {
    "delivered": "Delivered",
    "open": "Opened",
    "machine_open": "Opened by a machine",
    "click": "Clicked",
    "read": "Read",
    "unreachable": "Not reachable",
    "bounce": "Bounced for good",
    "complaint": "Complained",
    "unsubscribe": "Unsubscribed at the vendor",
    "stop": "Answered STOP",
}


class Offer(NamedTuple):
    """What may be done with a message in its reader's or its vendor's place; ``why_not`` says why there are no events.

    ``links`` are the addresses of its public pages by what they are called.
    """

    links: dict[str, str]
    events: tuple[str, ...] = ()
    why_not: str = ""


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of the outbox."""
    routes, viewer = APIRouter(default_response_class=HTMLResponse), _Viewer(desk)
    look = files("winback.web").joinpath("operator_pages", "outbox.css").read_text("utf-8")

    @routes.get("/outbox", summary="The messages, newest first")
    def messages(request: Request) -> Response:
        return viewer.index(request)

    @routes.get("/outbox/{message_id}", summary="One message and what became of it")
    def message(request: Request, message_id: str) -> Response:
        told = EVENT_NAMES.get(request.query_params.get("told", ""), "")
        return viewer.message(request, viewer.letter(message_id), told=told)

    @routes.get("/outbox/{message_id}/mail", summary="The mail itself, for its frame")
    def mail(message_id: str) -> Response:
        return viewer.mail(viewer.letter(message_id))

    @routes.post("/outbox/{message_id}/reports", summary="Report in the vendor's place")
    def report(request: Request, message_id: str) -> Response:
        return viewer.report(request, viewer.letter(message_id), desk.form(request).one("event"))

    @routes.get("/assets/outbox.css", summary="The look of messages")
    def style() -> PlainTextResponse:
        return PlainTextResponse(look, media_type="text/css", headers={"cache-control": "no-cache"})

    return routes


class _Viewer:
    """Shows the messages of one project."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.project = desk, desk.project

    @cached_property
    def transport(self) -> Transport:
        """The way to our own public pages; made when the first report is."""
        return Transport(time_outs=TimeOuts(connect=2.0, read=10.0, whole=10.0))

    def letter(self, message_id: str) -> Letter:
        """Return a message, or answer that there is none."""
        if is_message_id(message_id):
            with self.desk.ledger.reading() as connection:
                if letter := outbox_rows.read_letter(connection, message_id):
                    return letter
        raise HTTPException(404)

    def index(self, request: Request) -> Response:
        """Return a list."""
        asked = request.query_params
        wanted, fault = _wanted(asked)
        page = _page_number(asked.get("page", ""))
        with self.desk.ledger.reading() as connection:
            counts = outbox_rows.count_states(connection, wanted)
            listed = outbox_rows.list_page(connection, wanted, limit=ON_A_PAGE, skip=(page - 1) * ON_A_PAGE)
            programmes = outbox_rows.programme_names(connection)
            left = outbox_rows.count_left(connection, made_up=BEGINNINGS)
        total = counts.get(wanted.state, 0) if wanted.state else sum(counts.values())
        pages = max(1, -(-total // ON_A_PAGE))
        return self.desk.page(
            request,
            "outbox.html",
            fault=fault,
            wanted=wanted,
            counts={state: (n, _query(wanted._replace(state=state))) for state, n in counts.items()},
            listed=listed,
            stored=outbox_of(self.project).find([one.message_id for one in listed]),
            total=total,
            page=page,
            pages=pages,
            links={number: _query(wanted, number) for number in (page - 1, page + 1) if 1 <= number <= pages},
            states=[state.value for state in MessageState],
            programmes=programmes,
            names=CHANNEL_NAMES,
            left=left,
            **self._reach(),
        )

    def message(
        self, request: Request, letter: Letter, *, told: str = "", fault: str = "", status: int = 200
    ) -> Response:
        shown = show(self.project, letter, key=self.desk.ledger.pepper)
        width = request.query_params.get("width", "")
        response = self.desk.page(
            request,
            "outbox_message.html",
            status=status,
            letter=letter.row,
            history=letter.history,
            is_known=letter.contact is not None,
            shown=shown if isinstance(shown, Shown) else None,
            why_not=shown if isinstance(shown, str) else "",
            request_text=_as_text(shown.request) if isinstance(shown, Shown) else "",
            width=width if width in WIDTHS else "desktop",
            widths=WIDTHS,
            offer=self._offer(letter, shown),
            names=CHANNEL_NAMES,
            event_names=EVENT_NAMES,
            told=told,
            fault=fault,
            left_through="" if _stayed(letter) else letter.row["provider"] or "",
        )
        response.headers["content-security-policy"] = FRAMING_POLICY
        return response

    def mail(self, letter: Letter) -> Response:
        shown = show(self.project, letter, key=self.desk.ledger.pepper)
        if isinstance(shown, str) or not shown.html:
            raise HTTPException(404)
        headers = {"content-security-policy": MAIL_POLICY, "x-frame-options": "SAMEORIGIN"}
        return HTMLResponse(shown.html, headers=headers)

    def report(self, request: Request, letter: Letter, event: str) -> Response:
        shown = show(self.project, letter, key=self.desk.ledger.pepper)
        offer = self._offer(letter, shown)
        vendor = simulated_vendor(self.project, letter.row["channel"])
        if event not in offer.events or isinstance(shown, str) or isinstance(vendor, str):
            fault = offer.why_not or "Nothing of that kind can be reported about this message."
            return self.message(request, letter, fault=f"Not reported. {fault}", status=422)
        message_id = letter.row["message_id"]
        call = vendor.report(event, self._told(letter, shown), now=self.desk.clock())
        # Before the call, so that nothing is done in somebody's place that is not on record.
        with self.desk.ledger.writing() as connection:
            diary.record(
                connection,
                at=self.desk.clock(),
                actor=session_of(request).actor,
                action="simulate",
                subject=message_id,
                after={"event": event},
            )
        try:
            status = self.transport.call("POST", call.url, headers=call.headers, body=call.body).status
        except (SendDeferred, SendUnknown) as problem:
            return self.message(request, letter, fault=f"The public pages did not answer: {problem}.", status=502)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            fault = f"The public pages answered {status}: they were started with other keys, or not by this project."
            return self.message(request, letter, fault=fault, status=502)
        return seen(f"/outbox/{message_id}?told={event}")

    def _offer(self, letter: Letter, shown: Shown | str) -> Offer:
        """Return what may be done in somebody's place: nothing with a message that somebody may have got."""
        if letter.row["state"] in UNSENT_STATES:
            return Offer({}, why_not="It was not sent, so nobody can act on it.")
        if not stays_here(self.project) or not _stayed(letter):
            why = "Only a message that stayed on this machine, of a project that sends nothing, can be acted on here."
            return Offer({}, why_not=why)
        if isinstance(shown, str):
            return Offer({}, why_not=shown)
        links = self._links(letter)
        named = {"Landing page": links["act"], "Unsubscribe": links["unsubscribe"], "Preferences": links["preferences"]}
        vendor = simulated_vendor(self.project, letter.row["channel"])
        if isinstance(vendor, SimulatedVendor):
            return Offer(named, events=events_of(letter.row["channel"]))
        return Offer(named, why_not=vendor)

    def _told(self, letter: Letter, shown: Shown) -> Told:
        row = letter.row
        return Told(
            message_id=row["message_id"],
            provider_id=row["provider_id"],
            channel=row["channel"],
            sender=shown.sender,
            recipient=shown.recipient,
            link=self._links(letter)["act"],
        )

    def _links(self, letter: Letter) -> Mapping[str, Any]:
        key = link_keys(self.project, self.desk.ledger.pepper)[0]
        return message_links(letter.row["message_id"], base_url=self.project.config.business.public_base_url, key=key)

    def _reach(self) -> dict[str, Any]:
        """Return whether messages stay here, and whom they go through otherwise."""
        channels = self.project.config.channels
        set_up = {name: getattr(channels, name) for name in CHANNEL_NAMES}
        through = {name: one.provider for name, one in set_up.items() if one is not None}
        return {"stays": stays_here(self.project), "through": through if self.project.config.live else {}}


def _stayed(letter: Letter) -> bool:
    return stayed_here(letter.row["provider"], letter.row["provider_id"])


def _wanted(asked: Mapping[str, str]) -> tuple[Wanted, str]:
    """Return what a form asks for, and what is wrong with it."""
    day = asked.get("night", "")
    try:
        night = date.fromisoformat(day) if day else None
    except ValueError:
        return Wanted(), f"{day[:20]!r} is no day: write it as 2026-03-10."
    # A database may refuse to look for what no text holds.
    named = {name: asked.get(name, "") for name in ("state", "channel", "programme")}
    state, channel, programme = (value if value and value.isprintable() else None for value in named.values())
    return Wanted(state, channel, programme, night), ""


def _page_number(given: str) -> int:
    """Return the page of a list that is asked for, the first where that makes no sense."""
    is_number = given.isascii() and given.isdecimal() and len(given) <= len(str(LAST_PAGE))
    return max(int(given), 1) if is_number else 1


def _query(wanted: Wanted, page: int = 1) -> str:
    """Return the address of a list."""
    asked = {
        "state": wanted.state,
        "channel": wanted.channel,
        "programme": wanted.programme,
        "night": wanted.as_of,
        "page": page if page > 1 else None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return f"/outbox?{urlencode(given)}" if given else "/outbox"


def _as_text(request: Mapping[str, Any]) -> str:
    return orjson.dumps(request, option=orjson.OPT_INDENT_2).decode()
