"""Loads, overrides, quarantine, fits, the red button and the audit log."""

from __future__ import annotations

from datetime import date, timedelta

import databases
import ledger_rows as rows
import pandas as pd
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from winback.errors import StoreError
from winback.ledger import diary, loads, parameters, quarantined_rows, schema, switches
from winback.ledger.engine import open_ledger
from winback.ledger.loads import Load, Override
from winback.ledger.parameters import Fit

NIGHT, NOW = rows.NIGHT, rows.NOW


def _load(days_ago: int = 0, source: str = "orders", **values: object) -> Load:
    fixed = {"source": source, "as_of": NIGHT - timedelta(days=days_ago), "loaded_at": NOW, "read": 100, "new": 90}
    return Load(**{**fixed, "quarantined": 1, **values})


def _record(ledger, *given: Load) -> None:
    with ledger.writing() as connection:
        for one in given:
            loads.record_load(connection, one)


# --- loads ---------------------------------------------------------------------------------------------------------


def test_a_load_is_read_back_as_it_was_recorded(ledger):
    load = _load(max_occurred_at=NOW, held="volume", detail="100 rows, usually 1,000", watermark='{"offset": 7}')
    _record(ledger, load)
    with ledger.reading() as connection:
        assert loads.loads_on(connection, NIGHT) == [load]


def test_a_second_load_of_a_night_replaces_the_first(ledger):
    _record(ledger, _load(held="empty", read=0), _load(read=500))
    with ledger.reading() as connection:
        (load,) = loads.loads_on(connection, NIGHT)
    assert (load.read, load.held) == (500, None)


def test_the_guard_compares_with_the_last_fourteen_loads_before_the_night(ledger):
    _record(ledger, *(_load(days_ago, read=days_ago) for days_ago in range(20)), _load(1, source="visits", read=999))
    with ledger.reading() as connection:
        found = [load.read for load in loads.loads_before(connection, "orders", before=NIGHT)]
        assert found == list(range(1, 15))
        assert [load.read for load in loads.loads_before(connection, "orders", before=NIGHT, limit=2)] == [1, 2]
        assert loads.loads_before(connection, "unknown", before=NIGHT) == []


def test_the_watermark_is_the_newest_that_was_set(ledger):
    _record(ledger, _load(2, watermark="two"), _load(1, watermark="one"), _load(0, held="unavailable"))
    with ledger.reading() as connection:
        assert loads.newest_watermark(connection, "orders") == "one"
        assert loads.newest_watermark(connection, "orders", before=NIGHT - timedelta(days=1)) == "two"
        assert loads.newest_watermark(connection, "visits") is None


def test_an_override_is_given_once_in_somebodys_name(ledger):
    override = Override("orders", NIGHT, "volume", "ann", NOW, "a strike: really no sales")
    with ledger.writing() as connection:
        assert loads.allow(connection, override)
        assert not loads.allow(connection, override._replace(by="bob"))
        assert loads.overrides_on(connection, NIGHT) == {"orders": override}
        assert loads.overrides_on(connection, NIGHT + timedelta(days=1)) == {}
        (entry,) = diary.read_entries(connection, subject="orders")
    assert (entry.action, entry.actor) == ("override", "ann")
    assert "a strike" in entry.after


def _refused(*digests: str, source: str = "orders", as_of: date = NIGHT) -> pd.DataFrame:
    frame = pd.DataFrame({"digest": list(digests), "row_number": range(len(digests), 0, -1), "source": source})
    return frame.assign(column="email", rule="email_invalid", masked_value="j***", as_of=pd.Timestamp(as_of))


def test_a_refused_row_is_kept_once_whatever_the_night(ledger):
    with ledger.writing() as connection:
        assert quarantined_rows.write_quarantine(connection, _refused("x", "y")) == 2
        assert quarantined_rows.write_quarantine(connection, _refused("x", "z", as_of=NIGHT + timedelta(days=1))) == 1
        assert quarantined_rows.write_quarantine(connection, _refused("x", source="visits")) == 1
        assert quarantined_rows.count_quarantine(connection, NIGHT) == {
            ("orders", "email_invalid"): 2,
            ("visits", "email_invalid"): 1,
        }
        assert quarantined_rows.read_quarantine(connection, as_of=NIGHT, source="orders")["row_number"].tolist() == [
            1,
            2,
        ]
        assert len(quarantined_rows.read_quarantine(connection)) == 4


# --- fits ----------------------------------------------------------------------------------------------------------


def test_a_night_uses_the_newest_fit_of_its_day_or_before(ledger):
    fits = [Fit(f"f{days_ago}", "purchase", NIGHT - timedelta(days=days_ago), "{}") for days_ago in (-1, 0, 7)]
    with ledger.writing() as connection:
        assert all(parameters.save_fit(connection, fit, created_at=NOW) for fit in fits)
        assert parameters.save_fit(connection, Fit("v", "visit", NIGHT, '{"mu0": 1}'), created_at=NOW)
        assert {one.fit_id for one in parameters.newest_fits(connection, as_of=NIGHT).values()} == {"f0", "v"}
        assert parameters.newest_fits(connection, as_of=NIGHT - timedelta(days=1)) == {"purchase": fits[2]}
        assert parameters.newest_fits(connection, as_of=NIGHT - timedelta(days=8)) == {}


def test_of_two_fits_of_a_day_the_later_made_counts_and_a_fit_never_changes(ledger):
    first, second = (Fit(name, "purchase", NIGHT, name) for name in ("zz", "aa"))
    with ledger.writing() as connection:
        parameters.save_fit(connection, first, created_at=NOW)
        parameters.save_fit(connection, second, created_at=NOW + timedelta(seconds=1))
        assert parameters.newest_fits(connection, as_of=NIGHT) == {"purchase": second}
        assert not parameters.save_fit(connection, first._replace(parameters="changed"), created_at=NOW)
        assert parameters.read_fit(connection, "zz") == first
        assert parameters.read_fit(connection, "unknown") is None


# --- the red button ------------------------------------------------------------------------------------------------


def test_the_red_button_is_pressed_and_released_with_a_name_and_a_reason(ledger):
    with ledger.writing() as connection:
        assert switches.pressed(connection) is None
        assert switches.press(connection, at=NOW, by="ann", reason="wrong price")
        assert not switches.press(connection, at=NOW + timedelta(1), by="bob", reason="me too")
        assert switches.pressed(connection) == (NOW, "ann", "wrong price")
        assert switches.release(connection, at=NOW, by="bob", reason="price fixed")
        assert not switches.release(connection, at=NOW, by="bob", reason="again")
        assert switches.pressed(connection) is None
        assert switches.press(connection, at=NOW, by="cy")
        assert [(entry.actor, entry.action) for entry in diary.read_entries(connection)] == [
            ("cy", "stop"),
            ("bob", "release stop"),
            ("ann", "stop"),
        ]


def test_one_switch_is_not_another(ledger):
    with ledger.writing() as connection:
        switches.press(connection, at=NOW, by="ann", name="channel:sms")
        assert switches.pressed(connection) is None
        assert switches.pressed(connection, "channel:sms")


# --- the audit log -------------------------------------------------------------------------------------------------


def test_entries_come_newest_first_and_by_subject(ledger):
    with ledger.writing() as connection:
        for number in range(5):
            diary.record(
                connection,
                at=NOW,
                actor="ann",
                action="approve",
                subject=f"s{number % 2}",
                before={"b": 2, "a": 1},
                after={"on": NIGHT},
            )
        entries = diary.read_entries(connection)
        assert [entry.subject for entry in entries] == ["s0", "s1", "s0", "s1", "s0"]
        assert len(diary.read_entries(connection, subject="s1")) == 2
        assert len(diary.read_entries(connection, limit=3)) == 3
    assert (entries[0].before, entries[0].after) == ('{"a": 1, "b": 2}', '{"on": "2026-03-10"}')


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET after = NULL WHERE id = (SELECT max(id) FROM audit)",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = (SELECT min(id) FROM audit)",
    ],
)
def test_the_database_itself_refuses_to_change_or_delete_a_line(ledger, statement):
    with ledger.writing() as connection:
        diary.record(connection, at=NOW, actor="ann", action="stop", subject="switch")

    def tamper() -> None:
        with ledger.writing() as connection:
            connection.execute(text(statement))

    with pytest.raises((IntegrityError, StoreError), match="only ever added to"):
        tamper()
    with ledger.reading() as connection:
        assert [entry.actor for entry in diary.read_entries(connection)] == ["ann"]


@pytest.mark.postgres
def test_postgresql_refuses_to_truncate_it_too(postgres_shared):
    databases.empty(postgres_shared)
    with open_ledger(postgres_shared, pepper=None) as ledger, ledger.writing() as connection:
        with pytest.raises(IntegrityError, match="only ever added to"):
            connection.execute(text("TRUNCATE audit"))
        connection.rollback()


def test_the_tables():
    assert sorted(schema.METADATA.tables) == [
        "attempts",
        "audit",
        "consents",
        "contacts",
        "coupons",
        "cycles",
        "decisions",
        "engagements",
        "epochs",
        "fits",
        "heard_events",
        "links",
        "loads",
        "messages",
        "meta",
        "night_shards",
        "nights",
        "outgoing",
        "overrides",
        "plans",
        "preferences",
        "quarantine",
        "receipts",
        "reviews",
        "signs_of_life",
        "spending",
        "steps",
        "suppressions",
        "switches",
        "visits",
        "webhook_calls",
    ]
