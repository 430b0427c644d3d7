"""Who may be written to, on which channel, and the strongest reason why not."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest
from decision_world import CONSENTS, COUNTRIES, RULES, SUPPRESSIONS, consent, frame, people, programme, steps

from winback.core import country_rules, permission
from winback.core.reasons import Reason
from winback.errors import ConfigError

AS_OF = date(2026, 6, 1)


def suppression(**changes: Any) -> dict[str, Any]:
    row = {
        "channel": "email", "kind": "address", "key": "e-a", "reason": "opted_out", "programme": "",
        "effective_on": date(2026, 1, 1), "lifted_at": None,
    }  # fmt: skip
    return {**row, **changes}


def verdict(
    contacts: pd.DataFrame | None = None,
    consents: list[dict[str, Any]] | None = None,
    suppressions: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> pd.DataFrame:
    return permission.evaluate(
        people("a") if contacts is None else contacts,
        frame([consent("a", one) for one in permission.CHANNELS] if consents is None else consents, CONSENTS),
        frame(suppressions or [], SUPPRESSIONS),
        **{"rules": COUNTRIES, "programme": "winback", "purpose": "marketing", "as_of": AS_OF, **changes},
    )


def email(**given: Any) -> str:
    return str(verdict(**given)["email"].iloc[0])


def test_with_consent_and_an_address_nothing_stands_against_a_send():
    row = verdict().iloc[0]
    assert [row[channel] for channel in permission.CHANNELS] == ["", "", ""]


def test_programmes_that_share_a_verdict_get_the_one_each_would_get_alone():
    contacts = people("a", "b", "c")
    consents = frame([consent("a"), consent("b"), consent("c", purpose="service")], CONSENTS)
    suppressions = frame([suppression(kind="customer", key="b", programme="two")], SUPPRESSIONS)
    known = {"rules": COUNTRIES, "as_of": AS_OF}
    programmes = [programme(programme=name) for name in ("one", "two", "three")]
    programmes.append(programme(programme="four", purpose="service"))
    found = permission.evaluate_each(contacts, consents, suppressions, programmes=programmes, **known)
    assert list(found) == ["one", "two", "three", "four"]
    for one in programmes:
        alone = permission.evaluate(
            contacts, consents, suppressions, programme=one.programme, purpose=one.purpose, **known
        )
        pd.testing.assert_frame_equal(found[one.programme], alone)
    assert found["one"]["email"].tolist() == ["", "", "no_consent_record"]
    assert found["two"]["email"].tolist() == ["", "opted_out", "no_consent_record"]
    assert found["four"]["email"].tolist() == ["no_consent_record", "no_consent_record", ""]


class TestConsent:
    def test_without_a_record_nothing_is_sent(self):
        row = verdict(consents=[]).iloc[0]
        assert [row[channel] for channel in permission.CHANNELS] == ["no_consent_record"] * 3

    @pytest.mark.parametrize("other", [{"channel": "sms"}, {"purpose": "ads"}, {"customer_id": "b"}])
    def test_a_consent_holds_for_its_own_person_channel_and_purpose(self, other):
        assert email(consents=[{**consent("a"), **other}]) == "no_consent_record"

    @pytest.mark.parametrize(
        ("records", "expected"),
        [
            ([("granted", "2026-01-01"), ("withdrawn", "2026-02-01")], "consent_withdrawn"),
            ([("withdrawn", "2026-01-01"), ("granted", "2026-02-01")], ""),
            ([("granted", "2026-01-01"), ("withdrawn", "2026-01-01")], "consent_withdrawn"),
            ([("withdrawn", "2026-01-01"), ("granted", "2026-01-01")], "consent_withdrawn"),
            ([("granted", "2026-01-01"), ("withdrawn", None)], "consent_withdrawn"),
            ([("granted", None)], "no_consent_record"),
            ([("granted", "2026-06-02")], "no_consent_record"),
            ([("granted", "2026-01-01"), ("withdrawn", "2026-06-02")], "consent_withdrawn"),
            ([("granted", "2026-01-01"), ("who knows", "2026-02-01")], "consent_withdrawn"),
        ],
    )
    def test_the_newest_record_wins_and_a_tie_goes_to_the_withdrawal(self, records, expected):
        rows = [consent("a", status=status, recorded_at=at) for status, at in records]
        assert email(consents=rows) == expected
        assert email(consents=rows[::-1]) == expected

    @pytest.mark.parametrize("basis", ["", None, "soft_optin", "implied", "hearsay"])
    def test_a_basis_that_the_country_does_not_accept_proves_nothing(self, basis):
        assert email(consents=[consent("a", basis=basis)]) == "no_consent_record"

    @pytest.mark.parametrize(
        ("country", "channel", "basis", "expected"),
        [
            ("US", "sms", "pewc", ""),
            ("US", "sms", "express", "no_consent_record"),
            ("US", "email", "soft_optin", ""),
            ("GB", "email", "soft_optin", "no_consent_record"),
            ("FR", "whatsapp", "soft_optin", "no_consent_record"),
            ("FR", "whatsapp", "express", ""),
            (None, "email", "EXPRESS", ""),
        ],
    )
    def test_each_country_has_its_own_bases(self, country, channel, basis, expected):
        contacts = people("a", country=country)
        found = verdict(contacts=contacts, consents=[consent("a", channel, basis=basis)])
        assert found[channel].iloc[0] == expected

    def test_an_american_number_without_a_country_needs_what_america_asks(self):
        contacts = people("a", country=None, phone="+12025550100")
        assert verdict(contacts=contacts, consents=[consent("a", "sms")])["sms"].iloc[0] == "no_consent_record"

    @pytest.mark.parametrize(
        ("basis", "recorded_at", "bought_on", "expected"),
        [
            ("implied", "2024-06-01", None, ""),  # 730 days before 2026-06-01
            ("implied", "2024-05-31", None, "consent_expired"),
            ("purchase", "2024-05-31", "2024-06-01", ""),
            ("purchase", "2023-01-01", "2024-05-31", "consent_expired"),
            ("inquiry", "2025-11-30", None, ""),  # 183 days before
            ("inquiry", "2025-11-29", "2026-05-31", "consent_expired"),
            ("express", "2001-01-01", None, ""),
        ],
    )
    def test_implied_consent_runs_out_in_canada(self, basis, recorded_at, bought_on, expected):
        contacts = people("a", country="CA").assign(last_purchase_on=pd.to_datetime(pd.Series([bought_on])))
        assert email(contacts=contacts, consents=[consent("a", basis=basis, recorded_at=recorded_at)]) == expected


class TestSuppression:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, ["opted_out", "", ""]),
            ({"channel": "sms", "key": "s-a"}, ["", "opted_out", ""]),
            ({"channel": "sms", "key": "e-a"}, ["", "", ""]),
            ({"kind": "customer", "key": "a"}, ["opted_out", "", ""]),
            ({"kind": "customer", "key": "a", "channel": "all"}, ["opted_out"] * 3),
            ({"kind": "address", "key": "s-a", "channel": "all"}, ["opted_out"] * 3),
            ({"kind": "customer", "key": "b", "channel": "all"}, ["", "", ""]),
            ({"lifted_at": "2026-02-01"}, ["", "", ""]),
            ({"programme": "winback"}, ["opted_out", "", ""]),
            ({"programme": None}, ["opted_out", "", ""]),
            ({"programme": "another"}, ["", "", ""]),
            ({"reason": "complained"}, ["complained", "", ""]),
            ({"reason": "never heard of"}, ["opted_out", "", ""]),
            ({"reason": "erased"}, ["erased"] * 3),
            ({"effective_on": AS_OF}, ["opted_out", "", ""]),
            ({"reason": "sunset", "effective_on": date(2026, 5, 31)}, ["sunset", "", ""]),
            ({"reason": "sunset", "effective_on": AS_OF}, ["", "", ""]),
        ],
    )
    def test_a_no_holds_for_its_address_person_channel_and_programme(self, changes, expected):
        row = verdict(suppressions=[suppression(**changes)]).iloc[0]
        assert [row[channel] for channel in permission.CHANNELS] == expected

    def test_a_second_customer_with_the_same_address_is_suppressed_too(self):
        contacts = people("a", "b", email_hmac=["e-a", "e-a"])
        rows = verdict(contacts=contacts, consents=[consent("a"), consent("b")], suppressions=[suppression()])
        assert list(rows["email"]) == ["opted_out", "opted_out"]

    def test_a_new_address_does_not_bring_an_opted_out_person_back(self):
        contacts = people("a", email_hmac="e-new")
        assert email(contacts=contacts, suppressions=[suppression(kind="customer", key="a")]) == "opted_out"

    def test_an_erased_customer_is_known_again_by_the_keyed_hash_of_the_id(self):
        contacts = people("a").assign(customer_hmac="h-a")
        row = verdict(
            contacts=contacts, suppressions=[suppression(kind="erased", key="h-a", channel="all", reason="erased")]
        )
        assert list(row.iloc[0][list(permission.CHANNELS)]) == ["erased"] * 3

    @pytest.mark.parametrize("reasons", [permission.REASONS[n : n + 2] for n in range(len(permission.REASONS) - 1)])
    def test_the_strongest_reason_is_told(self, reasons):
        given = {
            "no_consent_record": {"consents": []},
            "consent_withdrawn": {"consents": [consent("a", status="withdrawn")]},
            "consent_expired": {"consents": [consent("a", basis="implied", recorded_at="2020-01-01")]},
        }
        contacts, changes, rules = people("a", country="CA"), {"suppressions": [], "consents": None}, COUNTRIES
        for reason in reasons:
            if reason is Reason.COUNTRY_BLOCKED:
                rules = blocked_mail(rules)
            elif reason is Reason.UNREACHABLE:
                contacts = people("a", country="CA", email=None)
            elif reason.value in given:
                changes |= given[reason.value] if changes["consents"] is None else {}
            else:
                changes["suppressions"].append(suppression(reason=reason.value))
        assert email(contacts=contacts, rules=rules, **changes) == reasons[0].value


def blocked_mail(rules: country_rules.CountryRules) -> country_rules.CountryRules:
    row = country_rules.CountryRule(
        country="*", channel="email", phone_prefix="+33", is_blocked=True, bases=[], valid_from=date(2020, 1, 1),
        source="a test",
    )  # fmt: skip
    return rules.model_copy(update={"rules": [*rules.rules, row]})


class TestAddress:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, [True, True, True]),
            ({"email": None}, [False, True, True]),
            ({"email": ""}, [False, True, True]),
            ({"email_fault": "no @"}, [False, True, True]),
            ({"phone_fault": "too short"}, [True, False, False]),
            ({"phone_type": "FIXED_LINE"}, [True, False, True]),
            ({"phone_type": "fixed_line_or_mobile"}, [True, True, True]),
            ({"phone_type": None}, [True, True, True]),
        ],
    )
    def test_a_channel_needs_an_address_that_works_on_it(self, changes, expected):
        row = verdict(contacts=people("a", **changes)).iloc[0]
        assert [bool(row[f"has_{channel}"]) for channel in permission.CHANNELS] == expected
        assert [row[channel] for channel in permission.CHANNELS] == ["" if has else "unreachable" for has in expected]

    def test_whom_nothing_reaches_is_unreachable_rather_than_without_consent(self):
        assert email(contacts=people("a", email=None), consents=[]) == "unreachable"

    def test_no_marketing_by_whatsapp_to_numbers_of_plus_one(self):
        contacts = people("a", country="CA", phone="+14165550100")
        assert verdict(contacts=contacts)["whatsapp"].iloc[0] == "country_blocked"
        assert verdict(contacts=contacts, as_of=date(2025, 3, 31))["whatsapp"].iloc[0] == ""


class TestSteps:
    def first(self, found: pd.DataFrame, policy: Any, country: str = "FR", **changes: Any) -> tuple[str, str, bool]:
        row = permission.for_steps(found, pd.Series([country]), programme=policy, **changes).iloc[0]
        return row["channel_1"], row["permission_1"], bool(row["is_permitted_1"])

    def test_the_first_usable_channel_of_the_list_wins(self):
        policy = programme(steps=steps((30,), channels=("sms", "email")))
        assert self.first(verdict(), policy) == ("sms", "", True)
        assert self.first(verdict(consents=[consent("a")]), policy) == ("email", "", True)

    def test_without_any_the_strongest_reason_of_all_is_told(self):
        policy = programme(steps=steps((30,), channels=("sms", "email")))
        found = verdict(consents=[consent("a", "email")], suppressions=[suppression(reason="complained")])
        assert self.first(found, policy) == ("", "complained", False)

    def test_a_channel_the_business_does_not_use_reaches_nobody(self):
        policy = programme(steps=steps((30,), channels=("sms", "email")))
        assert self.first(verdict(), policy, available=["email"]) == ("email", "", True)
        assert self.first(verdict(), policy, available=["whatsapp"]) == ("", "unreachable", False)

    def test_a_contest_goes_only_to_its_countries(self):
        contest = {"terms_url": "https://shop.example/terms", "countries": ["FR"], "kind": "contest"}
        policy = programme(steps=[{**steps((30,))[0], **contest}])
        assert self.first(verdict(), policy) == ("email", "", True)
        assert self.first(verdict(), policy, country="BE") == ("", "country_blocked", False)
        refused = verdict(suppressions=[suppression()])
        assert self.first(refused, policy, country="BE") == ("", "opted_out", False)

    def test_reachable_means_an_address_on_some_channel_of_the_programme(self):
        policy = programme(steps=[*steps((30,)), *steps((60,), channels=("sms",))])
        found = permission.for_steps(verdict(contacts=people("a", email=None)), pd.Series(["FR"]), programme=policy)
        assert bool(found["is_reachable"].iloc[0])
        found = permission.for_steps(
            verdict(contacts=people("a", email=None, phone=None)), pd.Series(["FR"]), programme=policy
        )
        assert not found["is_reachable"].iloc[0]


class TestRules:
    def test_every_row_names_its_source_and_its_date(self):
        assert all(row.source and row.valid_from for row in COUNTRIES.rules)

    def test_a_newer_row_replaces_the_older_one_from_its_date(self):
        old = COUNTRIES.rule("US", "sms", AS_OF)
        new = old.model_copy(update={"bases": ["express"], "valid_from": date(2026, 6, 1)})
        rules = COUNTRIES.model_copy(update={"rules": [*COUNTRIES.rules, new]})
        assert rules.rule("US", "sms", date(2026, 5, 31)) == old
        assert rules.rule("US", "sms", date(2026, 6, 1)) == new
        assert rules.rule("US", "sms", date(1998, 1, 1)) == old

    def test_a_row_without_a_source_is_refused_with_its_line(self):
        text = (RULES / "countries.yaml").read_text(encoding="utf-8")
        broken = text.replace('    source: "47 CFR 64.1200: prior express written consent for marketing texts"\n', "")
        assert broken != text
        with pytest.raises(ConfigError, match=r"countries.yaml:[0-9]+: rules.4.source: required"):
            country_rules.load_country_rules(broken, file="countries.yaml")


def test_order_and_position_of_the_contacts_do_not_matter():
    contacts = people(*"abcdef")
    rows = [consent(one) for one in "acd"]
    whole = verdict(contacts=contacts, consents=rows, suppressions=[suppression(key="e-c")]).set_index("customer_id")
    turned = verdict(contacts=contacts.iloc[::-1], consents=rows[::-1], suppressions=[suppression(key="e-c")])
    pd.testing.assert_frame_equal(turned.set_index("customer_id").loc[list("abcdef")], whole)
    assert list(whole["email"]) == ["", "no_consent_record", "opted_out", "", "no_consent_record", "no_consent_record"]
