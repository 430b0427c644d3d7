"""Rules that need more than one bad row to be seen at work."""

from __future__ import annotations

from datetime import UTC, datetime

import feeds
import pandas as pd
import pytest

from winback.core.row_rules import settle_duplicate_contacts


def events(**columns):
    size = len(next(iter(columns.values())))
    base = {
        "row_number": range(1, size + 1),
        "customer_id": ["a"] * size,
        "occurred_at": ["2026-01-02T03:04:05Z"] * size,
    }
    return pd.DataFrame({**base, **columns})


@pytest.mark.parametrize(
    ("decimal", "text", "expected"),
    [
        (".", "12.50", 12.5),
        (".", "-3", -3.0),
        (".", "1e2", 100.0),
        (".", "", None),
        (".", "12,50", "amount_decimal_comma"),
        (".", "1,234", "amount_unparsable"),
        (".", "1,234.50", "amount_unparsable"),
        (".", "€5", "amount_unparsable"),
        (".", "inf", "amount_not_finite"),
        (".", "-Infinity", "amount_not_finite"),
        (".", "nan", "amount_not_finite"),
        (".", "1e13", "amount_out_of_range"),
        (",", "12,50", 12.5),
        (",", "1.234,50", 1234.5),
        (",", "1.234.567", 1_234_567.0),
        (",", "7", 7.0),
        (",", "12.50", "amount_unparsable"),
        (",", "1.23,4", "amount_unparsable"),
    ],
)
def test_an_amount_is_read_as_declared_or_breaks_its_rule(decimal, text, expected):
    checked = feeds.check_events(events(amount=[text]), decimal=decimal)
    if isinstance(expected, str):
        assert checked.faults["rule"].tolist() == [expected]
    elif expected is None:
        assert checked.rows["amount"].isna().tolist() == [True]
    else:
        assert checked.rows["amount"].tolist() == [expected]


def test_every_control_character_is_found_alone_in_its_column_and_nothing_else_is():
    controls = [*range(1, 32), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
    bad = {0: "nul_character", **dict.fromkeys(controls, "control_character")}
    for code in [*range(0x100), *range(0x2000, 0x2070), 0x1F600]:
        checked = feeds.check_events(events(event_id=["e", f"e{chr(code)}e"]))
        assert checked.faults["rule"].tolist() == ([bad[code]] if code in bad else []), hex(code)


def test_amounts_that_arrive_as_numbers_obey_the_same_rules():
    checked = feeds.check_events(events(amount=[1.5, float("inf"), float("nan"), -2e12]))
    assert checked.rows["row_number"].tolist() == [1, 3]
    assert checked.faults["rule"].tolist() == ["amount_not_finite", "amount_out_of_range"]


@pytest.mark.parametrize(
    ("declared", "named", "expected"),
    [
        ("visit", "", "visit"),
        ("visit", "purchase", "purchase"),
        ("test_drive", "test_drive", "test_drive"),
        ("visit", " Purchase ", "purchase"),
        (None, "purchase", "purchase"),
        (None, "", "behaviour_missing"),
        (None, "test_drive", "behaviour_unknown"),
        (None, "test drive", "behaviour_malformed"),
    ],
)
def test_a_row_may_name_its_behaviour(declared, named, expected):
    checked = feeds.check_events(events(behaviour=[named]), behaviour=declared)
    found = [*checked.rows["behaviour"], *checked.faults["rule"]]
    assert found == [expected]


def test_a_source_that_declares_its_behaviour_needs_no_column():
    assert feeds.check_events(events(amount=["1"]), behaviour="visit").rows["behaviour"].tolist() == ["visit"]


def test_a_row_is_charged_with_the_first_rule_it_breaks_and_only_once():
    checked = feeds.check_events(events(customer_id=["", ""], amount=["x", "1"], occurred_at=["x", "x"]))
    assert checked.faults["rule"].tolist() == ["customer_id_missing"] * 2
    assert checked.faults["value"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fr", "fr"),
        ("fr_FR", "fr-FR"),
        ("FR-fr", "fr-FR"),
        ("en_US.UTF-8", "en-US"),
        ("zh-hans-CN", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("", ""),
    ],
)
def test_locales_are_written_one_way(text, expected):
    frame = pd.DataFrame({"row_number": [2], "customer_id": ["a"], "locale": [text]})
    assert feeds.check_contacts(frame).rows["locale"].tolist() == [expected]


def test_contacts_get_every_column_and_keep_their_own():
    frame = pd.DataFrame({"row_number": [2], "customer_id": [" a "], "note": ["two\nlines"], "country": ["fr"]})
    checked = feeds.check_contacts(frame)
    row = checked.rows.iloc[0]
    assert (row["customer_id"], row["note"], row["country"], row["email"]) == ("a", "two\nlines", "FR", "")


def test_the_first_of_two_rows_about_a_customer_stays():
    rows = pd.DataFrame({"row_number": [2, 3, 4, 5], "customer_id": ["a", "b", "a", "a"], "x": ["1", "1", "1", "2"]})
    settled = settle_duplicate_contacts(rows)
    assert settled.rows["row_number"].tolist() == [2, 3]
    assert settled.counts == {"duplicates": 1}
    assert settled.faults[["row_number", "rule"]].to_numpy().tolist() == [[5, "customer_id_conflict"]]


UNREAD_AT = datetime(2026, 11, 21, tzinfo=UTC)


def consents(**row):
    base = {
        "row_number": 2,
        "customer_id": "a",
        "channel": "sms",
        "status": "withdrawn",
        "recorded_at": "2026-01-02T03:04:05Z",
    }
    frame = pd.DataFrame([{**base, **row}])
    return feeds.check_consents(frame, unread_at=UNREAD_AT)


@pytest.mark.parametrize(
    ("row", "heard"),
    [
        ({}, [("sms", "marketing", "2026-01-02")]),
        ({"recorded_at": "whenever"}, [("sms", "marketing", "2026-11-21")]),
        ({"recorded_at": "2062-01-01T00:00:00Z"}, [("sms", "marketing", "2026-11-21")]),
        ({"channel": "fax"}, [(one, "marketing", "2026-01-02") for one in ("email", "sms", "whatsapp")]),
        ({"purpose": "#!"}, [("sms", "marketing", "2026-01-02")]),
        ({"basis": "because"}, [("sms", "marketing", "2026-01-02")]),
        ({"wording": "x" * 70_000}, [("sms", "marketing", "2026-01-02")]),
        ({"customer_id": ""}, []),
        ({"status": "granted", "recorded_at": "whenever"}, []),
        ({"status": "maybe"}, []),
    ],
)
def test_a_no_is_heard_even_where_its_row_is_bad(row, heard):
    checked = consents(**row)
    found = checked.rows[["channel", "purpose"]].assign(day=checked.rows["recorded_at"].dt.strftime("%Y-%m-%d"))
    assert sorted(map(tuple, found.to_numpy().tolist())) == heard
    assert (checked.rows["status"] == "withdrawn").all()
    assert len(checked.faults) == (1 if row else 0)
