"""The tables of the vendors' answers, row by row, and what is kept of an answer's words."""

from datetime import UTC, datetime, timedelta

import pytest

from winback.channels import Consequence, Outcome
from winback.channels.vendor_codes import code_table, retry_after_seconds, vendor_id, without_persons

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
ACCEPTED, REFUSED, DEFERRED, UNKNOWN = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.DEFERRED, Outcome.UNKNOWN
SENDGRID = {202: ACCEPTED, 400: REFUSED, 413: REFUSED, 429: DEFERRED} | dict.fromkeys(
    [401, 403, 404, 405, 406, 451], DEFERRED
)
TWILIO = {201: ACCEPTED, 429: DEFERRED} | dict.fromkeys([401, 403, 404, 405], DEFERRED)
TWILIO |= dict.fromkeys([400, 402, 406, 409, 410, 413, 414, 415, 422], REFUSED)


@pytest.mark.parametrize(("vendor", "known"), [("sendgrid", SENDGRID), ("twilio", TWILIO)])
def test_every_status_means_what_the_vendor_says_or_nothing_known(vendor: str, known: dict) -> None:
    table = code_table(vendor)
    found = {status: table.of_status(status).outcome for status in range(100, 600)}
    assert {status: outcome for status, outcome in found.items() if outcome is not UNKNOWN} == known


def test_only_a_deferred_status_can_ask_to_stop_the_channel() -> None:
    for vendor in ("sendgrid", "twilio"):
        for row in code_table(vendor).statuses:
            if row.consequence is Consequence.CONFIGURATION:
                assert row.outcome is DEFERRED


@pytest.mark.parametrize(
    ("consequence", "codes"),
    [
        (Consequence.WITHDRAW, {21610}),
        (Consequence.SUPPRESS, {21211, 21614, 30005, 63024}),
        (Consequence.SOFT, {30003, 30004, 30006, 30008, 63032}),
        (Consequence.TRANSIENT, {20429, 21611, 30001, 30022, 63018}),
        (Consequence.EXPIRED, {30036}),
        (Consequence.CONTENT, {21617, 21619, 21656, 30007, 63016}),
        (
            Consequence.CONFIGURATION,
            {20003, 20404, 21212, 21603, 21606, 21408, 21612, 30002, 30034, 35114, 35115, 35116, 35117, 35118, 35125},
        ),
    ],
)
def test_every_code_of_twilio_has_its_consequence(consequence: Consequence, codes: set[int]) -> None:
    assert {row.code for row in code_table("twilio").codes if row.consequence is consequence} == codes


def test_a_code_no_row_names_means_nothing() -> None:
    assert code_table("twilio").of_code(12345) is None
    assert code_table("twilio").of_event("teleported") is None
    assert code_table("sendgrid").of_event("teleported") is None


@pytest.mark.parametrize("vendor", ["sendgrid", "twilio"])
def test_a_table_says_when_it_was_checked_and_names_nothing_twice(vendor: str) -> None:
    table = code_table(vendor)
    assert table.vendor == vendor
    assert table.checked_on >= datetime(2026, 11, 1, tzinfo=UTC).date()
    assert len({row.status for row in table.statuses}) == len(table.statuses)
    assert len({row.code for row in table.codes}) == len(table.codes)
    events = [(row.event, row.type, row.reason) for row in table.events]
    assert len(set(events)) == len(events)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "99999999999999"}, 86_400),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "١٢"}, None),
        ({"Retry-After": "Tue, 10 Mar 2026 09:01:30 GMT"}, 90),
        ({"Retry-After": "Tue, 10 Mar 2026 08:00:00 GMT"}, 0),
        ({"Retry-After": "Tue, 99 Mar 2026 08:00:00 GMT"}, None),
        ({"X-RateLimit-Reset": str(int((NOW + timedelta(seconds=30)).timestamp()))}, 30),
        ({"X-RateLimit-Reset": "9" * 40}, None),
        ({"X-RateLimit-Reset": "never"}, None),
        ({"Retry-After": "7", "X-RateLimit-Reset": "0"}, 7),
    ],
)
def test_how_long_a_vendor_asks_to_wait(headers: dict, wanted: float | None) -> None:
    assert retry_after_seconds(headers, now=NOW) == wanted


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("The 'To' number +33612345678 is not valid", "The 'To' number … is not valid"),
        ("The number 06 12 34 56 78 is off", "The number … is off"),
        ("550 5.1.1 <anna.miller@example.org>: nobody", "550 5.1.1 <…>: nobody"),
        ("no Anna Miller here", "no … here"),
        ("a\r\nb\0c", "a b c"),
        ("error 21211", "error 21211"),
        ("x" * 400, "x" * 300),
    ],
)
def test_what_is_kept_of_an_answer_names_nobody(said: str, wanted: str) -> None:
    assert without_persons(said, "Anna Miller", "") == wanted


@pytest.mark.parametrize("value", [None, 7, "", "a b", "a\0", "é", "x" * 101, ["a"]])
def test_what_is_no_id_of_a_vendor(value: object) -> None:
    assert vendor_id(value) is None
    assert vendor_id("x" * 100) == "x" * 100
