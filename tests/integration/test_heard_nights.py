"""What reaches us between two nights, and what the next one makes of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import web_world
from night_world import DAY, Shop, moment
from segment_world import HOOK, SHARED, SOURCE, sign, track
from test_vendor_hooks import AUTH, TEXTS, signed_form

from winback.ledger import queue
from winback.web.public_app import make_public_app

NEXT = DAY + timedelta(days=1)
LATER = DAY + timedelta(days=12)
PUBLIC = "http://127.0.0.1:8400"


@pytest.fixture(scope="module")
def first_night(tmp_path_factory) -> Shop:
    """A shop after a night, with a webhook that has told of one purchase so far."""
    keys = {"WINBACK_SEGMENT_SECRET": SHARED, "TWILIO_AUTH_TOKEN": AUTH}
    shop = Shop(tmp_path_factory.mktemp("first") / "shop", environment=keys)
    shop.config["sources"]["events"].append(SOURCE)
    shop.configure()
    assert shop.do("--json", "check").data["ok"]
    shop.do("db", "upgrade")
    said(shop, told("c000", DAY - timedelta(days=1)), at=moment(DAY, 1))
    shop.night()
    shop.freshen(NEXT)
    return shop


@pytest.fixture
def shop(first_night, tmp_path) -> Shop:
    return first_night.copy(tmp_path / "shop")


def told(customer: str, day, hour: int = 21, **changes: object) -> dict:
    at = moment(day, hour).isoformat()
    return track(**{"userId": customer, "timestamp": at, "messageId": f"{customer}-{at}", **changes})


def call(shop, path: str, body: bytes, headers: dict, *, at) -> None:
    with shop.open_ledger() as (ledger, _):
        app = make_public_app(shop.project, ledger, clock=web_world.Clock(at))
        answer = web_world.Browser(app, "192.0.2.1", {}).post(path, content=body, headers=headers)
    assert answer.status_code < 300, answer.text


def said(shop, *calls: dict, at) -> None:
    body = json.dumps(calls).encode()
    call(shop, HOOK, body, {"X-Signature": sign(body)}, at=at)


def sent_to(shop, *, with_phone: bool = False) -> list[str]:
    """Who got a message of the first night."""
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        rows = queue.list_messages(connection)
    found = {row["customer_id"] for row in rows if (row["programme"], row["state"]) == ("winback", "accepted")}
    return sorted(one for one in found if not with_phone or int(one[1:]) % 3)


def sources(shop, day) -> dict[str, dict]:
    return {one["name"]: one for one in shop.do("--json", "sync", "--as-of", day).data["sources"]}


def test_a_purchase_segment_tells_of_is_an_event_of_the_next_night(shop):
    one, other = sent_to(shop)[:2]
    said(shop, told(one, DAY, properties={"revenue": 12}), at=moment(DAY, 21))
    shop.night(NEXT)
    decided = shop.decided(NEXT)
    assert decided[one]["reason"] == "returned"
    assert decided[other]["reason"] == "between_steps"
    shop.freshen(NEXT + timedelta(days=1))
    said(shop, told("c000", NEXT), at=moment(NEXT, 21))
    shop.night(NEXT + timedelta(days=1))
    after = shop.decided(NEXT + timedelta(days=1))[one]
    assert (after["reason"], after["behaviour"], after["silence_days"]) == ("active", "purchase", 2)


def test_what_was_heard_is_a_source_like_any_other(shop):
    bad = [told("c004", DAY, timestamp="never"), told("null", DAY), told("c002", DAY, properties={"total": "inf"})]
    said(shop, told("c001", DAY), told("stranger", DAY), *bad, at=moment(DAY, 22))
    found = sources(shop, NEXT)["app"]
    assert (found["read"], found["new"], found["quarantined"], found["held"]) == (6, 2, 3, None)
    assert found["rules"] == dict.fromkeys(("timestamp_unparsable", "customer_id_placeholder", "amount_not_finite"), 1)
    assert found["max_occurred_at"] == moment(DAY, 21).isoformat()
    # What came shortly before the last reading is read again and counts once.
    said(shop, told("c003", DAY), at=moment(DAY, 22) + timedelta(minutes=2))
    assert (sources(shop, NEXT)["app"]["new"], sources(shop, NEXT)["app"]["held"]) == (1, None)


def test_a_webhook_that_falls_silent_holds_what_rests_on_it(shop):
    later = DAY + timedelta(days=3)
    shop.freshen(later)
    assert sources_held(shop.do("--json", "sync", "--as-of", later, code=4).data)["app"] == "stale"
    accepted = shop.do("--json", "sync", "--as-of", later, "--accept", f"stale:app:{later}").data
    assert sources_held(accepted)["app"] is None


def test_a_webhook_nobody_called_yet_is_an_empty_feed(tmp_path):
    shop = Shop(tmp_path / "shop", customers=30)
    shop.config["sources"]["events"].append(SOURCE)
    shop.configure()
    assert sources_held(shop.do("--json", "sync", "--as-of", DAY, code=None).data)["app"] == "empty"
    assert "WINBACK_SEGMENT_SECRET is not set" in shop.do("doctor", code=1).err


def sources_held(synced: dict) -> dict[str, str | None]:
    return {one["name"]: one["held"] for one in synced["sources"]}


def test_the_next_nights_wait_for_whoever_wrote_what_may_mean_stop(shop):
    one = sent_to(shop, with_phone=True)[0]
    form = {"MessageSid": "SM1", "From": f"+3361234{int(one[1:]):04d}", "Body": "stop by tomorrow?"}
    body, headers = signed_form(form, "", PUBLIC + TEXTS)
    call(shop, TEXTS, body, headers, at=moment(DAY, 21))
    day = LATER
    shop.freshen(day)
    said(shop, told("c000", day - timedelta(days=1)), at=moment(day, 1))
    shop.night(day)
    decided = shop.decided(day)[one]
    assert (decided["action"], decided["reason"]) == ("hold", "under_review")
    explained = shop.do("--json", "explain", one, "--as-of", day).data
    assert "stop" in explained["sentence"]
    [waiting] = shop.do("--json", "review").data["reviews"]
    assert waiting["customer_id"] == one
    shop.do("review", waiting["number"], "--settle", "keep")
    day += timedelta(days=1)
    shop.freshen(day)
    said(shop, told("c000", day - timedelta(days=1)), at=moment(day, 1))
    shop.night(day)
    assert shop.decided(day)[one]["reason"] in {"due", "control"}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({**SOURCE, "events": {}}, "a source of kind segment needs events"),
        ({**SOURCE, "path": "x.csv"}, "takes no path"),
        ({**SOURCE, "behaviour": "visit"}, "takes no path, query, columns, behaviour"),
        ({"name": "more", "kind": "csv", "path": "x.csv", "events": {"A": "visit"}}, "no other has them"),
        ({**SOURCE, "events": {"A": "Not a name"}}, "events.A"),
    ],
)
def test_a_source_that_is_not_sound_is_named(tmp_path, source, fault):
    shop = Shop(tmp_path / "shop", customers=20)
    shop.config["sources"]["events"].append(source)
    shop.configure()
    assert fault in shop.do("check", code=2).err


def test_people_come_from_no_webhook_and_there_is_one(tmp_path):
    shop = Shop(tmp_path / "shop", customers=20)
    shop.config["sources"]["events"] += [SOURCE, {**SOURCE, "name": "again"}]
    shop.configure()
    assert "there is one webhook for Segment" in shop.do("check", code=2).err
    shop.config["sources"]["events"] = shop.config["sources"]["events"][:2]
    shop.config["sources"]["contacts"] = {"kind": "segment"}
    shop.configure()
    assert "brings events only" in shop.do("check", code=2).err
