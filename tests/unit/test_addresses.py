"""Addresses in one form, and the reason why one cannot be used."""

from __future__ import annotations

import pandas as pd
import pytest

from winback.core.addresses import normalise_email, normalise_emails, normalise_phone, normalise_phones


@pytest.mark.parametrize(
    ("given", "shown", "key", "fault"),
    [
        ("Ann.Lee@Shop.Example", "Ann.Lee@shop.example", "ann.lee@shop.example", None),
        ("ann+news@shop.example", "ann+news@shop.example", "ann+news@shop.example", None),
        ("ann@münchen.example", "ann@münchen.example", "ann@xn--mnchen-3ya.example", None),
        ("ann@xn--mnchen-3ya.example", "ann@münchen.example", "ann@xn--mnchen-3ya.example", None),
        ("änn@shop.example", "änn@shop.example", None, "email_not_ascii"),
        ("", None, None, "email_missing"),
        ("nobody", None, None, "email_invalid"),
        ("a@b", None, None, "email_invalid"),
        ("a..b@shop.example", None, None, "email_invalid"),
        ("a b@shop.example", None, None, "email_invalid"),
        ("ann@shop_one.example", None, None, "email_invalid"),
        ("ann@[127.0.0.1]", None, None, "email_invalid"),
        ("Ann <ann@shop.example>", None, None, "email_invalid"),
        ("ann@shop.test", None, None, "email_reserved_domain"),
        ("ann@printer.local", None, None, "email_reserved_domain"),
        ("a" * 65 + "@shop.example", None, None, "email_invalid"),
        ("a@" + "b" * 253 + ".example", None, None, "email_too_long"),
    ],
)
def test_an_email_address_has_one_key_or_one_fault(given, shown, key, fault):
    assert normalise_email(given) == (shown, key, fault)
    column = normalise_emails(pd.Series([given, "other@shop.example"], dtype="str"))
    assert column.astype(object).where(column.notna(), None).iloc[0].tolist() == [shown, key, fault]


@pytest.mark.parametrize(
    ("given", "region", "form", "kind", "zones", "fault"),
    [
        ("06 12 34 56 78", "FR", "+33612345678", "mobile", "Europe/Paris", None),
        ("+33 6 12 34 56 78", "", "+33612345678", "mobile", "Europe/Paris", None),
        ("+06 12 34 56 78", "FR", None, None, None, "phone_unparsable"),
        ("+000", "FR", None, None, None, "phone_unparsable"),
        ("0033612345678", "FR", "+33612345678", "mobile", "Europe/Paris", None),
        ("06 12 34 56 78", "", None, None, None, "phone_region_missing"),
        ("01 42 68 53 00", "FR", "+33142685300", "fixed_line", "Europe/Paris", "phone_fixed_line"),
        ("(415) 555-0100", "US", "+14155550100", "fixed_line_or_mobile", "America/Los_Angeles", None),
        ("0800 000 000", "FR", "+33800000000", "toll_free", "Europe/Paris", "phone_not_mobile"),
        ("+33 6 12", "", None, None, None, "phone_invalid"),
        ("3.36E+10", "FR", None, None, None, "phone_unparsable"),
        ("call me", "FR", None, None, None, "phone_unparsable"),
        ("", "FR", None, None, None, "phone_missing"),
        ("06 12 34 56 78", "ZZ", None, None, None, "phone_unparsable"),
    ],
)
def test_a_phone_number_has_one_form_or_one_fault(given, region, form, kind, zones, fault):
    assert normalise_phone(given, region) == (form, kind, zones, fault)
    column = normalise_phones(pd.Series([given], dtype="str"), pd.Series([region], dtype="str"))
    assert column.astype(object).where(column.notna(), None).iloc[0].tolist() == [form, kind, zones, fault]


def test_a_number_that_may_be_in_many_zones_names_them_all():
    zones = normalise_phone("+1 800 234 5678", "")[2].split(",")
    assert len(zones) > 20
    assert {"America/New_York", "America/Los_Angeles"} <= set(zones)


def test_every_spelling_of_an_address_has_the_same_key():
    spellings = ["ann@shop.example", "ANN@shop.example", "Ann@SHOP.EXAMPLE"]
    assert set(normalise_emails(pd.Series(spellings, dtype="str"))["email_key"]) == {"ann@shop.example"}
    numbers = pd.Series(["0612345678", "+33612345678", "06.12.34.56.78", "+33 (0)6 12 34 56 78"], dtype="str")
    assert set(normalise_phones(numbers, pd.Series("FR", index=numbers.index))["phone"]) == {"+33612345678"}


def test_rows_keep_their_index_and_empty_columns_are_fine():
    emails = normalise_emails(pd.Series(["a@shop.example", "", "a@shop.example"], index=[7, 3, 9], dtype="str"))
    assert emails.index.tolist() == [7, 3, 9]
    assert emails["email_fault"].isna().tolist() == [True, False, True]
    assert normalise_emails(pd.Series([], dtype="str")).empty
    assert normalise_phones(pd.Series([], dtype="str"), pd.Series([], dtype="str")).empty
