"""`./do up --fake`: everything that is started afterwards sends to this machine, and nowhere else."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from contextlib import closing

import pytest

from deploy.services import ROOT, ServiceFailed, Services, free_port
from deploy.up import parser
from winback.sample.acceptance_log import read_acceptances

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
