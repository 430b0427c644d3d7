"""Whatever is posted, the fake vendors answer in their shape: taken, or refused with a reason; never a crash."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from winback.sample.fake_mail_vendor import FakeMailVendor
from winback.sample.fake_text_vendor import FakeTextVendor
from winback.sample.vendor_shapes import VendorRequest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
STRINGS = st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3) | ANYTHING
MAILBOX = st.fixed_dictionaries({"email": st.just("anna@example.org") | SCALARS}, optional={"name": SCALARS}) | ANYTHING
PERSON = st.fixed_dictionaries(
    {"to": st.lists(MAILBOX, max_size=2) | ANYTHING},
    optional={
        "cc": st.lists(MAILBOX, max_size=2) | ANYTHING,
        "subject": SCALARS,
        "headers": STRINGS,
        "custom_args": STRINGS,
        "substitutions": STRINGS,
        "dynamic_template_data": ANYTHING,
        "send_at": SCALARS,
        "from": MAILBOX,
    },
)
CONTENT = st.lists(st.fixed_dictionaries({"type": st.just("text/plain"), "value": st.just("hi") | SCALARS}), max_size=2)
# Most of a request is in order, so that the strange part is reached.
MAIL = st.builds(
    lambda strange, person: {
        "personalizations": [{"to": [{"email": "anna@example.org"}], "subject": "hi"} | person],
        "from": {"email": "hello@acme.example"},
        "content": [{"type": "text/plain", "value": "hello"}],
        **strange,
    },
    st.fixed_dictionaries(
        {},
        optional={
            "personalizations": st.lists(PERSON, max_size=2) | ANYTHING,
            "from": MAILBOX,
            "content": CONTENT | ANYTHING,
            "subject": ANYTHING,
            "template_id": st.sampled_from(["", "t", "d-1"]) | ANYTHING,
            "custom_args": STRINGS,
            "headers": STRINGS,
            "categories": st.lists(SCALARS, max_size=3) | ANYTHING,
            "reply_to": MAILBOX,
            "reply_to_list": st.lists(MAILBOX, max_size=2) | ANYTHING,
            "mail_settings": st.dictionaries(st.sampled_from(["sandbox_mode", "bypass_spam"]), ANYTHING) | ANYTHING,
            "send_at": SCALARS,
        },
    ),
    st.just({}) | PERSON,
)
STRANGE = st.sampled_from(
    ["", "MG" + "a" * 32, "HX" + "a" * 32, "http://[x", "http://127.0.0.1:99999/", "9" * 5000, "[" * 9000, "{}", "²"]
)
FIELDS = st.dictionaries(
    st.sampled_from(["To", "From", "Body", "ContentSid", "ContentVariables", "StatusCallback", "ValidityPeriod"]),
    STRANGE | st.text(max_size=8),
    max_size=2,
).map(lambda strange: {"To": "+33612345678", "From": "+33600000000", "Body": "hello"} | strange)


def takes_no_notice(_address, _code):
    return None


@settings(max_examples=400)
@given(body=MAIL.map(json.dumps).map(str.encode) | st.binary(max_size=30))
def test_any_mail_is_taken_or_refused(body):
    vendor = FakeMailVendor("key", takes_no_notice)
    request = VendorRequest(
        method="POST", path="/v3/mail/send", headers={"authorization": "Bearer key"}, body=body, number=1
    )
    answer = vendor.answer(request)
    assert answer.status in {200, 202, 400}
    assert bool(answer.accepted) is (answer.status == 202)
    if answer.status == 400:
        [error] = json.loads(answer.body)["errors"]
        assert set(error) == {"message", "field", "help"}


@settings(max_examples=400)
@given(fields=FIELDS)
@example({"To": "+33612345678", "From": "Acme", "Body": "hello", "StatusCallback": "http://[x"})
@example({"To": "+33612345678", "From": "Acme", "Body": "hello", "ValidityPeriod": "9" * 5000})
@example({"To": "+33612345678", "From": "Acme", "Body": "hello", "ContentVariables": "[" * 9000})
def test_any_text_is_taken_or_refused(fields):

    vendor = FakeTextVendor("AC1", {"AC1": "token"}, takes_no_notice)
    pair = base64.b64encode(b"AC1:token").decode()
    request = VendorRequest(
        method="POST",
        path=vendor.send_path,
        headers={"authorization": f"Basic {pair}"},
        body=urlencode(fields).encode(),
        number=1,
    )
    answer = vendor.answer(request)
    assert (answer.status, len(answer.accepted)) in {(201, 1), (400, 0)}
    document = json.loads(answer.body)
    assert document["sid"] if answer.accepted else document["code"] > 20000


@given(header=st.text(max_size=20) | st.binary(max_size=12).map(lambda raw: "Basic " + base64.b64encode(raw).decode()))
def test_any_other_password_is_refused(header):
    vendor = FakeTextVendor("AC1", {"AC1": "token"}, takes_no_notice)
    request = VendorRequest(method="GET", path=vendor.send_path, headers={"authorization": header})
    assert vendor.answer(request).status == 401
