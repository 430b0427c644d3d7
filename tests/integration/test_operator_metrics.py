"""What Prometheus reads: numbers that agree with the ledger, nothing about anybody, and no page besides."""

from datetime import timedelta

import operator_world
import pytest
import web_world
from night_world import DAY, Shop, moment

from winback.ledger.settlements import note_settled, settled_at
from winback.night.pepper import open_project_ledger
from winback.web.metrics_page import Metric, exposition
from winback.web.operator_sessions import metrics_token
from winback.web.public_app import make_public_app
from winback.web.request_counts import RequestCounts


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("measured") / "shop")
    shop.night()
    shop.do("suppress", "c001", "--channel", "email")
    return shop


@pytest.fixture
def pages(shop):
    with open_project_ledger(shop.project) as ledger:
        yield operator_world.OperatorPages(shop.project, ledger, clock=operator_world.Clock(moment(DAY, 20)))


def bearer(pages) -> dict[str, str]:
    return {"authorization": f"Bearer {metrics_token(pages.project).decode()}"}


def scrape(asking, **options) -> dict[str, float]:
    """What was scraped: samples by name and labels."""
    lines = asking.get("/metrics", **options).text.splitlines()
    return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines if one[0] != "#")}


def test_the_numbers_are_the_ledgers(shop, pages):
    found = scrape(pages.stranger(), headers=bearer(pages))
    messages = shop.messages()
    for state, channel in {(one["state"], one["channel"]) for one in messages}:
        count = sum((one["state"], one["channel"]) == (state, channel) for one in messages)
        assert found[f'winback_messages{{channel="{channel}",state="{state}"}}'] == count
    actions = [row["action"] for row in shop.decided().values()]
    assert found['winback_decisions{action="send"}'] == actions.count("send")
    assert found['winback_suppressions{reason="opted_out",channel="email"}'] >= 1
    assert found['winback_unknown_messages{age="under_1_hour"}'] == 0
    assert (found["winback_sent_twice"], found["winback_sent_after_opt_out"], found["winback_stopped"]) == (0, 0, 0)
    assert found["winback_last_night_timestamp_seconds"] >= moment(DAY).timestamp()
    assert found["winback_last_settle_timestamp_seconds"] >= moment(DAY, 0).timestamp()


def test_the_button_and_what_is_due_are_seen(tmp_path):
    public = web_world.make_pages(tmp_path, "c1", "c2")
    pages = operator_world.OperatorPages(public.project, public.ledger, clock=public.clock)
    asking = pages.operator()
    assert scrape(asking)["winback_due_messages"] == 2
    asking.post("/stop", {"reason": "a test"})
    assert scrape(asking)["winback_stopped"] == 1
    public.ledger.close()


def test_nothing_is_about_anybody(shop, pages):
    text = pages.stranger().get("/metrics", headers=bearer(pages)).text
    assert (
        pages.stranger()
        .get("/metrics", headers=bearer(pages))
        .headers["content-type"]
        .startswith("text/plain; version")
    )
    for person in ("c001", "Person1", "mail.example", "+33"):
        assert person not in text
    assert shop.messages()[0]["message_id"] not in text


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x"])
def test_a_stranger_measures_nothing(pages, header):
    token = metrics_token(pages.project).decode()
    headers = {"authorization": header.format(token)} if header else {}
    assert pages.stranger().get("/metrics", headers=headers).status_code == 303


def test_the_metrics_token_opens_no_page(pages):
    for path in ("/", "/explain/c001", "/suppressions", "/plans"):
        assert pages.stranger().get(path, headers=bearer(pages)).status_code == 303
    token = metrics_token(pages.project).decode()
    assert pages.stranger().send("/log-in", {"token": token, "name": "Eve"}).status_code == 403
    assert pages.stranger().send("/stop", {}, **bearer(pages)).status_code == 403


def test_requests_of_both_apps_are_counted_by_route(pages):
    counts = RequestCounts()
    clock = operator_world.Clock(moment(DAY, 20))
    mine = operator_world.OperatorPages(pages.project, pages.ledger, clock=clock, counts=counts)
    public = counts.watch(make_public_app(pages.project, pages.ledger, clock=clock), name="public")
    visitor = operator_world.Operator(public)
    for path in ("/healthz", "/u/secret-token", "/l/other", "/nothing"):
        visitor.get(path)
    found = scrape(mine.operator())
    asked = {name: count for name, count in found.items() if name.startswith("winback_web_requests_total")}
    label = 'winback_web_requests_total{{app="public",route="{}",status="{}"}}'
    assert asked[label.format("/healthz", 200)] == 1
    assert asked[label.format("/u/{token}", 404)] == 1
    assert asked[label.format("an unknown route", 404)] == 1
    assert not any("secret" in name for name in asked)


def test_labels_are_escaped_and_instants_are_whole():
    odd = Metric("m", "gauge", "Told.", ("name",), [(('a"b\\c\nd',), 1_234_567)])
    at = Metric("t", "gauge", "Told.", (), [((), 1773129600.25)])
    assert exposition([odd, at]).splitlines() == [
        "# HELP m Told.",
        "# TYPE m gauge",
        'm{name="a\\"b\\\\c\\nd"} 1234567',
        "# HELP t Told.",
        "# TYPE t gauge",
        "t 1773129600.25",
    ]


def test_a_settlement_of_a_past_night_takes_nothing_back(ledger):
    now = moment(DAY)
    with ledger.writing() as connection:
        assert settled_at(connection) is None
        for at in (now, now - timedelta(days=3)):
            note_settled(connection, now=at)
        assert settled_at(connection) == now
        note_settled(connection, now=now + timedelta(seconds=1))
        assert settled_at(connection) == now + timedelta(seconds=1)
