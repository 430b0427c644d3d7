"""Sessions of people and programs on one message's links, labelled: what the verdict is measured by.

Made by us from what is publicly known of gateways, previews and browsers, not recorded: agents and delays are varied,
behaviour is described. A session is everything that happened to one message; each visit says who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from winback.core.visit_verdicts import Link, Look

if TYPE_CHECKING:
    from collections.abc import Iterator

DELIVERED = datetime(2026, 3, 10, 9, tzinfo=UTC)
MINUTE, HOUR, DAY = 60, 3600, 86400
ACT, PAGE, OUT, CHOICES, UNSEEN = Link.ACT, Link.LANDING, Link.UNSUBSCRIBE, Link.PREFERENCES, Link.UNSEEN
EVERY = (ACT, OUT, CHOICES, UNSEEN)

_KIT, _IOS = "AppleWebKit/537.36 (KHTML, like Gecko)", "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPHONE, _DROID = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)", "Mozilla/5.0 (Linux; Android 16; Pixel 9)"
_WINDOWS, _MAC = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
PHONES = (
    f"{_IPHONE} {_IOS} Version/19.0 Mobile/15E148 Safari/604.1",
    f"{_IPHONE} {_IOS} CriOS/140.0 Mobile/15E148 Safari/604.1",
    f"{_IPHONE} {_IOS} Mobile/15E148 [FBAN/FBIOS;FBAV/500.0]",
    f"{_DROID} {_KIT} Chrome/140.0 Mobile Safari/537.36",
    f"{_DROID} {_KIT} SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36",
    f"{_DROID} {_KIT} Version/4.0 Chrome/140.0 Mobile Safari/537.36 Instagram 390.0",
    f"Mozilla/5.0 (Linux; Android 9; CUBOT X19 Build/PPR1) {_KIT} Chrome/140.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
)
DESKS = (
    f"{_WINDOWS} {_KIT} Chrome/140.0 Safari/537.36",
    f"{_WINDOWS} {_KIT} Chrome/140.0 Safari/537.36 Edg/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    f"{_MAC} {_IOS} Version/19.0 Safari/605.1.15",
    f"{_MAC} {_KIT} Chrome/140.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80) Presto/2.12 Version/12.16",
)
PREVIEWS = (
    "WhatsApp/2.25.11.79 A", "WhatsApp/2.25.11.79 I", "facebookexternalhit/1.1", "TelegramBot (like TwitterBot)",
    f"{_MAC} {_IOS} Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Twitterbot/1.0", "LinkedInBot/1.0 (compatible)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Viber/24.0",
    f"{_WINDOWS} {_KIT} SkypeUriPreview Preview/0.5", "Snap URL Preview Service; bot; snapchat; https://developers.snap.com",
    "Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)", "Iframely/1.3.1 (+https://iframely.com/docs)",
)  # fmt: skip
TOOLS = (
    "curl/8.9.1", "Wget/1.24", "python-requests/2.32.3", "python-httpx/0.28", "Go-http-client/2.0", "Java/21.0.1",
    "okhttp/5.0", "axios/1.7", "node", "Ruby", "Apache-HttpClient/5.4", "", "PostmanRuntime/7.43",
    f"{_WINDOWS} {_KIT} HeadlessChrome/140.0 Safari/537.36", "Mozilla/5.0 (compatible; UptimeRobot/2.0)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Acme-Link-Checker/3.1",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
)  # fmt: skip
HOME, MOBILE, OFFICE, HOME6 = "198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24", "2001:db8:77::/48"
CLOUDS = ("100.20.1.0/24", "100.20.2.0/24", "100.20.3.0/24", "100.30.1.0/24")


@dataclass(frozen=True)
class Session:
    """What happened to one message; ``by_person`` says of each look whether a person made it."""

    name: str
    looks: tuple[Look, ...]
    by_person: tuple[bool, ...]

    @property
    def has_person(self) -> bool:
        return any(self.by_person)


def person(seconds: float, link: str = ACT, *, agent: str = PHONES[0], network: str = HOME, **more) -> tuple:
    return True, _look(seconds, link, agent, network, **more)


def program(seconds: float, link: str = ACT, *, agent: str = DESKS[0], network: str = CLOUDS[0], **more) -> tuple:
    return False, _look(seconds, link, agent, network, **more)


def _look(seconds: float, link: str, agent: str, network: str, **more) -> Look:
    return Look(at=DELIVERED + timedelta(seconds=seconds), link=link, agent=agent, network=network, **more)


def session(name: str, *visits: tuple) -> Session:
    return Session(name, tuple(look for _, look in visits), tuple(is_person for is_person, _ in visits))


def people() -> Iterator[Session]:
    """Sessions in which a person follows the link, alone or beside programs."""
    delays = (14, 35, 4 * MINUTE, 50 * MINUTE, 7 * HOUR, 2 * DAY, 9 * DAY)
    for place, agent in enumerate((*PHONES, *DESKS)):
        for delay in delays[place % 3 :: 3]:
            opened = person(delay, agent=agent), person(delay + 0.4, PAGE, agent=agent)
            yield session(f"a click after {delay} s", *opened)
    for place, agent in enumerate(PHONES):
        at = 20 * MINUTE + 977 * place
        yield session("taps twice", person(at, agent=agent), person(at + 0.3, agent=agent))
        moved = person(at + 1, PAGE, agent=agent, network=HOME6)
        yield session("by IPv4, then by IPv6", person(at, agent=agent, network=MOBILE), moved)
        again = person(at + DAY, agent=agent, network=MOBILE)
        yield session("comes again the next day from elsewhere", person(at, agent=agent), again)
    for place, agent in enumerate(DESKS):
        at = HOUR + 1013 * place
        beside = person(at + 25, OUT, agent=agent), person(at + 70, CHOICES, agent=agent)
        yield session("looks at everything, at a person's pace", person(at, agent=agent), *beside)
        other = person(at + 6 * MINUTE, agent=PHONES[place])
        yield session("a household: two devices, minutes apart", person(at, agent=agent), other)
        told = person(at, agent=agent, method="")
        yield session("seen by us and told by the vendor", person(at + 0.8, agent=agent), told)
    yield from _people_beside_programs()
    yield from _people_not_recognised()


def _people_beside_programs() -> Iterator[Session]:
    for place, agent in enumerate(PHONES):
        scan = [program(1 + n, link) for n, link in enumerate(EVERY)]
        yield session("a gateway at delivery, the person later", *scan, person(MINUTE + 600 * place, agent=agent))
        card = program(3 * MINUTE, agent=PREVIEWS[place], network=CLOUDS[1])
        yield session("a card is drawn, then tapped", card, person(3 * MINUTE + 4, agent=agent, network=MOBILE))
        picture = program(2, Link.PICTURE, agent="Mozilla/5.0", is_open=True, is_told=True)
        yield session("the provider loads the pictures first", picture, person(9 * MINUTE, agent=agent))
    for place, agent in enumerate(DESKS):
        early = program(5 * HOUR, agent=agent, network=HOME, is_prefetch=True)
        yield session("the browser was ahead of the person", early, person(5 * HOUR + 8, agent=agent))
        head = program(HOUR * place + 40, method="HEAD", agent=agent, network=CLOUDS[2])
        yield session("a HEAD before the click", head, person(HOUR * place + 45, agent=agent, network=OFFICE))


def _people_not_recognised() -> Iterator[Session]:
    """People who do what programs do: the price of never taking a program for one."""
    yield session("a text is read and tapped within seconds", person(6))
    yield session("two of a household within a minute", person(HOUR), person(HOUR + 20, agent=PHONES[3]))
    yield session("the exit changes within a page", person(HOUR), person(HOUR + 1, PAGE, network="198.51.7.0/24"))
    yield session("a text browser", person(HOUR, agent="Lynx/2.9.2 libwww-FM/2.14"))
    scan = [program(10 * MINUTE + n, link) for n, link in enumerate(EVERY)]
    yield session("the click is what starts the scan", person(10 * MINUTE - 2, network=OFFICE), *scan)


def programs() -> Iterator[Session]:
    """Sessions without any person."""
    for place, agent in enumerate((*DESKS[:6], *PHONES[:2])):
        cloud = CLOUDS[place % 4]
        for start in (-20, 0.5, 25, 40 * MINUTE):
            every = [program(start + 0.9 * n, link, agent=agent, network=cloud) for n, link in enumerate(EVERY)]
            yield session(f"a gateway opens every link, {start} s after delivery", *every)
        slow = [program(90 + 17 * n, link, agent=agent, network=cloud) for n, link in enumerate(EVERY)]
        yield session("a gateway that takes its time", *slow)
        spread = [program(30 + n, link, agent=agent, network=CLOUDS[n]) for n, link in enumerate(EVERY)]
        yield session("a gateway with many exits", *spread)
        for delay in (-3, 0.2, 4, 9):
            yield session("a cloud gateway in the instant of delivery", program(delay, agent=agent, network=cloud))
        farm = [program(45 + 6 * n, agent=agent, network=CLOUDS[n]) for n in range(3)]
        yield session("one link from three exits", *farm)
        sandboxes = [program(80 + 9 * n, agent=DESKS[(place + n) % 8], network=cloud) for n in range(3)]
        yield session("one link in three sandboxes", *sandboxes)
        text = program(5, agent=agent, network=cloud), program(5.3, PAGE, agent=agent, network=cloud)
        yield session("a filter of texts", *text)
        visible = [program(HOUR + 2 * n, link, agent=agent, network=cloud) for n, link in enumerate(EVERY[:3])]
        yield session("at opening time, what can be seen only", *visible)
    for kinds in (PREVIEWS, TOOLS):
        for place, agent in enumerate(kinds):
            at = (2, 5 * MINUTE, 3 * HOUR)[place % 3]
            drawn = program(at, agent=agent), program(at + 0.3, PAGE, agent=agent)
            yield session(f"{agent or 'no agent'}, {at} s after delivery", *drawn)
    for agent in (*PHONES[:4], *DESKS[:4]):
        early = program(2 * HOUR, agent=agent, network=HOME, is_prefetch=True)
        yield session("a browser ahead of somebody who never came", early)
        yield session("asks for the head only", program(HOUR, agent=agent, method="HEAD"))
    yield from _named_gateways()
    yield from _pictures()


def _named_gateways() -> Iterator[Session]:
    named = ("BarracudaCentral/1.0", "Mimecast-URL-Protect/2", "Proofpoint-URLDefense", "Symantec Web Isolation",
             "Mozilla/5.0 (compatible; Cloudmark)", "Trend Micro WTP", "Sophos TOC")  # fmt: skip
    for place, agent in enumerate(named):
        yield session(f"{agent} asks once", program(HOUR * (place + 1), agent=agent))
        told = [program(15 + n, link, agent=agent, method="") for n, link in enumerate(EVERY)]
        yield session(f"{agent}, as the vendor tells it", *told)


def _pictures() -> Iterator[Session]:
    loaders = ("Mozilla/5.0", "YahooMailProxy; https://help.yahoo.com/kb/x.html", DESKS[3],
               "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)")  # fmt: skip
    for agent in loaders:
        for delay in (1, 30 * MINUTE):
            yield session("pictures are loaded", program(delay, Link.PICTURE, agent=agent, is_open=True))
        yield session("and the vendor knows", program(9, Link.PICTURE, agent=agent, is_open=True, is_told=True))


def beyond() -> Iterator[Session]:
    """Programs that do one thing like a person: nothing that is kept tells them from one."""
    for agent in DESKS[:3]:
        yield session("one visible link, a minute later, in a browser", program(70, agent=agent))
    yield session("a sandbox on the person's own line", program(HOUR, agent=DESKS[0], network=HOME))
