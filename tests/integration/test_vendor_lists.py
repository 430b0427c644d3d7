"""What SendGrid knows of people's refusals and what we know of them: each is told by the other, over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import ledger_rows as rows
import pytest
from fake_vendor_process import fake_vendors
from sqlalchemy import select
from test_deliver import plan
from test_sending import LIVE, live_project, stored

from winback.core.reasons import Reason
from winback.ledger import diary, refusals
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import Act, Target
from winback.night.deliver import deliver
from winback.night.diagnose import diagnose
from winback.night.exchange_lists import exchange
from winback.settings import load_project

CREATED = int((rows.NOW - timedelta(days=3)).timestamp())
LATER = rows.NOW + timedelta(hours=1)


@pytest.fixture
def vendors(tmp_path):
    with fake_vendors(tmp_path) as running:
        yield running


@pytest.fixture
def project(tmp_path, vendors):
    return live_project(tmp_path, vendors)


@pytest.fixture
def asked(project, database_url, vendors, monkeypatch):
    """What the doctor finds out about the lists."""
    environment = {"WINBACK_DATABASE_URL": database_url, "WINBACK_PEPPER": rows.PEPPER.decode()}
    for name, value in (environment | vendors.environment).items():
        monkeypatch.setenv(name, value)

    def ask(now=LATER):
        return {one.name: one for one in diagnose(project.root, now=now)}["vendor's lists"]

    return ask


def held(ledger) -> dict[str, tuple[str, str]]:
    """The suppressions by address: key -> reason and source."""
    query = select(suppressions).where(suppressions.c.kind == "address", suppressions.c.lifted_at.is_(None))
    with ledger.reading() as connection:
        return {row.key: (row.reason, row.source) for row in connection.execute(query)}


def lines(ledger) -> int:
    with ledger.reading() as connection:
        return len(list(diary.read_entries(connection)))


def opt_out(ledger, customer_id: str, *, at=rows.NOW, source: str = "one_click") -> None:
    act = Act(at, rows.NIGHT, source, source)
    with ledger.writing() as connection:
        target = Target("email", customer_id=customer_id)
        refusals.suppress(connection, target, act, pepper=rows.PEPPER, reason=Reason.OPTED_OUT)


def unsubscribed(vendors) -> list[list[str]]:
    """What the vendor was told, call by call."""
    return [event["given"] for event in vendors.events("told")]


def test_whoever_refused_at_the_vendor_is_refused_here_with_the_reason_and_the_code(ledger, project, vendors):
    plan(ledger, project, "a", "b", "c", "d", "e")
    vendors.set_suppressions(
        "bounces", [{"email": "A@example.com", "created": CREATED, "reason": "550 5.1.1 a@example.com is unknown"}]
    )
    vendors.set_suppressions("spam_reports", [{"email": "b@example.com", "created": CREATED}])
    vendors.set_suppressions("unsubscribes", [{"email": "c@example.com", "created": CREATED}])
    vendors.set_suppressions("blocks", [{"email": "d@example.com", "created": CREATED, "reason": "421 4.7.0 later"}])
    vendors.set_suppressions("invalid_emails", [{"email": "nobody@example.com", "created": CREATED}])
    found = exchange(project, ledger, now=rows.NOW)
    assert (found.read, found.warnings) == (5, ())
    deliver(project, ledger, now=rows.NOW)
    became = {row["customer_id"]: (row["state"], row["reason"]) for row in stored(ledger).values()}
    assert became == {
        "a": ("suppressed", "invalid_address"),
        "b": ("suppressed", "complained"),
        "c": ("suppressed", "opted_out"),
        "d": ("accepted", None),  # refused for now, by a mail system that may take the next one
        "e": ("accepted", None),
    }
    assert sorted(held(ledger).values()) == [
        ("complained", "sendgrid:spam_reports"),
        ("invalid_address", "sendgrid:bounces 5.1.1"),
        ("invalid_address", "sendgrid:invalid_emails"),
        ("opted_out", "sendgrid:unsubscribes"),
    ]


def test_reading_the_lists_again_changes_nothing_and_asks_only_for_what_is_new(ledger, project, vendors):
    rows.populate(ledger, "a", "b", send=False)
    vendors.set_suppressions("unsubscribes", [{"email": "a@example.com", "created": CREATED}])
    exchange(project, ledger, now=rows.NOW)
    before = held(ledger), lines(ledger)
    again = exchange(project, ledger, now=LATER)
    assert (again.suppressed, held(ledger), lines(ledger)) == (0, *before)
    old = {"email": "b@example.com", "created": CREATED - 86_400}
    vendors.set_suppressions("unsubscribes", [{"email": "a@example.com", "created": CREATED}, old])
    assert exchange(project, ledger, now=LATER).suppressed == 0, "older than what was read up to: it is not asked for"


def test_a_list_of_several_pages_is_read_to_its_end(ledger, project, vendors):
    people = [{"email": f"p{number:04d}@example.com", "created": CREATED + number} for number in range(1203)]
    vendors.set_suppressions("bounces", people)
    found = exchange(project, ledger, now=rows.NOW)
    assert (found.read, found.suppressed) == (1203, 1203)
    assert len(held(ledger)) == 1203


def test_what_the_person_said_later_stands_against_an_older_entry(ledger, project, vendors):
    rows.populate(ledger, "a", send=False)
    opt_out(ledger, "a", at=rows.NOW - timedelta(days=5))
    with ledger.writing() as connection:
        act = Act(rows.NOW - timedelta(days=1), rows.NIGHT, "preference_page", "person")
        assert refusals.lift(connection, Target("email", customer_id="a"), act, pepper=rows.PEPPER)
    vendors.set_suppressions("unsubscribes", [{"email": "a@example.com", "created": CREATED}])
    assert exchange(project, ledger, now=rows.NOW).suppressed == 0
    vendors.set_suppressions("unsubscribes", [{"email": "a@example.com", "created": int(rows.NOW.timestamp()) - 60}])
    assert exchange(project, ledger, now=rows.NOW).suppressed > 0


def test_the_vendor_is_told_of_our_refusals_once(ledger, project, vendors):
    rows.populate(ledger, "a", "b", "c", send=False)
    opt_out(ledger, "a")
    vendors.set_suppressions("spam_reports", [{"email": "c@example.com", "created": CREATED}])
    found = exchange(project, ledger, now=rows.NOW)
    assert (found.told, unsubscribed(vendors)) == (1, [["a@example.com"]])
    assert exchange(project, ledger, now=LATER).told == 0
    opt_out(ledger, "b", at=rows.NOW - timedelta(hours=2))  # said before the last exchange, heard of after it
    exchange(project, ledger, now=LATER)
    assert {one for call in unsubscribed(vendors)[1:] for one in call} >= {"b@example.com"}
    assert len(unsubscribed(vendors)) == 2


def test_a_key_without_the_scope_is_a_warning_and_the_doctor_knows(ledger, project, vendors, asked):
    assert "not read yet" in asked().detail
    rows.populate(ledger, "a", send=False)
    opt_out(ledger, "a")
    vendors.set_scopes("mail.send")
    found = exchange(project, ledger, now=rows.NOW)
    assert len(found.warnings) == 6  # five lists and the telling
    assert all("give the key the scope Suppressions" in warning for warning in found.warnings)
    assert asked().ok is False
    assert "scope Suppressions" in asked().detail
    vendors.set_scopes("mail.send", "suppression")
    assert exchange(project, ledger, now=LATER) == (0, 0, 1, ())
    assert asked().ok is True
    assert "is the schedule running" in asked(LATER + timedelta(days=2)).detail


def test_a_vendor_that_is_away_is_a_warning_without_anybody_in_it(ledger, project, vendors, caplog):
    caplog.set_level("DEBUG")
    rows.populate(ledger, "a", send=False)
    opt_out(ledger, "a")
    vendors.kill()
    found = exchange(project, ledger, now=rows.NOW)
    (warning,) = found.warnings
    assert "could not be reached" in warning
    vendors.restart()
    assert exchange(project, ledger, now=LATER).told == 1
    said = caplog.text + warning
    assert "a@example.com" not in said
    assert vendors.environment["SENDGRID_API_KEY"] not in said


def test_nothing_is_asked_where_nothing_is_live(ledger, project, vendors):
    (project.root / "winback.yaml").write_text(LIVE.replace("live: true\n", ""))
    quiet = load_project(project.root, vendors.environment)
    vendors.set_suppressions(
        "unsubscribes", [{"email": "a@example.com", "created": int(datetime.now(UTC).timestamp())}]
    )
    assert exchange(quiet, ledger, now=rows.NOW) == (0, 0, 0, ())
