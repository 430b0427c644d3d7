"""What is asked of Twilio, and what no text may leave without: checked before any call."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from outbox_world import outgoing
from pydantic import ValidationError

from winback.channels.transport import Transport
from winback.channels.twilio_texts import TwilioTexts, validity_seconds
from winback.configuration import WhatsAppContent
from winback.errors import SendRefused

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
SERVICE, CONTENT = "MG" + "1" * 32, "HX" + "2" * 32
CALLBACK = "https://go.acme.example/hooks/twilio/status?message_id=1"


@pytest.fixture(scope="module")
def transport() -> Transport:
    return Transport()


def open_twilio(transport, **options) -> TwilioTexts:
    account = {"account_sid": "AC1", "username": "AC1", "password": "p"}
    return TwilioTexts(transport=transport, **account, **options)


def form(transport, message, **options) -> dict:
    return open_twilio(transport, **options).prepare(message).request


def test_a_text_goes_from_its_number(transport) -> None:
    message = outgoing(1, channel="sms", status_callback=CALLBACK)
    assert form(transport, message) == {
        "To": "+33610000001",
        "From": "+33600000000",
        "Body": message.rendered.text,
        "StatusCallback": CALLBACK,
    }


def test_a_messaging_service_picks_the_sender(transport) -> None:
    found = form(transport, outgoing(1, channel="sms"), messaging_service_sid=SERVICE)
    assert found["MessagingServiceSid"] == SERVICE
    assert "From" not in found
    found = form(transport, outgoing(1, channel="whatsapp"), messaging_service_sid=SERVICE)
    assert (found["To"], found["MessagingServiceSid"]) == ("whatsapp:+33610000001", SERVICE)


def test_whatsapp_goes_from_its_own_number_where_there_is_one(transport) -> None:
    message = outgoing(1, channel="whatsapp", sender="+33600000000")
    found = form(transport, message, messaging_service_sid=SERVICE)
    assert found["From"] == "whatsapp:+33600000000"
    assert "MessagingServiceSid" not in found


def test_a_text_without_a_sender_is_refused(transport) -> None:
    with pytest.raises(SendRefused, match=r"channels\.whatsapp\.from"):
        form(transport, outgoing(1, channel="whatsapp"))


def test_a_whatsapp_template_takes_the_place_of_the_text(transport) -> None:
    content = WhatsAppContent(sid=CONTENT, variables={"1": "name", "2": "act"})
    message = outgoing(1, channel="whatsapp", sender="+33600000000")
    contents = {"survey.whatsapp.liquid": content}
    found = form(transport, message, contents=contents)
    assert "Body" not in found
    assert found["ContentSid"] == CONTENT
    assert json.loads(found["ContentVariables"]) == {"1": "Anna Miller", "2": message.rendered.links["act"]}
    assert "Body" in form(transport, outgoing(1, channel="sms"), contents=contents)


@pytest.mark.parametrize(
    ("variables", "name", "text", "wanted"),
    [
        ({"1": "name"}, "", "x", "variable 1 .name. is empty"),
        ({"1": "text"}, "Anna", "two\nlines", "line break or a long gap"),
        ({"1": "text"}, "Anna", "a" + " " * 5 + "gap", "line break or a long gap"),
    ],
)
def test_values_no_template_takes_are_refused(transport, variables, name, text, wanted) -> None:
    contents = {"survey.whatsapp.liquid": WhatsAppContent(sid=CONTENT, variables=variables)}
    message = outgoing(1, channel="whatsapp", sender="+33600000000", name=name, text={"text": text})
    with pytest.raises(SendRefused, match=wanted):
        form(transport, message, contents=contents)


@pytest.mark.parametrize("broken", [{"sid": "HX1"}, {"sid": CONTENT, "variables": {"a": "name"}}])
def test_a_template_nobody_holds_is_a_fault_of_the_settings(broken: dict) -> None:
    with pytest.raises(ValidationError):
        WhatsAppContent(**broken)


@pytest.mark.parametrize("url", ["https://go_to.example/x", "/x", "https:///x"])
def test_a_callback_the_vendor_refuses_is_refused_here(transport, url: str) -> None:
    with pytest.raises(SendRefused, match="public_base_url"):
        form(transport, outgoing(1, channel="sms", status_callback=url))


@pytest.mark.parametrize(
    "changes",
    [{"text": {"text": "x" * 1601}}, {"text": {"text": " "}}, {"address": "0612345678"}, {"sender": ""}],
)
def test_what_the_vendors_description_does_not_catch_is_refused_here(transport, changes: dict) -> None:
    with pytest.raises(SendRefused):
        form(transport, outgoing(1, channel="sms", **changes))


def test_the_vendor_shortens_no_links_and_keeps_no_schedule(transport) -> None:
    for channel in ("sms", "whatsapp"):
        found = form(transport, outgoing(1, channel=channel, sender="+33600000000"), messaging_service_sid=SERVICE)
        assert not found.keys() & {"ShortenUrls", "SendAt", "ScheduleType", "MediaUrl"}


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(None, 36_000), (100_000, 36_000), (36_001, 36_000), (90.9, 90), (1, 1), (0, 0), (-5, -5)]
)
def test_a_text_may_not_wait_into_quiet_hours(seconds: float | None, wanted: int) -> None:
    expires_at = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert validity_seconds(expires_at, now=NOW) == wanted


@pytest.mark.parametrize("missing", ["account_sid", "username", "password"])
def test_without_credentials_nothing_is_opened(transport, missing: str) -> None:
    options = {"account_sid": "AC1", "username": "u", "password": "p", missing: ""}
    with pytest.raises(ValueError, match="no credentials"):
        TwilioTexts(transport=transport, **options)
