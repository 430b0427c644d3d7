"""Contacts and consents: snapshots, evidence, and what is read back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import ledger_rows as rows
import pandas as pd
import pytest
from sqlalchemy import select

from winback.core.buckets import buckets
from winback.core.reasons import Reason
from winback.ledger import contact_rows, keys, people, people_tables, refusals
from winback.ledger.refusals import Act, Target

PEPPER, NIGHT, NOW, EARLIER = rows.PEPPER, rows.NIGHT, rows.NOW, rows.EARLIER
NEXT = NIGHT + timedelta(days=1)
ACT = Act(NOW, NIGHT, "cli", "cli:ann")


def _replace(ledger, frame: pd.DataFrame, as_of: date = NIGHT) -> people.ContactChanges:
    with ledger.writing() as connection:
        return people.replace_contacts(connection, frame, pepper=PEPPER, as_of=as_of)


def _read(ledger, as_of: date = NIGHT, **shard: int) -> pd.DataFrame:
    with ledger.reading() as connection:
        return people.read_contacts(connection, as_of=as_of, **shard)


# --- contacts ----------------------------------------------------------------------------------------------------


def test_a_first_snapshot_is_all_new_and_reads_back_in_order(ledger):
    assert _replace(ledger, rows.contacts("b", "a", "c")) == (3, 0, 0, 0, 0, 0)
    found = _read(ledger)
    assert found["customer_id"].tolist() == ["a", "b", "c"]
    assert found["email"].tolist() == ["a@example.com", "b@example.com", "c@example.com"]
    assert found["bucket"].tolist() == buckets(["a", "b", "c"]).tolist()
    assert found["extra"].tolist() == ["{}"] * 3
    assert found["last_name"].isna().all()


def test_only_what_differs_is_written(ledger):
    _replace(ledger, rows.contacts("a", "b", "c"))
    changed = rows.contacts("a", "b", "c", first_name=["First a", "Bob", "First c"])
    assert _replace(ledger, changed, NEXT) == (0, 1, 0, 0, 2, 0)
    found = _read(ledger, NEXT).set_index("customer_id")
    assert found["first_name"].to_dict() == {"a": "First a", "b": "Bob", "c": "First c"}
    assert found["updated_on"].dt.date.to_dict() == {"a": NIGHT, "b": NEXT, "c": NIGHT}


def test_a_new_customer_among_known_ones_changes_none_of_them(ledger):
    ids = [f"C{number}" for number in range(30)]
    _replace(ledger, rows.contacts(*ids))
    assert _replace(ledger, rows.contacts(*ids, "new"), NEXT) == (1, 0, 0, 0, 30, 0)


@pytest.mark.parametrize("column", [name for name in people.FEED_COLUMNS if name != "customer_id"])
def test_a_change_in_any_column_is_a_change(ledger, column):
    _replace(ledger, rows.contacts("a", "b"))
    changed = rows.contacts("a", "b")
    changed[column] = ["changed", *changed[column].tolist()[1:]] if column in changed else ["changed", None]
    assert _replace(ledger, changed, NEXT)[:2] == (0, 1)


def test_a_value_that_is_gone_is_gone(ledger):
    _replace(ledger, rows.contacts("a"))
    assert _replace(ledger, rows.contacts("a", email=None, email_key=None, email_fault="email_missing")).changed == 1
    (found,) = _read(ledger).to_dict("records")
    assert pd.isna(found["email"])
    assert pd.isna(found["email_hmac"])
    assert found["email_fault"] == "email_missing"


def test_missing_and_empty_are_not_the_same(ledger):
    _replace(ledger, rows.contacts("a", region=None))
    assert _replace(ledger, rows.contacts("a", region="")).changed == 1


def test_whoever_is_missing_from_the_snapshot_is_removed_and_may_come_back(ledger):
    _replace(ledger, rows.contacts("a", "b"))
    assert _replace(ledger, rows.contacts("a"), NEXT) == (0, 0, 0, 1, 1, 0)
    assert _read(ledger, NEXT)["customer_id"].tolist() == ["a"]
    assert _read(ledger, NIGHT)["customer_id"].tolist() == ["a", "b"]  # the night before still had them
    assert _replace(ledger, rows.contacts("a"), NEXT + timedelta(days=1)) == (0, 0, 0, 0, 1, 0)
    assert _replace(ledger, rows.contacts("a", "b"), NEXT + timedelta(days=2)) == (0, 0, 1, 0, 1, 0)
    assert _read(ledger, NEXT + timedelta(days=2))["customer_id"].tolist() == ["a", "b"]


def test_the_same_snapshot_again_changes_nothing(ledger):
    _replace(ledger, rows.contacts("a", "b"))
    assert _replace(ledger, rows.contacts("a", "b"), NEXT) == (0, 0, 0, 0, 2, 0)


def test_an_empty_snapshot_removes_everybody_and_breaks_nothing(ledger):
    _replace(ledger, rows.contacts("a", "b"))
    assert _replace(ledger, rows.contacts(), NEXT).removed == 2
    assert _read(ledger, NEXT).empty


def test_a_frame_with_any_index_will_do(ledger):
    frame = rows.contacts("a", "b", "c").iloc[[2, 0]]
    assert _replace(ledger, frame).new == 2
    assert _read(ledger)["customer_id"].tolist() == ["a", "c"]


def test_a_customer_twice_in_a_snapshot_is_refused(ledger):
    with pytest.raises(ValueError, match="twice"):
        _replace(ledger, rows.contacts("a", "a"))


def test_addresses_are_hashed_by_channel_and_only_where_they_exist(ledger):
    _replace(ledger, rows.contacts("a", "b", phone=["+33600000000", None]))
    first, second = _read(ledger).to_dict("records")
    assert first["email_hmac"] == keys.address_key(PEPPER, "email", "a@example.com")
    assert first["sms_hmac"] == keys.address_key(PEPPER, "sms", "+33600000000")
    assert first["whatsapp_hmac"] == keys.address_key(PEPPER, "whatsapp", "+33600000000")
    assert len({first["email_hmac"], first["sms_hmac"], first["whatsapp_hmac"]}) == 3
    assert pd.isna(second["sms_hmac"])
    assert pd.isna(second["whatsapp_hmac"])


def test_shards_part_the_contacts_without_gap_or_overlap(ledger):
    ids = [f"C{number}" for number in range(200)]
    _replace(ledger, rows.contacts(*ids))
    edges = [0, 100, 101, 700, 1024]
    parts = [_read(ledger, low=low, high=high) for low, high in pairwise(edges)]
    assert sorted(pd.concat(parts)["customer_id"]) == sorted(ids)
    assert all(part["customer_id"].is_monotonic_increasing for part in parts)


def test_one_contact_the_counts_and_who_lives_at_an_address(ledger):
    _replace(ledger, rows.contacts("a", "b", "c", email_key=["x@y.z", "x@y.z", None], phone=["+331", None, None]))
    _replace(ledger, rows.contacts("a", "b", email_key=["x@y.z", "x@y.z"], phone=["+331", None]), NEXT)
    with ledger.reading() as connection:
        assert contact_rows.read_contact(connection, "a")["first_name"] == "First a"
        assert contact_rows.read_contact(connection, "nobody") is None
        assert contact_rows.customers_at(connection, "x@y.z", pepper=PEPPER) == ["a", "b"]
        assert contact_rows.customers_at(connection, "+331", pepper=PEPPER) == ["a"]
        assert contact_rows.customers_at(connection, "n@y.z", pepper=PEPPER) == []
        assert contact_rows.count_contacts(connection) == {
            "present": 2,
            "removed": 1,
            "email": 2,
            "sms": 1,
            "whatsapp": 1,
        }


def test_the_numbers_of_those_who_are_there_are_read_with_what_is_known_of_them(ledger):
    phones = ["+33612345678", None, "+33698765432"]
    known = rows.contacts("a", "b", "c", phone=phones, phone_type="mobile", phone_zones="Europe/Paris")
    _replace(ledger, known)
    _replace(ledger, known.iloc[:2], NEXT)
    with ledger.reading() as connection:
        found = people.read_phones(connection)
    assert list(found.columns) == ["phone", "phone_type", "phone_zones", "phone_fault"]
    assert found[["phone", "phone_type", "phone_zones"]].to_numpy().tolist() == [
        ["+33612345678", "mobile", "Europe/Paris"]
    ]


# --- consents ----------------------------------------------------------------------------------------------------


def _consents(ledger, *frames: pd.DataFrame) -> list[int]:
    with ledger.writing() as connection:
        return [people.add_consents(connection, frame, pepper=PEPPER) for frame in frames]


def _newest(ledger, **options: object) -> dict[tuple[str, str], str]:
    with ledger.reading() as connection:
        found = people.read_consents(connection, **options)
    return dict(zip(zip(found["customer_id"], found["channel"], strict=True), found["status"], strict=True))


def test_consent_records_are_added_and_never_twice(ledger):
    assert _consents(ledger, rows.consents("a", "b"), rows.consents("a", "b"), rows.consents("a", "c")) == [2, 0, 1]


def test_the_newest_record_wins_by_when_it_was_given_not_by_when_it_arrived(ledger):
    _consents(
        ledger,
        rows.consents("a", "b", at=EARLIER),
        rows.consents("a", status="withdrawn", at=EARLIER + timedelta(days=1)),
        rows.consents("b", status="withdrawn", at=EARLIER - timedelta(days=1)),
    )
    assert _newest(ledger) == {("a", "email"): "withdrawn", ("b", "email"): "granted"}


@pytest.mark.parametrize("order", [("granted", "withdrawn"), ("withdrawn", "granted")])
def test_a_tie_goes_to_the_withdrawal_and_both_records_stay(ledger, order):
    _consents(ledger, *(rows.consents("a", status=status) for status in order))
    assert _newest(ledger) == {("a", "email"): "withdrawn"}
    with ledger.reading() as connection:
        assert len(connection.execute(select(people_tables.consents)).all()) == 2


def test_the_newest_records_are_the_same_whatever_is_asked_of_them(ledger):
    ads = rows.consents("a", status="withdrawn", at=NOW).assign(purpose="ads")
    _consents(ledger, rows.consents("a", at=EARLIER), rows.consents("a", status="withdrawn"), ads, rows.consents("b"))
    with ledger.reading() as connection:
        assert people.read_consents(connection, columns=["status"])["status"].tolist() == [
            *("withdrawn", "withdrawn", "granted")
        ]
        assert people.read_consents(connection, low=0, high=0, columns=["status"]).empty


def test_consent_is_per_channel_and_purpose(ledger):
    ads = rows.consents("a", status="withdrawn", at=NOW).assign(purpose="ads")
    _consents(ledger, rows.consents("a"), rows.consents("a", channel="sms", status="withdrawn"), ads)
    with ledger.reading() as connection:
        found = people.read_consents(connection)
    assert found[["channel", "purpose", "status"]].to_numpy().tolist() == [
        ["email", "ads", "withdrawn"],
        ["email", "marketing", "granted"],
        ["sms", "marketing", "withdrawn"],
    ]


def test_until_hides_what_came_later(ledger):
    later = EARLIER + timedelta(days=5)
    _consents(ledger, rows.consents("a"), rows.consents("a", status="withdrawn", at=later))
    assert _newest(ledger, until=later) == {("a", "email"): "granted"}
    assert _newest(ledger, until=later + timedelta(microseconds=1)) == {("a", "email"): "withdrawn"}
    assert _newest(ledger, until=datetime(2000, 1, 1, tzinfo=UTC)) == {}


def test_consents_are_read_by_shard(ledger):
    ids = [f"C{number}" for number in range(60)]
    _consents(ledger, rows.consents(*ids))
    assert set(_newest(ledger, low=0, high=512)) | set(_newest(ledger, low=512, high=1024)) == set(_newest(ledger))
    assert not set(_newest(ledger, low=0, high=512)) & set(_newest(ledger, low=512, high=1024))


# --- suppressions, as contacts meet them -----------------------------------------------------------------------------


def _suppressions(ledger, as_of: date = NEXT, **shard: int) -> list[tuple[object, ...]]:
    with ledger.reading() as connection:
        found = people.read_suppressions(connection, as_of=as_of, **shard)
    return [tuple(row) for row in found[["customer_id", "channel", "reason"]].drop_duplicates().to_numpy()]


def test_a_suppressed_address_covers_every_customer_who_has_it(ledger):
    _replace(ledger, rows.contacts("a", "b", "c", email_key=["x@y.z", "x@y.z", "c@y.z"]))
    with ledger.writing() as connection:
        refusals.suppress(connection, Target("email", address="x@y.z"), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
    assert _suppressions(ledger) == [("a", "email", "opted_out"), ("b", "email", "opted_out")]


def test_the_strongest_reason_of_a_channel_comes_first(ledger):
    _replace(ledger, rows.contacts("a"))
    with ledger.writing() as connection:
        for reason in (Reason.INVALID_ADDRESS, Reason.OPTED_OUT, Reason.COMPLAINED):
            refusals.suppress(connection, Target("email", customer_id="a"), ACT, pepper=PEPPER, reason=reason)
    assert [reason for *_, reason in _suppressions(ledger)] == ["complained", "opted_out", "invalid_address"]


def test_a_sunset_of_the_same_night_is_no_input_to_it(ledger):
    _replace(ledger, rows.contacts("a"))
    with ledger.writing() as connection:
        refusals.sunset(connection, ["a"], at=NOW, effective_on=NIGHT)
    assert _suppressions(ledger, NIGHT) == []
    assert _suppressions(ledger, NEXT) == [("a", "all", "sunset")]


def test_an_opt_out_holds_for_any_night(ledger):
    _replace(ledger, rows.contacts("a"))
    with ledger.writing() as connection:
        refusals.suppress(connection, Target(customer_id="a"), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
    assert ("a", "all", "opted_out") in _suppressions(ledger, NIGHT - timedelta(days=300))


def test_suppressions_are_read_by_shard(ledger):
    ids = [f"C{number}" for number in range(40)]
    _replace(ledger, rows.contacts(*ids))
    with ledger.writing() as connection:
        refusals.sunset(connection, ids, at=NOW, effective_on=NIGHT)
    halves = _suppressions(ledger, low=0, high=512), _suppressions(ledger, low=512, high=1024)
    assert sorted([*halves[0], *halves[1]]) == _suppressions(ledger)
    assert all(halves)


def test_a_programmes_opt_out_names_its_programme(ledger):
    _replace(ledger, rows.contacts("a"))
    target = Target("email", customer_id="a")
    with ledger.writing() as connection:
        refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT, programme="grocery")
        refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
        found = people.read_suppressions(connection, as_of=NEXT)
    assert set(found["programme"].fillna("all of them")) == {"grocery", "all of them"}
