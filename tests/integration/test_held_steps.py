"""A step that too many people complained about waits for a person; every other step goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import ledger_rows as rows
import pytest
from outbox_world import POLICY, make_project
from sqlalchemy import select, update
from test_deliver import plan
from test_sending import ids, stored

from winback.ledger import diary
from winback.ledger.held_steps import held_steps
from winback.ledger.message_tables import messages, receipts
from winback.night.deliver import deliver
from winback.night.diagnose import diagnose
from winback.night.settle import settle

LATER = rows.NOW + timedelta(hours=2)
NEXT_DAY = rows.pd.Timestamp("2026-03-11")
TWO_STEPS = POLICY + "    - {day: 60, kind: survey, channels: [email, sms, whatsapp], template: survey}\n"


@pytest.fixture
def project(tmp_path):
    made = make_project(tmp_path / "project")
    (made.root / "policies" / "winback.yaml").write_text(TWO_STEPS)
    return made


def delivered(ledger, project, count: int, *, complaints: int) -> None:
    """Send so many first steps by mail, and let so many people complain."""
    plan(ledger, project, *ids(count))
    deliver(project, ledger, now=rows.NOW)
    complain(ledger, ids(count), complaints)


def complain(ledger, customers: list[str], complaints: int) -> None:
    theirs = messages.c.customer_id.in_(customers), messages.c.state == "accepted"
    with ledger.writing() as connection:
        found = sorted(connection.scalars(select(messages.c.message_id).where(*theirs)))
        connection.execute(update(messages).where(*theirs).values(state="delivered"))
        # Everybody else is told of, too, and is no complaint.
        for place, message_id in enumerate(found[: complaints + 5]):
            kind = "complained" if place < complaints else "delivered"
            told = {"message_id": message_id, "kind": kind, "occurred_at": LATER, "code": ""}
            told |= {"provider": "sendgrid", "received_at": LATER, "detail": "", "is_machine": False}
            connection.execute(receipts.insert().values(**told))


def second_steps(ledger, project, *customers: str, **columns) -> None:
    plan(ledger, project, *customers, local_day=NEXT_DAY, **columns)


def reasons(ledger) -> set[tuple[int, str, str, str | None]]:
    return {(row["step"], row["channel"], row["state"], row["reason"]) for row in stored(ledger).values()}


def test_one_complaint_in_a_thousand_holds_the_step_and_nothing_else(ledger, project):
    delivered(ledger, project, 600, complaints=1)
    settled = settle(ledger, now=LATER, today=rows.NIGHT)
    assert settled.held_steps == {"winback/1/email": "1 complaints for 600 delivered in 7 days"}
    second_steps(ledger, project, "x1", "x2")
    second_steps(ledger, project, "y1", step=2)
    deliver(project, ledger, now=LATER)
    assert {one for one in reasons(ledger) if one[2] != "delivered"} == {
        (1, "email", "planned", "step_held"),
        (2, "email", "accepted", None),
    }
    assert settle(ledger, now=LATER, today=rows.NIGHT).held_steps == settled.held_steps, "held once, and no more"
    with ledger.reading() as connection:
        assert [line.actor for line in diary.read_entries(connection) if line.action.startswith("step ")] == ["brake"]


@pytest.mark.parametrize(("count", "complaints"), [(499, 1), (600, 0)])
def test_fewer_complaints_or_too_few_messages_hold_nothing(ledger, project, count, complaints):
    delivered(ledger, project, count, complaints=complaints)
    assert settle(ledger, now=LATER, today=rows.NIGHT).held_steps == {}


def test_what_was_long_ago_holds_nothing(ledger, project):
    delivered(ledger, project, 600, complaints=2)
    assert settle(ledger, now=LATER, today=rows.NIGHT + timedelta(days=9)).held_steps == {}


def winback(project, database_url, *arguments: str, code: int = 0) -> str:
    environment = {**os.environ, "WINBACK_DATABASE_URL": database_url, "WINBACK_PEPPER": rows.PEPPER.decode()}
    command = [sys.executable, "-m", "winback", "--project", str(project.root), "--json", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_a_person_releases_it_and_only_newer_complaints_hold_it_again(ledger, database_url, project, monkeypatch):
    delivered(ledger, project, 600, complaints=1)
    settle(ledger, now=LATER, today=rows.NIGHT)
    second_steps(ledger, project, "x1")
    deliver(project, ledger, now=LATER)
    monkeypatch.setenv("WINBACK_DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_PEPPER", rows.PEPPER.decode())
    (found,) = [one for one in diagnose(project.root, now=LATER) if one.name == "held steps"]
    assert not found.ok
    assert "winback/1/email (1 complaints for 600 delivered" in found.detail
    assert '"reason":"step_held"' in winback(project, database_url, "messages", "--state", "planned")
    said = winback(project, database_url, "resume", "--step", "winback/1/mail", "--reason", "read it", code=2)
    assert "Held now: winback/1/email" in said
    winback(project, database_url, "resume", "--step", "winback/1/email", "--reason", "  ", code=2)
    winback(project, database_url, "resume", "--step", "winback/1/email", "--reason", "one person, by mistake")
    assert (1, "email", "planned", None) in reasons(ledger), "it may go at once"
    with ledger.writing() as connection:
        # The command line has the wall clock's time; these messages live in March.
        connection.exec_driver_sql("UPDATE switches SET released_at = pressed_at")
        assert held_steps(connection) == {}
        connection.execute(update(messages).where(messages.c.state == "planned").values(not_before_at=LATER))
    assert settle(ledger, now=LATER, today=rows.NIGHT).held_steps == {}, "a person has looked at those complaints"
    assert deliver(project, ledger, now=LATER) == {"accepted": 1}
    newer = [f"n{number:03d}" for number in range(600)]
    plan(ledger, project, *newer, planned_at=rows.instants([LATER] * 600), local_day=NEXT_DAY)
    deliver(project, ledger, now=LATER + timedelta(hours=1))
    complain(ledger, newer, 1)
    assert list(settle(ledger, now=LATER, today=rows.NIGHT).held_steps) == ["winback/1/email"]
