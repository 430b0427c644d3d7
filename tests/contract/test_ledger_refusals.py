"""No means no, by address and by customer; and nothing stays of a person who asks to be forgotten."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from pathlib import Path

import databases
import ledger_rows as rows
import pandas as pd
import pytest
from sqlalchemy import column, event, inspect, select, table

from winback.core.reasons import Reason
from winback.ledger import (
    bulk,
    claims,
    contact_rows,
    cycles,
    decided,
    diary,
    engagements,
    erasure,
    heard_events,
    keys,
    links,
    outgoing,
    people,
    preferences,
    quarantined_rows,
    queue,
    receipts,
    refusals,
    reviews,
    signs_of_life,
    switches,
    verdicts,
    visits,
    webhook_calls,
    who_refused,
)
from winback.ledger.engine import open_ledger
from winback.ledger.night_tables import quarantine
from winback.ledger.people_tables import contacts
from winback.ledger.refusals import Act, Target
from winback.ledger.signs_of_life import Sign
from winback.ledger.visits import Visit
from winback.ledger.webhook_calls import Call

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
ACT = Act(NOW, NIGHT, "one_click", "web")


def _later(minutes: int) -> Act:
    return ACT._replace(at=NOW + timedelta(minutes=minutes))


@pytest.fixture
def shop(ledger):
    """Ann and Bob share an e-mail address; Cy has a number and an address of his own."""
    frame = rows.contacts("ann", "bob", "cy", email_key=["x@y.z", "x@y.z", "cy@y.z"], phone=[None, "+33611", "+33622"])
    with ledger.writing() as connection:
        people.replace_contacts(connection, frame, pepper=PEPPER, as_of=NIGHT)
    return ledger


def _suppress(ledger, target: Target, reason: Reason = Reason.OPTED_OUT, act: Act = ACT, **more: object) -> int:
    with ledger.writing() as connection:
        return refusals.suppress(connection, target, act, pepper=PEPPER, reason=reason, **more)


def _lift(ledger, target: Target, act: Act) -> int:
    with ledger.writing() as connection:
        return refusals.lift(connection, target, act, pepper=PEPPER)


def _holds(ledger, customer_id: str) -> list[tuple[str, str]]:
    with ledger.reading() as connection:
        found = who_refused.refusals_of(connection, customer_id, pepper=PEPPER)
    return sorted({(one.channel, one.reason.value) for one in found})


# --- whom a refusal is about ---------------------------------------------------------------------------------------


def test_by_address_it_holds_for_every_customer_at_it(shop):
    assert _suppress(shop, Target("email", address="x@y.z")) == 3  # the address, Ann, Bob
    assert _holds(shop, "ann") == _holds(shop, "bob") == [("email", "opted_out")]
    assert _holds(shop, "cy") == []


def test_by_customer_it_holds_for_the_address_and_so_for_a_second_id(shop):
    _suppress(shop, Target("email", customer_id="ann"))
    assert _holds(shop, "bob") == [("email", "opted_out")]


def test_a_new_address_does_not_bring_the_customer_back(shop):
    _suppress(shop, Target("email", address="cy@y.z"))
    with shop.writing() as connection:
        moved = rows.contacts("cy", email_key=["new@y.z"], phone=["+33633"])
        people.replace_contacts(connection, moved, pepper=PEPPER, as_of=NIGHT)
    assert _holds(shop, "cy") == [("email", "opted_out")]


def test_a_new_customer_at_an_old_address_is_covered(shop):
    _suppress(shop, Target("sms", address="+33622"))
    with shop.writing() as connection:
        people.replace_contacts(connection, rows.contacts("eve", phone=["+33622"]), pepper=PEPPER, as_of=NIGHT)
    assert _holds(shop, "eve") == [("sms", "opted_out")]


def test_without_a_channel_it_holds_on_all_of_them(shop):
    _suppress(shop, Target(address="+33622"))
    assert _holds(shop, "cy") == [
        ("all", "opted_out"),
        ("email", "opted_out"),
        ("sms", "opted_out"),
        ("whatsapp", "opted_out"),
    ]


def test_stop_by_sms_says_nothing_about_email(shop):
    _suppress(shop, Target("sms", address="+33622"))
    assert _holds(shop, "cy") == [("sms", "opted_out")]


def test_a_dead_address_says_nothing_about_the_person(shop):
    assert _suppress(shop, Target("email", address="cy@y.z"), Reason.INVALID_ADDRESS) == 1
    assert _holds(shop, "cy") == [("email", "invalid_address")]
    with shop.writing() as connection:
        people.replace_contacts(
            connection, rows.contacts("cy", email_key=["new@y.z"]), pepper=PEPPER, as_of=NIGHT + timedelta(days=1)
        )
    assert _holds(shop, "cy") == []


def test_somebody_unknown_can_refuse_before_being_imported(ledger):
    assert _suppress(ledger, Target("email", address="late@y.z")) == 1
    assert _suppress(ledger, Target(customer_id="late")) == 1
    with ledger.writing() as connection:
        frame = rows.contacts("late", "other", email_key=["z@y.z", "late@y.z"])
        people.replace_contacts(connection, frame, pepper=PEPPER, as_of=NIGHT)
    assert _holds(ledger, "late") == [("all", "opted_out")]
    assert _holds(ledger, "other") == [("email", "opted_out")]


def test_twice_is_once_and_another_reason_is_kept_beside_it(shop):
    target = Target("email", customer_id="cy")
    assert _suppress(shop, target) == 2
    assert _suppress(shop, target) == 0
    assert _suppress(shop, target, Reason.COMPLAINED) == 2
    assert _holds(shop, "cy") == [("email", "complained"), ("email", "opted_out")]


def test_one_programme_only(shop):
    target = Target("email", customer_id="cy")
    assert _suppress(shop, target, programme="grocery") == 2
    assert _suppress(shop, target, programme="cars") == 2
    with shop.reading() as connection:
        found = who_refused.refusals_of(connection, "cy", pepper=PEPPER)
    assert {one.programme for one in found} == {"grocery", "cars"}


@pytest.mark.parametrize("target", [Target(), Target("email"), Target("email", address="")])
def test_a_refusal_of_nobody_is_a_mistake(ledger, target):
    with pytest.raises(ValueError, match="address or a customer"):
        _suppress(ledger, target)


def test_only_reasons_of_suppressions_suppress(ledger):
    with pytest.raises(ValueError, match="no reason to suppress"):
        _suppress(ledger, Target(customer_id="a"), Reason.QUIET_HOURS)


def test_an_email_address_is_never_taken_for_a_number(shop):
    assert _suppress(shop, Target("sms", address="x@y.z")) == 0


def test_the_strongest_is_named_first(shop):
    for reason in (Reason.SUNSETTED, Reason.INVALID_ADDRESS, Reason.OPTED_OUT, Reason.COMPLAINED):
        _suppress(shop, Target("email", customer_id="cy"), reason)
    with shop.reading() as connection:
        found = [one.reason for one in who_refused.refusals_of(connection, "cy", pepper=PEPPER)]
    assert list(dict.fromkeys(found)) == [
        Reason.COMPLAINED,
        Reason.OPTED_OUT,
        Reason.INVALID_ADDRESS,
        Reason.SUNSETTED,
    ]


# --- taking it back ------------------------------------------------------------------------------------------------


def test_only_a_newer_act_of_the_person_lifts(shop):
    target = Target("sms", address="+33622")
    _suppress(shop, target)
    assert _lift(shop, target, _later(-5)) == 0
    assert _lift(shop, target, ACT) == 0, "a tie goes to the opt-out"
    assert _lift(shop, target, _later(1)) == 2
    assert _holds(shop, "cy") == []


def test_start_by_sms_gives_back_sms_only(shop):
    for channel in ("email", "sms"):
        _suppress(shop, Target(channel, customer_id="cy"))
    assert _lift(shop, Target("sms", address="+33622"), _later(1)) == 2
    assert _holds(shop, "cy") == [("email", "opted_out")]


def test_an_act_on_one_channel_lifts_nothing_that_was_said_about_all(shop):
    _suppress(shop, Target(customer_id="cy"))
    _lift(shop, Target("sms", address="+33622"), _later(1))
    assert ("all", "opted_out") in _holds(shop, "cy")
    _lift(shop, Target(customer_id="cy"), _later(2))
    assert _holds(shop, "cy") == []


@pytest.mark.parametrize("reason", [Reason.COMPLAINED, Reason.INVALID_ADDRESS, Reason.ERASED])
def test_what_the_person_cannot_take_back_stays(shop, reason):
    target = Target("email", customer_id="cy")
    _suppress(shop, target, reason)
    assert _lift(shop, target, _later(60)) == 0
    assert _holds(shop, "cy") == [("email", reason.value)]


def test_a_second_no_after_a_yes_holds_again(shop):
    target = Target("email", customer_id="cy")
    _suppress(shop, target)
    _lift(shop, target, _later(1))
    assert _suppress(shop, target, act=_later(2)) == 2
    assert _lift(shop, target, _later(1)) == 0
    assert _holds(shop, "cy") == [("email", "opted_out")]


def test_an_import_never_lifts(shop):
    """A newer record of consent, and a newer row of the contact, are imports: they change no suppression."""
    _suppress(shop, Target("email", customer_id="cy"))
    with shop.writing() as connection:
        people.add_consents(connection, rows.consents("cy", at=NOW + timedelta(days=9)), pepper=PEPPER)
        frame = rows.contacts("cy", first_name=["Changed"], email_key=["cy@y.z"])
        people.replace_contacts(connection, frame, pepper=PEPPER, as_of=NIGHT + timedelta(days=9))
    assert _holds(shop, "cy") == [("email", "opted_out")]


def test_a_sunset_is_by_customer_only_counted_once_and_the_person_undoes_it(shop):
    with shop.writing() as connection:
        assert refusals.sunset(connection, ["ann", "cy"], at=NOW, effective_on=NIGHT) == 2
        assert refusals.sunset(connection, ["ann", "cy"], at=NOW, effective_on=NIGHT) == 0
    assert _holds(shop, "ann") == [("all", "sunset")]
    assert _holds(shop, "bob") == [], "somebody else at the same address may be very active"
    assert _lift(shop, Target(customer_id="ann"), _later(1)) == 1
    assert _holds(shop, "ann") == []


def test_sunsets_come_in_thousands(ledger):
    ids = [f"C{number}" for number in range(2500)]
    with ledger.writing() as connection:
        assert refusals.sunset(connection, ids, at=NOW, effective_on=NIGHT) == 2500
        assert refusals.sunset(connection, [*ids, "one more"], at=NOW, effective_on=NIGHT) == 1


def test_every_act_is_in_the_audit_log_and_names_nobody(shop):
    _suppress(shop, Target("email", address="cy@y.z"))
    _lift(shop, Target("email", customer_id="cy"), _later(1))
    with shop.reading() as connection:
        entries = diary.read_entries(connection)
        by_customer = diary.read_entries(connection, subject=keys.customer_key(PEPPER, "cy"))
    assert [(entry.action, entry.actor) for entry in entries] == [("lift", "web"), ("suppress", "web")]
    assert [entry.action for entry in by_customer] == ["lift"]
    assert "cy" not in str(entries).replace(keys.customer_key(PEPPER, "cy"), "")


def test_the_key_depends_on_pepper_channel_and_address():
    made = {
        keys.address_key(pepper, channel, address)
        for pepper in (b"one", b"two")
        for channel in keys.CHANNELS
        for address in ("a@b.c", "+331")
    }
    assert len(made) == 12
    assert all(len(key) == 64 for key in made)


# --- being forgotten -----------------------------------------------------------------------------------------------

PLANTED = {
    "customer_id": "Zebulon-4711",
    "email": "Zeb.Quartermain@Example.com",
    "email_key": "zeb.quartermain@example.com",
    "phone": "+33698765432",
    "first_name": "Zebulon",
    "last_name": "Quartermain",
    "extra": '{"dog": "Fluffernutter"}',
}
TRACES = [
    "Zebulon",
    "zebulon",
    "uartermain",
    "98765432",
    "Fluffernutter",
    "vendor-id-of-zeb",
    "203.0.113.0/24",
    "Zeb's Phone",
]


@pytest.fixture
def known(ledger):
    """A ledger in which one person has left a trace in every table that can hold one."""
    me = PLANTED["customer_id"]
    ledger.listeners = {"suppression": ("crm",)}
    with ledger.writing() as connection:
        frame = pd.concat(
            [rows.contacts(me, **{name: [value] for name, value in PLANTED.items()}), rows.contacts("cy")]
        )
        people.replace_contacts(connection, frame, pepper=PEPPER, as_of=NIGHT)
        consent = rows.consents(me, "cy").assign(wording=["Yes, said Zebulon", "Yes"])
        people.add_consents(connection, consent, pepper=PEPPER)
        cycles.open_cycles(connection, rows.open_cycles(me, "cy"))
        taken = {"programme": "winback", "cycle_no": 1, "step": 1, "taken_on": pd.Timestamp(NIGHT), "arm": "treated"}
        cycles.take_steps(connection, pd.DataFrame({"customer_id": [me, "cy"], **taken, "channel": "email"}))
        facts = [f'{{"name": "Zebulon", "id": "{me}"}}', "{}"]
        verdicts.write_decisions(connection, rows.decisions(me, "cy", facts=facts))
        sent = rows.messages(me, address=PLANTED["email_key"])
        verdicts.queue_messages(connection, sent, pepper=PEPPER)
        verdicts.queue_messages(connection, sent.assign(step=2, local_day=pd.Timestamp("2026-04-01")), pepper=PEPPER)
        held = pd.DataFrame({"source": "contacts", "row_number": [3], "column": "email", "rule": "email_invalid"})
        held = held.assign(masked_value="Zeb: zebulon@@", as_of=pd.Timestamp(NIGHT), digest="d")
        quarantined_rows.write_quarantine(connection, held)
        refusals.suppress(connection, Target("sms", customer_id=me), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
        assert outgoing.count_waiting(connection) == {"crm": 1}
        signs_of_life.note_signs(connection, [Sign(me, "purchase", NOW, NOW)])
        preferences.save_preference(connection, me, preferences.Preference(language="fr"), now=NOW)
        answered = links.find_message(connection, queue.list_messages(connection)[0]["message_id"])
        engagements.record(connection, answered, "survey", detail={"comment": "I am Zebulon"}, now=NOW)
        heard = heard_events.Heard("segment", "e1", me, "purchase", "2026-03-01T10:00:00Z", "")
        assert heard_events.keep(connection, [heard], now=NOW) == 1
        switches.press(connection, at=NOW, by="ann")
        switches.release(connection, at=NOW, by="ann", reason="test")
    with ledger.writing() as connection:
        claim = claims.claim(connection, limit=1, now=NOW, owner="s1")
        assert len(claim.messages) == 1
        error = "550 zeb.quartermain@example.com unknown"
        result = queue.Result(claim.messages[0].message_id, 1, queue.Outcome.REJECTED, "p", "vendor-id-of-zeb", error)
        assert queue.record_results(connection, [result], owner="s1", now=NOW) == []
        told = receipts.Receipt(result.message_id, "p", "refused", NOW, "vendor-id-of-zeb", detail=error)
        receipts.record_receipts(connection, [told], now=NOW, today=NIGHT, pepper=PEPPER)
        doubtful = reviews.Review(0, "sms", "h", "h", me, NOW, "this is Zebulon, stop that")
        reviews.open_review(connection, doubtful, customer_ids=[me])
        visit = Visit("v1", result.message_id, "act", "pages", NOW, "203.0.113.0/24", "Zeb's Phone")
        assert visits.store(connection, [visit]) == 1
        webhook_calls.store(connection, Call("p", "", error.encode()), receipts=1, unreadable=0, now=NOW)
    return ledger


def _forget(ledger, customer_id: str) -> dict[str, int]:
    with ledger.writing() as connection:
        counts = erasure.forget(connection, customer_id, ACT, pepper=PEPPER)
    ledger.scrub()
    return counts


def _everything(ledger, backend: str) -> str:
    """All that a thief of the database would hold: the files, or every column of every table."""
    if backend == "sqlite":
        file = Path(str(ledger.engine.url.database))
        found = [path.read_bytes().decode("latin-1") for path in file.parent.glob(f"{file.name}*")]
        return "".join(found)
    with ledger.reading() as connection:
        tables = inspect(connection).get_table_names()
        rows_of = (connection.execute(select(table(name, column("*", is_literal=True)))) for name in tables)
        return "\n".join(str(row) for found in rows_of for row in found)


@pytest.mark.postgres
def test_whoever_forgets_waits_for_whoever_takes_in_receipts_and_holds_nothing_meanwhile(postgres_shared):
    databases.empty(postgres_shared)
    with open_ledger(postgres_shared, pepper=PEPPER) as ledger:
        rows.populate(ledger, "ann")
        forgetting = threading.Thread(target=_forget, args=(ledger, "ann"))
        with ledger.writing() as hearing:
            diary.lock(hearing)
            forgetting.start()
            forgetting.join(timeout=0.5)
            assert forgetting.is_alive()
            # Would wait for the other for ever, if the other held them.
            hearing.execute(contacts.update().where(contacts.c.customer_id == "ann").values(locale="fr"))
        forgetting.join(timeout=10)
        assert not forgetting.is_alive()


def test_the_traces_are_there_before(known, backend):
    found = _everything(known, backend)
    assert [trace for trace in TRACES if trace not in found] == []


def test_nothing_of_a_forgotten_person_stays_in_any_table_or_page(known, backend):
    counts = _forget(known, PLANTED["customer_id"])
    assert counts == {
        "reviews": 1,
        "heard_events": 1,
        "contacts": 1,
        "consents": 1,
        "signs_of_life": 2,
        "preferences": 1,
        "outgoing": 1,
        "quarantine": 1,
        "attempts": 1,
        "receipts": 1,
        "cycles": 1,
        "steps": 1,
        "decisions": 1,
        "messages": 2,
        "engagements": 1,
        "visits": 1,
        "webhook_calls": 1,
    }
    found = _everything(known, backend)
    assert [trace for trace in TRACES if trace in found] == []
    assert keys.address_key(PEPPER, "email", PLANTED["email_key"]) in found
    assert keys.customer_key(PEPPER, PLANTED["customer_id"]) in found


def test_everybody_else_is_untouched(known):
    _forget(known, PLANTED["customer_id"])
    with known.reading() as connection:
        assert contact_rows.read_contact(connection, "cy") is not None
        assert people.read_consents(connection)["customer_id"].tolist() == ["cy"]
        assert [row["action"] for row in decided.read_history(connection, "cy")] == ["wait"]
        assert "cy" in cycles.read_cycles(connection, as_of=date(2026, 4, 1))["customer_id"].tolist()


def test_what_counts_need_stays_under_a_pseudonym(known):
    _forget(known, PLANTED["customer_id"])
    with known.reading() as connection:
        decided = verdicts.read_decisions(connection, NIGHT)
        assert verdicts.count_decisions(connection, NIGHT, by=["action"])["count"].tolist() == [2]
        assert len(queue.list_messages(connection)) == 2
        steps = cycles.read_steps(connection, as_of=date(2026, 4, 1))
    (pseudonym,) = set(decided["customer_id"]) - {"cy"}
    assert pseudonym.startswith("erased-")
    assert set(steps["customer_id"]) == {pseudonym, "cy"}


def test_a_message_that_waited_is_cancelled(known):
    _forget(known, PLANTED["customer_id"])
    with known.writing() as connection:
        assert queue.count_by_state(connection) == {"cancelled": 1, "rejected": 1}
        assert claims.claim(connection, limit=10, now=NOW, owner="s2").is_drained


def test_the_next_import_stays_out(known):
    _forget(known, PLANTED["customer_id"])
    again = pd.concat([rows.contacts(PLANTED["customer_id"]), rows.contacts("cy")])
    with known.writing() as connection:
        changes = people.replace_contacts(connection, again, pepper=PEPPER, as_of=NIGHT + timedelta(days=1))
        assert (changes.erased, changes.new) == (1, 0)
        assert people.add_consents(connection, rows.consents(PLANTED["customer_id"], at=NOW), pepper=PEPPER) == 0
        assert contact_rows.read_contact(connection, PLANTED["customer_id"]) is None
        assert who_refused.is_erased(connection, PLANTED["customer_id"], pepper=PEPPER)
        assert not who_refused.is_erased(connection, "cy", pepper=PEPPER)


def test_the_address_under_another_id_is_suppressed(known):
    _forget(known, PLANTED["customer_id"])
    again = rows.contacts("new", email_key=[PLANTED["email_key"]], phone=[PLANTED["phone"]])
    with known.writing() as connection:
        people.replace_contacts(connection, again, pepper=PEPPER, as_of=NIGHT + timedelta(days=1))
        found = people.read_suppressions(connection, as_of=NIGHT + timedelta(days=1))
    assert set(zip(found["channel"], found["reason"], strict=True)) >= {
        ("email", "erased"),
        ("sms", "erased"),
        ("whatsapp", "erased"),
    }


def test_forgetting_twice_or_somebody_unknown_harms_nothing(known):
    _forget(known, PLANTED["customer_id"])
    assert set(_forget(known, PLANTED["customer_id"]).values()) == {0}
    assert set(_forget(known, "nobody").values()) == {0}
    with known.reading() as connection:
        assert who_refused.is_erased(connection, "nobody", pepper=PEPPER)


def test_a_short_id_blanks_no_strangers_values(known):
    with known.writing() as connection:
        held = pd.DataFrame({"source": "contacts", "row_number": [9], "column": "email", "rule": "r", "digest": "e"})
        quarantined_rows.write_quarantine(connection, held.assign(masked_value="cy-rus@", as_of=pd.Timestamp(NIGHT)))
    _forget(known, "cy")
    with known.reading() as connection:
        found = bulk.read_frame(connection, select(quarantine.c.masked_value))
    assert "cy-rus@" in found["masked_value"].tolist()


def test_an_address_is_looked_for_by_an_index_on_every_channel(shop):
    """SQLite says how it looks: a walk through all contacts would take a second of every stop in a large base."""
    asked = []

    def note(_connection, _cursor, statement, given, *_rest):
        if statement.startswith("SELECT contacts.customer_id"):
            asked.append((statement, given))

    with shop.writing() as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("PostgreSQL chooses by the size of the table")
        event.listen(connection, "before_cursor_execute", note)
        for channel in (None, "sms", "whatsapp"):
            target = Target(channel, address="+33622")
            assert refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
        contact_rows.customers_at(connection, "+33622", pepper=PEPPER)
        plans = [
            row[-1]
            for statement, given in asked[:4]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]
    assert len(asked) >= 4
    assert not [line for line in plans if line.startswith("SCAN contacts")]
