"""Human or machine: who followed the links of one message, by what is known of every visit to them.

In: all visits to one message's links, when it was delivered, and the table of known programs. Out: a verdict for each,
with its reason. Visits are judged together, because most of what gives a program away is in what it does beside: it
follows every link, the hidden one among them, or comes at the moment of delivery. Only what looks like a person's
browser and is caught by no rule is called human. Must never happen: a program called human for want of a rule, while a
person taken for a program loses nothing but one sign of life.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from winback.core.visitor_agents import VisitorAgents

RULES_VERSION = 1
"""Goes up with every change of the rules below; verdicts of another version are reached anew."""

SETTLE = timedelta(minutes=5)
"""No visit is judged sooner: what gives a program away may come after it."""

NEAR_HIDDEN = timedelta(seconds=10)
BESIDE_HIDDEN = timedelta(days=1)
"""So long before and after it the same agent from the same network is the program that followed the hidden link."""
MANY_WITHIN = timedelta(seconds=10)
MANY_LINKS = 3
TOO_SOON = timedelta(seconds=10)
TOGETHER = timedelta(seconds=60)

_BROWSER = re.compile(r"mozilla/5\.0 \(.*(applewebkit/|gecko/|trident/)|opera/9")


class Link(StrEnum):
    """Where a visit went."""

    ACT = "act"  # the short link
    LANDING = "landing"  # the page it opens
    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    UNSEEN = "unseen"  # the link in mails that nobody sees
    PICTURE = "picture"  # of an open, as a vendor tells it


class Who(StrEnum):
    """What came."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


class Why(StrEnum):
    """What showed it."""

    HEAD = "head"
    PREFETCH = "prefetch"
    HIDDEN_LINK = "hidden_link"
    TOLD = "told_by_vendor"
    NO_AGENT = "no_agent"
    CRAWLER = "crawler"
    PREVIEW = "preview"
    SCANNER = "scanner"
    PROXY = "proxy"
    TOOL = "tool"
    NEAR_HIDDEN_LINK = "near_hidden_link"
    MANY_LINKS = "many_links"
    TOO_SOON = "too_soon"
    TWO_VISITORS = "two_visitors"
    OPEN = "open"
    NO_BROWSER = "no_browser"
    BROWSER = "browser"


class Look(NamedTuple):
    """One visit, as it is judged.

    Attributes
    ----------
    at : aware
    link : one of :class:`Link`, or what else a vendor says was clicked
    is_open : a picture was loaded, no link was followed
    method : of the request, "" where a vendor tells of it
    agent, network : as they were kept
    is_prefetch : the browser said that nobody has asked for it yet
    is_told : the vendor says that a program did it
    """

    at: datetime
    link: str
    agent: str
    network: str
    method: str = "GET"
    is_open: bool = False
    is_prefetch: bool = False
    is_told: bool = False


class Verdict(NamedTuple):
    """What a visit was, and what showed it."""

    who: Who
    why: Why


def version_of(agents: VisitorAgents) -> str:
    """Return the name of the rules and the table together, which every verdict carries."""
    return f"{RULES_VERSION}.{agents.digest}"


def judge(looks: Sequence[Look], *, delivered_at: datetime | None, agents: VisitorAgents) -> list[Verdict]:
    """Return the verdict on each visit to one message's links, in the order given.

    Parameters
    ----------
    looks : every visit that is known, in any order
    delivered_at : when the message arrived, else when it was handed over; None where neither is known
    """
    alone = [_of_itself(look, agents) for look in looks]
    company = _Company([look for look in looks if not look.is_open])
    found = [why or company.gives_away(look, delivered_at) for look, why in zip(looks, alone, strict=True)]
    left = [look for look, why in zip(looks, found, strict=True) if why is None]
    pairs = _Pairs([look for look in left if not look.is_open])
    return [
        Verdict(Who.MACHINE, why) if why else _of_the_rest(look, pairs) for look, why in zip(looks, found, strict=True)
    ]


def _of_itself(look: Look, agents: VisitorAgents) -> Why | None:
    """Return what shows by one visit alone that a program made it."""
    if look.method == "HEAD":
        return Why.HEAD
    if look.is_prefetch:
        return Why.PREFETCH
    if look.link == Link.UNSEEN:
        return Why.HIDDEN_LINK
    if look.is_told:
        return Why.TOLD
    if not look.agent.strip():
        return Why.NO_AGENT
    kind = agents.kind_of(look.agent)
    return Why(kind) if kind else None


def _of_the_rest(look: Look, pairs: _Pairs) -> Verdict:
    """Return the verdict on a visit that no rule caught."""
    if look.is_open:
        return Verdict(Who.UNKNOWN, Why.OPEN)
    if _BROWSER.match(look.agent.lower()) is None:
        return Verdict(Who.UNKNOWN, Why.NO_BROWSER)
    if pairs.has_another(look):
        return Verdict(Who.UNKNOWN, Why.TWO_VISITORS)
    return Verdict(Who.HUMAN, Why.BROWSER)


class _Company:
    """What was done to the links of a message, by time."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = sorted(looks, key=lambda look: look.at)
        self._times = [look.at for look in self._looks]
        self._hidden = [look.at for look in self._looks if look.link == Link.UNSEEN]
        self._hidden_by: dict[tuple[str, str], list[datetime]] = {}
        for look in self._looks:
            if look.link == Link.UNSEEN and look.network:
                self._hidden_by.setdefault((look.agent, look.network), []).append(look.at)
        self._crowded = self._crowds()

    def gives_away(self, look: Look, delivered_at: datetime | None) -> Why | None:
        """Return what shows by the other visits, or by the delivery, that a program made this one."""
        if look.is_open:
            return None
        if _has_within(self._hidden, look.at - NEAR_HIDDEN, look.at + NEAR_HIDDEN):
            return Why.NEAR_HIDDEN_LINK
        hidden = self._hidden_by.get((look.agent, look.network), [])
        if _has_within(hidden, look.at - BESIDE_HIDDEN, look.at + BESIDE_HIDDEN):
            return Why.NEAR_HIDDEN_LINK
        if any(start <= look.at <= end for start, end in self._crowded):
            return Why.MANY_LINKS
        if delivered_at is not None and look.at - delivered_at < TOO_SOON:
            return Why.TOO_SOON
        return None

    def _crowds(self) -> list[tuple[datetime, datetime]]:
        """Return the stretches of time in which many links were followed, those that meet joined."""
        found: list[tuple[datetime, datetime]] = []
        for place, look in enumerate(self._looks):
            last = bisect_right(self._times, look.at + MANY_WITHIN) - 1
            if len({_place(other) for other in self._looks[place : last + 1]}) < MANY_LINKS:
                continue
            if found and look.at <= found[-1][1]:
                found[-1] = found[-1][0], self._times[last]
            else:
                found.append((look.at, self._times[last]))
        return found


class _Pairs:
    """Which visits to one link came within a minute from two visitors."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._of_place: dict[str, list[Look]] = {}
        for look in sorted(looks, key=lambda one: one.at):
            self._of_place.setdefault(_place(look), []).append(look)
        self._times = {place: [look.at for look in theirs] for place, theirs in self._of_place.items()}

    def has_another(self, look: Look) -> bool:
        """Whether somebody else came to the same link at about that time."""
        place = _place(look)
        times = self._times[place]
        first, last = bisect_left(times, look.at - TOGETHER), bisect_right(times, look.at + TOGETHER)
        return any(_is_another(look, other) for other in self._of_place[place][first:last])


def _is_another(look: Look, other: Look) -> bool:
    if look.agent != other.agent:
        return True
    # A telephone asks for one page by IPv4 and for the next by IPv6.
    is_one_kind = (":" in look.network) == (":" in other.network)
    return is_one_kind and look.network != other.network and bool(look.network and other.network)


def _place(look: Look) -> str:
    """Return which link it was; the short link and the page it opens are one."""
    return Link.ACT if look.link == Link.LANDING else look.link


def _has_within(times: Sequence[datetime], low: datetime, high: datetime) -> bool:
    place = bisect_left(times, low)
    return place < len(times) and times[place] <= high
