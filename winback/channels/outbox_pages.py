"""The local outbox as pages a person can look at, under ``var/outbox/index.html``; no server, no script.

In: what the outbox holds. Out: one page a message, lists by night, channel and step. Only the pages of new messages
are written; lists are written again. Must never happen: a name that is read as markup, a page that loads anything
from elsewhere.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from babel.dates import format_date
from jinja2 import Environment, PackageLoader, StrictUndefined

from winback.core.sms import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from winback.channels.local_outbox import Group, LocalOutbox, Stored

PAGES_A_GROUP = 100
"""For how many messages of one night, step and channel pages are made; all of them are counted."""

LETTERS_A_PAGE = 100
PROGRESS = "pages"
CHANNEL_NAMES = {"email": "E-mail", "sms": "SMS", "whatsapp": "WhatsApp"}


class _View(NamedTuple):
    """A list of one night's messages: all of them, one channel's, one step's."""

    file: str
    label: str
    messages: int
    channel: str | None = None
    step: tuple[str, int] | None = None

    def shows(self, item: Stored) -> bool:
        return self.channel in (None, item.channel) and self.step in (None, (item.programme, item.step))


class _Row(NamedTuple):
    """One step in a night's table; ``counts`` holds one number a channel of that night."""

    programme: str
    step: int
    kind: str
    page: str
    counts: list[int]
    segments: int
    price: float


def write_pages(outbox: LocalOutbox, *, cap: int = PAGES_A_GROUP) -> int:
    """Write the pages of messages that have none yet, and the lists they belong to; return how many messages that is.

    Parameters
    ----------
    outbox : whose folder the pages go to
    cap : pages for one night, step and channel

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    # Read first: what another sender stores meanwhile comes after it and gets its pages next time.
    last = outbox.last_position()
    done = outbox.progress(PROGRESS)
    groups = outbox.groups()
    writer = _Writer(outbox)
    new = outbox.first_of_each_group(cap, after=done)
    for item in new:
        writer.message(item)
    for as_of in sorted(outbox.nights_after(done)):
        writer.night(as_of, [group for group in groups if group.as_of == as_of], cap=cap)
    writer.nights(groups)
    outbox.set_progress(PROGRESS, last)
    return len(new)


def remove_pages(outbox: LocalOutbox, gone: Iterable[Stored], *, cap: int = PAGES_A_GROUP) -> None:
    """Remove the pages of messages that were forgotten, and write the lists they stood in again."""
    gone = list(gone)
    for item in gone:
        (outbox.folder / item.as_of / f"{item.message_id}.html").unlink(missing_ok=True)
    writer, groups = _Writer(outbox), outbox.groups()
    for as_of in sorted({item.as_of for item in gone}):
        writer.night(as_of, [group for group in groups if group.as_of == as_of], cap=cap)
    writer.nights(groups)


class _Writer:
    """Fills the page templates and puts the files into place."""

    def __init__(self, outbox: LocalOutbox) -> None:
        self.outbox = outbox
        self.folder: Path = outbox.folder
        loader = PackageLoader("winback.channels", "pages")
        self.pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self.pages.globals["names"] = CHANNEL_NAMES
        self.put("style.css", loader.get_source(self.pages, "style.css")[0])

    def put(self, name: str, text: str) -> None:
        """Write one file so that nobody ever sees half of it."""
        file = self.folder / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Sending tasks of one night are threads of one process.
        beside = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)

    def page(self, name: str, template: str, **values: object) -> None:
        root = "../" * name.count("/")
        self.put(name, self.pages.get_template(template).render(root=root, **values))

    def message(self, item: Stored) -> None:
        """Write the page of one message."""
        request = self.outbox.request(item.message_id) or {}
        shown = orjson.dumps(request, option=orjson.OPT_INDENT_2).decode()
        values: dict[str, Any] = {"letter": item, "date": _day(item.as_of), "request": shown}
        name = f"{item.as_of}/{item.message_id}.html"
        if item.channel == "email":
            self.page(name, "email.html", **values, **_mail_values(request))
        else:
            self.page(name, "text.html", **values, **_text_values(request, item))

    def night(self, as_of: str, groups: Sequence[Group], *, cap: int) -> None:
        """Write every list of one night."""
        views = list(_views(groups))
        items = self.outbox.first_of_each_group(cap, as_of=as_of)
        channels = sorted({group.channel for group in groups})
        rows = list(_rows(groups, channels))
        for view in views:
            listed = [item for item in items if view.shows(item)]
            pages = max(1, -(-len(listed) // LETTERS_A_PAGE))
            for page in range(1, pages + 1):
                start = (page - 1) * LETTERS_A_PAGE
                self.page(
                    f"{as_of}/{_numbered(view.file, page)}",
                    "night.html",
                    night=_night(as_of, groups),
                    rows=rows,
                    channels=[(name, _channel_page(name)) for name in channels],
                    views=views,
                    here=view.file,
                    letters=listed[start : start + LETTERS_A_PAGE],
                    first=start + 1,
                    page=page,
                    pages=pages,
                    previous=_numbered(view.file, page - 1) if page > 1 else None,
                    following=_numbered(view.file, page + 1) if page < pages else None,
                    cap=cap,
                    is_cut=any(group.messages > cap for group in groups),
                )

    def nights(self, groups: Sequence[Group]) -> None:
        """Write the list of all nights, newest first."""
        nights = [_night(as_of, list(of_night)) for as_of, of_night in groupby(groups, key=lambda group: group.as_of)]
        self.page("index.html", "nights.html", nights=nights, total=sum(group.messages for group in groups))


def _mail_values(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the page of a mail shows of its request."""
    personalization = request["personalizations"][0]
    sender = request["from"]
    content = {part["type"]: part["value"] for part in request["content"]}
    headers = sorted(personalization["headers"].items())
    return {
        "sender": f"{sender['name']} <{sender['email']}>" if "name" in sender else sender["email"],
        "html": content["text/html"],
        "text": content["text/plain"],
        "headers": headers,
        "links": [("Unsubscribe", dict(headers)["List-Unsubscribe"].split(">")[0].lstrip("<"))],
    }


def _text_values(request: dict[str, Any], item: Stored) -> dict[str, Any]:
    """Return what the page of a text shows of its request."""
    text = str(request["Body"])
    return {
        "sender": str(request.get("From", "")).removeprefix("whatsapp:"),
        "text": text,
        "links": [("Opens", word) for word in text.split() if word.startswith(("http://", "https://"))],
        "offending": measure(text).offending if item.channel == "sms" else (),
    }


def _day(as_of: str) -> str:
    return format_date(date.fromisoformat(as_of), "d MMMM y", locale="en")


def _night(as_of: str, groups: Sequence[Group]) -> dict[str, Any]:
    """Return the counts of one night."""
    channels: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for group in groups:
        channels[group.channel] += group.messages
        steps[f"step {group.step}"] += group.messages
    return {
        "as_of": as_of,
        "date": _day(as_of),
        "weekday": format_date(date.fromisoformat(as_of), "EEEE", locale="en"),
        "messages": sum(group.messages for group in groups),
        "price": sum(group.price for group in groups),
        "channels": sorted(channels.items()),
        "steps": sorted(steps.items()),
    }


def _views(groups: Sequence[Group]) -> Iterable[_View]:
    """Yield the lists of one night: everything, then each channel and each step."""
    yield _View("index.html", "All", sum(group.messages for group in groups))
    for channel in sorted({group.channel for group in groups}):
        count = sum(group.messages for group in groups if group.channel == channel)
        yield _View(_channel_page(channel), CHANNEL_NAMES[channel], count, channel=channel)
    for step in sorted({(group.programme, group.step) for group in groups}):
        count = sum(group.messages for group in groups if (group.programme, group.step) == step)
        yield _View(_step_page(*step), f"{step[0]}, step {step[1]}", count, step=step)


def _rows(groups: Sequence[Group], channels: Sequence[str]) -> Iterable[_Row]:
    """Yield the table of one night: a row a step, a column a channel."""
    for (programme, step), of_step in groupby(groups, key=lambda group: (group.programme, group.step)):
        by_channel = {group.channel: group for group in of_step}
        some = next(iter(by_channel.values()))
        yield _Row(
            programme=programme,
            step=step,
            kind=some.kind,
            page=_step_page(programme, step),
            counts=[by_channel[name].messages if name in by_channel else 0 for name in channels],
            segments=sum(group.segments for group in by_channel.values()),
            price=sum(group.price for group in by_channel.values()),
        )


def _channel_page(channel: str) -> str:
    return f"channel-{channel}.html"


def _step_page(programme: str, step: int) -> str:
    return f"step-{programme}-{step}.html"


def _numbered(file: str, page: int) -> str:
    return file if page == 1 else f"{file.removesuffix('.html')}.{page}.html"
