"""What the fake vendors report later, over real HTTP, with signatures that can be checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_vendor_process import fake_vendors
from vendor_calls import basic, call, mail, messages, post_mail, post_text, text

NAMED = "https://go.acme.example/hooks/twilio/status"


@dataclass
class Report:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def events(self):
        return json.loads(self.body)

    @property
    def form(self):
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class Listener:
    """A web app that keeps what it is told."""

    def __init__(self):
        self.reports: list[Report] = []
        self.statuses: list[int] = []
        self.url = ""

    def mails(self, number):
        events = [event for report in self.reports if "sendgrid" in report.path for event in report.events]
        return [event["event"] for event in events if event["message_id"] == f"{number:032x}"]

    def texts(self, number):
        found = [report.form for report in self.reports if f"{number:032x}" in report.path]
        return [form["MessageStatus"] for form in found]

    def wait(self, holds, seconds=10):
        deadline = time.monotonic() + seconds
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert holds()


@pytest.fixture
def listener():
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.reports.append(Report(self.path, dict(self.headers.items()), body))
            self.send_response(heard.statuses.pop(0) if heard.statuses else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        heard.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


@contextmanager
def reporting(tmp_path, listener, seed=0, **callbacks):
    given = {"delay_seconds": 0.02} | callbacks
    with fake_vendors(tmp_path, faults={"callbacks": given}, seed=seed, callbacks=listener.url) as vendors:
        yield vendors


def is_signed_by_sendgrid(report, public_key):
    key = serialization.load_der_public_key(base64.b64decode(public_key))
    signature = base64.b64decode(report.headers["X-Twilio-Email-Event-Webhook-Signature"])
    signed = report.headers["X-Twilio-Email-Event-Webhook-Timestamp"].encode() + report.body
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def test_a_mail_is_processed_and_delivered_in_signed_arrays(tmp_path, listener):
    with reporting(tmp_path, listener) as vendors:
        identity = post_mail(vendors, mail(1, 2)).headers["x-message-id"]
        listener.wait(lambda: listener.mails(2) == ["processed", "delivered"])
        assert listener.mails(1) == ["processed", "delivered"]
        assert [report.path for report in listener.reports] == ["/hooks/sendgrid"] * 2
        first = listener.reports[0].events[0]
        assert first["email"] == "person1@example.org"
        assert first["sg_message_id"].startswith(identity)
        assert len({event["sg_event_id"] for report in listener.reports for event in report.events}) == 4
        key = vendors.environment["SENDGRID_WEBHOOK_PUBLIC_KEY"]
        assert all(is_signed_by_sendgrid(report, key) for report in listener.reports)
        listener.reports[0].body += b" "
        assert not is_signed_by_sendgrid(listener.reports[0], key)


def test_a_text_moves_forward_in_signed_forms_and_in_the_listing(tmp_path, listener):
    with reporting(tmp_path, listener) as vendors:
        service = vendors.environment["TWILIO_MESSAGING_SERVICE_SID"]
        post_text(vendors, text(1))
        sid = post_text(vendors, text(2, From=None, MessagingServiceSid=service)).json["sid"]
        listener.wait(lambda: listener.texts(2) == ["queued", "sent", "delivered"])
        listener.wait(lambda: listener.texts(1) == ["sent", "delivered"])
        [report] = [each for each in listener.reports if each.form.get("MessageStatus") == "queued"]
        assert report.path == f"/hooks/twilio/status?message_id={2:032x}"
        assert (report.form["MessageSid"], report.form["From"]) == (sid, "")
        signed = f"{NAMED}?message_id={2:032x}" + "".join(name + report.form[name] for name in sorted(report.form))
        digest = hmac.new(vendors.environment["TWILIO_AUTH_TOKEN"].encode(), signed.encode(), hashlib.sha1).digest()
        assert report.headers["X-Twilio-Signature"] == base64.b64encode(digest).decode()
        shown = call(vendors, "GET", f"{messages(vendors)}?To=%2B33610000002", None, basic(vendors)).json
        assert shown["messages"][0]["status"] == "delivered"
        assert shown["messages"][0]["date_sent"] is not None


def test_people_have_the_outcomes_they_were_given(tmp_path, listener):
    people = {
        "person1@example.org": "bounced",
        "person2@example.org": "complained",
        "person3@example.org": "dropped_unsubscribed",
        "person4@example.org": "opened_by_machine",
        "+33610000005": "undelivered:30005",
        "+33610000006": "failed",
    }
    with reporting(tmp_path, listener, people=people) as vendors:
        post_mail(vendors, mail(1, 2, 3, 4))
        post_text(vendors, text(5))
        post_text(vendors, text(6))
        listener.wait(lambda: listener.mails(4) == ["processed", "delivered", "open"])
        listener.wait(lambda: listener.texts(5) == ["sent", "undelivered"])
        listener.wait(lambda: listener.texts(6) == ["failed"])
        assert listener.mails(1) == ["processed", "bounce"]
        assert listener.mails(2) == ["processed", "delivered", "spamreport"]
        assert listener.mails(3) == ["dropped"]
        codes = {form["MessageStatus"]: form.get("ErrorCode") for form in texts_of(listener)}
        assert codes == {"sent": None, "undelivered": "30005", "failed": "30008"}
        shown = call(vendors, "GET", f"{messages(vendors)}?To=%2B33610000005", None, basic(vendors)).json
        assert (shown["messages"][0]["status"], shown["messages"][0]["error_code"]) == ("undelivered", 30005)


def texts_of(listener):
    return [report.form for report in listener.reports if "twilio" in report.path]


def test_a_repeated_report_comes_twice_and_may_have_a_new_id(tmp_path, listener):
    with reporting(tmp_path, listener, duplicate=1.0) as vendors:
        post_mail(vendors, mail(*range(8)))
        post_text(vendors, text(9))
        listener.wait(lambda: listener.texts(9) == ["sent", "sent", "delivered", "delivered"])
        listener.wait(lambda: len(listener.mails(7)) == 4)
        events = [event for report in listener.reports if "sendgrid" in report.path for event in report.events]
        same = Counter((event["message_id"], event["event"]) for event in events)
        assert set(same.values()) == {2}
        ids = Counter(event["sg_event_id"] for event in events)
        assert set(ids.values()) == {1, 2}


def test_reordered_reports_begin_with_the_end(tmp_path, listener):
    with reporting(tmp_path, listener, reordered=1.0) as vendors:
        post_mail(vendors, mail(1))
        post_text(vendors, text(2))
        listener.wait(lambda: listener.mails(1) == ["delivered", "processed"])
        listener.wait(lambda: listener.texts(2) == ["delivered", "sent"])
        shown = call(vendors, "GET", f"{messages(vendors)}?To=%2B33610000002", None, basic(vendors)).json
        assert shown["messages"][0]["status"] == "delivered", "the vendor itself does not go backwards"


def test_late_reports_come_later_and_missing_ones_never(tmp_path, listener):
    with reporting(tmp_path, listener, late=0.5, late_seconds=2.0, seed=4) as vendors:
        post_mail(vendors, mail(*range(30)))
        begun = time.monotonic()
        listener.wait(lambda: any(listener.mails(number) for number in range(30)))
        early = sum(bool(listener.mails(number)) for number in range(30))
        listener.wait(lambda: all(len(listener.mails(number)) == 2 for number in range(30)))
        assert time.monotonic() - begun > 1.5
        assert 0 < early < 30


def test_a_missing_report_moves_the_listing_all_the_same(tmp_path, listener):
    with reporting(tmp_path, listener, missing=1.0) as vendors:
        post_mail(vendors, mail(1))
        post_text(vendors, text(2))
        path = f"{messages(vendors)}?To=%2B33610000002"
        listener.wait(
            lambda: call(vendors, "GET", path, None, basic(vendors)).json["messages"][0]["status"] == "delivered"
        )
        assert not listener.reports


def test_a_stop_does_not_wait_for_whoever_listens(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with fake_vendors(tmp_path, callbacks=url) as vendors:
            post_mail(vendors, mail(1))
            called, _ = silent.accept()
            begun = time.monotonic()
            assert vendors.stop() == 0
            assert time.monotonic() - begun < 5
            called.close()


def test_outcomes_are_drawn_by_seed(tmp_path, listener):
    def drawn(name, seed):
        (tmp_path / name).mkdir()
        listener.reports.clear()
        with reporting(tmp_path / name, listener, seed=seed, outcomes={"bounced": 0.3, "undelivered": 0.5}) as vendors:
            post_mail(vendors, mail(*range(40)))
            listener.wait(lambda: all(len(listener.mails(number)) == 2 for number in range(40)))
        return [listener.mails(number)[1] for number in range(40)]

    first = drawn("a", 1)
    assert set(first) == {"bounce", "delivered"}
    assert drawn("b", 1) == first
    assert drawn("c", 2) != first


def test_events_are_repeated_until_they_are_taken_and_status_callbacks_are_not(tmp_path, listener):
    listener.statuses = [500, 503]
    with reporting(tmp_path, listener) as vendors:
        post_mail(vendors, mail(1))
        listener.wait(lambda: listener.mails(1) == ["processed", "processed", "processed", "delivered"])
        listener.statuses = [500]
        post_text(vendors, text(2))
        listener.wait(lambda: listener.texts(2) == ["sent", "delivered"])
        listener.wait(lambda: len(vendors.events("callback")) == 4)
        told = [(event["vendor"], event["status"]) for event in vendors.events("callback")]
        assert told == [("sendgrid", 204), ("sendgrid", 204), ("twilio", 500), ("twilio", 204)]
