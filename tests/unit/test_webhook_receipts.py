"""What the vendors tell later: signed or not, well formed or not."""

import base64
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from winback.channels import sendgrid_mail, twilio_answers, twilio_receipts, twilio_texts

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
MESSAGE_ID = "0123456789abcdef" * 2
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    PRIVATE.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
TOKEN, URL = "token", "https://go.acme.example/hooks/twilio/status?message_id=1"


def signed(body: bytes, timestamp: str = "1") -> str:
    return base64.b64encode(PRIVATE.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()


BODY = orjson.dumps([{"event": "delivered", "email": "é@example.org"}])
GOOD = {"signature": signed(BODY), "timestamp": "1", "public_key": PUBLIC}


def test_a_good_signature_of_sendgrid_holds() -> None:
    assert sendgrid_mail.signature_holds(BODY, **GOOD)


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (BODY + b" ", {}),
        (orjson.dumps(orjson.loads(BODY), option=orjson.OPT_INDENT_2), {}),
        (b"", {}),
        (b"\xff\xfe", {}),
        (BODY, {"signature": None}),
        (BODY, {"signature": ""}),
        (BODY, {"signature": "not base64!"}),
        (BODY, {"signature": base64.b64encode(b"x" * 70).decode()}),
        (BODY, {"timestamp": None}),
        (BODY, {"timestamp": "2"}),
        (BODY, {"public_key": ""}),
        (BODY, {"public_key": "garbage"}),
    ],
)
def test_any_other_signature_of_sendgrid_does_not_hold(body: bytes, changes: dict) -> None:
    assert sendgrid_mail.signature_holds(body, **{**GOOD, **changes}) is False


FORM = {"MessageSid": "SM1", "MessageStatus": "delivered", "ErrorCode": "", "To": "+33612345678"}
FORM_BODY = urlencode(FORM).encode()
FORM_SIGNATURE = RequestValidator(TOKEN).compute_signature(URL, FORM)


def holds(body: bytes = FORM_BODY, **changes) -> bool:
    options = {"url": URL, "signature": FORM_SIGNATURE, "auth_token": TOKEN, **changes}
    return twilio_texts.signature_holds(body, **options)


def test_a_good_signature_of_twilio_holds_with_blank_fields() -> None:
    assert holds() is True


def test_a_field_given_twice_is_signed_twice() -> None:
    twice = {"MediaUrl": ["a", "b"]}

    class Form(dict):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    signature = RequestValidator(TOKEN).compute_signature(URL, Form(twice))
    assert holds(urlencode(twice, doseq=True).encode(), signature=signature) is True


def test_a_json_body_is_signed_by_its_hash() -> None:
    body = b'{"a": 1}'
    url = f"{URL}&bodySHA256={RequestValidator(TOKEN).compute_hash(body.decode())}"
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    assert holds(body, url=url, signature=signature) is True
    assert holds(b'{"a": 2}', url=url, signature=signature) is False


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (FORM_BODY + b"x", {}),
        (b"", {}),
        (b"\xff", {}),
        (b'{"a": 1}', {}),
        (FORM_BODY, {"signature": None}),
        (FORM_BODY, {"signature": "x"}),
        (FORM_BODY, {"url": URL.replace("https", "http")}),
        (FORM_BODY, {"url": URL.replace("=1", "=2")}),
        (FORM_BODY, {"url": "http://[broken"}),
        (FORM_BODY, {"auth_token": "other"}),
        (FORM_BODY, {"auth_token": ""}),
    ],
)
def test_any_other_signature_of_twilio_does_not_hold(body: bytes, changes: dict) -> None:
    assert holds(body, **changes) is False


def test_no_empty_token_signs() -> None:
    assert holds(signature=RequestValidator("").compute_signature(URL, FORM), auth_token="") is False


def event(**changes: object) -> dict:
    return {
        "email": "anna@example.org",
        "timestamp": 1_773_133_200,
        "event": "delivered",
        "sg_message_id": "m1.filter0.1",
        "message_id": MESSAGE_ID,
        **changes,
    }


def of_sendgrid(*events: object):
    return sendgrid_mail.receipts_of(orjson.dumps(events))


@pytest.mark.parametrize(
    ("changes", "kind", "consequence"),
    [
        ({"event": "processed"}, "accepted", None),
        ({"event": "delivered"}, "delivered", None),
        ({"event": "deferred"}, "deferred", "transient"),
        ({"event": "bounce", "type": "bounce"}, "bounced", "suppress"),
        ({"event": "bounce"}, "bounced", "suppress"),
        ({"event": "bounce", "type": "blocked"}, "bounced", "transient"),
        ({"event": "dropped", "reason": "Bounced Address"}, "dropped", "suppress"),
        ({"event": "dropped", "reason": "Invalid"}, "dropped", "suppress"),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, "dropped", "content"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "dropped", "withdraw"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "dropped", "withdraw"),
        ({"event": "dropped", "reason": "Spam Content"}, "dropped", "content"),
        ({"event": "dropped", "reason": "Recipient List over Package Quota"}, "dropped", "configuration"),
        ({"event": "dropped", "reason": "something new"}, "dropped", None),
        ({"event": "open"}, "opened", None),
        ({"event": "click"}, "clicked", None),
        ({"event": "spamreport"}, "complained", "withdraw"),
        ({"event": "unsubscribe"}, "unsubscribed", "withdraw"),
        ({"event": "group_unsubscribe"}, "unsubscribed", "withdraw"),
        ({"event": "group_resubscribe"}, "started", None),
    ],
)
def test_every_event_of_sendgrid(changes: dict, kind: str, consequence: str | None) -> None:
    [receipt] = of_sendgrid(event(**changes))
    assert (receipt.kind, receipt.consequence) == (kind, consequence)
    assert (receipt.message_id, receipt.provider, receipt.provider_id) == (MESSAGE_ID, "sendgrid", "m1")
    assert receipt.occurred_at == datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
    assert receipt.is_machine is False


def test_an_open_by_a_machine_is_marked() -> None:
    [by_machine, by_person] = of_sendgrid(
        event(event="open", sg_machine_open=True), event(event="open", sg_machine_open=False)
    )
    assert (by_machine.is_machine, by_person.is_machine) == (True, False)


def test_what_a_receipt_keeps_names_nobody() -> None:
    [receipt] = of_sendgrid(event(event="bounce", status="5.1.1", reason="550 <anna@example.org> unknown"))
    assert (receipt.code, receipt.detail) == ("5.1.1", "550 <…> unknown")
    assert "anna" not in repr(receipt)


@pytest.mark.parametrize(
    "broken",
    [
        {"event": "teleported"},
        {"event": None},
        {"event": ["open"]},
        {"message_id": None},
        {"message_id": "c7"},
        {"message_id": MESSAGE_ID.upper()},
        {"message_id": [MESSAGE_ID]},
        {"timestamp": None},
        {"timestamp": "1773133200"},
        {"timestamp": True},
        {"timestamp": -1},
        {"timestamp": 10**30},
        {"timestamp": 1e400},
    ],
)
def test_an_event_that_cannot_be_read_is_counted_and_the_others_are_read(broken: dict) -> None:
    body = b"[" + b",".join(json.dumps(one).encode() for one in (event(**broken), event(event="open"))) + b"]"
    receipts = sendgrid_mail.receipts_of(body)
    if not receipts:  # the whole body is no JSON (an endless number)
        assert receipts.garbage == 1
        return
    assert [receipt.kind for receipt in receipts] == ["opened"]
    assert receipts.garbage == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from([*event(), "type", "reason", "status", "sg_machine_open", "response"])


@given(st.lists(st.dictionaries(fields, anything, max_size=8) | anything, max_size=4))
def test_no_json_breaks_the_reading(events: list) -> None:
    body = json.dumps(events).encode()
    receipts = sendgrid_mail.receipts_of(body)
    assert len(receipts) + receipts.garbage in {len(events), 1}


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    assert sendgrid_mail.receipts_of(body).garbage >= 0
    assert twilio_receipts.receipts_of(body, message_id=MESSAGE_ID, received_at=NOW).garbage >= 0
    assert twilio_answers.sent_text(body) is None or body
    assert twilio_texts.signature_holds(body, url=URL, signature="x", auth_token=TOKEN) is False
    assert sendgrid_mail.signature_holds(body, signature="x", timestamp="1", public_key=PUBLIC) is False


def of_twilio(message_id: str = MESSAGE_ID, **form: str):
    body = urlencode({"MessageSid": "SM1", "To": "+33612345678", **form}).encode()
    return twilio_receipts.receipts_of(body, message_id=message_id, received_at=NOW)


@pytest.mark.parametrize(
    ("form", "kind", "consequence"),
    [
        ({"MessageStatus": "accepted"}, "accepted", None),
        ({"MessageStatus": "scheduled"}, "accepted", None),
        ({"MessageStatus": "queued"}, "accepted", None),
        ({"MessageStatus": "sending"}, "accepted", None),
        ({"MessageStatus": "sent"}, "sent", None),
        ({"SmsStatus": "delivered"}, "delivered", None),
        ({"MessageStatus": "read", "To": "whatsapp:+33612345678"}, "read", None),
        ({"MessageStatus": "canceled"}, "dropped", None),
        ({"MessageStatus": "undelivered", "ErrorCode": "30003"}, "undelivered", "soft"),
        ({"MessageStatus": "undelivered", "ErrorCode": "30005"}, "undelivered", "suppress"),
        ({"MessageStatus": "undelivered", "ErrorCode": "21610"}, "undelivered", "withdraw"),
        ({"MessageStatus": "failed", "ErrorCode": "30036"}, "undelivered", "expired"),
        ({"MessageStatus": "failed", "ErrorCode": "30034"}, "undelivered", "configuration"),
        ({"MessageStatus": "failed", "ErrorCode": "12345"}, "undelivered", None),
        ({"MessageStatus": "failed", "ErrorCode": "banana"}, "undelivered", None),
        ({"MessageStatus": "sent", "ErrorCode": "0"}, "sent", None),
    ],
)
def test_every_status_of_twilio(form: dict, kind: str, consequence: str | None) -> None:
    [receipt] = of_twilio(**form)
    assert (receipt.kind, receipt.consequence) == (kind, consequence)
    assert (receipt.message_id, receipt.provider_id, receipt.occurred_at) == (MESSAGE_ID, "SM1", NOW)
    assert receipt.channel == ("whatsapp" if form.get("To") else "sms")
    assert "33612345678" not in repr(receipt)


@pytest.mark.parametrize(
    ("message_id", "form"),
    [(MESSAGE_ID, {"MessageStatus": "teleported"}), (MESSAGE_ID, {}), ("c7", {"MessageStatus": "sent"})],
)
def test_a_callback_that_cannot_be_read_is_counted(message_id: str, form: dict) -> None:
    receipts = of_twilio(message_id, **form)
    assert (list(receipts), receipts.garbage) == ([], 1)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"OptOutType": "stop ", "Body": "Adios"}, ("whatsapp", "+33612345678", "Adios", "STOP")),
        ({"OptOutType": "START"}, ("whatsapp", "+33612345678", "", "START")),
        ({"OptOutType": "HELP", "From": "+33612345678"}, ("sms", "+33612345678", "", "HELP")),
        ({"OptOutType": "MAYBE", "Body": "é\n🛑"}, ("whatsapp", "+33612345678", "é\n🛑", "")),
    ],
)
def test_what_people_send(form: dict, expected: tuple) -> None:
    body = urlencode({"From": "whatsapp:+33612345678", "MessageSid": "SM1", **form}).encode()
    text = twilio_answers.sent_text(body)
    assert (text.channel, text.number, text.words, text.opt_out) == expected
    assert "33612345678" not in repr(text)
    assert "Adios" not in repr(text)


@pytest.mark.parametrize("sender", ["", "whatsapp:", "ACME", "36111", "33612345678", "+0", "+33\x00612345678"])
def test_a_text_from_nobody_is_none(sender: str) -> None:
    assert twilio_answers.sent_text(urlencode({"From": sender, "Body": "STOP"}).encode()) is None


def test_an_answer_is_xml_whatever_it_says() -> None:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    assert twilio_answers.twiml() == f"{head}<Response></Response>"
    said = "a &lt;b&gt; &amp; &quot;c&quot; é"
    assert twilio_answers.twiml('a <b> & "c" é') == f"{head}<Response><Message>{said}</Message></Response>"
