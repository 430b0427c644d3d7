"""The outbox: never twice, nothing lost, and every reason against sending read again at the claim."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta

import ledger_rows as rows
import pandas as pd
import pytest
from sqlalchemy import event, select

from winback.core.reasons import Reason
from winback.ledger import claims, cycles, keys, people, queue, refusals, switches, verdicts
from winback.ledger.message_tables import attempts
from winback.ledger.queue import MessageState, Outcome, Result
from winback.ledger.refusals import Act, Target

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW
ACT = Act(NOW, NIGHT, "one_click", "web")


def _queue(ledger, frame: pd.DataFrame) -> verdicts.Queued:
    with ledger.writing() as connection:
        return verdicts.queue_messages(connection, frame, pepper=PEPPER)


def _claim(ledger, **options: object) -> claims.Claim:
    with ledger.writing() as connection:
        return claims.claim(connection, **{"limit": 100, "now": NOW, "owner": "s1", **options})


def _record(ledger, *results: Result, owner: str = "s1") -> list[str]:
    with ledger.writing() as connection:
        return queue.record_results(connection, list(results), owner=owner, now=NOW)


def _states(ledger) -> dict[str, tuple[str, str | None]]:
    with ledger.reading() as connection:
        return {row["customer_id"]: (row["state"], row["reason"]) for row in queue.list_messages(connection)}


def _attempts(ledger) -> list[tuple[int, str, str | None, str | None]]:
    columns = [attempts.c[name] for name in ("attempt_no", "owner", "outcome", "error")]
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(attempts.c.attempt_no))]


# --- queueing ------------------------------------------------------------------------------------------------------


def test_a_message_is_planned_once(ledger):
    assert _queue(ledger, rows.messages("a", "b")) == (2, 0, 0)
    assert _queue(ledger, rows.messages("a", "b", "c")) == (1, 2, 0)
    assert _states(ledger) == dict.fromkeys("abc", ("planned", None))


def test_a_second_message_to_one_address_on_one_day_is_kept_and_cancelled(ledger):
    assert _queue(ledger, rows.messages("a", "b", address="x@y.z")) == (1, 0, 1)
    assert _queue(ledger, rows.messages("a", "b", address="x@y.z")) == (0, 2, 0)
    assert Counter(_states(ledger).values()) == {("planned", None): 1, ("cancelled", "frequency_cap"): 1}


def test_the_next_day_the_address_may_have_another(ledger):
    _queue(ledger, rows.messages("a", address="x@y.z"))
    tomorrow = pd.Timestamp(NIGHT) + pd.Timedelta(days=1)
    assert _queue(ledger, rows.messages("b", address="x@y.z", local_day=tomorrow)).new == 1


@pytest.mark.parametrize("change", [{"step": 2}, {"cycle": 2}, {"programme": "cars"}])
def test_another_step_cycle_or_programme_is_another_message(ledger, change):
    _queue(ledger, rows.messages("a"))
    assert _queue(ledger, rows.messages("a", address="other@y.z", **change)).new == 1


def test_another_channel_template_or_plan_is_not(ledger):
    _queue(ledger, rows.messages("a"))
    again = rows.messages("a", channel="sms", address="+331", template="coupon", plan_hash="another")
    assert _queue(ledger, again) == (0, 1, 0)


def test_the_id_is_opaque_and_the_same_for_the_same_message(ledger):
    _queue(ledger, rows.messages("a"))
    with ledger.reading() as connection:
        (row,) = queue.list_messages(connection)
    expected = keys.message_id(PEPPER, programme="winback", customer_id="a", cycle=1, step=1)
    assert row["message_id"] == expected
    assert len(expected) == 32
    assert expected != keys.message_id(b"other", programme="winback", customer_id="a", cycle=1, step=1)


def test_no_messages_are_no_trouble(ledger):
    assert _queue(ledger, rows.messages()) == (0, 0, 0)


# --- claiming ------------------------------------------------------------------------------------------------------


def test_a_claim_hands_over_everything_a_sender_needs(ledger):
    rows.populate(ledger, "a")
    (message,) = _claim(ledger).messages
    assert (message.customer_id, message.address, message.attempt_no) == ("a", "a@example.com", 1)
    assert (message.template, message.locale, message.channel, message.as_of) == ("survey", "fr", "email", NIGHT)
    assert message.contact["first_name"] == "First a"


def test_a_claim_never_sorts_the_queue(ledger):
    """By another index every claim of a long queue would cost more."""
    if not ledger.is_sqlite:
        pytest.skip("about SQLite's planner")
    rows.populate(ledger, "a", "b")
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "FROM messages" in statement and "ORDER BY messages.not_before_at" in statement:
            asked.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    assert len(_claim(ledger).messages) == 2
    event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(asked) == 2
    with ledger.reading() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).scalars("detail").all()
            assert ["ix_messages_due" in step for step in plan] == [True], plan


def test_a_claimed_message_is_sending_with_an_attempt_and_nobody_else_gets_it(ledger):
    rows.populate(ledger, "a", "b")
    assert len(_claim(ledger).messages) == 2
    assert _claim(ledger, owner="s2").is_drained
    assert _states(ledger) == dict.fromkeys("ab", ("sending", None))
    assert _attempts(ledger) == [(1, "s1", None, None)] * 2


def test_the_limit_holds_and_the_oldest_goes_first(ledger):
    rows.populate(ledger, "a", "b", "c", send=False)
    times = [NOW, NOW - timedelta(hours=2), NOW - timedelta(hours=1)]
    _queue(ledger, rows.messages("a", "b", "c", not_before_at=rows.instants(times)))
    assert [one.customer_id for one in _claim(ledger, limit=2).messages] == ["b", "c"]
    assert [one.customer_id for one in _claim(ledger, limit=2).messages] == ["a"]


def test_nothing_goes_before_its_time(ledger):
    rows.populate(ledger, "a", send=False)
    _queue(ledger, rows.messages("a", not_before_at=rows.instants([NOW + timedelta(seconds=1)])))
    assert _claim(ledger).is_drained
    assert len(_claim(ledger, now=NOW + timedelta(seconds=1)).messages) == 1


def test_one_channel_at_a_time(ledger):
    rows.populate(ledger, "a", "b", send=False)
    with ledger.writing() as connection:
        people.add_consents(connection, rows.consents("b", channel="sms"), pepper=PEPPER)
    _queue(ledger, rows.messages("a"))
    _queue(ledger, rows.messages("b", channel="sms", address="+33600000001"))
    (message,) = _claim(ledger, channel="sms").messages
    assert (message.customer_id, message.address) == ("b", "+33600000001")
    assert [one.customer_id for one in _claim(ledger, channel="email").messages] == ["a"]


def test_a_claim_that_is_rolled_back_never_was(ledger):
    rows.populate(ledger, "a")

    def die_before_commit() -> None:
        with ledger.writing() as connection:
            assert claims.claim(connection, limit=1, now=NOW, owner="s1").messages
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die_before_commit()
    assert _states(ledger) == {"a": ("planned", None)}
    assert _attempts(ledger) == []
    assert _claim(ledger).messages[0].attempt_no == 1


def test_many_senders_share_the_work_and_none_gets_what_another_has(ledger):
    ids = [f"C{number}" for number in range(120)]
    rows.populate(ledger, *ids)
    got: list[str] = []

    def work(name: str) -> None:
        while True:
            claim = _claim(ledger, limit=7, owner=name)
            if claim.is_drained:
                return
            got.extend(message.customer_id for message in claim.messages)

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(ids)


# --- the gate ------------------------------------------------------------------------------------------------------


def _opt_out(connection) -> None:
    refusals.suppress(connection, Target("email", customer_id="a"), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)


def _opt_out_by_address(connection) -> None:
    target = Target("email", address="a@example.com")
    refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)


def _opt_out_of_everything(connection) -> None:
    refusals.suppress(connection, Target(customer_id="a"), ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)


def _opt_out_and_complain(connection) -> None:
    _opt_out(connection)
    refusals.suppress(connection, Target("email", customer_id="a"), ACT, pepper=PEPPER, reason=Reason.COMPLAINED)


def _opt_out_of_the_programme(connection) -> None:
    target = Target("email", customer_id="a")
    refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT, programme="winback")


def _bounce(connection) -> None:
    target = Target("email", address="a@example.com")
    refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.INVALID_ADDRESS)


def _sunset(connection) -> None:
    refusals.sunset(connection, ["a"], at=NOW, effective_on=NIGHT)


def _withdraw(connection) -> None:
    people.add_consents(connection, rows.consents("a", status="withdrawn", at=NOW), pepper=PEPPER)


def _withdraw_at_the_same_instant(connection) -> None:
    people.add_consents(connection, rows.consents("a", status="withdrawn"), pepper=PEPPER)


def _close(reason: str):
    def close(connection) -> None:
        closing = {"programme": "winback", "customer_id": ["a"], "cycle_no": 1, "close_reason": reason}
        cycles.close_cycles(connection, pd.DataFrame({**closing, "closed_on": pd.Timestamp(NIGHT)}))

    return close


def _leave(connection) -> None:
    people.replace_contacts(connection, rows.contacts("z"), pepper=PEPPER, as_of=NIGHT)


def _move(connection) -> None:
    moved = rows.contacts("a", "b", email_key=["new@example.com", "b@example.com"])
    people.replace_contacts(connection, moved, pepper=PEPPER, as_of=NIGHT)


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        (_opt_out, "suppressed", "opted_out"),
        (_opt_out_by_address, "suppressed", "opted_out"),
        (_opt_out_of_everything, "suppressed", "opted_out"),
        (_opt_out_and_complain, "suppressed", "complained"),
        (_opt_out_of_the_programme, "suppressed", "opted_out"),
        (_bounce, "suppressed", "invalid_address"),
        (_sunset, "suppressed", "sunset"),
        (_withdraw, "suppressed", "consent_withdrawn"),
        (_withdraw_at_the_same_instant, "suppressed", "consent_withdrawn"),
        (_close("returned"), "cancelled", "returned"),
        (_close("ladder_ended"), "cancelled", "cycle_ended"),
        (_move, "cancelled", "unreachable"),
    ],
)
def test_what_happened_after_the_plan_stops_the_message(ledger, change, state, reason):
    rows.populate(ledger, "a", "b")
    with ledger.writing() as connection:
        change(connection)
    claim = _claim(ledger)
    assert [message.customer_id for message in claim.messages] == ["b"]
    assert claim.refused == {reason: 1}
    assert _states(ledger) == {"a": (state, reason), "b": ("sending", None)}
    assert _claim(ledger).is_drained


def test_a_contact_who_left_the_feed_is_not_written_to(ledger):
    rows.populate(ledger, "a")
    with ledger.writing() as connection:
        _leave(connection)
    assert _claim(ledger).refused == {"unreachable": 1}


@pytest.mark.parametrize(
    "target",
    [Target("sms", customer_id="a"), Target("email", customer_id="b"), Target("email", address="b@example.com")],
)
def test_another_channel_or_another_persons_no_stops_nothing(ledger, target):
    rows.populate(ledger, "a", "b", send=False)
    _queue(ledger, rows.messages("a"))
    with ledger.writing() as connection:
        refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
    assert len(_claim(ledger).messages) == 1


def test_a_no_to_another_programme_stops_nothing(ledger):
    rows.populate(ledger, "a")
    target = Target("email", customer_id="a")
    with ledger.writing() as connection:
        refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT, programme="cars")
    assert len(_claim(ledger).messages) == 1


def test_a_lifted_no_stops_nothing(ledger):
    rows.populate(ledger, "a")
    with ledger.writing() as connection:
        _opt_out(connection)
        newer = ACT._replace(at=NOW + timedelta(seconds=1))
        refusals.lift(connection, Target("email", customer_id="a"), newer, pepper=PEPPER)
    assert len(_claim(ledger).messages) == 1


def test_no_record_of_consent_no_send(ledger):
    with ledger.writing() as connection:
        people.replace_contacts(connection, rows.contacts("a"), pepper=PEPPER, as_of=NIGHT)
        people.add_consents(connection, rows.consents("a", channel="sms"), pepper=PEPPER)
        people.add_consents(connection, rows.consents("a").assign(purpose="ads"), pepper=PEPPER)
        cycles.open_cycles(connection, rows.open_cycles("a"))
    _queue(ledger, rows.messages("a"))
    assert _claim(ledger).refused == {"no_consent_record": 1}


@pytest.mark.parametrize(("arm", "reason"), [("control", "control"), ("global_control", "global_control")])
def test_a_control_group_gets_nothing_by_any_path(ledger, arm, reason):
    with ledger.writing() as connection:
        people.replace_contacts(connection, rows.contacts("a"), pepper=PEPPER, as_of=NIGHT)
        people.add_consents(connection, rows.consents("a"), pepper=PEPPER)
        cycles.open_cycles(connection, rows.open_cycles("a", arm=arm))
    _queue(ledger, rows.messages("a"))
    assert _claim(ledger).refused == {reason: 1}


def test_a_message_of_no_cycle_is_not_sent(ledger):
    rows.populate(ledger, "a", send=False)
    _queue(ledger, rows.messages("a", cycle=7))
    assert _claim(ledger).refused == {"cycle_ended": 1}


@pytest.mark.parametrize(
    ("planned_ago", "expires_in", "is_sent"),
    [
        (timedelta(hours=35), timedelta(minutes=1), True),
        (timedelta(hours=36), timedelta(minutes=1), False),
        (timedelta(0), timedelta(0), False),
        (timedelta(0), timedelta(seconds=1), True),
    ],
)
def test_an_old_plan_is_not_carried_out(ledger, planned_ago, expires_in, is_sent):
    rows.populate(ledger, "a", send=False)
    times = {"planned_at": rows.instants([NOW - planned_ago]), "expires_at": rows.instants([NOW + expires_in])}
    _queue(ledger, rows.messages("a", **times))
    claim = _claim(ledger)
    assert len(claim.messages) == int(is_sent)
    assert _states(ledger) == {"a": ("sending", None) if is_sent else ("expired", "step_missed")}


def test_the_red_button_stops_every_claim_and_loses_nothing(ledger):
    rows.populate(ledger, "a")
    with ledger.writing() as connection:
        assert switches.press(connection, at=NOW, by="ann", reason="wrong template")
    claim = _claim(ledger)
    assert (claim.is_stopped, claim.messages) == (True, ())
    assert _states(ledger) == {"a": ("planned", None)}
    with ledger.writing() as connection:
        assert switches.release(connection, at=NOW, by="ann", reason="fixed")
    assert len(_claim(ledger).messages) == 1


def test_fifty_people_who_said_stop_before_their_turn_get_nothing(ledger):
    """Half of a night is claimed while, between claims, people opt out: none of them is ever handed to a sender."""
    ids = [f"C{number:03d}" for number in range(100)]
    rows.populate(ledger, *ids)
    handed: list[str] = []
    said_stop: list[str] = []
    for customer_id in ids[50:]:
        with ledger.writing() as connection:
            target = Target("email", address=f"{customer_id}@example.com".lower())
            refusals.suppress(connection, target, ACT, pepper=PEPPER, reason=Reason.OPTED_OUT)
        if customer_id not in handed:
            said_stop.append(customer_id)
        handed += [message.customer_id for message in _claim(ledger, limit=1).messages]
    while not (claim := _claim(ledger, limit=10)).is_drained:
        handed += [message.customer_id for message in claim.messages]
    assert said_stop
    assert not set(said_stop) & set(handed)
    assert len(handed) == len(set(handed))
    assert len(handed) + sum(state == "suppressed" for state, _ in _states(ledger).values()) == 100


# --- results -------------------------------------------------------------------------------------------------------


def _one(ledger) -> claims.Claimed:
    rows.populate(ledger, "a")
    (message,) = _claim(ledger).messages
    return message


def test_accepted_is_recorded_with_the_vendors_id(ledger):
    message = _one(ledger)
    result = Result(message.message_id, 1, Outcome.ACCEPTED, "outbox", "their-id", segments=2, cost=0.14)
    assert _record(ledger, result) == []
    with ledger.reading() as connection:
        (row,) = queue.list_messages(connection, state="accepted")
    assert (row["provider"], row["provider_id"], row["accepted_at"]) == ("outbox", "their-id", NOW)
    assert (row["segments"], row["cost"], row["attempts"], row["last_error"]) == (2, 0.14, 1, None)
    assert _attempts(ledger) == [(1, "s1", "accepted", None)]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.REJECTED, "rejected"), (Outcome.UNKNOWN, "unknown"), (Outcome.DEFERRED, "planned")],
)
def test_each_outcome_has_its_state_and_keeps_the_error(ledger, outcome, state):
    message = _one(ledger)
    assert _record(ledger, Result(message.message_id, 1, outcome, "outbox", error="because")) == []
    with ledger.reading() as connection:
        (row,) = queue.list_messages(connection)
    assert (row["state"], row["last_error"], row["accepted_at"]) == (state, "because", None)
    assert _attempts(ledger) == [(1, "s1", outcome.value, "because")]


def test_a_deferred_message_is_tried_again_at_its_time_with_a_new_attempt(ledger):
    message = _one(ledger)
    later = NOW + timedelta(minutes=5)
    _record(ledger, Result(message.message_id, 1, Outcome.DEFERRED, "p", error="429", not_before_at=later))
    assert _claim(ledger).is_drained
    (again,) = _claim(ledger, now=later, owner="s2").messages
    assert (again.message_id, again.attempt_no) == (message.message_id, 2)
    assert _record(ledger, Result(message.message_id, 2, Outcome.ACCEPTED, "p"), owner="s2") == []
    assert _attempts(ledger) == [(1, "s1", "deferred", "429"), (2, "s2", "accepted", None)]


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.REJECTED, Outcome.ACCEPTED])
def test_what_is_settled_or_unknown_is_never_claimed_again(ledger, outcome):
    message = _one(ledger)
    _record(ledger, Result(message.message_id, 1, outcome, "p"))
    assert _claim(ledger, now=NOW + timedelta(hours=1)).is_drained
    assert _queue(ledger, rows.messages("a")) == (0, 1, 0)


def test_a_stranger_or_an_old_attempt_changes_nothing(ledger):
    message = _one(ledger)
    for result, owner in (
        (Result(message.message_id, 1, Outcome.ACCEPTED, "p"), "s2"),
        (Result(message.message_id, 2, Outcome.ACCEPTED, "p"), "s1"),
        (Result("no such message", 1, Outcome.ACCEPTED, "p"), "s1"),
    ):
        assert _record(ledger, result, owner=owner) == [result.message_id]
    assert _states(ledger) == {"a": ("sending", None)}


def test_the_same_result_twice_is_recorded_once(ledger):
    message = _one(ledger)
    result = Result(message.message_id, 1, Outcome.ACCEPTED, "p", "id")
    assert _record(ledger, result) == []
    assert _record(ledger, result._replace(outcome=Outcome.DEFERRED)) == [message.message_id]
    assert _states(ledger) == {"a": ("accepted", None)}


def test_results_of_many_kinds_at_once(ledger):
    rows.populate(ledger, *"abcd")
    claim = _claim(ledger)
    outcomes = dict(zip("abcd", Outcome, strict=True))
    results = [Result(one.message_id, 1, outcomes[one.customer_id], "p") for one in claim.messages]
    assert _record(ledger, *results) == []
    expected = {"a": "accepted", "b": "rejected", "c": "planned", "d": "unknown"}
    assert {one: state for one, (state, _) in _states(ledger).items()} == expected
    assert _record(ledger) == []


# --- dead senders --------------------------------------------------------------------------------------------------


def _recover(ledger, is_alive) -> int:
    with ledger.writing() as connection:
        return queue.recover(connection, is_alive=is_alive, now=NOW)


def test_what_a_dead_sender_held_becomes_unknown_and_is_never_sent_by_machine(ledger):
    _one(ledger)
    assert _recover(ledger, lambda owner: owner != "s1") == 1
    assert _states(ledger) == {"a": ("unknown", None)}
    assert _attempts(ledger) == [(1, "s1", "unknown", "the sender died between claim and result")]
    assert _claim(ledger, now=NOW + timedelta(hours=1)).is_drained
    assert _recover(ledger, lambda _: False) == 0


def test_a_living_sender_keeps_its_messages_however_late_it_is(ledger):
    rows.populate(ledger, "a")
    _claim(ledger, lease=timedelta(seconds=0))
    assert _recover(ledger, lambda _: True) == 0
    assert _states(ledger) == {"a": ("sending", None)}


def test_a_sender_taken_for_dead_may_still_say_yes_or_no_but_never_again(ledger):
    rows.populate(ledger, *"abc")
    by_customer = {one.customer_id: one.message_id for one in _claim(ledger).messages}
    assert _recover(ledger, lambda _: False) == 3
    yes, no, later = (
        Result(by_customer[customer_id], 1, outcome, "p")
        for customer_id, outcome in zip("abc", (Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED), strict=True)
    )
    assert _record(ledger, yes, no, later) == [by_customer["c"]]
    assert {one: state for one, (state, _) in _states(ledger).items()} == {
        "a": "accepted",
        "b": "rejected",
        "c": "unknown",
    }


def test_a_killed_process_is_proved_dead_by_its_lock(ledger, database_url):
    rows.populate(ledger, "a", "b")
    program = (
        "import sys, time; from datetime import datetime\n"
        "from winback.ledger import claims; from winback.ledger.engine import open_ledger\n"
        "ledger = open_ledger(sys.argv[1], pepper=None)\n"
        "with ledger.lock('sender-7'):\n"
        "    with ledger.writing() as connection:\n"
        "        claims.claim(connection, limit=1, now=datetime.fromisoformat(sys.argv[2]), owner='sender-7')\n"
        "    print('claimed', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", program, database_url, NOW.isoformat()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as sender:
        assert sender.stdout.readline() == b"claimed\n"
        assert _recover(ledger, ledger.is_locked) == 0
        sender.kill()
        sender.wait()
    for _ in range(100):
        if _recover(ledger, ledger.is_locked):
            break
        threading.Event().wait(0.05)
    assert Counter(state for state, _ in _states(ledger).values()) == {"unknown": 1, "planned": 1}


# --- listing -------------------------------------------------------------------------------------------------------


def test_counts_and_lists_by_state_night_and_customer(ledger):
    rows.populate(ledger, "a", "b", "c")
    tomorrow = pd.Timestamp(NIGHT) + pd.Timedelta(days=1)
    _queue(ledger, rows.messages("a", step=2, as_of=tomorrow, local_day=tomorrow))
    _claim(ledger, limit=1)
    with ledger.reading() as connection:
        assert queue.count_by_state(connection) == {"planned": 3, "sending": 1}
        assert queue.count_by_state(connection, as_of=NIGHT) == {"planned": 2, "sending": 1}
        assert queue.count_by_state(connection, as_of=NIGHT - timedelta(days=9)) == {}
        listed = queue.list_messages(connection)
        assert [(row["as_of"], row["customer_id"]) for row in listed] == [
            (NIGHT, "a"),
            (NIGHT, "b"),
            (NIGHT, "c"),
            (tomorrow.date(), "a"),
        ]
        assert len(queue.list_messages(connection, state=MessageState.PLANNED, as_of=NIGHT)) == 2
        assert len(queue.list_messages(connection, customer_id="a")) == 2


def test_frequency_caps_look_back_on_the_nights_before(ledger):
    rows.populate(ledger, "a", "b")
    with ledger.reading() as connection:

        def look_back(as_of):
            return verdicts.read_messages(connection, after=as_of - timedelta(days=7), before=as_of)

        assert look_back(NIGHT).empty, "what a night wrote is no input to it"
        assert sorted(look_back(NIGHT + timedelta(days=1))["customer_id"]) == ["a", "b"]
        assert len(look_back(NIGHT + timedelta(days=6))) == 2
        assert look_back(NIGHT + timedelta(days=7)).empty
