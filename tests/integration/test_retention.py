"""What is old is let go: numbers first, then decisions; nothing a promise rests on."""

from __future__ import annotations

from datetime import timedelta

import ledger_rows as rows
import pandas as pd
import pytest
from outbox_world import CONFIG, make_project
from sqlalchemy import func, select
from test_deliver import plan

from winback.ledger import quarantined_rows, verdicts
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import decisions
from winback.night.explain import explain
from winback.night.retain import retain
from winback.settings import load_project


@pytest.fixture
def project(tmp_path, database_url):
    project = make_project(tmp_path / "project")
    text = CONFIG + "retention: {facts_days: 30, decisions_days: 100, quarantine_days: 30}\n"
    (project.root / "winback.yaml").write_text(text)
    environment = {"WINBACK_DATABASE_URL": database_url, "WINBACK_PEPPER": rows.PEPPER.decode()}
    return load_project(project.root, environment)


def decide(ledger, *days_ago: int) -> None:
    with ledger.writing() as connection:
        for days in days_ago:
            night = pd.Timestamp(rows.NIGHT - timedelta(days=days))
            verdicts.write_decisions(connection, rows.decisions("a", "b", as_of=night, facts='{"n": 3}'))
            refused = {"source": "orders", "row_number": [days], "column": "email", "rule": "email_invalid"}
            frame = pd.DataFrame(refused).assign(masked_value="x", as_of=night, digest=str(days))
            quarantined_rows.write_quarantine(connection, frame)


def kept(ledger) -> dict[int, set[str]]:
    with ledger.reading() as connection:
        found = connection.execute(select(decisions.c.as_of, decisions.c.facts))
        nights: dict[int, set[str]] = {}
        for row in found:
            nights.setdefault((rows.NIGHT - row.as_of).days, set()).add(row.facts)
        return nights


def test_numbers_go_first_then_decisions(ledger, project):
    plan(ledger, project, "a", "b")
    decide(ledger, 0, 30, 31, 100, 101, 400)
    counts = retain(project, ledger, as_of=rows.NIGHT)
    kinds = "facts", "decisions", "quarantine", "webhook_bodies", "heard_events", "visits", "told"
    nothing = dict.fromkeys(kinds, 0)
    assert counts == {**nothing, "facts": 4, "decisions": 4, "quarantine": 4}
    assert kept(ledger) == {0: {'{"n": 3}'}, 30: {'{"n": 3}'}, 31: {"{}"}, 100: {"{}"}}
    assert retain(project, ledger, as_of=rows.NIGHT) == nothing
    with ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(messages)) == 2


def test_a_decision_without_its_numbers_still_has_its_reason(ledger, project):
    plan(ledger, project, "a", "b")
    decide(ledger, 31)
    retain(project, ledger, as_of=rows.NIGHT)
    told = explain(project, "a", as_of=rows.NIGHT - timedelta(days=31))
    assert (told["reason"], told["steps"]) == ("active", [])
    assert told["sentence"]
    assert "no longer kept" in told["threshold"]
