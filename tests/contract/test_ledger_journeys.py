"""Cycles, steps, nights, plans and decisions: read as before the night, and written any number of times."""

from __future__ import annotations

from datetime import date, timedelta

import ledger_rows as rows
import pandas as pd
import pytest

from winback.core.buckets import buckets
from winback.ledger import cycles, decided, diary, stored_plans, verdicts
from winback.ledger.message_tables import messages

NIGHT, NOW = rows.NIGHT, rows.NOW
NEXT = NIGHT + timedelta(days=1)
KEY = {"programme": "winback", "cycle_no": 1}


def _open(ledger, *ids: str, **columns: object) -> int:
    with ledger.writing() as connection:
        return cycles.open_cycles(connection, rows.open_cycles(*ids, **columns))


def _close(ledger, *ids: str, on: date = NIGHT, reason: str = "returned") -> int:
    frame = pd.DataFrame({"customer_id": list(ids), **KEY, "closed_on": pd.Timestamp(on), "close_reason": reason})
    with ledger.writing() as connection:
        return cycles.close_cycles(connection, frame)


def _take(ledger, *ids: str, on: date = NIGHT, step: int = 1) -> int:
    taken = {**KEY, "step": step, "taken_on": pd.Timestamp(on), "arm": "treated", "channel": "email"}
    with ledger.writing() as connection:
        return cycles.take_steps(connection, pd.DataFrame({"customer_id": list(ids), **taken}))


def _read(ledger, as_of: date, **shard: int) -> pd.DataFrame:
    with ledger.reading() as connection:
        return cycles.read_cycles(connection, as_of=as_of, **shard)


# --- cycles and steps ----------------------------------------------------------------------------------------------


def test_a_cycle_is_opened_once_and_its_arm_stays(ledger):
    assert _open(ledger, "a", "b", arm="control") == 2
    assert _open(ledger, "a", "b", "c", arm="treated") == 1
    found = _read(ledger, NIGHT).set_index("customer_id")
    assert found["arm"].to_dict() == {"a": "control", "b": "control", "c": "treated"}
    assert found["bucket"].tolist() == buckets(["a", "b", "c"]).tolist()
    assert found["lapsed_on"].tolist() == [pd.Timestamp("2026-03-01")] * 3
    assert found["step_offsets"].tolist() == ["0,30,60"] * 3


def test_what_a_night_opened_is_no_input_to_it(ledger):
    _open(ledger, "a", opened_on=pd.Timestamp(NIGHT))
    assert _read(ledger, NIGHT).empty
    assert _read(ledger, NEXT)["customer_id"].tolist() == ["a"]


def test_what_a_night_closed_is_open_to_it_and_to_every_night_before(ledger):
    _open(ledger, "a", "b")
    assert _close(ledger, "a") == 1
    before, after = _read(ledger, NIGHT), _read(ledger, NEXT)
    assert before["closed_on"].isna().all()
    assert before["close_reason"].isna().all()
    assert after["closed_on"].tolist() == [pd.Timestamp(NIGHT), pd.NaT]
    assert after["close_reason"].fillna("open").tolist() == ["returned", "open"]
    assert before.dtypes.to_dict() == after.dtypes.to_dict()


def test_a_closed_cycle_stays_closed_as_it_was(ledger):
    _open(ledger, "a")
    assert _close(ledger, "a") == 1
    assert _close(ledger, "a", "nobody", on=NEXT, reason="ladder_ended") == 0
    assert _read(ledger, NEXT)["close_reason"].tolist() == ["returned"]


def test_only_the_named_cycle_of_the_named_programme_is_closed(ledger):
    _open(ledger, "a")
    _open(ledger, "a", cycle_no=2)
    _open(ledger, "a", programme="cars")
    _close(ledger, "a")
    found = _read(ledger, NEXT)
    assert found[found["closed_on"].notna()][["programme", "cycle_no"]].to_numpy().tolist() == [["winback", 1]]


def test_a_step_is_taken_once_and_seen_from_the_next_night_on(ledger):
    assert _take(ledger, "a", "b") == 2
    assert _take(ledger, "a", "b", on=NEXT) == 0
    assert _take(ledger, "a", step=2) == 1
    with ledger.reading() as connection:
        assert cycles.read_steps(connection, as_of=NIGHT).empty
        found = cycles.read_steps(connection, as_of=NEXT)
    assert found[["customer_id", "step"]].to_numpy().tolist() == [["a", 1], ["a", 2], ["b", 1]]
    assert found["taken_on"].tolist() == [pd.Timestamp(NIGHT)] * 3


def test_cycles_and_steps_are_read_by_shard(ledger):
    ids = [f"C{number}" for number in range(50)]
    _open(ledger, *ids)
    _take(ledger, *ids)
    parts = [_read(ledger, NEXT, low=low, high=high) for low, high in ((0, 300), (300, 1024))]
    assert sorted(pd.concat(parts)["customer_id"]) == sorted(ids)
    with ledger.reading() as connection:
        halves = [
            cycles.read_steps(connection, as_of=NEXT, low=low, high=high) for low, high in ((0, 512), (512, 1024))
        ]
    assert sorted(pd.concat(halves)["customer_id"]) == sorted(ids)
    assert all(len(half) for half in halves)


# --- nights --------------------------------------------------------------------------------------------------------


def test_a_night_is_begun_once(ledger):
    with ledger.writing() as connection:
        assert cycles.read_night(connection, NIGHT) is None
        first = cycles.begin_night(connection, as_of=NIGHT, plan_hash="p", run_id="r1", started_at=NOW)
        again = cycles.begin_night(connection, as_of=NIGHT, plan_hash="q", run_id="r2", started_at=NOW + timedelta(1))
        assert again == first == cycles.read_night(connection, NIGHT)
    assert (first.plan_hash, first.run_id, first.started_at, first.applied_at) == ("p", "r1", NOW, None)


def test_a_night_ends_and_the_first_end_counts(ledger):
    with ledger.writing() as connection:
        cycles.begin_night(connection, as_of=NIGHT, plan_hash="p", run_id="r", started_at=NOW)
        assert cycles.last_night(connection) is None
        cycles.end_night(connection, NIGHT, applied_at=NOW, summary="{}")
        cycles.end_night(connection, NIGHT, applied_at=NOW + timedelta(hours=1), summary='{"again": 1}')
        night = cycles.last_night(connection)
        assert (night.as_of, night.applied_at, night.summary) == (NIGHT, NOW, '{"again": 1}')
        assert cycles.last_night(connection, before=NIGHT) is None
        assert cycles.last_night(connection, before=NEXT) == night


def test_a_shard_is_marked_once_in_the_transaction_that_wrote_it(ledger):
    mark = {"as_of": NIGHT, "plan_hash": "p", "low": 0, "high": 512, "written_at": NOW}

    def write_and_fail() -> None:
        with ledger.writing() as connection:
            assert cycles.mark_shard(connection, **mark)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with ledger.writing() as connection:
        assert cycles.written_shards(connection, as_of=NIGHT, plan_hash="p") == set()
        assert cycles.mark_shard(connection, **mark)
        assert not cycles.mark_shard(connection, **mark)
        assert cycles.mark_shard(connection, **{**mark, "plan_hash": "q"})
        assert cycles.written_shards(connection, as_of=NIGHT, plan_hash="p") == {(0, 512)}


# --- plans ---------------------------------------------------------------------------------------------------------


def _save(ledger, plan_hash: str, created_at=NOW, summary: str = "{}") -> bool:
    with ledger.writing() as connection:
        return stored_plans.save_plan(
            connection, plan_hash=plan_hash, as_of=NIGHT, created_at=created_at, summary=summary
        )


def test_a_plan_is_stored_once_and_read_back(ledger):
    assert _save(ledger, "p", summary='{"send": 3}')
    assert not _save(ledger, "p", summary='{"send": 4}')
    with ledger.reading() as connection:
        plan = stored_plans.read_plan(connection, "p")
        assert (plan.as_of, plan.created_at, plan.summary, plan.approved_at) == (NIGHT, NOW, '{"send": 3}', None)
        assert stored_plans.read_plan(connection, "unknown") is None


def test_the_plans_of_a_night_in_the_order_they_were_made(ledger):
    _save(ledger, "b", NOW + timedelta(minutes=1))
    _save(ledger, "z")
    with ledger.reading() as connection:
        assert [plan.plan_hash for plan in stored_plans.read_plans(connection, as_of=NIGHT)] == ["z", "b"]
        assert stored_plans.read_plans(connection, as_of=NEXT) == []


def test_a_plan_is_approved_once_in_somebodys_name(ledger):
    _save(ledger, "p")
    with ledger.writing() as connection:
        assert stored_plans.approve_plan(connection, "p", at=NOW, by="ann")
        assert not stored_plans.approve_plan(connection, "p", at=NOW, by="bob")
        assert not stored_plans.approve_plan(connection, "unknown", at=NOW, by="bob")
        plan = stored_plans.read_plan(connection, "p")
        entries = diary.read_entries(connection, subject="p")
    assert (plan.approved_at, plan.approved_by) == (NOW, "ann")
    assert [(entry.action, entry.actor) for entry in entries] == [("approve", "ann")]


# --- decisions -----------------------------------------------------------------------------------------------------


def _decide(ledger, *ids: str, **columns: object) -> int:
    with ledger.writing() as connection:
        return verdicts.write_decisions(connection, rows.decisions(*ids, **columns))


def test_a_decision_is_taken_once_a_night(ledger):
    assert _decide(ledger, "b", "a") == 2
    assert _decide(ledger, "a", "b", "c", reason="changed") == 1
    assert _decide(ledger, "a", as_of=pd.Timestamp(NEXT)) == 1
    with ledger.reading() as connection:
        found = verdicts.read_decisions(connection, NIGHT)
        assert verdicts.read_decisions(connection, NIGHT + timedelta(days=9)).empty
    assert found["customer_id"].tolist() == ["a", "b", "c"]
    assert found["reason"].tolist() == ["active", "active", "changed"]
    assert found["step"].isna().all()
    assert found["return_probability"].tolist() == [0.75] * 3


def test_decisions_come_in_one_order_whatever_the_shards(ledger):
    ids = [f"C{number}" for number in (3, 20, 1, 100, 11)] + ["c", "Z", "é"]
    _decide(ledger, *ids)
    with ledger.reading() as connection:
        whole = verdicts.read_decisions(connection, NIGHT)
        parts = [verdicts.read_decisions(connection, NIGHT, low=low, high=low + 256) for low in range(0, 1024, 256)]
    assert whole["customer_id"].tolist() == sorted(ids)
    again = pd.concat(parts).sort_values("customer_id", ignore_index=True)
    pd.testing.assert_frame_equal(again, whole)


def test_only_the_columns_asked_for(ledger):
    _decide(ledger, "a")
    with ledger.reading() as connection:
        found = verdicts.read_decisions(connection, NIGHT, columns=["customer_id", "action"])
    assert found.columns.tolist() == ["customer_id", "action"]


def test_counts_by_any_columns_in_order(ledger):
    _decide(ledger, "a", "b", segment=["new", "active"])
    _decide(ledger, "c", action="send", reason="due", step=1, channel="email")
    with ledger.reading() as connection:
        by_default = verdicts.count_decisions(connection, NIGHT)
        by_step = verdicts.count_decisions(connection, NIGHT, by=["step", "channel"])
    assert by_default.to_numpy().tolist() == [["send", "due", 1], ["wait", "active", 2]]
    assert by_step["count"].tolist() == [1, 2]
    assert by_default["count"].dtype == "int64"


def test_the_history_of_one_customer_over_the_nights(ledger):
    nights = [NIGHT, NEXT, NIGHT + timedelta(days=400)]
    for night in nights:
        _decide(ledger, "a", "b", as_of=pd.Timestamp(night))
    with ledger.reading() as connection:
        found = decided.read_history(connection, "a")
        assert connection.scalars(decided.decided_days()).all() == nights
        assert decided.read_history(connection, "nobody") == []
    assert [row["as_of"] for row in found] == nights
    assert {row["customer_id"] for row in found} == {"a"}


def test_a_night_without_decisions_has_no_days(ledger):
    with ledger.reading() as connection:
        assert connection.scalars(decided.decided_days()).all() == []


def test_only_decisions_that_changed_nothing_can_be_withdrawn(ledger):
    _decide(ledger, *"abcde", action=["send", "hold_out", "sunset", "wait", "defer"])
    _decide(ledger, "d", as_of=pd.Timestamp(NEXT))
    with ledger.writing() as connection:
        assert verdicts.has_decisions(connection, NIGHT)
        assert not verdicts.has_decisions(connection, NIGHT + timedelta(days=400))
        assert verdicts.withdraw_decisions(connection, NIGHT, low=0, high=1024) == 2
        assert verdicts.read_decisions(connection, NIGHT)["customer_id"].tolist() == ["a", "b", "c"]
        assert len(verdicts.read_decisions(connection, NEXT)) == 1
        assert verdicts.withdraw_decisions(connection, NEXT, low=0, high=int(buckets(["d"])[0])) == 0


# --- cycles nobody heard of ----------------------------------------------------------------------------------------


def _unheard(ledger, *, days: int = 30, rehearsals=()) -> list[str]:
    with ledger.reading() as connection:
        found = cycles.unheard(connection, as_of=rows.NIGHT + timedelta(days=days), rehearsals=rehearsals)
    return found["customer_id"].tolist()


def _set_state(ledger, customer: str, state: str, *, step: int = 1) -> None:
    mine = messages.c.customer_id == customer, messages.c.step == step
    with ledger.writing() as connection:
        connection.execute(messages.update().where(*mine).values(state=state))


def test_a_cycle_of_which_no_message_arrived_is_named(ledger):
    rows.populate(ledger, "a", "b", "c")
    with ledger.writing() as connection:
        second = rows.messages("a", "b", step=2).assign(local_day=rows.pd.Timestamp("2026-03-11"))
        verdicts.queue_messages(connection, second, pepper=rows.PEPPER)
        cycles.open_cycles(connection, rows.open_cycles("d"))  # as of a control contact: no message was ever meant
    for state, is_lost in (("planned", False), ("accepted", False), ("unknown", True), ("bounced", True)):
        _set_state(ledger, "a", state)
        _set_state(ledger, "a", "expired", step=2)
        assert _unheard(ledger) == (["a"] if is_lost else [])
    _set_state(ledger, "b", "dropped")  # and the other message of b is still on its way
    assert _unheard(ledger) == ["a"]
    assert _unheard(ledger, days=2) == [], "what is not settled yet says nothing"
    assert _unheard(ledger, rehearsals=[rows.NIGHT]) == ["a", "b", "c"]


def test_a_cycle_that_closed_on_that_day_or_later_counts_as_open(ledger):
    rows.populate(ledger, "a")
    _set_state(ledger, "a", "bounced")
    closing = rows.pd.DataFrame({"programme": ["winback"], "customer_id": "a", "cycle_no": 1, "close_reason": "x"})
    with ledger.writing() as connection:
        cycles.close_cycles(connection, closing.assign(closed_on=rows.pd.Timestamp(rows.NIGHT + timedelta(days=10))))
    assert (_unheard(ledger, days=10), _unheard(ledger, days=11)) == (["a"], [])
