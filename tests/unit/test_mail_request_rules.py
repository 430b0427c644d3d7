"""What the fake SendGrid refuses, and how it works out what each person would have read."""

import copy
import json

import pytest
from outbox_world import outgoing

from winback.channels.request_bodies import mail_body
from winback.sample.acceptance_log import content_hash
from winback.sample.fake_mail_vendor import acceptances, filled, split_at
from winback.sample.mail_request_rules import MailFault, check_mail

NOW = 1_700_000_000


def mail(**changes):
    body = {
        "personalizations": [{"to": [{"email": "anna@example.org", "name": "Anna"}], "subject": "hi"}],
        "from": {"email": "hello@acme.example", "name": "Café Acme"},
        "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<p>hello</p>"}],
    }
    return {name: value for name, value in (body | changes).items() if value is not None}


def person(**changes):
    return mail(personalizations=[{"to": [{"email": "anna@example.org"}], "subject": "hi"} | changes])


def to(*addresses, **changes):
    return person(to=[{"email": address} for address in addresses], **changes)


def test_our_own_body_passes():
    check_mail(mail_body(outgoing(7)), now_seconds=NOW)


@pytest.mark.parametrize(
    "body",
    [
        mail(),
        to("a@example.org", "b@example.org"),
        person(custom_args={"message_id": "a" * 32}, substitutions={"-x-": "y" * 9000}),
        person(headers={"List-Unsubscribe": "<https://x.example/u/1>"}, send_at=NOW + 3600),
        mail(content=None, template_id="d-1"),
        mail(categories=[str(number) for number in range(10)]),
        mail(personalizations=[{"to": [{"email": f"p{i}@example.org"}]} for i in range(1000)], subject="hi"),
        mail(mail_settings={"bypass_list_management": {"enable": True}}),
    ],
)
def test_what_the_vendor_takes(body):
    check_mail(body, now_seconds=NOW)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        (mail(personalizations=None), "personalizations"),
        (mail(personalizations=[]), "personalizations"),
        (mail(personalizations=["anna"]), "personalizations.0"),
        (mail(personalizations=[{}]), "personalizations.0.to"),
        (mail(personalizations=[{"to": [{"email": "a@b.c"}], "subject": "x"}] * 1001), "personalizations"),
        (to(*(f"p{number}@example.org" for number in range(1001))), "personalizations"),
        (person(to=[]), "personalizations.0.to"),
        (person(cc=[{"email": "ANNA@example.org"}]), "personalizations.0.cc.0.email"),
        (to("nobody"), "personalizations.0.to.0.email"),
        (to("a@b@c.example"), "personalizations.0.to.0.email"),
        (to("a@example.org\r\nBcc: b@example.org"), "personalizations.0.to.0.email"),
        (person(to=[{"email": "a@example.org", "name": "Miller, Anna"}]), "personalizations.0.to.0.email"),
        (person(to=[{"email": "a@example.org", "name": "Anna\r\nX: y"}]), "personalizations.0.to.0.email"),
        (person(to=[{"email": "a@example.org", "nick": "A"}]), "personalizations.0.to.0.email.nick"),
        (person(subject=""), "personalizations.0.subject"),
        (person(subject="hi\nX: y"), "personalizations.0.subject"),
        (person(subject=None), "personalizations.0.subject"),
        (person(headers={"X-A": "b\r\nX: y"}), "personalizations.0.headers"),
        (person(headers={"X A": "b"}), "personalizations.0.headers"),
        (person(headers={"Subject": "b"}), "personalizations.0.headers"),
        (mail(headers={"X-A": 1}), "headers"),
        (person(custom_args={"message_id": 7}), "personalizations.0.custom_args"),
        (person(custom_args={"x": "y" * 10_000}), "personalizations.0.custom_args"),
        (mail(custom_args={"x": 1}), "custom_args"),
        (mail(custom_args="x"), "custom_args"),
        (person(substitutions={"x": "y" * 10_000}), "personalizations.0.substitutions"),
        (mail(template_id="d-1") | {"personalizations": person(substitutions={"x": "y"})["personalizations"]}, None),
        (person(send_at=NOW + 73 * 3600), "personalizations.0.send_at"),
        (mail(send_at="soon"), "send_at"),
        (person(unknown=1), "personalizations.0.unknown"),
        (mail(unknown=1), "unknown"),
        (mail(**{"from": None}), "from.email"),
        (mail(**{"from": {"email": "café@acme.example"}}), "from.email"),
        (mail(reply_to={"email": "x"}), "reply_to.0.email"),
        (mail(content=None), "content"),
        (mail(content=[]), "content"),
        (mail(content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
        (mail(content=[{"type": "", "value": "x"}]), "content.0.type"),
        (mail(content=[{"type": "text/plain\r\nX: y", "value": "x"}]), "content.0.type"),
        (mail(content=[{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]), "content"),
        (mail(categories=[str(number) for number in range(11)]), "categories"),
        (mail(categories=["a", "a"]), "categories"),
        (mail(categories=["a" * 256]), "categories"),
        (mail(categories=[1]), "categories"),
        (
            mail(
                mail_settings={"bypass_list_management": {"enable": True}, "bypass_spam_management": {"enable": True}}
            ),
            "mail_settings",
        ),
    ],
)
def test_what_is_refused_and_which_field_is_to_blame(body, field):
    with pytest.raises(MailFault) as refused:
        check_mail(body, now_seconds=NOW)
    assert refused.value.field == (field if field is not None else "personalizations.0.substitutions")
    json.dumps({"message": refused.value.message})


def test_each_person_reads_their_own_words():
    body = mail(content=[{"type": "text/plain", "value": "Dear -n-, -name- (-n-)"}], subject="for -name-")
    body["personalizations"] = [
        {"to": [{"email": f"{name}@example.org"}], "custom_args": {"message_id": name}, "substitutions": words}
        for name, words in (("anna", {"-n-": "A", "-name-": "Anna -n-"}), ("bert", {"-n-": "B", "-name-": "Bert"}))
    ]
    before = copy.deepcopy(body)
    first, second = acceptances(body, "request")
    assert first.content_sha256 == content_hash("for Anna -n-", "Dear A, Anna -n- (A)"), "words hold no tags"
    assert second.content_sha256 == content_hash("for Bert", "Dear B, Bert (B)")
    assert [row.message_id for row in (first, second)] == ["anna", "bert"]
    assert len({first.provider_id, second.provider_id}) == 2
    assert body == before


def test_everybody_in_a_personalization_is_a_recipient():
    body = person(cc=[{"email": "cc@example.org"}], bcc=[{"email": "bcc@example.org"}])
    found = [row.recipient for row in acceptances(body, "request")]
    assert found == ["anna@example.org", "cc@example.org", "bcc@example.org"]


def test_the_longest_tag_wins_and_patterns_mean_nothing():
    words = {"a": "1", "ab": "2", ".*": "3", "": "4"}
    assert filled(split_at(tuple(words), "ab a .* x"), words) == "2 1 3 x"
    assert filled(split_at(tuple(words), "none: xyz"), {}) == "none: xyz"
