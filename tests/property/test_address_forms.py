"""The short cuts for addresses give what the libraries give."""

from __future__ import annotations

import pandas as pd
import phonenumbers
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import timezone as phone_timezones

from winback.core.addresses import normalise_email, normalise_emails, normalise_phone, normalise_phones

LOCAL = st.text(alphabet="aZ09._+-", min_size=1, max_size=70)
DOMAIN = st.one_of(
    st.sampled_from(
        ["shop.example", "SHOP.Example", "x.test", "localhost", "xn--mnchen-3ya.example", "münchen.example"]
    ),
    st.text(alphabet="abXY01.-", min_size=1, max_size=20),
    st.integers(180, 260).map(lambda size: "a." * (size // 2) + "fr"),
)
ADDRESS = st.one_of(st.builds("{}@{}".format, LOCAL, DOMAIN), st.text(max_size=30))
COUNTRIES = st.sampled_from(["", "FR", "US", "GB", "DE", "RU", "AU", "BR", "MX", "AR", "IT", "KZ", "ZZ"])
NUMBER = st.one_of(
    st.text(alphabet="0123456789+ ()-.", max_size=18),
    st.builds("+{}{}".format, st.sampled_from([1, 7, 33, 44, 49, 52, 54, 55, 61, 39, 800]), st.integers(10**6, 10**10)),
)


def rows(frame):
    return [tuple(row) for row in frame.astype(object).where(frame.notna(), None).to_numpy()]


@settings(max_examples=150)
@given(addresses=st.lists(ADDRESS, max_size=8))
def test_a_column_of_addresses_is_what_the_library_makes_of_each(addresses):
    got = normalise_emails(pd.Series(addresses, dtype="str"))
    assert rows(got) == [normalise_email(address) for address in addresses]


@settings(max_examples=80)
@given(addresses=st.lists(ADDRESS, max_size=8))
def test_the_shown_form_of_an_address_is_its_own_shown_form(addresses):
    first = normalise_emails(pd.Series(addresses, dtype="str"))
    shown = first["email"].dropna()
    assert rows(normalise_emails(shown)) == rows(first.loc[shown.index])


@settings(max_examples=150)
@given(pairs=st.lists(st.tuples(NUMBER, COUNTRIES), min_size=1, max_size=8))
def test_a_normal_form_is_its_own_normal_form_wherever_it_is_read(pairs):
    numbers, regions = (pd.Series(column, dtype="str") for column in zip(*pairs, strict=True))
    first = normalise_phones(numbers, regions)
    assert rows(first) == [normalise_phone(*pair) for pair in pairs]
    forms = first["phone"].dropna()
    for region in ("", "FR", "US"):
        places = pd.Series(region, index=forms.index, dtype="str")
        assert rows(normalise_phones(forms, places)) == rows(first.loc[forms.index])
        assert rows(normalise_phones(forms, places, known=first)) == rows(first.loc[forms.index])


@settings(max_examples=150)
@given(number=NUMBER, region=COUNTRIES)
def test_the_zones_of_a_number_are_those_of_the_library(number, region):
    form, _, zones, _ = normalise_phone(number, region)
    if form is not None:
        expected = phone_timezones.time_zones_for_number(phonenumbers.parse(form))
        assert (zones or "") == ",".join(zone for zone in expected if zone != "Etc/Unknown")
