"""The simulated shop, from its first nights to the pages behind its messages."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import web_world
from night_world import DAY, winback

from winback.ledger import queue
from winback.night.check import check
from winback.night.pepper import open_project_ledger
from winback.sample.scaffold import scaffold
from winback.settings import load_project
from winback.web.public_app import make_public_app


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A sample shop after one night, and the project it is."""
    root = tmp_path_factory.mktemp("sample") / "shop"
    scaffold(root, customers=400, ends_on=DAY - timedelta(days=1), history_days=500)
    assert winback("--project", root, "run", "--as-of", DAY, "--allow-backdated").code in {0, 4}
    return load_project(root, {})


def test_its_pages_are_sound(shop):
    assert not check(shop.root)


def test_every_link_of_every_mail_opens(shop):
    with open_project_ledger(shop) as ledger:
        app = make_public_app(shop, ledger, clock=web_world.Clock())
        pages = sorted((shop.root / "var" / "outbox").rglob("*.html"))
        texts = [page.read_text() for page in pages if re.fullmatch(r"[0-9a-f]{32}\.html", page.name)]
        found = {path for text in texts for path in re.findall(r"127\.0\.0\.1:8400(/[slup]/[A-Za-z0-9_-]+)", text)}
        assert {path[:3] for path in found} == {"/s/", "/u/", "/p/"}
        browsers = (web_world.Browser(app, f"192.0.2.{number % 250}", {}) for number in range(10_000))
        codes = {path: next(browsers).get(path).status_code for path in sorted(found)[:400]}
    assert set(codes.values()) <= {200, 302}


def test_its_topics_can_be_chosen(shop):
    with open_project_ledger(shop) as ledger:
        app = make_public_app(shop, ledger, clock=web_world.Clock())
        with ledger.reading() as connection:
            message_id = queue.list_messages(connection)[0]["message_id"]
        token = web_world.capability(message_id, "preferences", key=app.app.state.site.keys[0])
        text = web_world.Browser(app, "192.0.2.1", {"accept-language": "en"}).get(f"/p/{token}").text
    assert text.count('name="offered" value="') >= 5 + 1


def test_openapi_names_the_routes_of_the_interface_and_no_other(shop):
    with open_project_ledger(shop) as ledger:
        app = make_public_app(shop, ledger, clock=web_world.Clock())
        paths = web_world.Browser(app, "192.0.2.1", {}).get("/openapi.json").json()["paths"]
    routes = {path: sorted(methods) for path, methods in paths.items()}
    assert routes == {
        "/healthz": ["get"],
        "/assets/style.css": ["get"],
        "/s/{code}": ["get"],
        "/l/{code}": ["get", "post"],
        "/u/{token}": ["get", "post"],
        "/p/{token}": ["get", "post"],
        "/hooks/sendgrid": ["post"],
        "/hooks/twilio/status": ["post"],
        "/hooks/twilio/inbound": ["post"],
        "/hooks/segment": ["post"],
    }
