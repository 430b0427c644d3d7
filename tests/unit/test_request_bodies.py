"""The exact request a vendor would get, and what no vendor checks for us."""

import json

import pytest
from outbox_world import outgoing

from winback.channels.request_bodies import mail_body, text_body
from winback.core.forms import Form, Letter
from winback.errors import SendRefused


def test_a_mail_is_one_person_in_one_personalization() -> None:
    message = outgoing(7)
    body = mail_body(message)
    [personalization] = body["personalizations"]
    unsubscribe = message.rendered.links["unsubscribe"]
    token = unsubscribe.rsplit("/", 1)[-1]
    assert personalization == {
        "to": [{"email": "person7@example.org", "name": "Anna Miller"}],
        "subject": "Anna, hi",
        "headers": {
            "List-Unsubscribe": f"<{unsubscribe}>, <mailto:hello@acme.example?subject=unsubscribe%20{token}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "custom_args": {"message_id": f"{7:032x}"},
    }
    assert body["from"] == {"email": "hello@acme.example", "name": "Acme"}
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert set(body) == {"personalizations", "from", "content", "tracking_settings"}
    for setting in body["tracking_settings"].values():
        assert setting["enable"] is False


@pytest.mark.parametrize("channel", ["email", "sms", "whatsapp"])
def test_nothing_about_the_person_stands_where_a_vendor_keeps_it_as_impersonal(channel: str) -> None:
    message = outgoing(7, channel=channel, status_callback="https://go.acme.example/hooks/twilio/status?message_id=07")
    body = mail_body(message) if channel == "email" else text_body(message)
    kept = json.dumps(body["personalizations"][0]["custom_args"] if channel == "email" else body["StatusCallback"])
    assert not any(word in kept for word in ("Anna", "Miller", "person7", "c7", message.address))
    assert "c7" not in json.dumps(body)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Miller; Anna, Dr", "Miller Anna Dr"),
        ("  Anna   M ", "Anna M"),
        ("Zoë Łuk", "Zoë Łuk"),
        ("", None),
        (" ;, ", None),
    ],
)
def test_names_lose_what_vendors_read_as_separators(name: str, wanted: str | None) -> None:
    [person] = mail_body(outgoing(name=name))["personalizations"][0]["to"]
    assert person.get("name") == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"address": "nobody"}, "no e-mail address"),
        ({"address": "a b@example.org"}, "no e-mail address"),
        ({"address": "a@b@example.org"}, "no e-mail address"),
        ({"address": "a@example.org\r\nBcc: b@example.org"}, "no e-mail address"),
        ({"address": "josé@example.org"}, "no e-mail address"),
        ({"address": "a" * 250 + "@example.org"}, "no e-mail address"),
        ({"address": ""}, "no e-mail address"),
        ({"sender": ""}, "channels.email.from"),
        ({"sender": "Acme"}, "channels.email.from"),
        ({"sender": "Café <café@acme.example>"}, "channels.email.from"),
        ({"name": "Anna\r\nBcc: b@example.org"}, "the name holds a line break"),
        ({"name": "A" * 999}, "the name is 999 characters long"),
        ({"text": {"subject": "hi\nX: y"}}, "the subject holds a line break"),
        ({"text": {"subject": "h" * 999}}, "the subject is 999 characters long"),
        ({"text": {"subject": " "}}, "the subject is empty"),
        ({"text": {"text": " "}}, "no content"),
        ({"text": {"html": ""}}, "no content"),
        ({"text": {"html": "a\ud83d"}}, "half a character"),
        (
            {"text": {"html": Letter.of(Form(["a", "", ""], [0], [0], is_unicode=True), ["\ud83d"])}},
            "half a character",
        ),
        ({"text": {"html": Letter.of(Form(["a\ud83d"], [], [], is_unicode=False), [])}}, "half a character"),
        ({"text": {"text": "a\ud83d"}}, "half a character"),
        ({"text": {"subject": "a\ud83d"}}, "half a character"),
        ({"name": "a\ud83d"}, "half a character"),
    ],
)
def test_mails_that_are_refused_before_any_call(changes: dict, wanted: str) -> None:
    with pytest.raises(SendRefused, match=wanted):
        mail_body(outgoing(**changes))


def test_a_text_has_the_form_fields_of_its_channel() -> None:
    callback = "https://go.acme.example/hooks/twilio/status?message_id=1"
    message = outgoing(1, channel="sms", status_callback=callback)
    assert text_body(message) == {
        "To": "+33610000001",
        "From": "+33600000000",
        "Body": message.rendered.text,
        "StatusCallback": callback,
    }
    message = outgoing(1, channel="whatsapp")
    assert text_body(message) == {"To": "whatsapp:+33610000001", "Body": message.rendered.text}
    message = outgoing(1, channel="whatsapp", sender="+33600000000")
    assert text_body(message)["From"] == "whatsapp:+33600000000"


@pytest.mark.parametrize("sender", ["+33600000000", "36200", "Acme", "Acme Shop 1"])
def test_senders_of_texts(sender: str) -> None:
    assert text_body(outgoing(channel="sms", sender=sender))["From"] == sender


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"address": "0612345678"}, "not in the form"),
        ({"address": "+0612345678"}, "not in the form"),
        ({"address": "+33612"}, "not in the form"),
        ({"address": "+3361234567890123"}, "not in the form"),
        ({"address": "+33 6 12 34 56 78"}, "not in the form"),
        ({"address": "+33612345678\n"}, "not in the form"),
        ({"address": ""}, "not in the form"),
        ({"sender": ""}, "set channels.sms.from"),
        ({"sender": "A name too long"}, "no name of up to 11 letters"),
        ({"sender": "12345678901"}, "no name of up to 11 letters"),
        ({"sender": "Acmé"}, "no name of up to 11 letters"),
        ({"text": {"text": ""}}, "the text is empty"),
        ({"text": {"text": "x" * 1601}}, "1601 characters; at most 1600"),
        ({"text": {"text": "a\0b"}}, "NUL"),
        ({"text": {"text": "a\ud83d"}}, "half a character"),
    ],
)
def test_texts_that_are_refused_before_any_call(changes: dict, wanted: str) -> None:
    with pytest.raises(SendRefused, match=wanted):
        text_body(outgoing(channel="sms", **changes))


def test_a_text_of_1600_characters_is_sent() -> None:
    assert len(text_body(outgoing(channel="sms", text={"text": "x" * 1600}))["Body"]) == 1600
