"""What vendors call to say: believed when signed, in force when answered, counted once in whatever order."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import time
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

import ledger_rows as rows
import outbox_world
import pytest
import web_world
from fake_vendor_process import fake_vendors
from segment_world import HOOK, SHARED, sign, track
from sqlalchemy import func, select
from twilio.request_validator import RequestValidator
from vendor_calls import mail, post_mail, post_text, text

from winback.channels import sendgrid_mail
from winback.ledger import erasure, queue, who_refused
from winback.ledger.message_tables import receipts
from winback.ledger.public_tables import webhook_calls
from winback.ledger.refusals import Act
from winback.ledger.schema import METADATA
from winback.night.retain import retain
from winback.sample.event_signer import EventSigner
from winback.sample.vendor_desk import Credentials

SIGNER = EventSigner(7)
AUTH = "token of the tests"
PUBLIC = "https://go.acme.example"
KEYS = {"SENDGRID_WEBHOOK_PUBLIC_KEY": SIGNER.public_key, "TWILIO_AUTH_TOKEN": AUTH}
MAILS, STATES, TEXTS = "/hooks/sendgrid", "/hooks/twilio/status", "/hooks/twilio/inbound"
AT = int(web_world.LATER.timestamp())


def make_pages(root, database_url=None, **environment):
    """Pages whose public address is not the one they are called by."""
    outbox_world.make_project(root)
    file = root / "winback.yaml"
    file.write_text(file.read_text().replace("business: {", f"business: {{public_base_url: '{PUBLIC}/', ", 1))
    return web_world.make_pages(root, "c1", "c2", database_url=database_url, **{**KEYS, **environment})


@pytest.fixture
def pages(tmp_path, database_url):
    made = make_pages(tmp_path / "project", database_url)
    yield made
    made.ledger.close()


def event(message_id: str, kind: str, *, after: int = 0, **facts) -> dict:
    return {
        "event": kind,
        "message_id": message_id,
        "timestamp": AT + after,
        "email": "c1@example.com",
        "sg_event_id": "e1",
        "sg_message_id": "m1.recvd",
        **facts,
    }


def tell(pages, events, **headers):
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    return pages.browser.post(MAILS, content=body, headers={**SIGNER.headers(body, str(AT)), **headers})


def signed_form(form: dict, query: str, url: str = PUBLIC + STATES) -> tuple[bytes, dict]:
    signature = RequestValidator(AUTH).compute_signature(url + query, form)
    return urlencode(form).encode(), {
        "X-Twilio-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }


def tell_state(pages, message_id: str, status: str, *, url: str = PUBLIC + STATES, **form: str):
    query = f"?message_id={message_id}"
    body, headers = signed_form({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": "", **form}, query, url)
    return pages.browser.post(STATES + query, content=body, headers=headers)


def everything(ledger) -> list:
    with ledger.reading() as connection:
        return [
            connection.execute(table.select().order_by(*table.primary_key.columns)).all()
            for table in METADATA.sorted_tables
        ]


def state(pages, customer: str = "c1") -> str:
    with pages.ledger.reading() as connection:
        return queue.list_messages(connection, customer_id=customer)[0]["state"]


def refused(pages, customer: str = "c1") -> set[str]:
    with pages.ledger.reading() as connection:
        return {str(one.reason) for one in who_refused.refusals_of(connection, customer, pepper=rows.PEPPER)}


def copy_messages(pages, *message_ids: str) -> None:
    """Give c1 more messages, alike but for their ids, steps (from 10 on) and addresses."""
    table = METADATA.tables["messages"]
    with pages.ledger.writing() as connection:
        [one] = connection.execute(table.select().where(table.c.customer_id == "c1")).mappings()
        copies = [
            {**one, "message_id": each, "step": 10 + place, "address_hmac": f"a{place}"}
            for place, each in enumerate(message_ids)
        ]
        connection.execute(table.insert(), copies)


def count(pages, table) -> int:
    with pages.ledger.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def test_signed_events_are_in_force_when_they_are_answered(pages):
    one = pages.message_id("c1")
    answer = tell(pages, [event(one, "delivered"), event(one, "spamreport", after=5)])
    assert (answer.status_code, answer.content) == (204, b"")
    assert state(pages) == "delivered"
    assert refused(pages) == {"complained"}
    assert refused(pages, "c2") == set()


def test_a_state_is_signed_over_the_public_address(pages):
    one = pages.message_id("c1")
    assert tell_state(pages, one, "delivered", url=f"http://127.0.0.1:8400{STATES}").status_code == 403
    assert tell_state(pages, one, "delivered", To="+33612345678").status_code == 204
    assert state(pages) == "delivered"


@pytest.mark.parametrize("variable", sorted(KEYS))
def test_without_its_key_a_hook_is_shut_and_says_so(tmp_path, caplog, variable):
    pages = make_pages(tmp_path / "project", **{variable: " "})
    one = pages.message_id("c1")
    before = everything(pages.ledger)
    with caplog.at_level(logging.ERROR, "winback.web"):
        is_mail = variable.startswith("SENDGRID")
        answer = tell(pages, [event(one, "delivered")]) if is_mail else tell_state(pages, one, "delivered")
    assert answer.status_code == 503
    assert f"{variable} is not set" in caplog.text
    assert everything(pages.ledger) == before
    pages.ledger.close()


def test_what_is_not_signed_is_refused_and_changes_nothing(pages):
    one = pages.message_id("c1")
    body = json.dumps([event(one, "spamreport")]).encode()
    good = SIGNER.headers(body, str(AT))
    before = everything(pages.ledger)
    for headers in (
        {},
        EventSigner(8).headers(body, str(AT)),
        {**good, sendgrid_mail.TIMESTAMP_HEADER: "1"},
        {sendgrid_mail.SIGNATURE_HEADER: "x"},
    ):
        assert pages.browser.post(MAILS, content=body, headers=headers).status_code == 403
    assert pages.browser.post(MAILS, content=body + b" ", headers=good).status_code == 403
    query = f"?message_id={one}"
    form, headers = signed_form({"MessageStatus": "delivered"}, query)
    other = f"?message_id={pages.message_id('c2')}"
    for path, content, given in (
        (STATES + query, form, {}),
        (STATES + query, form + b"&To=1", headers),
        (STATES + other, form, headers),
        (STATES + query, b"\xff", headers),
        (STATES, form, headers),
    ):
        assert pages.browser.post(path, content=content, headers=given).status_code == 403
    assert everything(pages.ledger) == before
    assert {pages.browser.get(path).status_code for path in (MAILS, STATES)} == {405}


def test_signed_garbage_is_counted(pages):
    bodies = [
        b"",
        b"{}",
        b"not json",
        b"[" * 5000,
        b"\x00",
        b'[1, null, {"event": 3}]',
        b'["\\ud800"]',
        b"[1e999, %d]" % 10**400,
    ]
    strange = [
        event("x", "delivered"),
        event(pages.message_id("c1"), "delivered", timestamp=10**30),
        event(
            pages.message_id("c1"), "bounce", type="bounce", reason="a\x00b\x1b", status="\x00", sg_message_id="\x00"
        ),
    ]
    for body in (*bodies, strange):
        assert tell(pages, body).status_code == 204, body
    assert tell_state(pages, "not-an-id", "delivered").status_code == 204
    assert tell_state(pages, pages.message_id("c1"), "no such status").status_code == 204
    assert state(pages) == "bounced"
    with pages.ledger.reading() as connection:
        total = connection.execute(
            select(func.count(), func.sum(webhook_calls.c.receipts), func.sum(webhook_calls.c.unreadable))
        ).one()
    assert tuple(total) == (len(bodies) + 3, 1, 7 + 3 + 2 + 2)


def test_a_body_holds_five_thousand_events_at_most(pages):
    one = pages.message_id("c1")
    events = [event(one, "open", after=number) for number in range(5001)]
    slim = [{name: each[name] for name in ("event", "message_id", "timestamp")} for each in events]
    assert tell(pages, slim).status_code == 413
    assert count(pages, webhook_calls) == 0
    assert tell(pages, slim[1:]).status_code == 204
    assert count(pages, receipts) == 5000


def test_one_call_fifty_times_at_once_counts_once(pages):
    one = pages.message_id("c1")
    body = json.dumps([event(one, "delivered"), event(one, "unsubscribe", after=1)]).encode()
    form, form_headers = signed_form({"MessageSid": "SM1", "MessageStatus": "sent"}, f"?message_id={one}")

    async def all_at_once():
        calls = [pages.browser.ask("POST", MAILS, content=body, headers=SIGNER.headers(body, "1")) for _ in range(50)]
        path = f"{STATES}?message_id={one}"
        calls += [pages.browser.ask("POST", path, content=form, headers=form_headers) for _ in range(50)]
        return await asyncio.gather(*calls)

    assert {answer.status_code for answer in asyncio.run(all_at_once())} == {204}
    assert count(pages, webhook_calls) == 2
    assert count(pages, receipts) == 3
    assert refused(pages) == {"opted_out"}


def test_an_event_told_again_under_another_id_counts_once(pages):
    one = pages.message_id("c1")
    tell(pages, [event(one, "delivered")])
    tell(pages, [event(one, "delivered", sg_event_id="another")])
    assert (count(pages, webhook_calls), count(pages, receipts)) == (2, 1)


def test_a_state_told_again_later_counts_once(pages):
    one = pages.message_id("c1")
    tell_state(pages, one, "delivered")
    pages.clock.now += timedelta(days=1)
    assert tell_state(pages, one, "delivered").status_code == 204
    assert (count(pages, webhook_calls), count(pages, receipts)) == (1, 1)


SIX = (
    ("processed", 0, {}),
    ("deferred", 1, {"response": "busy"}),
    ("delivered", 2, {}),
    ("open", 3, {"sg_machine_open": True}),
    ("click", 4, {"url": "https://acme.example"}),
    ("spamreport", 5, {}),
)


def test_six_events_in_any_order_end_alike(tmp_path):
    pages = make_pages(tmp_path / "project")
    orders = list(itertools.permutations(SIX))
    copy_messages(pages, *(f"{place:032x}" for place in range(len(orders))))
    for turn in range(6):
        told = [
            event(f"{place:032x}", order[turn][0], after=order[turn][1], **order[turn][2])
            for place, order in enumerate(orders)
        ]
        body = json.dumps(told).encode()
        assert tell(pages, body).status_code == 204
    with pages.ledger.reading() as connection:
        table = METADATA.tables["messages"]
        mine = (table.c.step >= 10,)
        query = select(table.c.state, table.c.progress, table.c.delivered_at, table.c.accepted_at, table.c.provider_id)
        assert len(set(connection.execute(query.where(*mine)).all())) == 1
        assert connection.scalar(select(func.count()).select_from(receipts)) == 6 * 720
    assert refused(pages) == {"complained"}
    pages.ledger.close()


def test_bodies_are_kept_for_thirty_days_and_the_calls_stay_known(pages):
    one = pages.message_id("c1")
    tell(pages, [event(one, "delivered")])
    day = web_world.LATER.date()
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=30))["webhook_bodies"] == 0
    assert retain(pages.project, pages.ledger, as_of=day + timedelta(days=31))["webhook_bodies"] == 1
    assert tell(pages, [event(one, "delivered")]).status_code == 204
    with pages.ledger.reading() as connection:
        assert connection.scalars(select(webhook_calls.c.body)).all() == [None]


def test_who_is_forgotten_stands_in_no_body(pages):
    one = pages.message_id("c1")
    tell(pages, [event(one, "delivered")])
    act = Act(web_world.LATER, web_world.LATER.date(), source="cli", actor="a")
    with pages.ledger.writing() as connection:
        counts = erasure.forget(connection, "c1", act, pepper=rows.PEPPER)
    assert counts["webhook_calls"] == 1
    assert tell(pages, [event(one, "open"), event("f" * 32, "open")]).status_code == 204
    assert "c1@example.com" not in repr(everything(pages.ledger))


def test_reports_of_the_fake_vendors_arrive_over_the_wire(tmp_path):
    keys = Credentials.of(0).environment("http://127.0.0.1:1", EventSigner(0).public_key)
    pages = make_pages(tmp_path / "project", **keys)
    copy_messages(pages, *(f"{number:032x}" for number in range(1, 5)))
    callbacks = {
        "delay_seconds": 0.02,
        "duplicate": 0.5,
        "reordered": 0.5,
        "people": {"person2@example.org": "bounced"},
    }
    expected = {1: "delivered", 2: "bounced", 3: "delivered", 4: "delivered"}
    with (
        web_world.served(pages.project) as (_, address),
        fake_vendors(tmp_path, faults={"callbacks": callbacks}, callbacks=address) as vendors,
    ):
        post_mail(vendors, mail(1, 2))
        post_text(vendors, text(3))
        post_text(vendors, text(4))
        for _ in range(200):
            with pages.ledger.reading() as connection:
                table = METADATA.tables["messages"]
                found = {
                    int(row.message_id, 16): row.state
                    for row in connection.execute(table.select().where(table.c.step >= 10))
                }
            if found == expected:
                break
            time.sleep(0.05)
        assert {each["status"] for each in vendors.events("callback")} == {204}
    assert found == expected
    pages.ledger.close()


def fuzzed(random_: random.Random, body: bytes) -> bytes:
    """A body with some of its bytes changed, cut out, doubled, or all of them any."""
    way = random_.randrange(5)
    cut = random_.randrange(len(body) + 1)
    if way == 0:
        return random_.randbytes(random_.randrange(200))
    if way == 1:
        return body[:cut]
    if way == 2:
        return body[:cut] + random_.randbytes(3) + body[cut:]
    if way == 3:
        return body[:cut] + body[cut + 1 :]
    return body[cut:] + body[:cut]


def test_ten_thousand_fuzzed_bodies_do_nothing_unsigned_and_never_fail(tmp_path):
    pages = make_pages(tmp_path / "project", WINBACK_SEGMENT_SECRET=SHARED)
    one = pages.message_id("c1")
    random_ = random.Random(4)
    events = json.dumps([event(one, "spamreport"), event(one, "bounce", status="5.1.1")]).encode()
    form, form_headers = signed_form({"MessageSid": "SM1", "MessageStatus": "failed"}, f"?message_id={one}")
    said, said_headers = signed_form({"MessageSid": "SM1", "From": "+33600000000", "Body": "STOP"}, "", PUBLIC + TEXTS)
    refusing = json.dumps(track(type="identify", traits={"unsubscribed": True})).encode()
    calls = (
        (MAILS, events, SIGNER.headers(events, "1")),
        (f"{STATES}?message_id={one}", form, form_headers),
        (TEXTS, said, said_headers),
        (HOOK, refusing, {"X-Signature": sign(refusing)}),
    )
    before = everything(pages.ledger)

    async def post_all() -> set[int]:
        found = set()
        for number in range(8800):
            path, body, headers = calls[number % len(calls)]
            changed = fuzzed(random_, body)
            if changed != body:
                found.add((await pages.browser.ask("POST", path, content=changed, headers=headers)).status_code)
        return found

    assert asyncio.run(post_all()) == {403}
    assert everything(pages.ledger) == before

    def signed(path: str, body: bytes, number: int) -> dict:
        if path == MAILS:
            return SIGNER.headers(body, str(number))
        if path == HOOK:
            return {"X-Signature": sign(body)}
        # As the vendor's package reads the form, which is what it signs.
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return {"X-Twilio-Signature": RequestValidator(AUTH).compute_signature(PUBLIC + TEXTS, form)}

    async def post_signed() -> set[int]:
        found = set()
        for number in range(1200):
            path, body, _ = (calls[0], calls[2], calls[3])[number % 3]
            changed = fuzzed(random_, body)
            headers = signed(path, changed, number)
            found.add((await pages.browser.ask("POST", path, content=changed, headers=headers)).status_code)
        return found

    # What is signed and no UTF-8 cannot be checked as the vendor's package does it.
    assert asyncio.run(post_signed()) <= {200, 204, 403}
    assert count(pages, webhook_calls) > 600
    pages.ledger.close()
