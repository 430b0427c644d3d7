"""Texts no callback ever told of: the vendor is asked, by Twilio's id, and what it says counts as a callback's word."""

from __future__ import annotations

from datetime import timedelta

import ledger_rows as rows
import pytest
from fake_vendor_process import fake_vendors
from sqlalchemy import select, update
from test_deliver import plan
from test_sending import LIVE, ids, live_project, stored

from winback.ledger.message_tables import messages, receipts
from winback.ledger.people_tables import suppressions
from winback.night.deliver import deliver
from winback.night.poll_texts import poll
from winback.settings import load_project

SOON, LATER = rows.NOW + timedelta(minutes=50), rows.NOW + timedelta(hours=2)


@pytest.fixture
def vendors(tmp_path):
    with fake_vendors(tmp_path) as running:
        yield running


@pytest.fixture
def project(tmp_path, vendors):
    return live_project(tmp_path, vendors)


def sent(ledger, project, *customers: str, channel: str = "sms") -> dict[str, str]:
    """Send texts; return Twilio's id of each customer's."""
    plan(ledger, project, *customers, channel=channel)
    deliver(project, ledger, now=rows.NOW)
    return {row["customer_id"]: row["provider_id"] for row in stored(ledger).values()}


def became(ledger) -> dict[str, str]:
    return {row["customer_id"]: row["state"] for row in stored(ledger).values()}


def receipts_of(ledger) -> list:
    with ledger.reading() as connection:
        return connection.execute(select(receipts).order_by(receipts.c.received_at)).all()


def test_a_silent_text_is_asked_about_and_the_answer_counts_as_a_callback(ledger, project, vendors):
    sids = sent(ledger, project, "a", "b", "c", "d")
    vendors.set_texts({sids["a"]: "delivered", sids["b"]: "undelivered:30005", sids["c"]: "sent"})
    assert poll(project, ledger, now=SOON) == (0, 0, ()), "it may still come by itself"
    assert poll(project, ledger, now=LATER) == (4, 2, ())
    assert became(ledger) == {"a": "delivered", "b": "undelivered", "c": "accepted", "d": "accepted"}
    with ledger.reading() as connection:
        refused = {row.reason for row in connection.execute(select(suppressions))}
    assert refused == {"invalid_address"}, "30005: the number is nobody's"
    assert poll(project, ledger, now=LATER) == (0, 0, ())


def test_whoever_is_still_under_way_is_asked_about_again_when_all_tries_are_over(ledger, project, vendors):
    sids = sent(ledger, project, "a", channel="whatsapp")
    poll(project, ledger, now=LATER)
    vendors.set_texts({sids["a"]: "read"})
    assert poll(project, ledger, now=rows.NOW + timedelta(hours=11)).asked == 0
    assert poll(project, ledger, now=rows.NOW + timedelta(hours=15)) == (1, 1, ())
    assert became(ledger) == {"a": "delivered"}


def test_mails_and_what_was_heard_of_are_not_asked_about(ledger, project):
    plan(ledger, project, "mail")
    sent(ledger, project, "mail", "text")
    with ledger.writing() as connection:
        heard = {"kind": "sent", "occurred_at": rows.NOW, "received_at": rows.NOW, "code": "", "detail": "sent"}
        for row in stored(ledger).values():
            if row["channel"] == "sms":
                connection.execute(
                    receipts.insert().values(**heard, message_id=row["message_id"], provider="twilio", is_machine=False)
                )
    assert poll(project, ledger, now=LATER).asked == 0


def test_one_settlement_asks_about_so_many_the_oldest_first(ledger, project):
    sent(ledger, project, *ids(5))
    with ledger.writing() as connection:
        for hours, customer in enumerate(ids(5)):
            older = rows.NOW - timedelta(hours=hours)
            change = update(messages).where(messages.c.customer_id == customer)
            connection.execute(change.values(accepted_at=older))
    poll(project, ledger, now=LATER, at_most=2)
    owners = {row["message_id"]: row["customer_id"] for row in stored(ledger).values()}
    assert {owners[row.message_id] for row in receipts_of(ledger)} == {"c004", "c003"}
    assert [poll(project, ledger, now=LATER, at_most=2).asked for _ in range(3)] == [2, 1, 0]


def test_a_vendor_that_is_away_or_knows_nothing_is_a_warning(ledger, project, vendors, caplog):
    caplog.set_level("DEBUG")
    sids = sent(ledger, project, "a", "b")
    with ledger.writing() as connection:
        change = update(messages).where(messages.c.provider_id == sids["a"])
        connection.execute(change.values(provider_id="SM" + "0" * 32))
    asked = poll(project, ledger, now=LATER)
    assert (asked.asked, asked.warnings) == (
        2,
        ("Twilio does not know 1 texts it accepted: is this the account that sent them?",),
    )
    wrong = load_project(project.root, vendors.environment | {"TWILIO_AUTH_TOKEN": "0" * 32})
    assert "does not accept the credentials" in poll(wrong, ledger, now=LATER).warnings[0]
    vendors.kill()
    (warning,) = poll(project, ledger, now=LATER).warnings
    assert "could not be asked" in warning
    assert vendors.environment["TWILIO_AUTH_TOKEN"] not in caplog.text + warning
    assert "+336" not in caplog.text + warning


def test_nobody_is_asked_where_nothing_is_live(ledger, project, vendors):
    sent(ledger, project, "a")
    (project.root / "winback.yaml").write_text(LIVE.replace("live: true\n", ""))
    assert poll(load_project(project.root, vendors.environment), ledger, now=LATER) == (0, 0, ())
