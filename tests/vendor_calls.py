"""Requests to the fake vendors, made without any help from a vendor's or a client's library."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlencode

SEND = "/v3/mail/send"
CLIENT_SECONDS = 10


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def call(vendors, method, path, body=None, headers=None, *, timeout=CLIENT_SECONDS) -> Answer:
    """Make one request on a connection of its own, without any help from a client library."""
    connection = http.client.HTTPConnection("127.0.0.1", vendors.port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def mail(*people: int, **changes):
    return {
        "personalizations": [
            {
                "to": [{"email": f"person{number}@example.org"}],
                "subject": "hi -name-",
                "custom_args": {"message_id": f"{number:032x}"},
                "substitutions": {"-name-": f"P{number}"},
            }
            for number in people
        ],
        "from": {"email": "hello@acme.example", "name": "Acme"},
        "content": [{"type": "text/plain", "value": "Dear -name-"}, {"type": "text/html", "value": "<p>-name-</p>"}],
    } | changes


def post_mail(vendors, body, *, key=None, timeout=CLIENT_SECONDS) -> Answer:
    key = vendors.environment["SENDGRID_API_KEY"] if key is None else key
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call(vendors, "POST", SEND, data, headers, timeout=timeout)


def get_mail(vendors, path) -> Answer:
    return call(vendors, "GET", path, None, {"Authorization": f"Bearer {vendors.environment['SENDGRID_API_KEY']}"})


def basic(vendors, user="", password=""):
    known = vendors.environment
    pair = f"{user or known['TWILIO_ACCOUNT_SID']}:{password or known['TWILIO_AUTH_TOKEN']}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def messages(vendors):
    return f"/2010-04-01/Accounts/{vendors.environment['TWILIO_ACCOUNT_SID']}/Messages.json"


def text(number: int, **changes):
    callback = f"https://go.acme.example/hooks/twilio/status?message_id={number:032x}"
    form = {"To": f"+3361000{number:04d}", "From": "+33600000000", "Body": "hello", "StatusCallback": callback}
    return {name: value for name, value in (form | changes).items() if value is not None}


def post_text(vendors, form, *, headers=None, timeout=CLIENT_SECONDS) -> Answer:
    headers = (headers or basic(vendors)) | {"Content-Type": "application/x-www-form-urlencoded"}
    return call(vendors, "POST", messages(vendors), urlencode(form).encode(), headers, timeout=timeout)
