"""`./do up --fake`: everything that is started afterwards sends to this machine, and nowhere else."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from bench import _small_project
from deploy.page_addresses import page_address
from deploy.services import ROOT, ServiceFailed, Services, business_of, free_port
from deploy.up import parser
from winback.sample.acceptance_log import read_acceptances
from winback.settings import load_project

MAIL = {
    "personalizations": [
        {"to": [{"email": "a@example.org"}], "subject": "hi", "custom_args": {"message_id": "0" * 32}},
    ],
    "from": {"email": "hello@acme.example"},
    "content": [{"type": "text/plain", "value": "hello"}],
}


@pytest.fixture
def services(tmp_path):
    with Services(project=tmp_path, home=tmp_path / "prefect", port=free_port(0)) as made:
        yield made


def test_reports_can_be_made_up_with_keys_that_are_new_each_time(services, monkeypatch):
    name = "WINBACK_SIMULATED_VENDORS"
    monkeypatch.delenv(name, raising=False)
    made = services.environment[name]
    assert len(made) == 32
    assert made not in repr(services)
    assert services.environment[name] == made
    assert Services(project=services.project, home=services.home, port=1).environment[name] != made
    monkeypatch.setenv(name, "their own")
    assert services.environment[name] == "their own"
    services.vendors = {name: "0"}
    assert services.environment[name] == "0"


def post(environment, path, body, headers):
    with closing(http.client.HTTPConnection(environment["SENDGRID_BASE_URL"].rpartition("/")[2], timeout=10)) as client:
        client.request("POST", path, body, headers)
        return client.getresponse().status


def test_what_is_started_afterwards_has_credentials_that_only_the_doubles_know(services, monkeypatch):
    real = "a real one"
    for name in ("SENDGRID_API_KEY", "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY", "TWILIO_API_SECRET", "SMTP_URL"):
        monkeypatch.setenv(name, real)
    assert real in services.environment.values(), "without --fake nothing is taken away"
    services.start_fake_vendors()
    environment = services.environment
    assert real not in environment.values()
    assert environment["SENDGRID_BASE_URL"].startswith("http://127.0.0.1:")
    assert environment["TWILIO_BASE_URL"].startswith("http://127.0.0.1:")
    headers = {"Authorization": f"Bearer {environment['SENDGRID_API_KEY']}"}
    assert post(environment, "/v3/mail/send", json.dumps(MAIL).encode(), headers) == 202
    account = environment["TWILIO_ACCOUNT_SID"]
    pair = base64.b64encode(f"{account}:{environment['TWILIO_AUTH_TOKEN']}".encode()).decode()
    form = b"To=%2B33612345678&Body=hello&MessagingServiceSid=" + environment["TWILIO_MESSAGING_SERVICE_SID"].encode()
    path = f"/2010-04-01/Accounts/{account}/Messages.json"
    assert post(environment, path, form, {"Authorization": f"Basic {pair}"}) == 201
    assert [row.vendor for row in read_acceptances(services.accepted).rows] == ["sendgrid", "twilio"]


def test_they_end_with_their_starter_and_start_again_in_the_same_place(services):
    services.start_fake_vendors()
    [first] = services.processes.values()
    before = services.vendors
    services.stop()
    assert first.returncode == 0
    services.start_fake_vendors()
    [second] = services.processes.values()
    assert second.poll() is None
    assert second.pid != first.pid
    assert services.vendors["SENDGRID_API_KEY"] == before["SENDGRID_API_KEY"]
    headers = {"Authorization": f"Bearer {services.vendors['SENDGRID_API_KEY']}"}
    assert post(services.vendors, "/v3/mail/send", json.dumps(MAIL).encode(), headers) == 202, "the new address is read"


def test_a_start_that_fails_says_where_the_log_is(services):
    services.accepted.mkdir(parents=True)
    with pytest.raises(ServiceFailed, match=r"the program of the fake vendors did not start; its log is .*\.log"):
        services.start_fake_vendors()


def test_the_doubles_report_to_the_pages_that_are_started_beside_them(services):
    """What they say is signed with their key, believed, and in the ledger when it is acknowledged."""
    _small_project.write(services.project, _small_project.LIVE, channels=["email"])
    address = page_address(business_of(services.project), asked_port=0)
    services.elsewhere = address.elsewhere
    services.start_fake_vendors(report_to=address.url)
    services.start_pages(address.port, operator_port=0)
    headers = {"Authorization": f"Bearer {services.vendors['SENDGRID_API_KEY']}"}
    assert post(services.vendors, "/v3/mail/send", json.dumps(MAIL).encode(), headers) == 202
    deadline = time.monotonic() + 60
    events = services.accepted.with_suffix(".events.jsonl")
    while not (heard := [line for line in events.read_text().splitlines() if '"callback"' in line]):
        assert time.monotonic() < deadline, "no report was posted"
        time.sleep(0.1)
    assert json.loads(heard[0])["status"] == 204
    with closing(sqlite3.connect(services.project / "var" / "winback.db")) as ledger:
        calls = ledger.execute("SELECT vendor, receipts FROM webhook_calls").fetchall()
    assert set(calls) == {("sendgrid", 1)}, "later reports may have come as well"


def test_pages_that_do_not_start_are_named_with_their_log(services):
    with pytest.raises(ServiceFailed, match=r"the program of the pages did not start; its log is .*pages\.log"):
        services.start_pages(free_port(0), operator_port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_pages_go_where_the_links_in_messages_lead(host):
    port = free_port(0)
    found = page_address({"public_base_url": f"http://{host}:{port}/"})
    assert (found.port, found.links, found.elsewhere) == (port, f"http://{host}:{port}", {})


def test_links_follow_the_pages_where_that_port_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = page_address({"public_base_url": f"http://127.0.0.1:{port}"})
    assert found.port != port
    assert found.elsewhere == {"PUBLIC_BASE_URL": found.links} == {"PUBLIC_BASE_URL": found.url}


def test_links_that_a_proxy_serves_stay_as_they_are():
    port = free_port(0)
    found = page_address({"public_base_url": "https://go.acme.example"}, asked_port=port)
    assert found == (port, "https://go.acme.example", {})


def test_the_environment_says_where_links_lead(tmp_path):
    _small_project.write(tmp_path, _small_project.LIVE, channels=["email"])
    moved = load_project(tmp_path, {"PUBLIC_BASE_URL": "http://127.0.0.1:9"})
    assert moved.config.business.public_base_url == "http://127.0.0.1:9"
    assert load_project(tmp_path, {"PUBLIC_BASE_URL": ""}).config.business.public_base_url == "http://127.0.0.1:8400"


def test_fake_is_asked_for_and_never_assumed():
    assert parser().parse_args([]).fake is False
    assert parser().parse_args(["--fake"]).fake is True


def test_starting_programs_knows_none_of_them():
    loaded = (
        "import sys, deploy.up; print([name for name in sys.modules if name.split('.')[0] in ('winback', 'orjson')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
