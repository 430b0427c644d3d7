"""The preference centre: what is chosen holds at the next plan and at the next claim."""

from __future__ import annotations

import threading
from datetime import date, timedelta

import databases
import ledger_rows as rows
import outbox_world
import pandas as pd
import pytest
import web_world
from web_world import LATER

from winback.core.reasons import Reason
from winback.ledger import claims, engagements, people, preferences, queue, refusals, verdicts, who_refused
from winback.ledger.gate import Terms
from winback.ledger.message_tables import messages
from winback.ledger.refusals import Act, Target
from winback.night import wishes

EVERYTHING = {"offered": ["email", "sms", "whatsapp", "winback"]}
POLICY_TOPIC = "topic: {en: Offers, fr: Offres}\n"


@pytest.fixture
def pages(tmp_path, database_url):
    root = tmp_path / "project"
    outbox_world.make_project(root)
    policy = root / "policies" / "winback.yaml"
    policy.write_text(policy.read_text() + POLICY_TOPIC)
    made = web_world.make_pages(root, "c1", "c2", database_url=database_url)
    yield made
    made.ledger.close()


def _save(pages, *, chosen=("email", "winback"), customer="c1", **fields):
    data = {**EVERYTHING, "chosen": list(chosen), "do": "save", **fields}
    return pages.visitor().post(pages.link(customer, "p"), data=data)


def _refused(pages, customer="c1") -> list[tuple[str, str | None]]:
    with pages.ledger.reading() as connection:
        found = who_refused.refusals_of(connection, customer, pepper=rows.PEPPER)
    return sorted({(one.channel, one.programme or "") for one in found})


def _wishes(pages, customer="c1") -> preferences.Preference:
    with pages.ledger.reading() as connection:
        return preferences.read_preferences(connection, [customer]).get(customer, preferences.Preference())


def _suppress(pages, channel=None, reason=Reason.OPTED_OUT, **options) -> None:
    act = Act(rows.NOW, rows.NIGHT, "cli", "cli")
    with pages.ledger.writing() as connection:
        refusals.suppress(
            connection, Target(channel, customer_id="c1"), act, pepper=rows.PEPPER, reason=reason, **options
        )


def _fate(pages, customer="c1", *, at=LATER) -> tuple[str, str | None]:
    with pages.ledger.writing() as connection:
        claims.claim(connection, limit=10, now=at, owner="s1", terms=Terms(plan_ttl=timedelta(days=9)))
    with pages.ledger.reading() as connection:
        row = queue.list_messages(connection, customer_id=customer)[0]
    return row["state"], row["reason"]


def test_the_page_shows_what_holds(pages):
    text = pages.browser.get(pages.link("c1", "p")).text
    assert 'value="email" checked' in text
    assert 'value="sms">' in text  # no consent was ever given
    assert 'value="winback" checked' in text
    assert "Offres" in text  # the message was in French
    assert '<html lang="fr"' in text
    assert text.index('name="pause"') < text.index('value="stop"')


def test_a_channel_that_is_unticked_is_refused_and_one_that_is_ticked_again_is_not(pages):
    assert _save(pages, chosen=["winback"]).status_code == 200
    assert _refused(pages) == [("email", "")]
    pages.clock.now += timedelta(minutes=1)
    assert 'value="email" checked' in _save(pages).text
    assert _refused(pages) == []


def test_a_yes_to_a_new_channel_is_a_consent_with_its_words(pages):
    _save(pages, chosen=["email", "sms", "winback"])
    with pages.ledger.reading() as connection:
        assert preferences.newest_consents(connection, "c1")["sms"] == ("granted", "express")
        records = people.read_consents(connection)
    record = records[(records["customer_id"] == "c1") & (records["channel"] == "sms")].iloc[0]
    assert record["source"] == "preference_page"
    assert record["wording"].startswith("preference page, fr, ")


def test_a_yes_that_was_there_is_not_written_again(pages):
    _save(pages)
    with pages.ledger.reading() as connection:
        assert people.read_consents(connection)["source"].tolist() == ["form", "form"]


def test_a_topic_is_refused_by_itself(pages):
    _save(pages, chosen=["email"])
    assert ("all", "winback") in _refused(pages)
    assert _fate(pages) == ("suppressed", "opted_out")
    assert _fate(pages, "c2")[0] == "sending"
    pages.clock.now += timedelta(minutes=1)
    _save(pages)
    assert _refused(pages) == []


def test_a_yes_to_everything_else_is_none_to_a_topic(pages):
    _save(pages, chosen=["email"])
    pages.visitor().post(pages.link("c1", "p"), data={"do": "stop"})
    pages.clock.now += timedelta(minutes=1)
    _save(pages, chosen=["email"])
    assert ("all", "winback") in _refused(pages)
    assert ("all", "") not in _refused(pages)
    assert _fate(pages) == ("suppressed", "opted_out")


def test_what_was_not_shown_stays_as_it_is(pages):
    pages.visitor().post(pages.link("c1", "p"), data={"offered": ["sms"], "do": "save"})
    assert _refused(pages) == []


def test_stop_everything_and_come_back_by_one_channel(pages):
    answer = pages.browser.post(pages.link("c1", "p"), data={"do": "stop"})
    assert answer.status_code == 200
    assert ("all", "") in _refused(pages)
    assert _fate(pages) == ("suppressed", "opted_out")
    pages.clock.now += timedelta(minutes=1)
    _save(pages)
    assert {channel for channel, _ in _refused(pages)} == {"sms", "whatsapp"}


@pytest.mark.parametrize("reason", [Reason.COMPLAINED, Reason.INVALID_ADDRESS])
def test_what_a_vendor_stopped_cannot_be_ticked(pages, reason):
    _suppress(pages, "email", reason)
    assert 'value="email"' not in pages.browser.get(pages.link("c1", "p")).text
    _save(pages)
    assert ("email", "") in _refused(pages)


def test_a_sunset_is_undone_by_the_person(pages):
    with pages.ledger.writing() as connection:
        refusals.sunset(connection, ["c1"], at=rows.NOW, effective_on=rows.NIGHT)
    _save(pages)
    assert ("all", "") not in _refused(pages)


@pytest.mark.parametrize("days", [30, 90])
def test_a_pause_holds_what_is_queued_and_what_would_be_planned(pages, days):
    _save(pages, pause=str(days))
    assert _wishes(pages).paused_until == rows.NIGHT + timedelta(days=days)
    assert _fate(pages) == ("expired", "paused")
    assert _fate(pages, "c2")[0] == "sending"


def test_a_pause_that_is_over_before_the_message_only_puts_it_off(pages):
    with pages.ledger.writing() as connection:
        wished = preferences.Preference(paused_until=rows.NIGHT + timedelta(days=1))
        preferences.save_preference(connection, "c1", wished, now=LATER)
    assert _fate(pages) == ("planned", "paused")
    assert _fate(pages, at=rows.NOW + timedelta(hours=30))[0] == "sending"


def test_a_pause_is_kept_ended_or_begun_anew(pages):
    _save(pages, pause="30")
    _save(pages, pause="keep")
    assert _wishes(pages).paused_until == rows.NIGHT + timedelta(days=30)
    _save(pages, pause="0")
    assert _wishes(pages).paused_until is None
    _save(pages, pause="9999")
    assert _wishes(pages).paused_until is None


def test_fewer_messages_means_one_in_thirty_days_at_the_claim(pages):
    _save(pages, fewer="yes")
    with pages.ledger.writing() as connection:
        earlier = rows.messages("c1", step=2, as_of=pd.Timestamp("2026-02-20"), local_day=pd.Timestamp("2026-02-20"))
        verdicts.queue_messages(connection, earlier, pepper=rows.PEPPER)
        sent = messages.update().where(messages.c.step == 2)
        connection.execute(sent.values(state="accepted"))
    assert _fate(pages, "c2")[0] == "sending"
    with pages.ledger.reading() as connection:
        fates = {row["step"]: (row["state"], row["reason"]) for row in
                 queue.list_messages(connection, customer_id="c1")}  # fmt: skip
    assert fates[1] == ("cancelled", "frequency_cap")


def test_who_wants_fewer_gets_the_first(pages):
    _save(pages, fewer="yes")
    assert _fate(pages)[0] == "sending"


def test_a_language_is_spoken_at_once_and_planned_with(pages):
    assert '<html lang="de"' in _save(pages, language="de").text
    assert _wishes(pages).language == "de"
    assert '<html lang="de"' in pages.browser.get(pages.link("c1", "p")).text
    _save(pages, language="klingon")
    assert _wishes(pages).language == "de"


def test_the_plan_sees_what_was_chosen(pages):
    _save(pages, pause="30", fewer="yes", language="de")
    contacts = pd.DataFrame({"customer_id": ["c1", "c2", "c3"], "locale": ["fr-CA", "fr-CA", "de-AT"]})
    steps = pd.DataFrame({"customer_id": ["c1", "c1"], "taken_on": pd.to_datetime(["2026-02-20", "2025-12-01"])})
    everybody = {"low": 0, "high": 1024, "zone": pages.project.zone}
    with pages.ledger.reading() as connection:
        found = wishes.with_wishes(connection, contacts, steps, as_of=date(2026, 3, 11), **everybody)
        before = wishes.with_wishes(connection, contacts, steps, as_of=date(2026, 3, 9), **everybody)
        after = wishes.with_wishes(connection, contacts, steps, as_of=date(2026, 4, 9), **everybody)
    assert found["is_paused"].tolist() == [True, False, False]
    assert found["wants_fewer"].tolist() == [True, False, False]
    assert found["messages_month"].tolist() == [1, 0, 0]
    assert found["locale"].tolist() == ["de", "fr-CA", "de-AT"]
    assert found["answered_on"].isna().tolist() == [False, True, True]
    assert before["answered_on"].isna().all()  # not yet, on that day
    assert after["is_paused"].tolist() == [False, False, False]


def test_choosing_something_shows_that_a_person_is_there_and_stopping_does_not(pages):
    _save(pages, pause="30")
    pages.visitor().post(pages.link("c2", "p"), data={"do": "stop"})
    _save(pages, chosen=[], customer="c2")
    with pages.ledger.reading() as connection:
        acts = {one: engagements.read(connection, pages.message_id(one), "preferences") for one in ("c1", "c2")}
    assert acts["c1"].is_qualified
    assert acts["c2"] is None


def test_a_form_of_another_site_changes_nothing(pages):
    data = {**EVERYTHING, "do": "stop"}
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert pages.visitor(**headers).post(pages.link("c1", "p"), data=data).status_code == 403
    assert _refused(pages) == []
    for headers in ({"origin": "https://go.acme.example"}, {"origin": "null", "sec-fetch-site": "same-origin"}):
        assert pages.visitor(**headers).post(pages.link("c1", "p"), data=data).status_code == 200


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"&" * 5000, b"a=" + b"b" * 100_000, b"pause=%00&language=%ff", b"=" * 300]
)
def test_a_form_of_nonsense_is_no_failure(pages, body):
    answer = pages.visitor().post(
        pages.link("c1", "p"), content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in {200, 400}


def test_a_token_of_another_purpose_is_not_there(pages):
    other = pages.link("c1", "u").removeprefix("/u/")
    for method in ("GET", "HEAD", "POST"):
        assert pages.visitor().request(method, f"/p/{other}").status_code == 404


def test_names_are_shown_as_text(tmp_path, database_url):
    root = tmp_path / "project"
    outbox_world.make_project(root)
    config = root / "winback.yaml"
    config.write_text(config.read_text().replace("name: Acme", 'name: "<b>Acme</b> {{ 7*7 }} {business}"'))
    made = web_world.make_pages(root, "c1", database_url=database_url)
    text = made.browser.get(made.link("c1", "p")).text
    made.ledger.close()
    assert "&lt;b&gt;Acme&lt;/b&gt; {{ 7*7 }}" in text
    assert "<b>Acme" not in text


@pytest.mark.postgres
def test_a_wish_is_before_a_claim_or_after_it_and_never_beside_it(tmp_path, postgres_shared):
    """PostgreSQL: whoever asks for a pause while a claim decides about their message is kept waiting until it has."""
    databases.empty(postgres_shared)
    pages = web_world.make_pages(tmp_path / "project", "c1", "c2", database_url=postgres_shared)
    person = threading.Thread(target=_save, args=(pages,), kwargs={"pause": "90"})
    with pages.ledger.writing() as sender:
        claim = claims.claim(sender, limit=10, now=LATER, owner="s1", terms=Terms(plan_ttl=timedelta(days=9)))
        path = pages.link("c1", "p")
        pages.link = lambda *_: path
        person.start()
        person.join(timeout=1)
        assert person.is_alive()
    person.join(timeout=20)
    pages.ledger.close()
    assert not person.is_alive()
    assert len(claim.messages) == 2
