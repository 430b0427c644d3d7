"""A night of the simulated shop on all three channels, to the fake vendors, down to the fixed point.

The night begins at four in the morning, when no text may arrive: those stay planned with the hour at which they may,
and the deliveries of the day send them. The clock is an argument throughout, so the hour of the real day plays no part.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
import yaml
from fake_vendor_process import fake_vendors
from night_world import winback

from winback.night.deliver import deliver
from winback.night.pepper import open_project_ledger
from winback.night.run import make_plan, run, sync_sources
from winback.night.settle import settle
from winback.sample.scaffold import scaffold
from winback.settings import load_project

CUSTOMERS = 2000
DAY = date(2026, 3, 10)
NIGHT = datetime(2026, 3, 10, 3, 30, tzinfo=UTC)
DELIVERIES = [NIGHT + timedelta(hours=hours) for hours in (7, 13, 16, 20)]
"""Half past eleven in Paris; half past ten in Arizona, half past nine in Hawaii; and the end of the day's window."""
PEPPER = "a fixed pepper draws the same arms every time"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("three") / "shop"
    scaffold(root, customers=CUSTOMERS, ends_on=DAY - timedelta(days=1))
    (root / "var" / "pepper").write_text(PEPPER, encoding="utf-8")
    (root / "var" / "pepper").chmod(0o600)
    return root


@pytest.fixture
def vendors(tmp_path):
    with fake_vendors(tmp_path) as running:
        yield running


def live_project(root, vendors):
    file = root / "winback.yaml"
    config = yaml.safe_load(file.read_text())
    config["live"] = True
    for name, provider in {"email": "sendgrid", "sms": "twilio", "whatsapp": "twilio"}.items():
        config["channels"][name] |= {"provider": provider, "per_second": 500}
    file.write_text(yaml.safe_dump(config))
    return load_project(root, vendors.environment)


def listed(root) -> dict[str, dict]:
    return {row["message_id"]: row for row in winback("--project", root, "--json", "messages").data}


def by(rows, *names) -> Counter:
    return Counter(tuple(row[name] for name in names) for row in rows.values())


def test_a_night_reaches_people_by_mail_text_and_whatsapp_and_ends_at_a_fixed_point(shop, vendors):
    project = live_project(shop, vendors)
    planned = make_sure_of(project)
    report = run(project, as_of=DAY, now=NIGHT, confirm_count=planned["send"])
    at_night = listed(shop)
    assert len(at_night) == report["new_messages"] == planned["send"] > 150
    reached = {channel: count / len(at_night) for (channel,), count in by(at_night, "channel").items()}
    assert reached.keys() == {"email", "sms", "whatsapp"}
    assert reached["email"] > reached["sms"] > reached["whatsapp"] > 0.01, "most are asked by mail, as in most shops"
    assert {state for channel, state in by(at_night, "channel", "state") if channel == "email"} == {"accepted"}
    waiting = {one: row for one, row in at_night.items() if row["state"] == "planned"}
    assert {channel for (channel,) in by(waiting, "channel")} == {"sms", "whatsapp"}, "it is four in the morning"
    with open_project_ledger(project) as ledger:
        for moment in DELIVERIES:
            deliver(project, ledger, now=moment)
            settle(ledger, now=moment, today=DAY)
        ended = listed(shop)
        assert by(ended, "state").keys() == {("accepted",)}
        accepted = vendors.accepted()
        assert accepted.twice() == {}
        assert accepted.counts().keys() == ended.keys() == at_night.keys()
        assert by(ended, "provider").keys() == {("sendgrid",), ("twilio",)}
        again(project, ledger)
    assert listed(shop) == ended
    assert vendors.accepted().counts() == accepted.counts()


def make_sure_of(project) -> dict[str, int]:
    """What the night is going to do, as a person who confirms its count has seen it."""
    sync_sources(project, as_of=DAY, now=NIGHT)
    return make_plan(project, as_of=DAY, now=NIGHT)["decisions"]


def again(project, ledger) -> None:
    """Do everything once more at the end of the day: there is nothing left to do."""
    later = DELIVERIES[-1] + timedelta(minutes=5)
    report = run(project, as_of=DAY, now=later)
    assert (report["new_messages"], report["held"]) == (0, [])
    assert deliver(project, ledger, now=later) == {}
    assert settle(ledger, now=later, today=DAY).moved == 0
