"""A sunset is undone by the person, in so many words, and by nothing and nobody else."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import databases
import ledger_rows as rows
import outbox_world
import pandas as pd
import pytest
from night_world import winback
from sqlalchemy import select

from winback.core.reasons import Reason
from winback.ledger import engagements, links, people, queue, receipts, refusals, verdicts, who_refused
from winback.ledger.outgoing_tables import outgoing
from winback.ledger.receipts import Receipt
from winback.ledger.refusals import STOP_WORD, Act, Target
from winback.night.refuse import REASONS
from winback.night.settle import settle

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
MINUTE = timedelta(minutes=1)
LATER = NOW + timedelta(days=30)
SOURCES = Path(__file__).parents[2] / "winback"


@pytest.fixture
def shop(ledger):
    """Ann and Bob, written to and sunset."""
    rows.populate(ledger, "ann", "bob")
    with ledger.writing() as connection:
        refusals.sunset(connection, ["ann", "bob"], at=NOW, effective_on=NIGHT)
    return ledger


def _sunset_on(ledger, customer: str = "ann") -> list[str]:
    with ledger.reading() as connection:
        found = who_refused.refusals_of(connection, customer, pepper=PEPPER)
    return sorted(one.channel for one in found if one.reason is Reason.SUNSETTED)


def _start(ledger, channel: str, *, at=LATER) -> int:
    act = Act(at, NIGHT, STOP_WORD, "webhook:twilio")
    number = "+33600000000"  # Ann's
    with ledger.writing() as connection:
        return refusals.lift(connection, Target(channel, address=number), act, pepper=PEPPER, source=STOP_WORD)


def test_start_undoes_it_on_its_channel_and_for_its_sender(shop):
    assert _start(shop, "sms") == 1
    assert _sunset_on(shop) == ["email", "whatsapp"]
    assert _sunset_on(shop, "bob") == ["all"]
    assert _start(shop, "sms", at=LATER + MINUTE) == 0
    assert _start(shop, "whatsapp", at=LATER + MINUTE) == 1
    assert _sunset_on(shop) == ["email"]


@pytest.mark.parametrize("at", [NOW, NOW - MINUTE])
def test_a_start_that_is_no_newer_undoes_nothing(shop, at):
    assert _start(shop, "sms", at=at) == 0
    assert _sunset_on(shop) == ["all"]


def test_start_undoes_it_by_way_of_a_receipt_too(shop):
    with shop.writing() as connection:
        sent = rows.messages("ann", channel="sms", address="+33600000000").assign(step=2)
        verdicts.queue_messages(connection, sent.assign(local_day=pd.Timestamp("2026-04-01")), pepper=PEPPER)
        message = next(one for one in queue.list_messages(connection, customer_id="ann") if one["channel"] == "sms")
        told = Receipt(message["message_id"], "twilio", "started", LATER)
        receipts.record_receipts(connection, [told], now=LATER, today=NIGHT, pepper=PEPPER)
    assert _sunset_on(shop) == ["email", "whatsapp"]


def test_who_listens_is_told_which_channel_came_back(shop):
    shop.listeners = {"lift": ("crm",)}
    _start(shop, "sms")
    with shop.reading() as connection:
        (row,) = connection.execute(select(outgoing)).all()
    assert (row.kind, row.customer_id, row.channel, row.reason) == ("lift", "ann", "sms", "sunset")


def test_no_import_undoes_it(shop):
    """Neither the contact again, changed and unchanged, nor a consent that was given afterwards."""
    with shop.writing() as connection:
        for email in ("ann@example.com", "new@example.com"):
            again = rows.contacts("ann", "bob", email_key=[email, "bob@example.com"])
            people.replace_contacts(connection, again, pepper=PEPPER, as_of=NIGHT + timedelta(days=1))
        for channel in ("email", "sms"):
            people.add_consents(connection, rows.consents("ann", channel=channel, at=LATER), pepper=PEPPER)
    assert _sunset_on(shop) == ["all"]


def test_no_answer_and_no_report_of_a_vendor_undoes_it(shop):
    """Who answers a message is there, but has not asked for more."""
    with shop.writing() as connection:
        message = queue.list_messages(connection, customer_id="ann")[0]["message_id"]
        engagements.record(connection, links.find_message(connection, message), "survey", detail={}, now=LATER)
        told = [Receipt(message, "sendgrid", kind, LATER) for kind in ("delivered", "opened", "clicked")]
        receipts.record_receipts(connection, told, now=LATER, today=NIGHT, pepper=PEPPER)
    settle(shop, now=LATER, today=NIGHT)
    assert _sunset_on(shop) == ["all"]


def test_no_command_undoes_it(shop, tmp_path, database_url):
    outbox_world.make_project(tmp_path / "project")
    environment = {"WINBACK_PEPPER": databases.PEPPER.decode(), "WINBACK_DATABASE_URL": database_url}
    refused = [
        ("resume", "--reason", "they called"),
        ("resume", "--step", "ann", "--reason", "they called"),
        ("suppress", "ann", "--reason", "sunset"),
        ("settle",),
    ]
    for words in refused:
        winback("--project", tmp_path / "project", *words, environment=environment)
    assert _sunset_on(shop) == ["all"]
    assert Reason.SUNSETTED not in REASONS


def test_only_what_a_person_does_calls_for_it():
    """Whoever lifts a refusal stands here, with the act of the person that it is done for."""
    calls = re.compile(r"\brefusals\.lift\(")
    found = {file.stem for file in SOURCES.rglob("*.py") if calls.search(file.read_text("utf-8"))}
    assert found <= {
        "choose",  # the preference page
        "consequences",  # START, as the vendor reports it
        "hear_texts",  # START, as it was texted
    }
