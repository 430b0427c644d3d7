"""Which reports a message gets, in which order, and what proves where they come from."""

import pytest

from winback.channels.made_up_reports import text_signature
from winback.errors import UsageError
from winback.sample.acceptance_log import Acceptance
from winback.sample.event_signer import EventSigner
from winback.sample.vendor_callbacks import MAIL_OUTCOMES, reports_of
from winback.sample.vendor_faults import CallbackFaults
from winback.sample.vendor_reporter import loopback_address

NOW = 1_700_000_000.5


def mail(number=1):
    return Acceptance(
        vendor="sendgrid",
        message_id=f"{number:032x}",
        recipient=f"p{number}@example.org",
        content_sha256="",
        provider_id=f"x{number}",
    )


def text(number=1, status="queued"):
    resource = {"status": status, "from": "+33600000000", "account_sid": "AC1", "api_version": "2010-04-01"}
    return Acceptance(
        vendor="twilio",
        message_id=f"{number:032x}",
        recipient="whatsapp:+33612345678",
        content_sha256="",
        provider_id=f"SM{number}",
        callback="https://x.example/h",
        resource=resource,
    )


def states(accepted, seed=1, **faults):
    return [report.state for report in reports_of(accepted, CallbackFaults(**faults), seed, now_seconds=NOW)]


@pytest.mark.parametrize("outcome", MAIL_OUTCOMES)
def test_every_outcome_of_a_mail_begins_as_the_vendor_begins(outcome):
    told = states(mail(), people={"p1@example.org": outcome})
    assert told[0] == ("dropped" if outcome.startswith("dropped") else "processed")


def test_a_number_keeps_its_outcome_on_whatsapp():
    assert states(text(), people={"+33612345678": "read"}) == ["sent", "delivered", "read"]
    assert states(text(status="accepted")) == ["queued", "sent", "delivered"]


def test_reports_follow_each_other():
    delays = [each.delay_seconds for each in reports_of(mail(), CallbackFaults(delay_seconds=2), 1, now_seconds=NOW)]
    assert delays == [2, 4]
    late = CallbackFaults(delay_seconds=2, late=1.0, late_seconds=60)
    assert [each.delay_seconds for each in reports_of(mail(), late, 1, now_seconds=NOW)] == [62, 64]


def test_shares_of_outcomes_are_met_and_only_a_vendors_own_are_drawn():
    drawn = [states(mail(number), outcomes={"failed": 0.9, "bounced": 0.2})[1] for number in range(1000)]
    assert set(drawn) == {"bounce", "delivered"}
    assert 150 < drawn.count("bounce") < 250


def test_a_missing_report_is_kept_to_the_vendor():
    reports = reports_of(mail(), CallbackFaults(missing=1.0), 1, now_seconds=NOW)
    assert [report.is_posted for report in reports] == [False, False]


def test_faults_are_drawn_apart_from_each_other():
    def chosen(name):
        return {n for n in range(300) if states(mail(n), **{name: 0.5}) != ["processed", "delivered"]}

    assert chosen("duplicate") != chosen("reordered")
    assert chosen("duplicate") == chosen("duplicate")


def test_the_key_of_events_belongs_to_the_seed():
    assert EventSigner(1).public_key == EventSigner(1).public_key != EventSigner(2).public_key
    assert set(EventSigner(1).headers(b"[]", "1")) == {
        "X-Twilio-Email-Event-Webhook-Signature",
        "X-Twilio-Email-Event-Webhook-Timestamp",
    }


def test_the_signature_of_a_form_depends_on_token_address_and_fields():
    one = text_signature("token", "https://x.example/?a=1", {"B": "2", "A": ""})
    assert one == text_signature("token", "https://x.example/?a=1", {"A": "", "B": "2"})
    others = [
        text_signature("other", "https://x.example/?a=1", {"B": "2", "A": ""}),
        text_signature("token", "http://x.example/?a=1", {"B": "2", "A": ""}),
        text_signature("token", "https://x.example/?a=1", {"B": "2", "A": "1"}),
    ]
    assert one not in others


def test_reports_stay_on_this_machine():
    assert loopback_address("http://127.0.0.1:8400").port == 8400
    for address in ("http://go.acme.example", "https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1.example.org"):
        with pytest.raises(UsageError):
            loopback_address(address)
