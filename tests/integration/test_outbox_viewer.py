"""The outbox in the operator pages: what a message says, whose it is, and reports made in the vendor's place."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import httpx
import ledger_rows as rows
import outbox_stand
import pytest
import web_world
from fake_vendor_process import fake_vendors
from operator_world import words
from outbox_stand import HOSTILE, PEOPLE, standing
from sqlalchemy import select

from winback.channels import simulated_vendor
from winback.channels.made_up_reports import VARIABLE
from winback.channels.registry import outbox_of
from winback.channels.simulated_vendor import MAIL_KEY, TEXT_KEY, events_of, with_made_up_keys
from winback.ledger import diary, erasure
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import Act
from winback.web.http_server import Served, listen

BUTTON = re.compile(r'name="event" value="(\w+)"')
FAKED = """live: true
channels:
  email: {provider: sendgrid, from: "Acme <hello@acme.example>"}
  sms: {provider: twilio, from: "+33600000000"}
  whatsapp: {provider: twilio, from: "+33600000000"}
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A stand that is only looked at."""
    with standing(tmp_path_factory.mktemp("shown") / "project") as made:
        yield made


@pytest.fixture
def stand(tmp_path):
    with standing(tmp_path / "project") as made:
        yield made


def change(stand, channel: str, **values: object) -> None:
    with stand.ledger.writing() as connection:
        connection.execute(messages.update().where(messages.c.customer_id == PEOPLE[channel]).values(**values))


def refused(stand) -> set[tuple[str, str]]:
    with stand.ledger.reading() as connection:
        return {(row.channel, row.kind) for row in connection.execute(select(suppressions))}


def audited(stand) -> list[tuple[str, str, str]]:
    with stand.ledger.reading() as connection:
        found = diary.read_entries(connection)
    return [(one.actor, one.subject, json.loads(one.after)["event"]) for one in found if one.action == "simulate"]


def test_the_list_shows_every_message_and_what_is_asked_for(shown):
    page = shown.ada.get("/outbox")
    assert page.status_code == 200
    said = words(page.text)
    assert "Nothing has left this machine. Messages are kept in the local outbox." in said
    assert "3 messages, the newest first" in said
    assert "accepted 3" in said
    for channel in PEOPLE:
        assert f'href="{shown.path(channel)}"' in page.text
    assert HOSTILE not in page.text
    assert f"{html.escape(HOSTILE)} Lee" in page.text
    for asked, count in (
        ({"channel": "sms"}, 1),
        ({"state": "accepted"}, 3),
        ({"state": "bounced"}, 0),
        ({"programme": "winback", "night": str(rows.NIGHT)}, 3),
        ({"night": "2026-03-11"}, 0),
        ({"programme": "win\0back"}, 3),
    ):
        found = shown.ada.get("/outbox", params=asked).text
        assert found.count('<th scope="row" class="what">') == count, asked
    assert "is no day" in shown.ada.get("/outbox", params={"night": "tomorrow"}).text
    # What a form asks for stands in the address: nothing of a person may.
    for address in re.findall(r'(?:href|action)="([^"]+)"', page.text):
        assert not re.search(r"example\.com|%40|@|Lee|\+33", address)


def test_a_long_list_has_pages(shown, monkeypatch):
    monkeypatch.setattr("winback.web.outbox_viewer.ON_A_PAGE", 2)
    first, second = shown.ada.get("/outbox").text, shown.ada.get("/outbox", params={"page": "2"}).text
    assert 'href="/outbox?page=2"' in first
    assert 'href="/outbox"' in second
    listed = [re.findall(r"/outbox/[0-9a-f]{32}", page) for page in (first, second)]
    assert [len(found) for found in listed] == [2, 1]
    assert len({*listed[0], *listed[1]}) == 3
    assert "There is no such message" in shown.ada.get("/outbox", params={"page": "999999"}).text
    assert shown.ada.get("/outbox", params={"page": "-1"}).text.count("/outbox/") == 2


def test_a_mail_stands_in_a_frame_that_may_do_nothing(shown):
    page = shown.ada.get(shown.path("email"))
    frames = re.findall(r"<iframe[^>]*>", page.text)
    assert len(frames) == 1
    assert ' sandbox src="/outbox/' in frames[0]  # an empty value: no script, no form, no window, an origin of its own
    assert "frame-src 'self'" in page.headers["content-security-policy"].split("; ")
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; form-action 'self'"
    )
    mail = shown.ada.get(f"{shown.path('email')}/mail")
    assert mail.status_code == 200
    policy = mail.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'self'"} < {
        *policy
    }
    assert not any("script" in part or "http" in part for part in policy)
    assert mail.headers["x-frame-options"] == "SAMEORIGIN"
    request = outbox_of(shown.project).request(shown.row("email")["message_id"])
    assert mail.text == request["content"][1]["value"]
    assert HOSTILE not in mail.text
    assert shown.ada.get(f"{shown.path('sms')}/mail").status_code == 404


def test_a_mail_is_shown_whole(shown):
    page = shown.page("email")
    request = outbox_of(shown.project).request(shown.row("email")["message_id"])
    shown = html.unescape(re.search(r'aria-label="The exact request">([^<]*)</pre>', page).group(1))
    assert json.loads(shown) == request
    assert html.unescape(page).count(request["content"][0]["value"]) == 1
    said = words(page)
    assert request["personalizations"][0]["headers"]["List-Unsubscribe"] in said
    assert "This message has not left this machine." in said
    assert "What the provider was given." in said
    assert "made again" not in said
    assert HOSTILE not in page
    assert f"{html.escape(HOSTILE)} Lee" in page
    assert f'href="/explain/ann?as_of={rows.NIGHT}"' in page
    for what in ("planned", "attempt 1", "attempt 1: accepted"):
        assert f'<th scope="row">{what}</th>' in page


@pytest.mark.parametrize(("asked", "width"), [("phone", "phone"), ("desktop", "desktop"), ("wide", "desktop")])
def test_a_mail_is_as_wide_as_a_telephone_or_a_desk_without_any_script(shown, asked, width):
    page = shown.page("email", width=asked)
    assert f'<iframe class="{width}"' in page
    assert f'width={width}" aria-current="true"' in page
    assert "<script" not in page


def test_a_text_stands_on_a_telephone_with_what_it_costs(shown):
    said, page = words(shown.page("sms")), shown.page("sms")
    text = outbox_of(shown.project).request(shown.row("sms")["message_id"])["Body"]
    assert f'<p class="bubble">{html.escape(text)}</p>' in page
    assert f"Characters {len(text)} Encoding GSM-7 Segments 1 Price 0.07" in said
    assert "Segments" not in words(shown.page("whatsapp"))
    assert "Price 0.05" in words(shown.page("whatsapp"))


def test_act_as_opens_the_real_public_pages(shown):
    for channel in PEOPLE:
        links = re.findall(r'<a href="(http[^"]+)" rel="noreferrer"', shown.page(channel))
        assert [link.split("/")[3] for link in links] == ["s", "u", "p"]
        assert [httpx.get(link, follow_redirects=True).status_code for link in links] == [200, 200, 200]


@pytest.mark.parametrize(
    ("event", "state", "receipt", "stops"),
    [
        ("delivered", "delivered", ("delivered", "sendgrid", "", False), False),
        ("open", "accepted", ("opened", "sendgrid", "", False), False),
        ("machine_open", "accepted", ("opened", "sendgrid", "", True), False),
        ("click", "accepted", ("clicked", "sendgrid", "", False), False),
        ("bounce", "bounced", ("bounced", "sendgrid", "5.1.1", False), True),
        ("complaint", "accepted", ("complained", "sendgrid", "", False), True),
        ("unsubscribe", "accepted", ("unsubscribed", "sendgrid", "", False), True),
    ],
)
def test_each_button_of_a_mail_reports_through_the_real_hook(stand, event, state, receipt, stops):
    assert BUTTON.findall(stand.page("email")) == list(events_of("email"))
    answer = stand.press("email", event)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{stand.path('email')}?told={event}")
    assert stand.receipts() == [receipt]
    assert stand.row("email")["state"] == state
    assert bool(refused(stand)) is stops
    assert f"The message is now {state}" in words(stand.page("email", told=event))
    assert receipt[0] in words(stand.page("email").partition("What happened")[2])
    assert audited(stand) == [("operator:Ada", stand.row("email")["message_id"], event)]


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_each_button_of_a_text_reports_through_the_real_hooks(stand, channel):
    events = list(events_of(channel))
    assert BUTTON.findall(stand.page(channel)) == events
    assert ("read" in events) is (channel == "whatsapp")
    states = {"delivered": "delivered", "read": "delivered", "unreachable": "undelivered", "bounce": "undelivered"}
    for event, state in states.items():
        if event in events:
            assert stand.press(channel, event).status_code == 303
            assert stand.row(channel)["state"] == (
                "delivered" if (channel, state) == ("whatsapp", "undelivered") else state
            )
    assert refused(stand) == {(channel, "address")}


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_an_answered_stop_is_in_force(stand, channel):
    assert stand.press(channel, "stop").status_code == 303
    assert {one for one, _ in refused(stand)} == {channel}


def test_a_report_needs_the_form_of_this_session(stand):
    path, key = f"{stand.path('email')}/reports", stand.ada.form_key()
    form = {"form_key": key, "event": "bounce"}
    assert stand.pages.stranger().send(path, form).status_code == 403
    assert stand.ada.send(path, {"event": "bounce"}).status_code == 403
    assert stand.ada.send(path, form, origin="http://127.0.0.1:8400").status_code == 403
    assert stand.ada.send(path, form, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert stand.receipts() == []
    assert stand.ada.send(path, form).status_code == 303


def test_nothing_else_can_be_reported_and_nothing_of_another_message(shown):
    for channel, event in (("email", "stop"), ("sms", "open"), ("sms", "read"), ("email", ""), ("email", "<b>")):
        answer = shown.press(channel, event)
        assert answer.status_code == 422
        assert "Not reported." in words(answer.text)
    for path in ("/outbox/none", f"/outbox/{'0' * 32}", f"/outbox/{'0' * 32}/mail"):
        assert shown.ada.get(path).status_code == 404
    assert shown.ada.post(f"/outbox/{'0' * 32}/reports", {"event": "bounce"}).status_code == 404
    assert shown.receipts() == []
    assert audited(shown) == []


def test_once_live_there_is_no_button_and_no_report(stand):
    file = stand.project.root / "winback.yaml"
    sends = 'channels:\n  email: {provider: sendgrid, from: "Acme <hello@acme.example>"}\n'
    file.write_text(file.read_text().partition("channels:")[0] + "live: true\n" + sends)
    live = stand.again()
    page = live.page("email")
    assert BUTTON.findall(page) == []
    assert 'rel="noreferrer"' not in page
    answer = live.press("email", "bounce")
    assert answer.status_code == 422
    assert "Only a message that stayed on this machine" in words(answer.text)
    listed = words(live.ada.get("/outbox").text)
    assert "Live: messages leave this machine E-mail through sendgrid." in listed
    assert "Nothing has left" not in listed
    assert (live.receipts(), audited(live)) == ([], [])


def test_a_message_that_left_has_no_button_in_a_rehearsal_either(stand):
    for provider, provider_id in (
        ("sendgrid", "aBcDeFgHiJkLmNoPqRsTuV"),
        ("twilio", "SM" + "1" * 32),
        ("twilio", "SM" + "0" * 11 + "1" * 21),
        ("smtp", "made-up-1"),
        (None, None),
    ):
        change(stand, "email", provider=provider, provider_id=provider_id)
        assert BUTTON.findall(stand.page("email")) == [], provider_id
        assert stand.press("email", "bounce").status_code == 422
        if provider:
            assert f"This message left this machine through {provider}" in words(stand.page("email"))
            listed = words(stand.ada.get("/outbox").text)
            assert "Nothing leaves this machine now, but messages have left it before." in listed
    assert stand.receipts() == []


def test_without_made_up_keys_the_page_says_what_is_missing(shown):
    cases = (
        ({VARIABLE: "", MAIL_KEY: ""}, f"put a long random text into {VARIABLE}"),
        ({VARIABLE: "another", MAIL_KEY: shown.project.environment[MAIL_KEY]}, f"{MAIL_KEY} is somebody else's key"),
    )
    for environment, why in cases:
        other = shown.again(**environment)
        assert BUTTON.findall(other.page("email")) == []
        assert why in words(other.page("email"))
        assert 'rel="noreferrer"' in other.page("email")
        assert why in words(other.press("email", "bounce").text)
    elsewhere = replace(
        shown.project,
        config=shown.project.config.model_copy(
            update={
                "business": shown.project.config.business.model_copy(
                    update={"public_base_url": "https://go.acme.example"}
                )
            }
        ),
    )
    other = outbox_stand.Stand(elsewhere, shown.ledger, clock=shown.clock)
    assert "would go to https://go.acme.example" in words(other.page("email"))
    assert other.press("email", "bounce").status_code == 422
    assert shown.receipts() == []


def test_keys_that_are_there_stay_and_a_live_project_gets_none(shown):
    plain = {name: value for name, value in shown.project.environment.items() if name not in {MAIL_KEY, TEXT_KEY}}
    given = replace(shown.project, environment={**plain, TEXT_KEY: "theirs"})
    kept = with_made_up_keys(given).environment
    assert kept[TEXT_KEY] == "theirs"
    assert kept[MAIL_KEY] == shown.project.environment[MAIL_KEY]
    live = replace(given, config=given.config.model_copy(update={"live": True}))
    assert MAIL_KEY in with_made_up_keys(live).environment  # every channel is still the local outbox
    email = given.config.channels.email.model_copy(update={"provider": "sendgrid"})
    channels = given.config.channels.model_copy(update={"email": email})
    for base_url, is_here in (("", False), ("https://api.sendgrid.com", False), ("http://127.0.0.1:9", True)):
        config = live.config.model_copy(update={"channels": channels})
        sends = replace(live, config=config, environment={**plain, "SENDGRID_BASE_URL": base_url})
        assert simulated_vendor.stays_here(sends) is is_here
        assert (MAIL_KEY in with_made_up_keys(sends).environment) is is_here


def test_public_pages_that_do_not_believe_it_are_told_of(stand):
    other = outbox_stand.Stand(
        with_made_up_keys(
            replace(
                stand.project,
                environment={
                    **{
                        name: one for name, one in stand.project.environment.items() if name not in {MAIL_KEY, TEXT_KEY}
                    },
                    VARIABLE: "another",
                },
            )
        ),
        stand.ledger,
        clock=stand.clock,
    )
    answer = other.press("email", "bounce")
    assert answer.status_code == 502
    assert "The public pages answered 403" in words(answer.text)
    assert stand.receipts() == []
    assert len(audited(stand)) == 1


def test_public_pages_that_are_not_there_are_told_of(stand):
    with listen(Served("closed", None, "127.0.0.1", 0)) as sock:
        closed = f"http://127.0.0.1:{sock.getsockname()[1]}"
    business = stand.project.config.business.model_copy(update={"public_base_url": closed})
    away = replace(stand.project, config=stand.project.config.model_copy(update={"business": business}))
    answer = outbox_stand.Stand(away, stand.ledger, clock=stand.clock).press("email", "bounce")
    assert answer.status_code == 502
    assert "The public pages did not answer" in words(answer.text)


def test_what_is_not_kept_is_made_again_as_long_as_its_template_holds(tmp_path):
    with standing(tmp_path / "project", sends=False) as stand:
        page = stand.page("email")
        assert "It was not handed over. This is what would go now" in words(page)
        assert "It was not sent, so nobody can act on it." in words(page)
        assert f"Hi {HOSTILE}" in html.unescape(html.unescape(stand.ada.get(f"{stand.path('email')}/mail").text))
        assert BUTTON.findall(page) == []
        assert "What the provider would get" in words(page)
        file = stand.project.root / "templates" / "survey.email.mjml"
        file.write_text(file.read_text().replace("Open", "Look"))
        said = words(stand.page("email"))
        assert "is not kept, and cannot be made again: the template survey was changed after the plan" in said
        assert stand.ada.get(f"{stand.path('email')}/mail").status_code == 404
        file.write_text("{{")
        assert "have faults: `winback check` names them" in words(stand.page("email"))


def test_nothing_is_told_of_somebody_who_was_forgotten(stand):
    path = stand.path("email")
    with stand.ledger.writing() as connection:
        erasure.forget(connection, "ann", Act(rows.NOW, rows.NIGHT, source="cli", actor="cli:test"), pepper=rows.PEPPER)
    outbox_of(stand.project).forget("ann")
    page = stand.ada.get(path)
    assert page.status_code == 200
    assert "is in the contacts no more" in words(page.text)
    for trace in ("ann@example.com", "Lee", html.escape(HOSTILE)):
        assert trace not in page.text
    assert BUTTON.findall(page.text) == []


def test_with_doubles_of_the_vendors_the_buttons_use_their_keys(tmp_path):
    with (
        fake_vendors(tmp_path) as vendors,
        standing(tmp_path / "project", change=FAKED, **vendors.environment) as stand,
    ):
        assert stand.row("email")["provider_id"].startswith("made-up-")
        listed = words(stand.ada.get("/outbox").text)
        assert "Nothing has left this machine. The vendors are doubles that run here." in listed
        for channel, provider in (("email", "sendgrid"), ("sms", "twilio")):
            assert "Its text is not kept. This is made again" in words(stand.page(channel))
            assert stand.press(channel, "delivered").status_code == 303
            assert (stand.row(channel)["state"], stand.row(channel)["provider"]) == ("delivered", provider)


def test_served_together_both_pages_have_the_keys(tmp_path):
    """`winback serve` makes them for its own two apps."""
    with standing(tmp_path / "project", sends=True) as stand:
        project = stand.project
    plain = {name: one for name, one in project.environment.items() if name not in {MAIL_KEY, TEXT_KEY}}
    with web_world.served(replace(project, environment=plain)) as (_process, address):
        body = json.dumps([]).encode()
        answer = httpx.post(f"{address}/hooks/sendgrid", content=body)
    assert answer.status_code == 403, "a hook without a key answers 503"


def test_either_database_is_read_alike(tmp_path, database_url):
    with standing(tmp_path / "project", database_url=database_url) as stand:
        asked = {"state": "accepted", "channel": "email", "programme": "winback", "night": str(rows.NIGHT)}
        assert "1 message, the newest first" in words(stand.ada.get("/outbox", params=asked).text)
        assert stand.press("email", "bounce").status_code == 303
        assert "bounced" in words(stand.page("email"))
        assert stand.row("email")["state"] == "bounced"
