"""What the fake Twilio refuses, under which code."""

import pytest
from outbox_world import outgoing

from winback.channels.request_bodies import text_body
from winback.sample.fake_text_vendor import FakeTextVendor, TextFault, check_text, message_id_of, text_resource

SERVICE = "MG" + "a" * 32


def form(**changes):
    known = {"To": "+33612345678", "From": "+33600000000", "Body": "hello"}
    return {name: value for name, value in (known | changes).items() if value is not None}


def test_our_own_forms_pass():
    check_text(text_body(outgoing(7, channel="sms", status_callback="http://127.0.0.1:8400/hooks/twilio/status")))
    check_text(text_body(outgoing(7, channel="whatsapp", sender="+33600000000")))


@pytest.mark.parametrize(
    "changes",
    [
        {"Body": "x" * 1600, "ValidityPeriod": "36000"},
        {"From": "Acme Shop"},
        {"From": None, "MessagingServiceSid": SERVICE, "SendAt": "2027-01-01T00:00:00Z", "ScheduleType": "fixed"},
        {"Body": None, "ContentSid": "HX" + "b" * 32, "ContentVariables": '{"1": "Anna"}'},
        {"From": None, "MessagingServiceSid": SERVICE, "ShortenUrls": "true"},
    ],
)
def test_what_the_vendor_takes(changes):
    check_text(form(**changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "0612345678"}, 21211),
        ({"To": "+0612345678"}, 21211),
        ({"To": "+33612345678\n"}, 21211),
        ({"To": "whatsapp:0612345678"}, 21211),
        ({"From": None}, 21603),
        ({"From": "A name too long"}, 21212),
        ({"MessagingServiceSid": "MG1"}, 21701),
        ({"Body": None}, 21619),
        ({"Body": "  "}, 21619),
        ({"Body": "x" * 1601}, 21617),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "1.5"}, 21624),
        ({"ValidityPeriod": "²"}, 21624),
        ({"StatusCallback": "go.acme.example"}, 21609),
        ({"StatusCallback": "https://my_host.example/x"}, 21609),
        ({"Body": None, "ContentSid": "HX1"}, 21655),
        ({"ContentVariables": "[1]"}, 21656),
        ({"ContentVariables": '{"1": 1}'}, 21656),
        ({"ContentVariables": "{"}, 21656),
        ({"SendAt": "2027-01-01T00:00:00Z", "ScheduleType": "fixed"}, 35118),
        ({"SendAt": "2027-01-01T00:00:00Z", "MessagingServiceSid": SERVICE}, 35111),
        ({"ShortenUrls": "true"}, 20001),
    ],
)
def test_what_is_refused_under_which_code(changes, code):
    with pytest.raises(TextFault) as refused:
        check_text(form(**changes))
    assert refused.value.code == code


def test_media_stand_in_for_a_body_and_are_counted():
    check_text(form(Body=None), media=10)
    with pytest.raises(TextFault) as refused:
        check_text(form(), media=11)
    assert refused.value.code == 21623


def test_a_listed_text_moves_forward_only():
    vendor = FakeTextVendor("AC1", {}, lambda _address, _code: None)
    resource = text_resource(form(), "AC1", 1)
    vendor.keep(resource)
    for state, wanted in [("delivered", "delivered"), ("sent", "delivered"), ("read", "read"), ("failed", "read")]:
        vendor.advance(resource["sid"], state, "")
        assert vendor.resources[resource["sid"]]["status"] == wanted


def test_our_id_is_read_from_the_address_of_the_callback():
    assert message_id_of("https://x.example/hooks?a=1&message_id=0f") == "0f"
    assert message_id_of("") == ""
