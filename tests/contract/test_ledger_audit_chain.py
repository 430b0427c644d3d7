"""The chain of the audit log: whatever is done to a line, verify names it; and the upgrade that chains old ones."""

from __future__ import annotations

import threading
import tracemalloc
from datetime import timedelta

import ledger_rows as rows
import pytest
from alembic import command
from sqlalchemy import func, inspect, select, text

from winback.errors import MigrationNeeded, StoreUnavailable
from winback.ledger import diary, migrations, schema
from winback.ledger.connections import make_engine
from winback.ledger.control_tables import audit
from winback.ledger.engine import Ledger, check, open_ledger, upgrade
from winback.ledger.message_tables import attempts, messages

PEPPER, NOW = rows.PEPPER, rows.NOW


def _write(ledger, *subjects: str) -> None:
    with ledger.writing() as connection:
        for place, subject in enumerate(subjects):
            at = NOW + timedelta(microseconds=place)
            diary.record(connection, at=at, actor="ann", action="stop", subject=subject, after={"n": "é\U0001f600"})


def _verify(ledger) -> diary.Chain:
    with ledger.reading() as connection:
        return diary.verify(connection)


def _force(ledger, *statements: str) -> None:
    """Do what the database refuses, as somebody with its password can."""
    off = (
        ("DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete")
        if ledger.is_sqlite
        else ("ALTER TABLE audit DISABLE TRIGGER USER",)
    )
    with ledger.writing() as connection:
        for statement in (*off, *statements):
            connection.execute(text(statement))
        if not ledger.is_sqlite:
            connection.execute(text("ALTER TABLE audit ENABLE TRIGGER USER"))


def _ids(ledger) -> list[int]:
    with ledger.reading() as connection:
        return list(connection.scalars(select(audit.c.id).order_by(audit.c.id)))


def test_an_empty_log_holds(ledger):
    assert _verify(ledger) == (0, "", None)


def test_what_was_only_added_to_holds(ledger):
    _write(ledger, "a", "b")
    _write(ledger, "c")
    chain = _verify(ledger)
    assert (chain.lines, chain.broken, len(chain.head)) == (3, None, 64)


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'bob'",
        "action = 'resume'",
        "subject = 'x'",
        "before = '{}'",
        "after = NULL",
        "at = (SELECT min(at) FROM audit)",
        "line_hash = NULL",
        "line_hash = '0' || substr(line_hash, 1, 63)",
    ],
)
def test_a_changed_line_is_named(ledger, change):
    _write(ledger, "a", "b", "c", "d")
    third = _ids(ledger)[2]
    _force(ledger, f"UPDATE audit SET {change} WHERE id = {third}")
    chain = _verify(ledger)
    assert (chain.broken, chain.lines) == (third, 2)


@pytest.mark.parametrize(("gone", "named"), [(0, 1), (1, 2), (2, 3)])
def test_a_missing_line_is_named_by_the_one_after_it(ledger, gone, named):
    _write(ledger, "a", "b", "c", "d")
    ids = _ids(ledger)
    _force(ledger, f"DELETE FROM audit WHERE id = {ids[gone]}")
    assert _verify(ledger).broken == ids[named]


@pytest.mark.parametrize("kept", [3, 1, 0])
def test_lines_missing_at_the_end_are_noticed(ledger, kept):
    _write(ledger, "a", "b", "c", "d")
    ids = _ids(ledger)
    _force(ledger, f"DELETE FROM audit WHERE id >= {ids[kept]}")
    assert _verify(ledger).broken == (ids[kept] if kept else 1)
    _write(ledger, "e")
    assert _verify(ledger).broken is not None, "whatever is written later does not hide it"


def test_a_line_put_in_between_and_two_lines_changed_over_are_named(ledger):
    _write(ledger, "a", "b", "c")
    ids = _ids(ledger)
    _force(ledger, f"UPDATE audit SET id = {ids[2] + 100} WHERE id = {ids[0]}")
    assert _verify(ledger).broken == ids[1]


def test_a_whole_log_that_is_thrown_away_is_noticed(ledger):
    _write(ledger, "a")
    _force(ledger, "DELETE FROM audit")
    assert _verify(ledger).broken == 1


def test_two_writers_cannot_fork_the_chain(ledger):
    def write(name: str) -> None:
        for number in range(15):
            _write(ledger, f"{name}-{number}", f"{name}-{number}-again")

    threads = [threading.Thread(target=write, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (_verify(ledger).lines, _verify(ledger).broken) == (120, None)


def test_a_line_of_a_transaction_that_is_rolled_back_leaves_no_gap(ledger):
    def fail() -> None:
        with ledger.writing() as connection:
            diary.record(connection, at=NOW, actor="ann", action="stop", subject="never")
            raise RuntimeError

    _write(ledger, "a")
    with pytest.raises(RuntimeError):
        fail()
    _write(ledger, "b")
    assert (_verify(ledger).lines, _verify(ledger).broken) == (2, None)


def test_verifying_takes_no_more_memory_for_more_lines(ledger):
    def peak() -> int:
        tracemalloc.start()
        _verify(ledger)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    _write(ledger, *map(str, range(2000)))
    peak()
    few = peak()
    _write(ledger, *map(str, range(4000)))
    assert peak() < few * 1.5


# --- from the version before ---------------------------------------------------------------------------------------


@pytest.fixture
def old(empty_url):
    """A database as the first version left it, with a message, an attempt and a long log."""
    ledger = Ledger(make_engine(empty_url, create=True), pepper=None)
    with ledger.writing() as connection:
        command.upgrade(migrations.configuration(connection), "0001")
        instants = dict.fromkeys(("not_before_at", "expires_at", "planned_at", "accepted_at"), NOW)
        days = {"as_of": rows.NIGHT, "local_day": rows.NIGHT}
        words = dict.fromkeys(("template", "template_hash", "policy_hash", "plan_hash", "programme"), "x")
        message = {"message_id": "m", "customer_id": "a", "cycle": 1, "step": 1, "channel": "email", "bucket": 7}
        connection.execute(
            messages.insert().values(**message, **words, **days, **instants, state="accepted", attempts=1)
        )
        attempt = {"message_id": "m", "attempt_no": 1, "owner": "s", "started_at": NOW}
        connection.execute(attempts.insert().values(**attempt))
        lines = [
            {"at": NOW, "actor": "ann", "action": "stop", "subject": str(n), "before": None, "after": '{"n": "é"}'}
            for n in range(2500)
        ]
        connection.execute(audit.insert(), lines)
    yield ledger
    ledger.close()


def test_an_old_database_asks_for_the_upgrade_and_keeps_everything(old, empty_url):
    with pytest.raises(MigrationNeeded, match="winback db upgrade"):
        open_ledger(empty_url, pepper=PEPPER, create=True)
    assert upgrade(empty_url) == schema.REVISION
    assert check(empty_url) == (schema.REVISION, schema.REVISION, ())
    with old.reading() as connection:
        (message,) = connection.execute(select(messages)).mappings()
        assert (message["state"], message["accepted_at"], message["progress"]) == ("accepted", NOW, None)
        assert connection.scalar(select(func.count()).select_from(attempts)) == 1


def test_the_lines_of_an_old_log_are_chained_and_the_chain_goes_on(old, empty_url):
    upgrade(empty_url)
    assert (_verify(old).lines, _verify(old).broken) == (2500, None)
    _write(old, "new")
    assert (_verify(old).lines, _verify(old).broken) == (2501, None)


def test_after_the_upgrade_no_line_can_be_changed(old, empty_url):
    upgrade(empty_url)
    for statement in ("UPDATE audit SET actor = 'bob'", "DELETE FROM audit"):
        with pytest.raises(Exception, match="only ever added to"), old.writing() as connection:
            connection.execute(text(statement))


def test_an_upgrade_that_fails_leaves_the_old_version_whole(old, empty_url):
    with old.writing() as connection:
        connection.execute(text("CREATE TABLE epochs (id integer)"))
    with pytest.raises(Exception, match="epochs"):
        upgrade(empty_url)
    with old.reading() as connection:
        assert "receipts" not in inspect(connection).get_table_names()
        assert "line_hash" not in {column["name"] for column in inspect(connection).get_columns("audit")}


def test_an_upgrade_that_finds_rows_of_nobody_changes_nothing(old, empty_url):
    """SQLite is not asked while its tables are copied, so it is asked at the end."""
    if not old.is_sqlite:
        pytest.skip("PostgreSQL copies no table and asks all the time: such a row cannot be there")
    with old.engine.connect() as connection:
        connection.execution_options(winback_writing=True, winback_rebuilding=True)
        connection.execute(text("UPDATE attempts SET message_id = 'gone'"))
        connection.commit()
    with pytest.raises(StoreUnavailable, match="rows of attempts belong to rows that are not there"):
        upgrade(empty_url)
    with old.reading() as connection:
        assert "receipts" not in inspect(connection).get_table_names()
