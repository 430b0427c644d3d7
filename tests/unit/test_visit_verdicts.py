"""Human or machine: each rule alone, at its edges, and what no rule may do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from winback.core.visit_verdicts import Link, Look, judge, version_of
from winback.core.visitor_agents import load_visitor_agents
from winback.errors import ConfigError

TABLE = Path(__file__).parents[2] / "data" / "rules" / "visitor_agents.yaml"
AGENTS = load_visitor_agents(TABLE.read_text(encoding="utf-8"), file="rules/visitor_agents.yaml")
SENT = datetime(2026, 3, 10, 9, tzinfo=UTC)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1"
DESK = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IMESSAGE = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) {KIT} Safari/601 facebookexternalhit/1.1 Twitterbot/1.0"
HOME, WORK = "198.51.100.0/24", "203.0.113.0/24"


def look(seconds: float = 3600, link: str = Link.ACT, **changes) -> Look:
    made = Look(at=SENT + timedelta(seconds=seconds), link=link, agent=PHONE, network=HOME)
    return made._replace(**changes)


def verdicts(*looks: Look, delivered_at: datetime | None = SENT) -> list[tuple[str, str]]:
    return [(said.who.value, said.why.value) for said in judge(looks, delivered_at=delivered_at, agents=AGENTS)]


def test_a_browser_that_does_nothing_odd_is_a_person():
    assert verdicts(look(), look(3601, Link.LANDING)) == [("human", "browser")] * 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"method": "HEAD"}, "head"), ({"is_prefetch": True}, "prefetch"), ({"link": Link.UNSEEN}, "hidden_link"),
        ({"is_told": True}, "told_by_vendor"), ({"agent": ""}, "no_agent"), ({"agent": "  "}, "no_agent"),
    ],
)  # fmt: skip
def test_what_shows_a_program_by_one_visit(changes, why):
    assert verdicts(look(**changes)) == [("machine", why)]


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ("WhatsApp/2.25.1 A", "preview"), ("facebookexternalhit/1.1;line-poker/1.0", "preview"),
        (IMESSAGE, "preview"), ("TelegramBot (like TwitterBot)", "preview"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "preview"),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "preview"),
        ("Mozilla/5.0", "proxy"), ("YahooMailProxy; https://help.yahoo.com/kb/x.html", "proxy"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "proxy"),
        ("curl/8.9.1", "tool"), ("python-requests/2.32", "tool"), ("Go-http-client/2.0", "tool"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {KIT} HeadlessChrome/140.0 Safari/537.36", "tool"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "crawler"),
        ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", "crawler"), ("BarracudaCentral", "scanner"),
    ],
)  # fmt: skip
def test_known_programs_are_known(agent, why):
    assert verdicts(look(agent=agent)) == [("machine", why)]


@pytest.mark.parametrize(
    "agent",
    [
        f"Mozilla/5.0 (Linux; Android 9; CUBOT X19 Build/PPR1) {KIT} Chrome/140.0 Mobile Safari/537.36",
        f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {KIT} Version/4.0 Chrome/140.0 Mobile Instagram 390.0",
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) {KIT} Mobile/15E148 [FBAN/FBIOS;FBAV/500.0]",
        "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
        "Opera/9.80 (Android; Opera Mini/12.0) Presto/2.12",
    ],
)  # fmt: skip
def test_what_people_hold_in_their_hands_is_no_program(agent):
    assert verdicts(look(agent=agent)) == [("human", "browser")]


@pytest.mark.parametrize("agent", ["Acme/1.0", "Mozilla/5.0 (X11)", "Mozilla", "AppleWebKit/605.1.15", "x" * 200])
def test_what_is_neither_known_nor_a_browser_is_no_person(agent):
    assert verdicts(look(agent=agent)) == [("unknown", "no_browser")]


def test_near_the_hidden_link_nobody_is_believed():
    at = [3589.9, 3590, 3600, 3610, 3610.1]
    found = verdicts(*(look(second) for second in at), look(3600, Link.UNSEEN, agent=DESK, network=WORK))
    assert [why for _, why in found] == ["browser", *["near_hidden_link"] * 3, "browser", "hidden_link"]


def test_who_followed_the_hidden_link_is_a_program_all_day():
    day = 24 * 3600
    hidden = look(2 * day, Link.UNSEEN)
    same = [look(day - 1), look(day), look(3 * day), look(3 * day + 1)]
    assert [why for _, why in verdicts(*same, hidden)] == [
        "browser", "near_hidden_link", "near_hidden_link", "browser", "hidden_link",
    ]  # fmt: skip
    for changes in ({"agent": DESK}, {"network": WORK}):
        assert verdicts(look(day, **changes), hidden)[0] == ("human", "browser")
    unnamed = look(2 * day, Link.UNSEEN, network="")
    assert verdicts(look(day, network=""), unnamed)[0] == ("human", "browser")


def test_three_links_within_ten_seconds_are_a_program_wherever_it_began():
    three = look(3600), look(3605, Link.UNSUBSCRIBE), look(3610, Link.PREFERENCES)
    assert verdicts(*three) == [("machine", "many_links")] * 3
    slower = look(3600), look(3605, Link.UNSUBSCRIBE), look(3610.1, Link.PREFERENCES)
    assert verdicts(*slower) == [("human", "browser")] * 3
    later = look(3600), look(3605, Link.UNSUBSCRIBE), look(3610, "other-1"), look(3640)
    assert [why for _, why in verdicts(*later)] == [*["many_links"] * 3, "browser"]


def test_the_short_link_and_its_page_are_one_link():
    assert verdicts(look(3600), look(3601, Link.LANDING), look(3604, Link.UNSUBSCRIBE)) == [("human", "browser")] * 3


def test_nobody_reads_within_ten_seconds_of_the_delivery_or_before_it():
    assert [why for _, why in verdicts(look(-60), look(0), look(9.9))] == ["too_soon"] * 3
    assert verdicts(look(10)) == [("human", "browser")]
    assert verdicts(look(1), delivered_at=None) == [("human", "browser")]


def test_two_visitors_on_one_link_within_a_minute_are_not_told_apart():
    assert verdicts(look(3600), look(3660, agent=DESK)) == [("unknown", "two_visitors")] * 2
    assert verdicts(look(3600), look(3660, network=WORK)) == [("unknown", "two_visitors")] * 2
    assert verdicts(look(3600), look(3660.1, agent=DESK)) == [("human", "browser")] * 2
    assert verdicts(look(3600), look(3630, Link.UNSUBSCRIBE, agent=DESK)) == [("human", "browser")] * 2


def test_a_telephone_with_two_kinds_of_address_is_one_visitor():
    assert verdicts(look(3600), look(3601, Link.LANDING, network="2001:db8::/48")) == [("human", "browser")] * 2
    assert verdicts(look(3600), look(3601, network="")) == [("human", "browser")] * 2


def test_a_preview_beside_a_person_does_not_make_the_person_doubtful():
    found = verdicts(look(3600, agent="WhatsApp/2.25", network=WORK), look(3605))
    assert found == [("machine", "preview"), ("human", "browser")]


def test_an_open_proves_nothing_and_speaks_against_nobody():
    found = verdicts(look(2, Link.PICTURE, is_open=True, agent=DESK), look(20, agent=PHONE))
    assert found == [("unknown", "open"), ("human", "browser")]
    quick = verdicts(look(3600, Link.PICTURE, is_open=True), look(3602), look(3605, Link.UNSUBSCRIBE))
    assert quick[1:] == [("human", "browser")] * 2
    assert verdicts(look(2, Link.PICTURE, is_open=True, agent="Mozilla/5.0")) == [("machine", "proxy")]
    assert verdicts(look(2, Link.PICTURE, is_open=True, is_told=True)) == [("machine", "told_by_vendor")]


def test_a_click_told_by_the_vendor_and_seen_on_our_page_is_one_person():
    assert verdicts(look(3600), look(3600, method=""), look(3601, Link.LANDING)) == [("human", "browser")] * 3


def test_the_order_in_which_visits_are_known_changes_nothing():
    dice = random.Random(7)
    links = [Link.ACT, Link.LANDING, Link.UNSUBSCRIBE, Link.PREFERENCES, Link.UNSEEN]
    for _ in range(50):
        looks = [
            look(dice.choice([5, 30, 31, 60]) + place / 1000, dice.choice(links), agent=dice.choice([PHONE, DESK]))
            for place in range(8)
        ]
        said = dict(zip(looks, verdicts(*looks), strict=True))
        dice.shuffle(looks)
        assert dict(zip(looks, verdicts(*looks), strict=True)) == said


def test_nothing_to_judge_gives_no_verdict():
    assert verdicts() == []


def test_the_version_changes_with_the_table():
    changed = load_visitor_agents(
        TABLE.read_text(encoding="utf-8") + '  - {holds: "new", kind: tool, source: "x"}\n', file="x"
    )
    assert version_of(AGENTS) != version_of(changed)
    assert version_of(AGENTS).startswith("1.")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{holds: "a", begins: "b", kind: tool, source: "x"}', "exactly one"),
        ('{kind: tool, source: "x"}', "exactly one"),
        ('{holds: "A", kind: tool, source: "x"}', "pattern"),
        ('{holds: "a", kind: tool}', "source"),
        ('{holds: "a", kind: person, source: "x"}', "kind"),
    ],
)
def test_a_row_without_a_place_a_kind_or_a_source_is_a_fault(row, fault):
    text = f"version: 1\nchecked_on: 2026-11-22\nagents:\n  - {row}\n"
    with pytest.raises(ConfigError, match=fault):
        load_visitor_agents(text, file="rules/visitor_agents.yaml")
