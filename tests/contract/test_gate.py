"""The gate with a project's terms, and the limits behind it: what a claim asks besides refusals and cycles."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import ledger_rows as rows
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winback.core import permission
from winback.core.country_rules import load_country_rules
from winback.core.send_hours import load_send_hours
from winback.ledger import (
    claims,
    cycles,
    gate,
    held_steps,
    inbound_tables,
    loads,
    message_tables,
    night_tables,
    people,
    people_tables,
    queue,
    refusals,
    reviews,
    signs_of_life,
    spending,
    verdicts,
)
from winback.ledger.engine import open_ledger
from winback.ledger.gate import Terms
from winback.ledger.loads import Load
from winback.ledger.queue import Outcome, Result
from winback.ledger.signs_of_life import Sign
from winback.ledger.spending import Budget

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
RULES = Path(__file__).parents[2] / "data" / "rules"
COUNTRIES = load_country_rules((RULES / "countries.yaml").read_text("utf-8"), file="countries.yaml")
HOURS = load_send_hours((RULES / "quiet_hours.yaml").read_text("utf-8"), file="quiet_hours.yaml")
OFFICE_HOURS = load_send_hours(
    "version: 1\nhours:\n- {country: '*', channels: [email], days: [mon, tue, wed, thu, fri, sat, sun], from: '08:00',"
    " to: '20:00', valid_from: 2020-01-01, source: made up}",
    file="hours.yaml",
)
LATER = NOW + timedelta(minutes=5)
HEARD = NOW + timedelta(minutes=1)
HELD = held_steps.HeldStep("winback", 1, "email")


def _claim(ledger, *, now=LATER, owner="s1", limit=100, **options) -> claims.Claim:
    with ledger.writing() as connection:
        return claims.claim(connection, limit=limit, now=now, owner=owner, **options)


def _messages(ledger) -> dict[str, dict]:
    with ledger.reading() as connection:
        return {row["customer_id"]: row for row in queue.list_messages(connection)}


def _fate(ledger, customer_id: str) -> tuple[str, str | None]:
    row = _messages(ledger)[customer_id]
    return row["state"], row["reason"]


def _contact(ledger, *ids: str, **columns: object) -> None:
    with ledger.writing() as connection:
        people.replace_contacts(connection, rows.contacts(*ids, **columns), pepper=PEPPER, as_of=NIGHT)


# --- consent on a basis ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "basis", "days_ago", "expected"),
    [
        ("FR", "express", 3000, "sending"),
        ("FR", "soft_optin", 3, "no_consent_record"),
        ("FR", "", 3, "no_consent_record"),
        ("US", "soft_optin", 3, "sending"),
        ("CA", "inquiry", 180, "sending"),
        ("CA", "inquiry", 190, "consent_expired"),
        ("CA", "purchase", 900, "sending"),  # renewed by purchases, which the plan has looked at
    ],
)
def test_the_basis_is_judged_by_the_country_where_the_contact_is_now(ledger, country, basis, days_ago, expected):
    rows.populate(ledger, "a", send=False)
    _contact(ledger, "a", country=country)
    given_at = NOW - timedelta(days=days_ago)
    with ledger.writing() as connection:
        connection.execute(people_tables.consents.delete())
        people.add_consents(connection, rows.consents("a", at=given_at).assign(basis=basis), pepper=PEPPER)
        verdicts.queue_messages(connection, rows.messages("a"), pepper=PEPPER)
    _claim(ledger, terms=Terms(countries=COUNTRIES))
    state, reason = _fate(ledger, "a")
    assert expected in {state, reason}


def test_whatsapp_to_a_blocked_prefix_does_not_go(ledger):
    rows.populate(ledger, "a", send=False)
    _contact(ledger, "a", phone=["+12125550123"], country="FR")
    with ledger.writing() as connection:
        people.add_consents(connection, rows.consents("a", channel="whatsapp").assign(basis="express"), pepper=PEPPER)
        sent = rows.messages("a", channel="whatsapp", address="+12125550123")
        verdicts.queue_messages(connection, sent, pepper=PEPPER)
    _claim(ledger, terms=Terms(countries=COUNTRIES))
    assert _fate(ledger, "a") == ("suppressed", "country_blocked")


AS_OF = NOW.date()


@given(
    country=st.sampled_from(["FR", "US", "CA", "", "us", "ZZ"]),
    phone=st.sampled_from(["+33612345678", "+12125550123"]),
    channel=st.sampled_from(permission.CHANNELS),
    basis=st.sampled_from(["express", "pewc", "inquiry", "soft_optin", "", "EXPRESS", "hearsay"]),
    days_ago=st.integers(0, 1500),
)
def test_the_gate_says_of_a_granted_consent_what_the_plan_says(country, phone, channel, basis, days_ago):
    given_at = pd.Timestamp(AS_OF - timedelta(days=days_ago), tz="UTC")
    contact = rows.contacts("a", country=country, phone=[phone]).assign(
        email_fault=None, phone_fault=None, phone_type="MOBILE", email_hmac="e", sms_hmac="s", whatsapp_hmac="w"
    )
    consent = rows.consents("a", channel=channel).assign(basis=basis, recorded_at=given_at)
    nobody = pd.DataFrame(
        {"channel": [], "kind": [], "key": [], "reason": [], "programme": [], "effective_on": [], "lifted_at": []}
    ).astype({"effective_on": "datetime64[us]"})
    planned = permission.evaluate(
        contact, consent, nobody, rules=COUNTRIES, programme="p", purpose="marketing", as_of=AS_OF
    )[channel].iloc[0]
    asked = COUNTRIES.objection(
        country=country, phone=phone, channel=channel, basis=basis, given_on=given_at.date(), as_of=AS_OF
    )
    assert (asked or "") == planned


# --- sources, signs of life ------------------------------------------------------------------------------------------


def _load(ledger, source: str, *, as_of=NIGHT, held: str | None) -> None:
    with ledger.writing() as connection:
        loads.record_load(connection, Load(source, as_of, NOW, 1, 1, 0, held=held))


def test_what_rests_on_a_held_source_is_put_off_until_it_is_whole_again(ledger):
    rows.populate(ledger, "a")
    terms = Terms(sources={"winback": {"orders"}})
    _load(ledger, "orders", held="stale")
    assert _claim(ledger, terms=terms).refused == {"source_held": 1}
    row = _messages(ledger)["a"]
    assert (row["state"], row["reason"], row["not_before_at"]) == ("planned", "source_held", LATER + timedelta(hours=1))
    assert _claim(ledger, terms=terms).is_drained
    _load(ledger, "orders", held=None)
    assert len(_claim(ledger, terms=terms, now=row["not_before_at"]).messages) == 1
    assert _fate(ledger, "a") == ("sending", None)


YESTERDAY = NIGHT - timedelta(days=1)


@pytest.mark.parametrize(
    "loaded", [[("visits", NIGHT)], [("orders", YESTERDAY)], [("visits", YESTERDAY), ("orders", YESTERDAY)]]
)
def test_another_source_or_an_older_night_holds_nothing(ledger, loaded):
    rows.populate(ledger, "a")
    _load(ledger, "orders", held=None)
    for source, as_of in loaded:
        _load(ledger, source, as_of=as_of, held="stale")
    assert len(_claim(ledger, terms=Terms(sources={"winback": {"orders"}})).messages) == 1


@pytest.mark.parametrize("minutes", [30, 60])
def test_a_held_source_does_not_keep_a_message_beyond_its_window(ledger, minutes):
    rows.populate(ledger, "a", send=False)
    with ledger.writing() as connection:
        expires_at = rows.instants([LATER + timedelta(minutes=minutes)])
        verdicts.queue_messages(connection, rows.messages("a", expires_at=expires_at), pepper=PEPPER)
    _load(ledger, "orders", held="empty")
    _claim(ledger, terms=Terms(sources={"winback": {"orders"}}))
    assert _fate(ledger, "a") == ("expired", "source_held")


@pytest.mark.parametrize(
    ("behaviour", "newest_at", "seen_at", "expected"),
    [
        ("purchase", NOW, HEARD, ("cancelled", "returned")),
        ("purchase", datetime(2026, 2, 1, 12, tzinfo=UTC), HEARD, ("cancelled", "returned")),  # told late
        ("purchase", datetime(2026, 1, 20, 12, tzinfo=UTC), HEARD, ("sending", None)),  # before the silence began
        ("purchase", datetime(2026, 1, 30, 12, tzinfo=UTC), HEARD, ("sending", None)),  # the last day the plan knew of
        ("purchase", NOW, NOW, ("sending", None)),  # the plan knew it
        ("open", NOW, HEARD, ("sending", None)),
    ],
)
def test_who_came_back_since_the_plan_is_not_asked_back(ledger, behaviour, newest_at, seen_at, expected):
    rows.populate(ledger, "a")  # lapsed on 1 March after 30 days: last seen on 30 January
    with ledger.writing() as connection:
        signs_of_life.note_signs(connection, [Sign("a", behaviour, newest_at, seen_at)])
    _claim(ledger, terms=Terms(returns={"winback": {"purchase", "visit"}}, business_zone="Europe/Paris"))
    assert _fate(ledger, "a") == expected


def test_an_older_sign_of_life_changes_nothing(ledger):
    newer, older = Sign("a", "visit", NOW, HEARD), Sign("a", "visit", NOW - timedelta(days=1), LATER)
    with ledger.writing() as connection:
        signs_of_life.note_signs(connection, [newer])
        signs_of_life.note_signs(connection, [older])
        signs_of_life.note_signs(connection, [])
        assert signs_of_life.read_signs(connection, ["a"]) == {"a": [newer]}


def test_only_people_with_a_message_on_its_way_are_watched(ledger):
    rows.populate(ledger, "a", "b", "c", send=False)
    with ledger.writing() as connection:
        verdicts.queue_messages(connection, rows.messages("a", "b"), pepper=PEPPER)
        connection.execute(
            message_tables.messages.update().where(message_tables.messages.c.customer_id == "b").values(state="expired")
        )
        assert signs_of_life.awaited(connection) == {"a"}


# --- hours, caps, arms, lists ----------------------------------------------------------------------------------------


def _text(ledger, *, expires_at: datetime = NOW + timedelta(days=2), **contact: object) -> None:
    """Plan a text to somebody, at ten in the morning in Paris."""
    rows.populate(ledger, "a", send=False)
    _contact(ledger, "a", phone=["+33612345678"], **contact)
    with ledger.writing() as connection:
        people.add_consents(connection, rows.consents("a", channel="sms").assign(basis="pewc"), pepper=PEPPER)
        sent = rows.messages("a", channel="sms", address="+33612345678", expires_at=rows.instants([expires_at]))
        verdicts.queue_messages(connection, sent, pepper=PEPPER)


def test_a_text_waits_for_the_morning_where_the_contact_has_moved_to(ledger):
    _text(ledger, country="US", region="NY", timezone="America/Los_Angeles")
    terms = Terms(hours=HOURS, business_zone="Europe/Paris")
    assert _claim(ledger, terms=terms).refused == {"quiet_hours": 1}
    row = _messages(ledger)["a"]
    assert row["state"] == "planned"
    assert row["not_before_at"] > LATER + timedelta(hours=3)
    assert len(_claim(ledger, terms=terms, now=row["not_before_at"]).messages) == 1


def test_a_text_that_could_arrive_only_after_its_window_expires(ledger):
    at_night = datetime(2026, 3, 10, 22, 30, tzinfo=UTC)
    _text(ledger, country="FR", timezone="Europe/Paris", expires_at=at_night + timedelta(hours=6))
    _claim(ledger, terms=Terms(hours=HOURS), now=at_night)
    assert _fate(ledger, "a") == ("expired", "quiet_hours")


def test_where_nobody_knows_the_zone_no_text_goes(ledger):
    _text(ledger, country=None, timezone=None)
    _claim(ledger, terms=Terms(hours=HOURS, business_zone="Europe/Paris"))
    assert _fate(ledger, "a")[0] == "planned"
    assert _fate(ledger, "a")[1] == "quiet_hours"


@pytest.mark.parametrize(
    ("earlier_state", "days_before", "goes"),
    [
        ("accepted", 1, False),
        ("unknown", 6, False),
        ("abandoned", 3, False),
        ("bounced", 3, False),
        ("sending", 3, False),
        ("accepted", 7, True),
        ("expired", 1, True),
        ("rejected", 1, True),
    ],
)
def test_a_week_has_so_many_messages_and_no_more(ledger, earlier_state, days_before, goes):
    rows.populate(ledger, "a")
    before = pd.Timestamp(NIGHT - timedelta(days=days_before))
    with ledger.writing() as connection:
        verdicts.queue_messages(connection, rows.messages("a", step=2, local_day=before), pepper=PEPPER)
        second = message_tables.messages.c.step == 2
        connection.execute(message_tables.messages.update().where(second).values(state=earlier_state))
    claim = _claim(ledger, terms=Terms(per_week=1))
    assert bool(claim.messages) is goes
    assert claim.refused == ({} if goes else {"frequency_cap": 1})


def test_two_messages_of_one_claim_count_for_each_other(ledger):
    rows.populate(ledger, "a", send=False)
    with ledger.writing() as connection:
        cycles.open_cycles(connection, rows.open_cycles("a", cycle_no=2))
        for cycle, day in ((1, NIGHT), (2, NIGHT - timedelta(days=1))):
            sent = rows.messages("a", cycle=cycle, local_day=pd.Timestamp(day))
            verdicts.queue_messages(connection, sent, pepper=PEPPER)
    claim = _claim(ledger, terms=Terms(per_week=1))
    assert (len(claim.messages), claim.refused) == (1, {"frequency_cap": 1})


@pytest.mark.parametrize("arm", ["control", "global_control"])
def test_the_control_group_gets_nothing_by_any_way(ledger, arm):
    rows.populate(ledger, "a", send=False)
    with ledger.writing() as connection:
        connection.execute(night_tables.cycles.update().values(arm=arm))
        verdicts.queue_messages(connection, rows.messages("a"), pepper=PEPPER)
    _claim(ledger)
    assert _fate(ledger, "a") == ("cancelled", arm)


def test_a_staging_system_writes_to_its_list_only(ledger):
    rows.populate(ledger, "a", "b")
    claim = _claim(ledger, terms=Terms(is_welcome=lambda address: address == "b@example.com"))
    assert [message.customer_id for message in claim.messages] == ["b"]
    assert _fate(ledger, "a") == ("cancelled", "not_on_the_list")


def test_a_rehearsals_message_reaches_nobody(ledger):
    rows.populate(ledger, "a")
    _claim(ledger, terms=Terms(rehearsals={NIGHT}))
    assert _fate(ledger, "a") == ("expired", "step_missed")


def test_the_questions_are_asked_in_the_stated_order(ledger):
    """Everything speaks against one message; each answer that is taken away shows the next question."""
    rows.populate(ledger, "a", send=False)
    now = datetime(2026, 3, 10, 22, 0, tzinfo=UTC)
    expiries = [now - timedelta(minutes=1)] + [now + timedelta(days=2)] * 11
    _load(ledger, "orders", held="stale")
    terms = Terms(
        countries=COUNTRIES, hours=OFFICE_HOURS, per_week=0, sources={"winback": {"orders"}},
        returns={"winback": {"visit"}}, is_welcome=lambda _address: False,
    )  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(people_tables.consents.delete())
        refusals.suppress(
            connection, refusals.Target(customer_id="a"), refusals.Act(NOW, NIGHT, "web", "web"), pepper=PEPPER,
            reason=refusals.Reason.OPTED_OUT,
        )  # fmt: skip
        signs_of_life.note_signs(connection, [Sign("a", "visit", NOW, HEARD)])
        closing = {"programme": "winback", "customer_id": ["a"], "cycle_no": 1, "close_reason": "ladder_ended"}
        cycles.close_cycles(connection, pd.DataFrame({**closing, "closed_on": pd.Timestamp(NIGHT)}))
        connection.execute(night_tables.cycles.update().values(arm="control"))
        verdicts.queue_messages(connection, rows.messages("a"), pepper=PEPPER)
        held_steps.hold(connection, HELD, reason="complaints", by="brake", now=NOW)
        doubtful = reviews.Review(0, "sms", "h", "h", "a", NOW, "stop by?")
        reviews.open_review(connection, doubtful, customer_ids=())
    relief = [
        lambda _connection: None,
        lambda _connection: None,
        lambda connection: connection.execute(people_tables.suppressions.delete()),
        lambda connection: people.add_consents(connection, rows.consents("a").assign(basis="express"), pepper=PEPPER),
        lambda connection: connection.execute(inbound_tables.reviews.delete()),
        lambda connection: connection.execute(night_tables.loads.delete()),
        lambda connection: held_steps.release_step(connection, HELD.name, reason="read", by="me", now=NOW),
        lambda connection: connection.execute(people_tables.signs_of_life.delete()),
        lambda connection: connection.execute(night_tables.cycles.update().values(closed_on=None, close_reason=None)),
        lambda _connection: None,
        lambda connection: connection.execute(people_tables.contacts.update().values(timezone="Pacific/Auckland")),
        lambda _connection: None,
    ]
    settings = [terms] * 9 + [replace(terms, is_welcome=None)] * 2 + [gate.Terms()]
    asked = []
    for expires_at, change, using in zip(expiries, relief, settings, strict=False):
        with ledger.writing() as connection:
            change(connection)
            fresh = {"state": "planned", "reason": None, "not_before_at": NOW, "expires_at": expires_at}
            connection.execute(message_tables.messages.update().values(fresh))
        asked += _claim(ledger, terms=using, now=now).refused
    assert asked == [
        "step_missed", "opted_out", "no_consent_record", "under_review", "source_held", "step_held", "returned",
        "cycle_ended", "not_on_the_list", "quiet_hours", "frequency_cap", "control",
    ]  # fmt: skip


# --- limits ----------------------------------------------------------------------------------------------------------


def _spent(ledger) -> tuple[int, float]:
    with ledger.reading() as connection:
        return spending.read_spending(connection, [spending.night_scope(NIGHT)])[spending.night_scope(NIGHT)]


def _record(ledger, claim: claims.Claim, outcome: Outcome) -> None:
    results = [Result(one.message_id, one.attempt_no, outcome, "p") for one in claim.messages]
    with ledger.writing() as connection:
        assert queue.record_results(connection, results, owner="s1", now=LATER) == []


def test_a_night_sends_no_more_than_its_limit(ledger):
    rows.populate(ledger, *"abcde")
    claim = _claim(ledger, max_sends_per_night=3)
    assert (len(claim.messages), claim.refused) == (3, {"night_limit": 2})
    assert Counter(row["state"] for row in _messages(ledger).values()) == {"sending": 3, "planned": 2}
    assert _spent(ledger)[0] == 3
    tomorrow = LATER + timedelta(days=1)
    assert (
        _claim(ledger, max_sends_per_night=3, now=tomorrow).refused == {"step_missed": 2}
        or _claim(ledger, max_sends_per_night=3, now=tomorrow).is_drained
    )


def test_what_finds_no_place_before_its_window_closes_expires(ledger):
    rows.populate(ledger, "a", "b", send=False)
    with ledger.writing() as connection:
        expiries = rows.instants([LATER + timedelta(days=1), LATER + timedelta(days=1, seconds=1)])
        verdicts.queue_messages(connection, rows.messages("a", "b", expires_at=expiries), pepper=PEPPER)
    assert _claim(ledger, max_sends_per_night=0).refused == {"night_limit": 2}
    assert (_fate(ledger, "a"), _fate(ledger, "b")) == (("expired", "night_limit"), ("planned", "night_limit"))


@pytest.mark.parametrize(
    ("outcome", "used"),
    [(Outcome.ACCEPTED, 2), (Outcome.UNKNOWN, 2), (Outcome.DEFERRED, 0), (Outcome.REJECTED, 0)],
)
def test_what_provably_did_not_go_makes_room_again(ledger, outcome, used):
    rows.populate(ledger, "a", "b")
    claim = _claim(ledger)
    with ledger.writing() as connection:
        costs = {one.message_id: 0.07 for one in claim.messages}
        claims.reserve_cost(connection, costs, budget=Budget(), owner="s1", now=LATER)
    _record(ledger, claim, outcome)
    assert _spent(ledger) == (used, pytest.approx(0.07 * used))


def test_money_that_is_not_there_puts_messages_off(ledger):
    rows.populate(ledger, *"abc")
    claim = _claim(ledger)
    ids = [one.message_id for one in claim.messages]
    with ledger.writing() as connection:
        costs = dict(zip(ids, (0.07, 0.28, 0.07), strict=True))
        goes = claims.reserve_cost(connection, costs, budget=Budget(cost_per_night=0.14), owner="s1", now=LATER)
    assert goes == {ids[0], ids[2]}  # the long one does not fit; a short one behind it does
    by_id = {row["message_id"]: row for row in _messages(ledger).values()}
    assert (by_id[ids[1]]["state"], by_id[ids[1]]["reason"]) == ("planned", "cost_limit")
    assert by_id[ids[1]]["owner"] is None
    assert _spent(ledger) == (2, pytest.approx(0.14))


def test_money_for_messages_that_are_somebody_elses_by_now_is_not_asked_for(ledger):
    rows.populate(ledger, *"ab")
    costs = {one.message_id: 0.07 for one in _claim(ledger).messages}
    with ledger.writing() as connection:
        queue.recover(connection, is_alive=lambda _owner: False, now=LATER)
    with ledger.writing() as connection:
        goes = claims.reserve_cost(connection, costs, budget=Budget(cost_per_night=0.14), owner="s1", now=LATER)
    assert goes == set()
    assert _spent(ledger)[1] == 0


def test_a_sender_asks_no_money_for_what_another_sends(ledger):
    rows.populate(ledger, "a")
    costs = {one.message_id: 0.07 for one in _claim(ledger, owner="s2").messages}
    with ledger.writing() as connection:
        assert claims.reserve_cost(connection, costs, budget=Budget(), owner="s1", now=LATER) == set()
    assert _spent(ledger)[1] == 0


def test_a_month_has_a_limit_over_its_nights(ledger):
    rows.populate(ledger, "a", send=False)
    for day in (NIGHT - timedelta(days=1), NIGHT):
        with ledger.writing() as connection:
            wanted = [spending.Priced(f"m{day}", day, 0.6)]
            goes = spending.reserve_cost(connection, wanted, budget=Budget(cost_per_night=1, cost_per_month=1))
        assert bool(goes) is (day != NIGHT)


def test_two_senders_together_stay_within_the_limit(ledger, database_url):
    rows.populate(ledger, *(f"c{number}" for number in range(60)))
    taken: list[int] = []

    def send(owner: str) -> None:
        with open_ledger(database_url, pepper=PEPPER) as mine:
            while not (claim := _claim(mine, owner=owner, limit=7, max_sends_per_night=25)).is_drained:
                taken.append(len(claim.messages))

    senders = [threading.Thread(target=send, args=(f"s{number}",)) for number in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sum(taken) == 25
    assert _spent(ledger)[0] == 25


def test_a_claim_is_of_one_text(ledger):
    rows.populate(ledger, *"abcd", send=False)
    with ledger.writing() as connection:
        verdicts.queue_messages(connection, rows.messages("a", "b", locale="fr"), pepper=PEPPER)
        verdicts.queue_messages(connection, rows.messages("c", locale=None), pepper=PEPPER)
        verdicts.queue_messages(connection, rows.messages("d", locale="fr", step=2), pepper=PEPPER)
    groups = []
    while not (claim := _claim(ledger)).is_drained:
        groups.append({one.customer_id for one in claim.messages})
    assert sorted(groups, key=sorted) == [{"a", "b"}, {"c"}, {"d"}]


# --- a no while a claim is under way ----------------------------------------------------------------------------------


def _refuse(**target: str):
    def refuse(connection) -> None:
        act, reason = refusals.Act(NOW, NIGHT, "web", "web"), refusals.Reason.OPTED_OUT
        refusals.suppress(connection, refusals.Target("email", **target), act, pepper=PEPPER, reason=reason)

    return refuse


def _withdraw(connection) -> None:
    people.add_consents(connection, rows.consents("a", status="withdrawn", at=NOW), pepper=PEPPER)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "refuse",
    [_refuse(customer_id="a"), _refuse(address="a@example.com"), _withdraw],
    ids=["customer", "address", "consent"],
)
def test_a_no_is_before_a_claim_or_after_it_and_never_beside_it(postgres_shared, refuse):
    """PostgreSQL: whoever says no while a claim decides about their message is kept waiting until it has."""
    databases.empty(postgres_shared)
    with open_ledger(postgres_shared, pepper=PEPPER) as ledger:
        rows.populate(ledger, "a")

        def say_no() -> None:
            with ledger.writing() as web:
                refuse(web)

        person = threading.Thread(target=say_no)
        with ledger.writing() as sender:
            claim = claims.claim(sender, limit=1, now=LATER, owner="s1")
            person.start()
            person.join(timeout=0.5)
            assert person.is_alive()  # its no would be committed before the claim, and unseen by it
        person.join(timeout=10)
        assert not person.is_alive()
        assert len(claim.messages) == 1


@pytest.mark.postgres
def test_a_claim_leaves_out_whoever_is_saying_no(postgres_shared):
    databases.empty(postgres_shared)
    with open_ledger(postgres_shared, pepper=PEPPER) as ledger:
        rows.populate(ledger, "a", "b")
        with ledger.writing() as web:
            _refuse(customer_id="a")(web)
            assert [message.customer_id for message in _claim(ledger).messages] == ["b"]
        assert _claim(ledger).refused == {"opted_out": 1}


@pytest.mark.postgres
def test_a_claim_leaves_out_what_another_is_claiming(postgres_shared):
    databases.empty(postgres_shared)
    with open_ledger(postgres_shared, pepper=PEPPER) as ledger:
        rows.populate(ledger, "a", "b")
        with ledger.writing() as first, ledger.writing() as second:
            its = message_tables.messages.c.customer_id == "a"
            first.execute(message_tables.messages.select().where(its).with_for_update())  # as a claim begins
            second.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            claimed = claims.claim(second, limit=2, now=LATER, owner="s2").messages
        assert [message.customer_id for message in claimed] == ["b"]
