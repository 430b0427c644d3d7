"""Going live, by the command line: credentials, a confirmed count on the first night, a list for staging."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from fake_vendor_process import fake_vendors
from night_world import DAY, Shop, moment
from sqlalchemy import update

from winback.ledger.message_tables import messages

LIVE = {
    "live": True,
    "channels": {
        "email": {"provider": "sendgrid", "from": "Acme <hello@acme.example>"},
        "sms": {"provider": "twilio", "from": "+33639980001"},
    },
}
NEXT, LATER = DAY + timedelta(days=1), DAY + timedelta(days=10)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("made") / "shop")
    shop.do("run", "--as-of", DAY)  # of the past: planned only, and everything is read
    return shop


@pytest.fixture
def vendors(tmp_path):
    with fake_vendors(tmp_path) as running:
        yield running


@pytest.fixture
def shop(made, tmp_path, vendors) -> Shop:
    shop = made.copy(tmp_path / "shop")
    shop.environment |= vendors.environment
    shop.configure(**LIVE)
    return shop


def on(day):
    """The clock of a day: what is live goes out at the hour it really is."""
    return time_machine.travel(datetime.combine(day, time(10), tzinfo=UTC), tick=True)


def live_night(shop, day, *arguments, code=0):
    with on(day):
        return shop.night(day, *arguments, code=code)


def sends_of(shop, day=DAY) -> int:
    return shop.do("--json", "plan", "--as-of", day, "--out", shop.root / "plan.json").data["decisions"]["send"]


def test_the_first_live_night_wants_its_count_and_the_next_one_does_not(shop, vendors):
    sends = sends_of(shop)
    said = live_night(shop, DAY, code=3)["error"]
    assert f"first live night of this ledger: {sends} messages would reach people" in said
    assert f"winback run --as-of {DAY} --confirm-count {sends}" in said
    assert f"not the {sends + 1} you expected" in live_night(shop, DAY, "--confirm-count", sends + 1, code=3)["error"]
    assert (shop.messages(), vendors.accepted().rows) == ([], ())
    report = live_night(shop, DAY, "--confirm-count", sends)
    assert report["new_messages"] == sends
    assert sum(vendors.accepted().counts().values()) == report["messages"]["accepted"] > 0
    assert live_night(shop, DAY)["new_messages"] == 0
    shop.freshen(NEXT)
    assert live_night(shop, NEXT, code=None)["as_of"] == str(NEXT)


def test_whoever_refused_at_the_vendor_is_not_written_to_in_the_same_night(shop, vendors):
    everybody = [f"person{number}@mail.example" for number in range(1000)]
    vendors.set_suppressions("unsubscribes", everybody)
    report = live_night(shop, DAY, "--confirm-count", sends_of(shop))
    assert report["notes"] == []
    # A no to mail is none to texts.
    assert {(row["channel"], row["state"]) for row in shop.messages()} == {("email", "suppressed"), ("sms", "accepted")}
    assert {row.vendor for row in vendors.accepted().rows} == {"twilio"}
    vendors.set_scopes("mail.send")
    with on(DAY):
        said = shop.do("--json", "settle").data["lists"]["warnings"]
    assert len(said) == 5
    assert "does not let this key read its list of bounces (403)" in said[0]
    assert said[0] in shop.do("settle").out.decode() + shop.do("settle").err


def test_a_plan_that_is_applied_wants_its_count_too(shop, vendors):
    with on(DAY):
        sends, plan = sends_of(shop), shop.root / "plan.json"
        said = shop.do("--json", "apply", plan, code=3).data["error"]
        assert f"winback apply {plan} --confirm-count {sends}" in said
        assert vendors.accepted().rows == ()
        shop.do("apply", plan, "--confirm-count", sends)
        assert vendors.accepted().rows


def test_a_live_night_of_long_ago_reaches_nobody(shop, vendors):
    """Its hours are over: what was due in the morning of that day would arrive in the middle of some night."""
    report = shop.night(DAY, "--confirm-count", sends_of(shop))
    assert report["messages"] == {"expired": report["new_messages"]}
    assert vendors.accepted().rows == ()


def test_nights_before_the_switch_count_for_nothing_and_what_they_left_reaches_nobody(shop, vendors):
    shop.configure(live=False)
    live_night(shop, DAY)
    with shop.open_ledger() as (ledger, _), ledger.writing() as connection:
        later = {"state": "planned", "planned_at": moment(LATER), "expires_at": moment(LATER) + timedelta(days=1)}
        left = connection.execute(update(messages).values(**later)).rowcount
    assert left > 0
    shop.configure(live=True)
    shop.freshen(LATER)
    shop.do("run", "--as-of", LATER)  # of the past: planned only
    sends = sends_of(shop, LATER)
    assert sends > 0
    assert "first live night" in live_night(shop, LATER, code=3)["error"]
    live_night(shop, LATER, "--confirm-count", sends)
    assert sum(vendors.accepted().counts().values()) <= sends
    gone = {row["message_id"] for row in shop.messages("--as-of", DAY)}
    assert gone.isdisjoint(vendors.accepted().counts())
    assert {row["state"] for row in shop.messages("--as-of", DAY)} == {"expired"}


@pytest.mark.parametrize("variable", ["SENDGRID_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"])
@pytest.mark.parametrize("command", ["run", "apply", "deliver"])
def test_a_missing_credential_is_named_before_anything_is_queued(shop, vendors, variable, command):
    sends = sends_of(shop)
    kept = [value for name, value in shop.environment.items() if name != "WINBACK_PEPPER" and "URL" not in name]
    shop.environment[variable] = ""
    line = {
        "run": ["run", "--as-of", DAY, "--allow-backdated", "--confirm-count", sends],
        "apply": ["apply", shop.root / "plan.json", "--allow-backdated", "--confirm-count", sends],
        "deliver": ["deliver"],
    }[command]
    answered = shop.do("--json", *line, code=2)
    assert f"{variable}: is not set: live sending needs it" in answered.data["error"]
    assert not [value for value in kept if value in answered.err + answered.out.decode()]
    assert (shop.messages(), vendors.accepted().rows) == ([], ())


def test_a_list_for_staging_keeps_everybody_else_out(shop, vendors):
    shop.configure(only_to=["C001@Example.com", "@staging.example"])
    sends = sends_of(shop)
    live_night(shop, DAY, "--confirm-count", sends)
    assert {one for found in vendors.accepted().recipients().values() for one in found} <= {"c001@example.com"}
    assert {row["reason"] for row in stored(shop) if row["state"] == "cancelled"} == {"not_on_the_list"}


def stored(shop) -> list[dict]:
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        return [dict(row) for row in connection.execute(messages.select()).mappings()]


def ways_out(shop) -> dict[str, tuple[bool, str]]:
    found = shop.do("--json", "doctor", code=None).data["checks"]
    return {one["name"]: (one["ok"], one["detail"]) for one in found if one["name"].startswith("channel ")}


@pytest.mark.parametrize(
    ("url", "is_fine", "said"),
    [
        ("http://127.0.0.1:8400", False, "is this machine"),
        ("http://go.acme.example", False, "is not https"),
        ("https://go.acme.example", True, "https://go.acme.example"),
    ],
)
def test_the_doctor_looks_at_the_address_people_see_once_it_is_live(shop, vendors, url, is_fine, said):
    business = {"name": "Acme", "timezone": "Europe/Paris", "country": "FR", "postal_address": "1 rue X, Paris"}
    shop.configure(business=business | {"public_base_url": url})
    found = {one["name"]: one for one in shop.do("--json", "doctor", code=None).data["checks"]}
    assert (found["public address"]["ok"], said in found["public address"]["detail"]) == (is_fine, True)
    assert found["names"] == {"name": "names", "ok": True, "detail": "127.0.0.1 found"}, vendors.base_url
    shop.configure(live=False)
    found = {one["name"]: one["ok"] for one in shop.do("--json", "doctor", code=None).data["checks"]}
    assert found["public address"]


def test_the_doctor_says_where_each_channel_leads_and_never_a_value(shop, vendors):
    shop.configure(only_to=["@staging.example"])
    base = vendors.base_url
    account = "TWILIO_ACCOUNT_SID is set; TWILIO_AUTH_TOKEN is set; TWILIO_MESSAGING_SERVICE_SID is set"
    listed = "only_to with 1 entries in force"
    assert ways_out(shop) == {
        "channel email": (True, f"sendgrid, live; SENDGRID_API_KEY is set; to {base}; {listed}"),
        "channel sms": (True, f"twilio, live; {account}; to {base}; {listed}"),
    }
    shop.configure(only_to=[])
    with_a_key = "http://user:word@vendor.example"  # pragma: allowlist secret
    shop.environment |= {"SENDGRID_API_KEY": "", "TWILIO_BASE_URL": with_a_key}
    email, sms = ways_out(shop).values()
    assert email == (False, "the environment: SENDGRID_API_KEY: is not set: live sending needs it")
    assert sms == (False, "the environment: TWILIO_BASE_URL: may hold a host and a path only")
    shop.configure(live=False)
    is_well, words = ways_out(shop)["channel email"]
    assert is_well
    assert words.startswith("sendgrid, local: everything goes to var/outbox; SENDGRID_API_KEY is not set")
