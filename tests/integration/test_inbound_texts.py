"""Texts that people send: a stop is in force when it is answered, what may mean stop waits for a person to read it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import timedelta
from html import unescape

import ledger_rows as rows
import pytest
import web_world
from night_world import winback
from sqlalchemy import select
from test_vendor_hooks import AUTH, PUBLIC, TEXTS, count, everything, make_pages, refused, signed_form

from winback.core.reasons import Reason
from winback.ledger import claims, diary, erasure, keys, people, queue, refusals, verdicts, who_refused
from winback.ledger.engagements import newest_answers
from winback.ledger.inbound_tables import reviews
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import suppressions
from winback.ledger.public_tables import engagements, webhook_calls
from winback.ledger.refusals import Act, Target
from winback.night import review
from winback.night.wishes import with_wishes

NUMBERS = {"c1": "+33600000000", "c2": "+33600000001"}
STRANGER = "+33611111111"
NOW = web_world.LATER
TWIML = re.compile(r'<\?xml version="1.0" encoding="UTF-8"\?><Response>(?:<Message>([^<>]+)</Message>)?</Response>')


def made_pages(root, database_url=None):
    """Two people, the first of them French, each with a mail and a text on their way."""
    made = make_pages(root, database_url)
    with made.ledger.writing() as connection:
        web_world.set_locale(connection, "c1", "fr")
        people.add_consents(connection, rows.consents("c1", "c2", channel="sms"), pepper=rows.PEPPER)
        for one, number in NUMBERS.items():
            texts = rows.messages(one, channel="sms", address=number, step=2)
            verdicts.queue_messages(connection, texts, pepper=rows.PEPPER)
    return made


@pytest.fixture
def pages(tmp_path):
    made = made_pages(tmp_path / "project")
    yield made
    made.ledger.close()


@pytest.fixture
def on_either(tmp_path, database_url):
    """The same on both databases: what they do differently."""
    made = made_pages(tmp_path / "project", database_url)
    yield made
    made.ledger.close()


def send(pages, words: str, *, sender: str = NUMBERS["c1"], sid: str = "SM1", **form: str):
    """Send a text; each of another sid is another text."""
    body, headers = signed_form(
        {"MessageSid": sid, "From": sender, "To": "+33600000099", "Body": words, **form}, "", PUBLIC + TEXTS
    )
    return pages.browser.post(TEXTS, content=body, headers=headers)


def replied(answer) -> str | None:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/xml")
    found = TWIML.fullmatch(answer.text)
    return found[1] and unescape(found[1])


def claim(pages, *, now=NOW) -> claims.Claim:
    found = []
    refused_: dict[str, int] = {}
    with pages.ledger.writing() as connection:
        for channel in ("sms", "email"):
            one = claims.claim(connection, limit=100, now=now, owner="s1", channel=channel)
            found += one.messages
            refused_ |= {f"{channel} {reason}": n for reason, n in one.refused.items()}
    return claims.Claim(tuple(found), refused_)


def fates(pages) -> set[tuple]:
    with pages.ledger.reading() as connection:
        listed = queue.list_messages(connection)
    return {(row["customer_id"], row["channel"], row["state"], row["reason"]) for row in listed}


def has_sent(pages, *customers: str) -> None:
    """Let the texts of some customers be sent, and be on no other way."""
    with pages.ledger.writing() as connection:
        mine = messages.c.channel == "sms", messages.c.customer_id.in_(customers)
        connection.execute(messages.update().where(*mine).values(state="accepted", accepted_at=rows.NOW))


# --- stop, start, help -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["STOP", " stop, please 🙏", "\uff33\uff34\uff2f\uff30", "Arrêt svp", "unsubscribe me"]
)
def test_a_stop_between_the_plan_and_the_claim_is_not_sent_to(pages, words):
    reply = replied(send(pages, words))
    assert reply == "Acme : vous ne recevrez plus de publicité de notre part ici. Répondez START pour y revenir."
    taken = claim(pages)
    assert sorted((one.customer_id, one.channel) for one in taken.messages) == [
        ("c1", "email"), ("c2", "email"), ("c2", "sms"),
    ]  # fmt: skip
    assert taken.refused == {"sms opted_out": 1}
    with pages.ledger.reading() as connection:
        entries = connection.execute(select(suppressions.c.channel, suppressions.c.kind, suppressions.c.source)).all()
        assert diary.read_entries(connection)[0].actor == "webhook:twilio"
    assert sorted(map(tuple, entries)) == [("sms", "address", "stop_word"), ("sms", "customer", "stop_word")]


def test_what_twilio_has_understood_counts_whatever_the_words_and_is_not_answered_twice(pages):
    assert replied(send(pages, "ya no quiero", OptOutType="STOP")) is None
    assert refused(pages) == {"opted_out"}
    assert replied(send(pages, "STOP", sid="SM2", OptOutType="START")) is None
    assert refused(pages) == {"opted_out"}, "an act of the same instant is no newer one"
    pages.clock.now += timedelta(seconds=1)
    assert replied(send(pages, "STOP", sid="SM3", OptOutType="START")) is None
    assert refused(pages) == set()


def test_a_start_gives_back_what_a_stop_took_and_nothing_else(on_either):
    pages = on_either
    with pages.ledger.writing() as connection:
        act = Act(NOW - timedelta(days=1), NOW.date(), source="one_click", actor="one_click")
        refusals.suppress(
            connection, Target("email", customer_id="c1"), act, pepper=rows.PEPPER, reason=Reason.OPTED_OUT
        )
    send(pages, "STOP")
    pages.clock.now += timedelta(minutes=1)
    assert replied(send(pages, "start", sid="SM2")) == (
        "Acme : vous recevez à nouveau nos offres ici. Répondez STOP pour arrêter."
    )
    assert claim(pages, now=pages.clock.now).refused == {"email opted_out": 1}
    assert replied(send(pages, "start", sid="SM3")) is None, "nothing was given back, so nothing is said"


def test_a_start_does_not_undo_a_no_of_the_web(pages):
    with pages.ledger.writing() as connection:
        act = Act(NOW - timedelta(days=1), NOW.date(), source="one_click", actor="one_click")
        refusals.suppress(connection, Target("sms", customer_id="c1"), act, pepper=rows.PEPPER, reason=Reason.OPTED_OUT)
    send(pages, "STOP")
    pages.clock.now += timedelta(minutes=1)
    assert replied(send(pages, "START", sid="SM2")) is None
    assert claim(pages, now=pages.clock.now).refused == {"sms opted_out": 1}


def test_a_stop_on_whatsapp_is_about_whatsapp(pages):
    send(pages, "STOP", sender=f"whatsapp:{NUMBERS['c1']}")
    with pages.ledger.reading() as connection:
        assert {one.channel for one in who_refused.refusals_of(connection, "c1", pepper=rows.PEPPER)} == {"whatsapp"}
    assert not claim(pages).refused


@pytest.mark.parametrize(
    ("words", "locale", "said"),
    [
        ("HELP", "en-GB", "Acme: you get our offers because you agreed to it. Reply STOP and we stop."),
        ("hilfe!", "de", "Acme: Sie bekommen unsere Angebote, weil Sie zugestimmt haben. Mit STOPP enden sie."),
        ("info", "xx", "Acme: you get our offers because you agreed to it. Reply STOP and we stop."),
    ],
)
def test_who_asks_for_help_is_told_who_we_are_and_how_to_stop(pages, words, locale, said):
    with pages.ledger.writing() as connection:
        web_world.set_locale(connection, "c1", locale)
        connection.execute(messages.update().values(locale=locale))
    assert replied(send(pages, words)) == said
    assert refused(pages) == set()
    assert len(claim(pages).messages) == 4
    assert replied(send(pages, words, sid="SM2", OptOutType="HELP")) is None


def test_a_strangers_stop_is_kept_by_address_and_nothing_else_of_them(pages):
    before = everything(pages.ledger)
    for sid, words in enumerate(("HELLO", "stop by tomorrow", "START")):
        assert replied(send(pages, words, sender=STRANGER, sid=str(sid))) is None
    assert [
        len(now) - len(then) for now, then in zip(everything(pages.ledger), before, strict=True) if now != then
    ] == [3]
    assert replied(send(pages, "baja", sender=STRANGER, sid="s")).startswith("Acme: ya no recibirá publicidad")
    with pages.ledger.reading() as connection:
        [row] = connection.execute(select(suppressions.c.kind, suppressions.c.key)).all()
    assert tuple(row) == ("address", keys.address_key(rows.PEPPER, "sms", STRANGER))
    assert STRANGER not in repr(everything(pages.ledger))


def test_whom_we_wrote_to_is_heard_when_their_number_has_changed_since(on_either):
    pages = on_either
    has_sent(pages, "c1")
    with pages.ledger.writing() as connection:
        changed = rows.contacts("c1", "c2", phone=[STRANGER, NUMBERS["c2"]])
        people.replace_contacts(connection, changed, pepper=rows.PEPPER, as_of=rows.NIGHT)
    send(pages, "stop")
    with pages.ledger.reading() as connection:
        assert set(people.read_suppressions(connection, as_of=rows.NIGHT)["customer_id"]) == {"c1"}


# --- what may mean stop ----------------------------------------------------------------------------------------------

DOUBTFUL = "stop by the shop tomorrow? <b>\x00"


def test_who_wrote_what_may_mean_stop_is_not_written_to_until_somebody_has_read_it(on_either):
    pages = on_either
    assert replied(send(pages, DOUBTFUL)) is None
    taken = claim(pages)
    assert {one.customer_id for one in taken.messages} == {"c2"}
    assert taken.refused == {"sms under_review": 1, "email under_review": 1}
    waiting = {("c1", channel, "planned", "under_review") for channel in ("sms", "email")}
    assert waiting <= fates(pages)
    assert not claim(pages, now=NOW + timedelta(hours=2)).messages, "as long as nobody has read it"
    [found] = review.list_reviews(pages.project)
    assert (found["customer_id"], found["channel"]) == ("c1", "sms")
    assert found["text"].startswith("stop by the shop tomorrow? <b>")
    review.settle_review(pages.project, found["number"], outcome="keep", actor="cli:me", now=NOW + timedelta(hours=2))
    assert {one.channel for one in claim(pages, now=NOW + timedelta(hours=2)).messages} == {"sms", "email"}
    with pages.ledger.reading() as connection:
        line = diary.read_entries(connection)[0]
        assert connection.scalar(select(reviews.c.said)) is None
    assert (line.actor, line.action, json.loads(line.after)["outcome"]) == ("cli:me", "review", "keep")
    assert line.subject == keys.address_key(rows.PEPPER, "sms", NUMBERS["c1"])


def test_a_text_that_meant_stop_stops_its_channel_and_a_start_takes_it_back(pages):
    send(pages, "please don't stop texting. no, do stop.")
    [found] = review.list_reviews(pages.project)
    review.settle_review(pages.project, found["number"], outcome="stop", actor="cli:me", now=NOW)
    assert claim(pages).refused == {"sms opted_out": 1}
    pages.clock.now += timedelta(minutes=1)
    assert replied(send(pages, "START", sid="SM2")) is not None
    assert refused(pages) == set()


def test_everybody_with_the_number_waits_and_is_told_so_by_the_plan(on_either):
    pages = on_either
    with pages.ledger.writing() as connection:
        shared = rows.contacts("c1", "c2", phone=NUMBERS["c1"])
        people.replace_contacts(connection, shared, pepper=rows.PEPPER, as_of=rows.NIGHT)
    send(pages, DOUBTFUL, sender=f"whatsapp:{NUMBERS['c1']}")
    assert claim(pages).refused == {"email under_review": 2, "sms under_review": 2}
    assert planned(pages) == {"c1": True, "c2": True}
    [found] = review.list_reviews(pages.project)
    review.settle_review(pages.project, found["number"], outcome="keep", actor="cli:me", now=NOW)
    assert planned(pages) == {"c1": False, "c2": False}
    assert {one.customer_id for one in claim(pages).messages if one.channel == "email"} == {"c1", "c2"}


def test_who_changes_their_number_waits_on(pages):
    send(pages, DOUBTFUL)
    with pages.ledger.writing() as connection:
        changed = rows.contacts("c1", "c2", phone=[STRANGER, NUMBERS["c2"]])
        people.replace_contacts(connection, changed, pepper=rows.PEPPER, as_of=rows.NIGHT)
    assert planned(pages) == {"c1": True, "c2": False}
    assert claim(pages).refused["email under_review"] == 1


def planned(pages) -> dict[str, bool]:
    """Who waits, as a plan sees it."""
    with pages.ledger.reading() as connection:
        contacts = people.read_contacts(connection, as_of=rows.NIGHT)
        steps = rows.pd.DataFrame({"customer_id": [], "taken_on": rows.pd.to_datetime([])})
        zone = pages.project.zone
        found = with_wishes(connection, contacts, steps, as_of=rows.NIGHT, zone=zone, low=0, high=1024)
    return dict(zip(found["customer_id"], found["is_under_review"], strict=True))


def test_the_command_lists_and_settles(pages):
    def run(*arguments: object, code: int = 0):
        environment = {**pages.project.environment, "WINBACK_DATABASE_URL": pages.project.database_url}
        given = winback("--project", pages.project.root, *arguments, environment=environment)
        assert given.code == code, given.err
        return given

    assert run("--json", "review").data == {"reviews": []}
    send(pages, DOUBTFUL)
    [found] = run("--json", "review").data["reviews"]
    assert set(found) == {"number", "received_at", "channel", "customer_id", "text"}
    assert "stop by the shop" in run("review").err
    assert "1 may mean stop" in run("doctor", code=1).err
    assert "no text 77 waits" in run("review", 77, "--settle", "keep", code=2).err
    assert "--settle stop" in run("review", found["number"], code=2).err
    settled = run("--json", "review", found["number"], "--settle", "stop").data
    assert (settled["outcome"], settled["customer_id"]) == ("stop", "c1")
    assert "no text" in run("review", found["number"], "--settle", "keep", code=2).err
    assert refused(pages) == {"opted_out"}


def test_what_somebody_wrote_goes_when_they_are_forgotten(on_either):
    pages = on_either
    send(pages, DOUBTFUL)
    send(pages, DOUBTFUL, sender=NUMBERS["c2"], sid="SM2")
    with pages.ledger.writing() as connection:  # they share a telephone by now, and nobody knows whose words those were
        shared = rows.contacts("c1", "c2", phone=NUMBERS["c2"])
        people.replace_contacts(connection, shared, pepper=rows.PEPPER, as_of=rows.NIGHT)
    with pages.ledger.writing() as connection:
        counts = erasure.forget(connection, "c1", Act(NOW, NOW.date(), source="cli", actor="a"), pepper=rows.PEPPER)
    assert counts["reviews"] == 1
    assert [(one["customer_id"], one["text"]) for one in review.list_reviews(pages.project)] == [("c2", "")]
    with pages.ledger.reading() as connection:
        kept = connection.execute(select(reviews.c.customer_id, reviews.c.said, reviews.c.outcome)).all()
    assert [tuple(row)[1:] for row in kept if row.customer_id != "c2"] == [(None, "forgotten")]
    assert "'c1'" not in repr(everything(pages.ledger))


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_brings_its_customer_back_and_its_words_are_not_kept(pages):
    has_sent(pages, "c1")
    assert replied(send(pages, "Moi je viens demain")) is None
    with pages.ledger.reading() as connection:
        [act] = connection.execute(engagements.select()).all()
        found = newest_answers(connection, until=NOW + timedelta(seconds=1), low=0, high=1024)
    assert (act.customer_id, act.kind, act.is_qualified, act.detail) == ("c1", "reply", True, "{}")
    assert found == {"c1": NOW}
    assert "demain" not in repr(everything(pages.ledger))


def test_a_text_out_of_nothing_answers_no_message(pages):
    send(pages, "Hello?")
    assert count(pages, engagements) == 0


# --- the call --------------------------------------------------------------------------------------------------------


def test_one_text_fifty_times_at_once_counts_and_is_answered_once(on_either):
    pages = on_either
    form = {"MessageSid": "SM1", "From": NUMBERS["c1"], "Body": "stop that"}
    body, headers = signed_form(form, "", PUBLIC + TEXTS)
    stop, stop_headers = signed_form({**form, "Body": "STOP", "MessageSid": "SM2"}, "", PUBLIC + TEXTS)

    async def all_at_once():
        calls = [pages.browser.ask("POST", TEXTS, content=body, headers=headers) for _ in range(50)]
        calls += [pages.browser.ask("POST", TEXTS, content=stop, headers=stop_headers) for _ in range(50)]
        return await asyncio.gather(*calls)

    replies = [replied(answer) for answer in asyncio.run(all_at_once())]
    assert [reply is None for reply in replies].count(False) == 1
    assert (count(pages, webhook_calls), count(pages, reviews), count(pages, suppressions)) == (2, 1, 2)
    with pages.ledger.reading() as connection:
        assert connection.scalars(select(webhook_calls.c.body)).all() == [None, None]


def test_what_is_not_signed_is_refused_and_changes_nothing(pages):
    body, good = signed_form({"From": NUMBERS["c1"], "Body": "STOP"}, "", PUBLIC + TEXTS)
    _, elsewhere = signed_form({"From": NUMBERS["c1"], "Body": "STOP"}, "", f"http://127.0.0.1:8400{TEXTS}")
    before = everything(pages.ledger)
    for headers in ({}, elsewhere, {**good, "X-Twilio-Signature": "x"}):
        assert pages.browser.post(TEXTS, content=body, headers=headers).status_code == 403
    assert pages.browser.post(TEXTS, content=body + b"&To=1", headers=good).status_code == 403
    assert pages.browser.post(f"{TEXTS}?a=1", content=body, headers=good).status_code == 403
    assert everything(pages.ledger) == before
    assert pages.browser.get(TEXTS).status_code == 405


def test_without_its_key_the_hook_is_shut_and_says_so(pages, caplog):
    shut = web_world.make_site(pages, TWILIO_AUTH_TOKEN="")
    with caplog.at_level(logging.ERROR, "winback.web"):
        assert send(shut, "STOP").status_code == 503
    assert "TWILIO_AUTH_TOKEN is not set" in caplog.text
    assert AUTH not in caplog.text
    assert refused(pages) == set()


def test_signed_garbage_is_counted_and_answered_with_nothing(on_either):
    pages = on_either
    strange = ({}, {"From": "ACME"}, {"From": "x" * 5000, "Body": "\ud7ff" * 9000}, {"Body": "STOP"})
    for sid, form in enumerate(strange):
        body, headers = signed_form({"MessageSid": str(sid), **form}, "", PUBLIC + TEXTS)
        assert replied(pages.browser.post(TEXTS, content=body, headers=headers)) is None
    for sid, words in enumerate(("\x00", "\u202e" * 5000, "a\x00stop\x00b" * 1000, "stop " * 3000 + "it all")):
        replied(send(pages, words, sid=f"t{sid}", OptOutType="\x00"))
    with pages.ledger.reading() as connection:
        total = connection.execute(select(webhook_calls.c.receipts, webhook_calls.c.unreadable)).all()
    assert sorted(map(tuple, total)) == [(0, 1)] * 4 + [(1, 0)] * 4
    assert {len(one["text"]) <= 1600 for one in review.list_reviews(pages.project)} == {True}
