"""What Segment tells as it happens: it stops what is queued at once, and is an event of the next night."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import ledger_rows as rows
import pytest
import web_world
import yaml
from segment_world import HOOK, SHARED, SOURCE, sign, track
from sqlalchemy import select
from test_vendor_hooks import count, everything, make_pages, refused

from winback.channels.segment_calls import VARIABLE
from winback.ledger import claims, erasure, people, queue, refusals, signs_of_life
from winback.ledger.inbound_tables import heard_events
from winback.ledger.people_tables import suppressions
from winback.ledger.public_tables import webhook_calls
from winback.ledger.refusals import Act
from winback.night.check import load_programmes
from winback.night.retain import retain
from winback.night.terms import gate_terms

NOW = web_world.LATER


def made_pages(root, database_url=None, source=SOURCE, **environment):
    made = make_pages(root, database_url, WINBACK_SEGMENT_SECRET=SHARED, **environment)
    file = root / "winback.yaml"
    config = yaml.safe_load(file.read_text())
    config["sources"]["events"] += [source] if source else []
    file.write_text(yaml.safe_dump(config))
    made.ledger.close()
    settings = {**made.project.environment}
    project = web_world.load_project(root, settings)
    ledger = web_world.open_ledger(project.database_url, pepper=rows.PEPPER)
    reopened = object.__new__(web_world.Pages)
    reopened.project, reopened.ledger, reopened.clock = project, ledger, web_world.Clock()
    reopened.app = web_world.make_public_app(project, ledger, clock=reopened.clock)
    reopened.browser = reopened.visitor()
    return reopened


@pytest.fixture
def pages(tmp_path):
    made = made_pages(tmp_path / "project")
    yield made
    made.ledger.close()


@pytest.fixture
def on_either(tmp_path, database_url):
    made = made_pages(tmp_path / "project", database_url)
    yield made
    made.ledger.close()


def tell(pages, *calls: object, signature: str | None = None):
    body = calls[0] if isinstance(calls[0], bytes) else json.dumps(list(calls)).encode()
    return pages.browser.post(HOOK, content=body, headers={"X-Signature": signature or sign(body)})


def bought(customer: str = "c1", *, after: timedelta = timedelta(minutes=-1), **changes: object) -> dict:
    at = (NOW + after).isoformat().replace("+00:00", "Z")
    return track(**{"userId": customer, "timestamp": at, "messageId": f"m-{customer}-{after}", **changes})


def fate(pages, customer: str = "c1") -> tuple[str, str | None]:
    with pages.ledger.reading() as connection:
        row = queue.list_messages(connection, customer_id=customer)[0]
    return row["state"], row["reason"]


def claim(pages) -> None:
    """Claim what is due on the project's own terms."""
    programmes = load_programmes(pages.project.root)
    with pages.ledger.writing() as connection:
        terms = gate_terms(connection, pages.project, programmes)
        claims.claim(connection, limit=10, now=NOW, owner="s1", terms=terms)


def signs(pages, customer: str = "c1") -> list[tuple]:
    with pages.ledger.reading() as connection:
        found = signs_of_life.read_signs(connection, [customer]).get(customer, [])
    return [(one.behaviour, one.newest_at) for one in found]


def test_a_purchase_stops_what_is_queued(on_either):
    pages = on_either
    answer = tell(pages, bought())
    assert (answer.status_code, answer.content) == (204, b"")
    claim(pages)
    assert fate(pages) == ("cancelled", "returned")
    assert fate(pages, "c2") == ("sending", None)


@pytest.mark.parametrize(
    "call",
    [
        bought(event="Signed Up"),
        bought(after=timedelta(minutes=6)),
        bought(timestamp="2026-03-10T08:59:59"),
        bought(timestamp="never"),
        bought(timestamp="0001-01-01T00:00:00+14:00"),
        bought(timestamp="2025-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_sign_of_life_stops_nothing(pages, call):
    assert tell(pages, call).status_code == 204
    claim(pages)
    assert fate(pages) == ("sending", None)


def test_the_newest_of_several_is_the_sign(pages):
    tell(pages, bought(after=timedelta(hours=-1)), bought(), bought(after=timedelta(hours=-2)))
    tell(pages, bought(after=timedelta(hours=-3)))
    assert signs(pages) == [("purchase", NOW - timedelta(minutes=1))]
    assert count(pages, heard_events) == 4


def test_an_event_counts_once_by_its_id_and_by_what_it_says(on_either):
    pages = on_either
    tell(pages, bought())
    tell(pages, bought(), bought())  # another body, so another call
    tell(pages, bought(messageId="another"))
    tell(pages, bought(after=timedelta(minutes=-9), messageId=bought()["messageId"]))
    assert (count(pages, webhook_calls), count(pages, heard_events)) == (4, 1)


def test_one_call_fifty_times_at_once_counts_once(on_either):
    pages = on_either
    body = json.dumps([bought(), track(type="identify", userId="c2", traits={"unsubscribed": True})]).encode()

    async def all_at_once():
        headers = {"X-Signature": sign(body)}
        return await asyncio.gather(
            *(pages.browser.ask("POST", HOOK, content=body, headers=headers) for _ in range(50))
        )

    assert {answer.status_code for answer in asyncio.run(all_at_once())} == {204}
    assert (count(pages, webhook_calls), count(pages, heard_events)) == (1, 1)
    with pages.ledger.reading() as connection:
        assert connection.scalars(select(webhook_calls.c.body)).all() == [None]


def test_a_trait_stops_everything_and_no_trait_gives_anything_back(pages):
    tell(pages, track(type="identify", traits={"unsubscribed": True}))
    assert refused(pages) == {"opted_out"}
    entries = count(pages, suppressions)
    tell(pages, track(type="identify", traits={"unsubscribed": "true", "plan": "gold"}))
    tell(pages, track(type="identify", traits={"unsubscribed": False, "subscribed": True, "consent": "granted"}))
    assert count(pages, suppressions) == entries
    claim(pages)
    assert fate(pages) == ("suppressed", "opted_out")
    assert "gold" not in repr(everything(pages.ledger))


def test_the_no_of_somebody_unknown_waits_for_them(pages):
    tell(pages, track(type="identify", userId="c9", traits={"unsubscribed": True}))
    with pages.ledger.writing() as connection:
        people.replace_contacts(connection, rows.contacts("c9"), pepper=rows.PEPPER, as_of=rows.NIGHT)
    assert refused(pages, "c9") == {"opted_out"}


def test_of_somebody_unknown_an_event_is_kept_and_no_sign(pages):
    tell(pages, bought("c9"))
    assert count(pages, heard_events) == 1
    assert signs(pages, "c9") == []


def test_of_somebody_forgotten_nothing_is_kept(pages):
    tell(pages, bought())
    with pages.ledger.writing() as connection:
        counts = erasure.forget(connection, "c1", Act(NOW, NOW.date(), source="cli", actor="a"), pepper=rows.PEPPER)
    assert counts["heard_events"] == 1
    tell(pages, bought(after=timedelta(minutes=-2)), track(type="identify", traits={"unsubscribed": True}))
    assert (count(pages, heard_events), signs(pages)) == (0, [])
    assert "'c1'" not in repr(everything(pages.ledger))


def test_what_is_not_signed_as_a_whole_is_refused_and_changes_nothing(pages):
    body = json.dumps(bought()).encode()
    batch = b"[" + body + b"," + body + b"]"
    before = everything(pages.ledger)
    for content, signature in (
        (body, "x"),
        (body, sign(body, "other")),
        (body + b" ", sign(body)),
        (batch, sign(body)),
    ):
        assert tell(pages, content, signature=signature).status_code == 403
    assert pages.browser.post(HOOK, content=body).status_code == 403
    assert everything(pages.ledger) == before
    assert pages.browser.get(HOOK).status_code == 405


def test_without_its_secret_the_hook_is_shut_and_says_so(pages, caplog):
    shut = web_world.make_site(pages, **{VARIABLE: " "})
    with caplog.at_level(logging.ERROR, "winback.web"):
        assert tell(shut, bought()).status_code == 503
    assert "WINBACK_SEGMENT_SECRET is not set" in caplog.text
    assert count(pages, webhook_calls) == 0


def test_where_no_events_are_declared_a_no_is_heard_all_the_same(tmp_path):
    pages = made_pages(tmp_path / "project", source=None)
    assert tell(pages, bought(), track(type="identify", traits={"unsubscribed": True})).status_code == 204
    assert count(pages, heard_events) == 0
    assert refused(pages) == {"opted_out"}
    pages.ledger.close()


def test_a_body_holds_five_thousand_calls_at_most(pages):
    slim = [{"type": "page"}] * 5001
    assert tell(pages, json.dumps(slim).encode()).status_code == 413
    assert count(pages, webhook_calls) == 0
    assert tell(pages, json.dumps(slim[1:]).encode()).status_code == 204


def test_signed_garbage_is_counted(pages):
    for body in (b"", b"{", b"[" * 9999, b"\x00", b'[1, null, {"type": 3}]', b'["\\ud800"]'):
        assert tell(pages, body).status_code == 204, body
    strange = ("\u202e" * 900, "x" * 90_000, "\ud7ff", "a\nb", "\x7f")
    assert tell(pages, *(bought(text, messageId=text, timestamp=text) for text in strange)).status_code == 204
    with pages.ledger.reading() as connection:
        unreadable = connection.scalars(select(webhook_calls.c.unreadable)).all()
    assert sorted(unreadable) == [0, 1, 1, 1, 1, 1, 3]
    assert count(pages, heard_events) == len(strange)


def test_what_was_heard_is_let_go_after_ninety_days(pages):
    tell(pages, bought())
    day = NOW.date()
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=90))["heard_events"] == 0
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=91))["heard_events"] == 1


def test_a_stop_is_not_lifted_by_anything_segment_says(pages):
    act = Act(NOW - timedelta(days=1), NOW.date(), source="one_click", actor="one_click")
    with pages.ledger.writing() as connection:
        target = refusals.Target("email", customer_id="c1")
        refusals.suppress(connection, target, act, pepper=rows.PEPPER, reason=refusals.Reason.OPTED_OUT)
    tell(pages, bought(), track(type="identify", traits={"unsubscribed": False}))
    assert refused(pages) == {"opted_out"}
