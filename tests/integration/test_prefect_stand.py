"""Prefect for real: a server, the deployments, the automations and a worker, as `./do up` starts them.

One server for the whole module; what its server, scheduler and worker do is asked of its own API.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from canaries import plant_people, seen_in, signs_of

from deploy.loopback import ask
from deploy.services import ROOT, Services, free_port
from winback.sample.acceptance_log import read_acceptances
from winback.sample.scaffold import scaffold

pytestmark = pytest.mark.prefect

MOMENTS = {"nightly", "hourly", "weekly", "replay"}
BREAKS = """CREATE TRIGGER breaks BEFORE UPDATE OF provider_id ON messages
BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END"""
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
ZONE = ZoneInfo("Europe/Paris")
LOUD = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "winback,urllib3,sendgrid,python_http_client,twilio,sqlalchemy",
}
"""Whatever these say goes into Prefect's database."""


def today():
    return datetime.now(tz=ZONE).date()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop") / "project"
    scaffold(root, customers=150, ends_on=today() - timedelta(days=1), history_days=400)
    return root


@pytest.fixture(scope="module")
def prefect(project, tmp_path_factory):
    home = tmp_path_factory.mktemp("prefect")
    with Services(project=project, home=home, port=free_port(0)) as services:
        services.start_server()
        services.wait_for_server()
        services.start_fake_vendors()
        services.vendors |= LOUD
        services.start_worker()
        services.first = services.register()
        yield services


def eventually(question, *, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.5)
    pytest.fail(f"not within {seconds} s")


def deployment(prefect, name):
    return prefect.ask(f"deployments/name/winback-{name}/{name}")


def start(prefect, name, **parameters):
    """Trigger a moment by hand, once the run before it has given its slot back: a second one would be cancelled."""
    eventually(lambda: deployment(prefect, name)["global_concurrency_limit"]["active_slots"] == 0)
    form = {"parameters": parameters, "idempotency_key": secrets.token_hex(8)}
    where = f"deployments/{deployment(prefect, name)['id']}/create_flow_run"
    return eventually(lambda: prefect.ask(where, form), seconds=30)


def agree(prefect, run, sends):
    """Fill in the form of a suspended night. A run says that it waits before its form is stored: too early is no."""

    def accepted():
        answer = {"run_input": {"approved_by": "Ada", "confirm_count": sends}}
        said = prefect.ask(f"flow_runs/{run['id']}/resume", answer)
        return said and said["status"] == "ACCEPT"

    eventually(accepted, seconds=30)


def wait_for(prefect, run, states, *, seconds=240):
    def reached():
        now = prefect.ask(f"flow_runs/{run['id']}")
        return now if now and now["state_type"] in states | ENDED else None

    return eventually(reached, seconds=seconds)


def artifacts(prefect, run):
    found = prefect.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    return {item["key"]: item["data"] for item in found if item["key"]}


def ledger(project, query):
    with closing(sqlite3.connect(project / "var" / "winback.db")) as connection:
        return connection.execute(query).fetchall()


def personal(project):
    """Every id, address and name in the shop's contacts."""
    found = set()
    with closing(sqlite3.connect(project / "var" / "winback.db")) as connection:
        for row in connection.execute("SELECT customer_id, email, phone, last_name FROM contacts"):
            found |= {str(value) for value in row if value and len(str(value)) > 4}
    return found


def test_the_server_schedules_runs_by_itself(prefect):
    """With the wrong SQLAlchemy everything else works and this never happens (docs/adr/0002-pins.md)."""
    nightly = deployment(prefect, "nightly")["id"]
    query = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "deployments": {"id": {"any_": [nightly]}},
    }
    runs = eventually(lambda: prefect.ask("flow_runs/filter", query))
    assert all(run["auto_scheduled"] for run in runs)
    times = [datetime.fromisoformat(run["expected_start_time"]).astimezone(ZONE) for run in runs]
    assert {f"{at:%H:%M}" for at in times} == {"04:30"}


def test_what_is_deployed(prefect, project):
    found = {item["name"]: item for item in prefect.ask("deployments/filter", {})}
    assert set(found) == MOMENTS
    for name, item in found.items():
        assert item["entrypoint"] == f"flows.{name}.{name}"
        assert item["enforce_parameter_schema"]
        assert item["parameters"] == {"project": str(project)}
        assert item["global_concurrency_limit"]["limit"] == 1
        assert item["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        assert item["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
        fields = item["parameter_openapi_schema"]["properties"]
        assert all(field.get("description") for field in fields.values()), name
    zones = {schedule["schedule"]["timezone"] for item in found.values() for schedule in item["schedules"]}
    assert zones == {"Europe/Paris"}
    assert found["replay"]["schedules"] == []


def test_the_night_takes_the_parameters_of_the_interface(prefect):
    fields = deployment(prefect, "nightly")["parameter_openapi_schema"]["properties"]
    assert {"as_of", "project", "dry_run", "programmes", "approve_over"} <= set(fields)


def test_automations_are_applied_once(prefect):
    assert {len(names) for kind, names in prefect.first.items() if kind != "created"} == {0}
    again = json.loads(prefect.run("automations", ["tasks.observing"]))
    assert sorted(again["unchanged"]) == sorted(prefect.first["created"])
    assert not again["created"] + again["updated"] + again["deleted"]


def test_no_automation_starts_a_run(prefect):
    """An alert that runs a deployment would be a loop that sends again."""
    kinds = {action["type"] for item in prefect.ask("automations/filter", {}) for action in item["actions"]}
    assert kinds <= {"do-nothing", "change-flow-run-state", "pause-deployment", "send-notification"}


def test_a_dry_run_by_hand_plans_and_sends_nothing(prefect, project):
    run = wait_for(prefect, start(prefect, "nightly", dry_run=True), set())
    assert run["state_type"] == "COMPLETED", prefect.log("worker").read_text()[-3000:]
    assert run["name"] == f"nightly-{today()}"
    shown = artifacts(prefect, run)
    wanted = {"plan", "sources", "quarantine", "thresholds", "segments", "why-not", "ladder"}
    assert {f"winback-{key}" for key in wanted} <= set(shown)
    assert json.loads(shown["winback-thresholds"])[0].keys() >= {"behaviour", "frequency", "lifecycle", "customers"}
    assert ledger(project, "SELECT count(*) FROM messages") == [(0,)]
    assert ledger(project, "SELECT count(*) FROM decisions") == [(0,)]


def test_a_plan_over_its_limit_waits_for_a_person(prefect, project):
    run = start(prefect, "nightly", approve_over=0)
    paused = wait_for(prefect, run, {"PAUSED"})
    assert paused["state_name"] == "Suspended"
    assert ledger(project, "SELECT count(*) FROM messages") == [(0,)]
    head = artifacts(prefect, run)["winback-plan"]
    sends = int(re.search(r"Messages: (\d+)", head).group(1))
    agree(prefect, run, sends)
    done = wait_for(prefect, run, set())
    assert done["state_type"] == "COMPLETED", prefect.log("worker").read_text()[-3000:]
    # Whom a control group takes is chance, and a text to somebody for whom it is night now waits for the morning.
    is_later = "state = 'planned' AND not_before_at > (SELECT started_at FROM nights)"
    assert ledger(project, f"SELECT count(*) FROM messages WHERE state = 'accepted' OR {is_later}") == [(sends,)]
    ((plan_hash,),) = ledger(project, "SELECT plan_hash FROM nights")
    assert ledger(project, "SELECT plan_hash, approved_by FROM plans") == [(plan_hash, "Ada")]


def test_the_same_night_again_adds_nothing(prefect, project):
    before = ledger(project, "SELECT message_id, state FROM messages ORDER BY message_id")
    run = wait_for(prefect, start(prefect, "nightly"), set())
    assert run["state_type"] == "COMPLETED"
    assert ledger(project, "SELECT message_id, state FROM messages ORDER BY message_id") == before


@pytest.mark.parametrize("moment", ["hourly", "weekly"])
def test_the_other_moments_complete(prefect, moment):
    run = wait_for(prefect, start(prefect, moment), set())
    assert run["state_type"] == "COMPLETED", prefect.log("worker").read_text()[-3000:]
    assert run["name"] == f"{moment}-{today()}"


def test_our_events_carry_counts(prefect):
    def told():
        found = prefect.ask("events/filter", {"filter": {"event": {"prefix": ["winback."]}}})
        return {event["event"]: event["payload"] for event in found["events"]} if found else {}

    eventually(lambda: {"winback.night.planned", "winback.night.finished", "winback.plan.over_cap"} <= set(told()))
    payload = told()["winback.night.planned"]
    assert set(payload) == {"as_of", "plan_hash", "sends", "contacts"}


def test_prefect_knows_no_person(prefect, project):
    """Parameters, logs, artifacts and events: everything Prefect has stored, as bytes."""
    stored = b"".join(file.read_bytes() for file in prefect.home.rglob("*") if file.is_file())
    assert b"winback-nightly" in stored
    people = personal(project)
    assert len(people) > 300
    assert not [person for person in people if person.encode() in stored]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    root = tmp_path_factory.mktemp("live") / "project"
    scaffold(root, customers=150, ends_on=today() - timedelta(days=1), history_days=400)
    file = root / "winback.yaml"
    config = yaml.safe_load(file.read_text())
    config["live"] = True
    for name, provider in {"email": "sendgrid", "sms": "twilio", "whatsapp": "twilio"}.items():
        if name in config["channels"]:
            config["channels"][name]["provider"] = provider
    file.write_text(yaml.safe_dump(config))
    return root


def test_a_first_live_night_waits_for_its_count_and_leaves_nothing_of_anybody(prefect, live):
    """Planted people, real calls to the vendors' doubles, one error: Prefect's files hold no trace, as bytes."""
    config = yaml.safe_load((live / "winback.yaml").read_text())
    planted = plant_people(live / "contacts.csv", config["sources"]["contacts"].get("columns"))
    run = start(prefect, "nightly", project=str(live))
    assert wait_for(prefect, run, {"PAUSED"})["state_name"] == "Suspended"
    sends = int(re.search(r"Messages: (\d+)", artifacts(prefect, run)["winback-plan"]).group(1))
    agree(prefect, run, sends)
    done = wait_for(prefect, run, set())
    assert done["state_type"] == "COMPLETED", prefect.log("worker").read_text()[-3000:]
    written = {one for found in read_acceptances(prefect.accepted).recipients().values() for one in found}
    assert written
    assert {one.removeprefix("whatsapp:") for one in written} <= planted
    with closing(sqlite3.connect(live / "var" / "winback.db")) as connection, connection:
        connection.execute("UPDATE messages SET state = 'planned'")
        connection.execute(BREAKS)
    failed = wait_for(prefect, start(prefect, "hourly", project=str(live)), set())
    assert failed["state_type"] == "FAILED"
    theirs = {path for path in prefect.home.rglob("*") if path.name.startswith("fake-vendors")}
    stored = b"".join(path.read_bytes() for path in set(prefect.home.rglob("*")) - theirs if path.is_file())
    assert b"broken on purpose" in stored
    keys = {prefect.vendors[name] for name in ("SENDGRID_API_KEY", "TWILIO_AUTH_TOKEN")}
    assert seen_in(stored, signs_of(planted, keys)) == []


def test_everything_stays_on_this_machine(prefect):
    settings = prefect.ask("admin/settings")
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["api"]["host"] == "127.0.0.1"
    assert Path(settings["home"]) == prefect.home


def test_up_stops_what_it_started(project, tmp_path):
    """`./do up`, asked to end: its server, its worker and its pages are gone with it."""
    port = free_port(0)
    command = [sys.executable, "-m", "deploy.up", "--project", str(project)]
    pages, operator = free_port(0), free_port(0)
    command += ["--operator-port", str(operator)]
    command += ["--port", str(port), "--home", str(tmp_path / "home"), "--public-port", str(pages)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) as up:
        lines = iter(up.stdout.readline, "")
        said = next(line for line in lines if line.startswith("public pages"))
        assert f"http://127.0.0.1:{pages}" in said
        assert ask(pages, "/healthz") == {"ok": True}
        assert f"http://127.0.0.1:{operator} " in next(line for line in lines if line.startswith("operator"))
        said = next(line for line in lines if line.startswith("Prefect"))
        assert f"http://127.0.0.1:{port}" in said
        up.terminate()
        assert up.wait(60) == 0
    for one in (port, pages, operator):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", one), timeout=5)


def test_up_without_a_project_says_what_to_do(tmp_path):
    command = [sys.executable, "-m", "deploy.up", "--project", str(tmp_path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "winback init" in said.stderr
