"""The simulated people cannot be anybody real, and have agreed to different things."""

import re

import numpy as np
import pandas as pd
import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email

from winback.sample.clientele import DOMAIN, make_consents, make_contacts, places

UNTIL = np.datetime64("2026-11-20T21:00:00", "s")
# Blocks that regulators keep for fiction: 555-01xx in North America; two German ones.
FICTION = re.compile(r"\+1\d{3}55501\d{2}|\+49176040690\d{2}|\+4917139200\d{2}")


def people(count: int = 5000, *, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return make_contacts(numbers=np.arange(1, count + 1), line=rng.integers(0, 5, count), rng=rng)


def consents_of(contacts: pd.DataFrame) -> pd.DataFrame:
    joined_at = np.full(len(contacts), np.datetime64("2026-01-05T08:00:00", "s"))
    return make_consents(contacts, joined_at=joined_at, until=UNTIL, rng=np.random.default_rng(2))


def is_deliverable(email: str) -> bool:
    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def test_the_shares_of_the_places_make_a_whole() -> None:
    assert sum(place.share for place in places()) == pytest.approx(1)
    assert len({place.country for place in places()}) == 5
    assert len({place.timezone for place in places()}) == 10


def test_every_good_address_lies_in_the_example_domain_and_most_are_good() -> None:
    emails = people()["email"]
    good = emails[emails.map(is_deliverable)]
    assert good.str.endswith("@" + DOMAIN).all()
    assert 0.92 < len(good) / len(emails) < 0.96
    assert (emails == "").mean() == pytest.approx(0.05, abs=0.01)


def test_some_share_an_address() -> None:
    emails = people()["email"]
    assert 20 < emails[emails.str.endswith(DOMAIN) & emails.map(is_deliverable)].duplicated().sum() < 90


def test_every_phone_number_that_is_valid_is_kept_for_fiction() -> None:
    contacts = people(20_000)
    contacts = contacts[contacts["phone"] != ""]
    for phone, country in zip(contacts["phone"], contacts["country"], strict=True):
        number = phonenumbers.parse(phone, country)
        if phonenumbers.is_valid_number(number):
            assert FICTION.fullmatch(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)), phone
        else:
            assert phone == "06 12"


def test_phone_numbers_of_one_shop_differ_and_some_are_written_the_national_way() -> None:
    phones = people()["phone"]
    real = phones[(phones != "") & (phones != "06 12")]
    digits = real.str.replace(r"\D", "", regex=True).str[-10:]
    assert not digits.duplicated().any()
    assert 0.05 < real.str.startswith("(").mean() < 0.15


def test_locale_zone_and_region_belong_together_and_a_few_have_no_zone() -> None:
    contacts = people()
    known = {(place.country, place.region, place.locale) for place in places()}
    assert set(zip(contacts["country"], contacts["region"], contacts["locale"], strict=True)) == known
    assert (contacts["timezone"] == "").mean() == pytest.approx(0.04, abs=0.01)


def test_consents_are_granted_withdrawn_renewed_or_missing() -> None:
    contacts = people()
    consents = consents_of(contacts)
    email = consents[consents["channel"] == "email"]
    has_email = contacts["email"] != ""
    assert 0.05 < 1 - email["customer_id"].nunique() / has_email.sum() < 0.11
    states = consents.groupby(["customer_id", "channel"])["status"].agg(tuple)
    assert {("granted",), ("granted", "withdrawn"), ("granted", "granted"), ("granted", "withdrawn", "granted")} <= set(
        states
    )


def test_nothing_is_recorded_in_the_future_and_rows_stand_in_the_order_of_time() -> None:
    recorded = consents_of(people())["recorded_at"]
    assert recorded.max() <= pd.Timestamp(UNTIL)
    assert recorded.is_monotonic_increasing


def test_the_basis_follows_the_country() -> None:
    contacts = people()
    consents = consents_of(contacts).merge(contacts[["customer_id", "country"]], on="customer_id")
    granted = consents[consents["status"] == "granted"]
    bases = granted.groupby(["country", "channel"])["basis"].agg(set)
    assert bases["US", "sms"] == {"pewc", "express"}
    assert bases["CA", "email"] == {"implied", "express"}
    assert bases["GB", "email"] == {"soft_optin", "express"}
    assert bases["FR", "email"] == {"express"}


def test_the_same_seed_makes_the_same_people() -> None:
    pd.testing.assert_frame_equal(people(300), people(300))
    assert not people(300).equals(people(300, seed=2))
