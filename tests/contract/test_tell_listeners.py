"""Other tools are told over real HTTP: signed, at least once, each by itself, and from nobody's data."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import databases
import ledger_rows as rows
import outbox_world
import pytest
import yaml
from night_world import start, winback
from scripted_provider import Step, WebPeer, free_port, make_certificate

from winback.channels import outgoing_hooks
from winback.channels.transport import TimeOuts, Transport
from winback.ledger import cycles, outgoing
from winback.ledger.outgoing import Event
from winback.night.pepper import open_project_ledger
from winback.night.tell_listeners import AT_ONCE, tell_listeners
from winback.settings import load_project

NOW, NIGHT = rows.NOW, rows.NIGHT
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (7, 9))
ORACLE = bytes.fromhex(
    "c36b7f94 a52a75bc d968a4c6 35622f03"  # spaced, as it is no secret
    "e3e5f977 bb615262 1cc6a8c2 32c42f0f"
)
VARIABLE = "HOOK_SECRET"
FINE, BROKEN = Step(204), Step(500)


class Shop:
    """A project some tools listen to: name -> address."""

    def __init__(self, root, database_url: str, *, live: bool = False, secret: str = f"whsec_{NEW}", **urls: str):
        self.root = root
        outbox_world.make_project(root)
        file = root / "winback.yaml"
        config = yaml.safe_load(file.read_text())
        events = ["lapse", "return", "sunset", "suppression", "lift"]
        config["hooks"] = {
            "outgoing": [
                {"name": name, "url_env": f"{name.upper()}_URL", "secret_env": VARIABLE, "events": events}
                for name in urls
            ]
        }
        config["live"] = live
        file.write_text(yaml.safe_dump(config))
        self.environment = {
            "WINBACK_PEPPER": databases.PEPPER.decode(),
            "WINBACK_DATABASE_URL": database_url,
            VARIABLE: secret,
            **{f"{name.upper()}_URL": url for name, url in urls.items()},
        }
        self.project = load_project(root, self.environment)

    def lapse(self, *customers: str) -> None:
        events = [Event("lapse", one, "lapsed", NIGHT, "winback", 1, arm="treated") for one in customers]
        with open_project_ledger(self.project) as ledger, ledger.writing() as connection:
            outgoing.record(connection, events, now=NOW)

    def tell(self, *, at=NOW, context=None, seconds: float = 2):
        # Closed at once, so that no peer waits for another request.
        transport = Transport(time_outs=TimeOuts(connect=2, read=seconds, whole=seconds), context=context)
        with open_project_ledger(self.project) as ledger, closing(transport):
            return tell_listeners(self.project, ledger, now=at, transport=transport)

    def settle(self, *arguments: str):
        return winback("--project", self.root, "--json", "settle", *arguments, environment=self.environment)


@pytest.fixture
def make_shop(tmp_path, database_url):
    return lambda **options: Shop(tmp_path / "shop", database_url, **options)


def verify(request, encoded: str) -> dict:
    """What a receiver does, by the specification of Standard Webhooks."""
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    digest = hmac.new(base64.b64decode(encoded), signed, hashlib.sha256).digest()
    given = [one.partition(",")[::2] for one in request.headers["webhook-signature"].split()]
    assert ("v1", base64.b64encode(digest).decode()) in given
    return json.loads(request.body)


def ids(peer: WebPeer) -> list[str]:
    return [request.headers["webhook-id"] for request in peer.requests]


def test_an_event_is_signed_and_holds_no_more_than_ids_reasons_and_days(make_shop):
    with WebPeer([FINE]) as peer:
        shop = make_shop(crm=f"{peer.url}/hooks?tenant=7")
        shop.lapse("ann")
        assert shop.tell()[:4] == (1, 0, 0, 0)
        (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/hooks?tenant=7")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert verify(request, NEW) == {
        "type": "lapse",
        "timestamp": "2026-03-10T09:00:00+00:00",
        "data": {
            "customer_id": "ann",
            "programme": "winback",
            "cycle": 1,
            "arm": "treated",
            "reason": "lapsed",
            "on": "2026-03-10",
        },
    }


def test_the_signature_is_the_one_the_reference_implementation_makes():
    """ORACLE was made by the package `standardwebhooks` 1.0.1 from this very secret, id, instant and text."""
    secret = base64.b64decode(NEW)
    text = b'{"type":"lapse"}'
    assert outgoing_hooks.sign([secret], "msg_1", "1773133200", text) == "v1," + base64.b64encode(ORACLE).decode()


def test_a_secret_is_changed_in_peace(make_shop):
    with WebPeer([FINE]) as peer:
        shop = make_shop(crm=peer.url, secret=f"whsec_{NEW}, whsec_{OLD}")
        shop.lapse("ann")
        shop.tell()
        assert verify(peer.requests[0], OLD) == verify(peer.requests[0], NEW)


def test_what_fails_is_told_again_under_the_same_id_and_signed_anew(make_shop):
    with WebPeer([BROKEN, FINE]) as peer:
        shop = make_shop(crm=peer.url)
        shop.lapse("ann")
        assert shop.tell()[:4] == (0, 1, 0, 1)
        assert shop.tell()[:4] == (0, 0, 0, 1), "not due yet"
        assert shop.tell(at=NOW + timedelta(minutes=1))[:4] == (1, 0, 0, 0)
        first, second = peer.requests
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
        verify(second, NEW)


@pytest.mark.parametrize("status", [199, 301, 302, 307, 400, 404, 429, 503])
def test_no_redirect_is_followed_and_only_a_2xx_is_a_yes(make_shop, status):
    with WebPeer([FINE]) as other, WebPeer([Step(status, headers={"Location": f"{other.url}/"})]) as peer:
        shop = make_shop(crm=peer.url)
        shop.lapse("ann")
        assert shop.tell()[:4] == (0, 1, 0, 1)
        assert not other.requests


def test_one_listener_does_not_hold_up_another(make_shop):
    """The one who never answers is still being waited for when the other has everything."""
    has_all, waited = threading.Event(), []
    customers = [f"c{number:02d}" for number in range(3 * AT_ONCE)]

    def slow(_request) -> Step:
        waited.append(has_all.wait(20))
        return BROKEN

    def quick(_request) -> Step:
        if len(found.requests) == len(customers):
            has_all.set()
        return FINE

    with WebPeer(quick) as found, WebPeer(slow) as lost:
        shop = make_shop(crm=lost.url, ads=found.url, bi=f"http://127.0.0.1:{free_port()}")
        shop.lapse(*customers)
        told = shop.tell(seconds=20)
        assert (told.delivered, told.failed) == (len(customers), 2 * AT_ONCE)
        assert sorted(set(ids(found))) == sorted(ids(found))
    assert all(waited)


def test_who_says_gone_is_asked_no_more_until_a_person_says_so(make_shop):
    with WebPeer([Step(410), FINE]) as peer:
        shop = make_shop(crm=peer.url)
        shop.lapse("ann")
        told = shop.tell()
        assert "winback resume --hook crm" in told.warnings[0]
        later = NOW + timedelta(days=1)
        shop.lapse("bob")
        assert shop.tell(at=later)[:4] == (0, 0, 0, 2)
        assert len(peer.requests) == 1
        doctor = winback("--project", shop.root, "--json", "doctor", environment=shop.environment).data
        (found,) = [one for one in doctor["checks"] if one["name"] == "hooks"]
        assert not found["ok"]
        assert "410" in found["detail"]
        resume = ["resume", "--hook", "crm", "--reason", "moved"]
        assert winback("--project", shop.root, *resume, environment=shop.environment).code == 0
        assert shop.tell(at=datetime.now(tz=UTC) + timedelta(hours=1))[:4] == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--reason", " "], "reason is empty"), (["--reason", "x"], "names no such hook: crm")]
)
def test_only_a_hook_that_is_named_is_resumed_and_with_a_reason(make_shop, arguments, said):
    shop = make_shop(crm="http://127.0.0.1:1")
    answered = winback("--project", shop.root, "resume", "--hook", "cmr", *arguments, environment=shop.environment)
    assert answered.code == 2
    assert said in " ".join(answered.err.split())


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("http://tools.example/x", f"whsec_{NEW}", "CRM_URL: has to be https"),
        ("ftp://tools.example/x", f"whsec_{NEW}", "CRM_URL: is no address"),
        ("https://user@tools.example/x", f"whsec_{NEW}", "CRM_URL: may hold no user"),
        ("https://tools.example:port/", f"whsec_{NEW}", "CRM_URL: is no address"),
        ("https://tools.example/a b", f"whsec_{NEW}", "CRM_URL: is no address"),
        ("", f"whsec_{NEW}", "CRM_URL: is not set"),
        ("https://tools.example/x", "", "HOOK_SECRET: holds no secret"),
        ("https://tools.example/x", "whsec_c2hvcnQ=", "HOOK_SECRET: holds no secret"),
        ("https://tools.example/x", "not base64!", "HOOK_SECRET: holds no secret"),
    ],
)
def test_settings_that_are_none_are_named_and_never_repeated(make_shop, url, secret, said):
    shop = make_shop(crm=url, secret=secret, live=True)
    shop.lapse("ann")
    told = shop.tell()
    assert told[:4] == (0, 0, 0, 1), "what happened waits until the settings are mended"
    assert said in told.warnings[0]
    assert not any(part and part in told.warnings[0] for part in (url, secret))


def test_before_a_project_is_live_only_this_machine_is_told(make_shop):
    with WebPeer([FINE]) as peer:
        shop = make_shop(crm="https://tools.example/x", ads=peer.url)
        shop.lapse("ann")
        assert shop.tell() == (1, 0, 0, 0, ())
        found = winback("--project", shop.root, "--json", "doctor", environment=shop.environment).data["checks"]
        (said,) = [one for one in found if one["name"] == "hooks"]
        assert (said["ok"], said["detail"]) == (True, "crm: 0 waiting, told nothing before live: true; ads: 0 waiting")


def test_over_tls_the_certificate_counts(make_shop, tmp_path):
    certificate = make_certificate(tmp_path)
    with WebPeer([FINE], certificate) as peer:
        shop = make_shop(crm=peer.url)
        shop.lapse("ann")
        assert shop.tell()[:2] == (0, 1)
        assert shop.tell(at=NOW + timedelta(hours=1), context=certificate.client_context())[:2] == (1, 0)


def test_what_was_for_a_hook_that_is_named_no_more_is_given_up_and_said(make_shop):
    make_shop(crm="http://127.0.0.1:1").lapse("ann")
    told = make_shop(ads="http://127.0.0.1:1").tell()
    assert told[:4] == (0, 0, 1, 0)
    assert "given up" in told.warnings[0]


def test_two_at_once_do_not_tell_the_same(make_shop):
    shop = make_shop(crm="http://127.0.0.1:1")
    with open_project_ledger(shop.project) as ledger, ledger.lock("hooks"):
        assert "lock" in shop.tell().warnings[0]


def test_who_dies_between_the_post_and_the_note_tells_it_again_with_the_same_id(make_shop):
    """Killed by the receiver, before it answers: nobody has noted anything."""
    began = []

    def kill_once(_request) -> Step:
        if len(peer.requests) == 1:
            os.kill(began[0].pid, signal.SIGKILL)
            return Step(then="close")
        return FINE

    with WebPeer(kill_once) as peer:
        shop = make_shop(crm=peer.url)
        shop.lapse("ann")
        command = ["--project", str(shop.root), "settle"]
        began.append(start(*command, env={**os.environ, **shop.environment}))
        began[0].communicate(timeout=60)
        assert began[0].returncode == -signal.SIGKILL
        told = shop.settle().data["hooks"]
        assert (told["delivered"], told["waiting"], told["warnings"]) == (1, 0, [])
        assert len(set(ids(peer))) == 1
        assert len(ids(peer)) == 2
    assert shop.settle().data["hooks"]["delivered"] == 0


def test_a_sunset_tells_what_it_came_after(make_shop):
    with WebPeer([FINE]) as peer:
        shop = make_shop(crm=peer.url)
        with open_project_ledger(shop.project) as ledger, ledger.writing() as connection:
            taken = {
                "programme": "winback",
                "cycle_no": 1,
                "step": [2, 1],
                "arm": "treated",
                "channel": ["sms", "email"],
            }
            days = rows.pd.to_datetime(["2026-02-10", "2026-01-10"])
            cycles.take_steps(connection, rows.pd.DataFrame({"customer_id": ["ann"] * 2, **taken, "taken_on": days}))
            event = Event("sunset", "ann", "ladder_ended", NIGHT, "winback", 1)
            outgoing.record(connection, [event, event._replace(cycle_no=2)], now=NOW)
        assert shop.tell().delivered == 2
        said = {
            body["data"]["cycle"]: body["data"].get("steps") for body in (verify(one, NEW) for one in peer.requests)
        }
    assert said == {
        1: [{"step": 1, "channel": "email", "on": "2026-01-10"}, {"step": 2, "channel": "sms", "on": "2026-02-10"}],
        2: None,
    }
