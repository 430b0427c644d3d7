"""Opening, versions, transactions and locks: the same on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import databases
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.schema import CreateTable

from winback.errors import GuardRefused, MigrationNeeded, SettingsError, StoreBusy, StoreUnavailable
from winback.ledger import migrations, schema
from winback.ledger.control_tables import meta
from winback.ledger.engine import check, open_ledger, upgrade
from winback.ledger.night_tables import nights, overrides

PEPPER = databases.PEPPER
ROW = {"key": "a", "value": "b"}


def _execute(url: str, *statements: str) -> None:
    with open_ledger(url, pepper=None) as ledger, ledger.writing() as connection:
        for statement in statements:
            connection.execute(text(statement))


# --- opening -----------------------------------------------------------------------------------------------------


def test_a_new_database_gets_its_tables(empty_url):
    with open_ledger(empty_url, pepper=PEPPER, create=True) as ledger, ledger.reading() as connection:
        assert set(schema.METADATA.tables) <= set(inspect(connection).get_table_names())


def test_without_create_nothing_is_made(empty_url, backend):
    expected = StoreUnavailable if backend == "sqlite" else MigrationNeeded
    with pytest.raises(expected, match="winback db upgrade"):
        open_ledger(empty_url, pepper=PEPPER)


def test_the_sqlite_file_is_its_owners_only(tmp_path):
    file = tmp_path / "var" / "winback.db"
    with open_ledger(f"sqlite:///{file}", pepper=PEPPER, create=True) as ledger:
        with ledger.writing() as connection:
            connection.execute(meta.insert().values(**ROW))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert set(modes) >= {"winback.db", "winback.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_folder_that_was_there_keeps_its_mode_and_the_file_is_closed_to_others(tmp_path):
    tmp_path.chmod(0o755)
    file = tmp_path / "winback.db"
    upgrade(f"sqlite:///{file}")
    file.chmod(0o644)
    open_ledger(f"sqlite:///{file}", pepper=None).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_sqlite_commits_are_on_disk_and_readers_never_wait(tmp_path):
    with (
        open_ledger(f"sqlite:///{tmp_path / 'w.db'}", pepper=None, create=True) as ledger,
        ledger.reading() as connection,
    ):
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "forgets"),
        ("sqlite:///:memory:", "forgets"),
        ("mysql://root:secret@localhost/shop", "unknown kind of database"),
        ("not a url", "not a database URL"),
        ("", "not a database URL"),
    ],
)
def test_a_url_that_cannot_be_meant_is_a_settings_error(url, said):
    with pytest.raises(SettingsError, match=said) as caught:
        open_ledger(url, pepper=PEPPER)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    file = tmp_path / "winback.db"
    file.write_text("customer_id,email\n" * 500)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_ledger(f"sqlite:///{file}", pepper=PEPPER)


def test_a_damaged_database_is_unavailable_and_check_or_open_says_so(tmp_path):
    file = tmp_path / "winback.db"
    upgrade(f"sqlite:///{file}")
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 8] = os.urandom(4096 * 7)
    file.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="malformed"):
        check(f"sqlite:///{file}")


def test_a_server_that_does_not_answer_is_unavailable_and_no_password_is_shown():
    with pytest.raises(StoreUnavailable) as caught:
        open_ledger("postgresql+psycopg://winback:hunter2@/shop?host=/nonexistent", pepper=PEPPER)
    assert "hunter2" not in str(caught.value)
    assert "cannot be used" in str(caught.value)


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "var").write_text("a file where a folder is wanted")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        open_ledger(f"sqlite:///{tmp_path / 'var' / 'w.db'}", pepper=PEPPER, create=True)


# --- versions ----------------------------------------------------------------------------------------------------


def test_the_programs_revision_is_the_head_of_the_migrations():
    assert ScriptDirectory.from_config(migrations.configuration()).get_heads() == [schema.REVISION]


def test_the_migrations_make_what_the_schema_says(empty_url):
    upgrade(empty_url)
    assert check(empty_url) == (schema.REVISION, schema.REVISION, ())


def _shape(connection) -> dict[str, object]:
    """Everything a database says about our tables, down to the order of columns and keys."""
    inspector = inspect(connection)
    shape: dict[str, object] = {}
    for name in sorted(schema.METADATA.tables):
        shape[name] = (
            [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted((one["name"], one["column_names"]) for one in inspector.get_unique_constraints(name)),
            sorted(
                (
                    one["name"],
                    one["column_names"],
                    one["unique"],
                    str(one["dialect_options"].get("sqlite_where", one["dialect_options"].get("postgresql_where"))),
                )
                for one in inspector.get_indexes(name)
            ),
            [(one["constrained_columns"], one["referred_table"]) for one in inspector.get_foreign_keys(name)],
        )
    return shape


def test_the_migrated_tables_equal_tables_made_from_the_schema(ledger, backend, request, tmp_path):
    with ledger.reading() as connection:
        migrated = _shape(connection)
        query = text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'")
        without_rowid = set(connection.scalars(query)) if backend == "sqlite" else set()
    if backend == "sqlite":
        # Whether a table has row ids is not among the things an inspector tells. The long rows of decisions have one.
        made = {name: str(CreateTable(table).compile(ledger.engine)) for name, table in schema.METADATA.tables.items()}
        assert without_rowid == {name for name, statement in made.items() if "WITHOUT ROWID" in statement}
        assert {"consents", "steps"} <= without_rowid
        assert "decisions" not in without_rowid
    with _plain_engine(backend, request, tmp_path) as engine, engine.begin() as connection:
        schema.METADATA.create_all(connection)
        assert _shape(connection) == migrated


@contextmanager
def _plain_engine(backend, request, tmp_path):
    """An engine of SQLAlchemy's own making on an empty database."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'plain.db'}"
        if backend == "postgresql":
            url = stack.enter_context(databases.postgres_database(request.getfixturevalue("postgres_server")))
        engine = create_engine(url)
        stack.callback(engine.dispose)
        yield engine


def test_upgrade_twice_changes_nothing(database_url):
    _execute(database_url, "INSERT INTO meta (key, value) VALUES ('kept', 'yes')")
    assert upgrade(database_url) == schema.REVISION
    with open_ledger(database_url, pepper=None) as ledger, ledger.reading() as connection:
        assert connection.scalar(select(meta.c.value)) == "yes"


@pytest.mark.parametrize(("revision", "advice"), [("0000", "run `winback db upgrade`"), ("9999", "install the newer")])
def test_another_version_is_refused_even_with_create(own_database_url, revision, advice):
    _execute(own_database_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'")
    with pytest.raises(MigrationNeeded, match=advice):
        open_ledger(own_database_url, pepper=PEPPER, create=True)


def test_a_database_with_other_peoples_tables_is_refused(empty_url, backend):
    statement = "CREATE TABLE messages (id integer)"
    if backend == "sqlite":
        file = Path(empty_url.removeprefix("sqlite:///"))
        file.parent.mkdir()
        connection = sqlite3.connect(file)
        connection.execute(statement)
        connection.close()
    else:
        databases._administer(empty_url, statement)
    with pytest.raises(StoreUnavailable, match="not winback's"):
        open_ledger(empty_url, pepper=PEPPER, create=True)


def test_check_names_what_is_missing(own_database_url):
    _execute(own_database_url, "DROP INDEX ix_messages_due")
    assert "ix_messages_due" in " ".join(check(own_database_url).problems)


def test_check_of_an_empty_database_finds_no_revision(empty_url, backend):
    if backend == "sqlite":
        Path(empty_url.removeprefix("sqlite:///")).parent.mkdir()
        Path(empty_url.removeprefix("sqlite:///")).touch()
    assert check(empty_url).revision is None


def test_two_programs_may_make_the_tables_at_once(empty_url):
    program = (
        "import sys; from winback.ledger.engine import open_ledger; "
        "open_ledger(sys.argv[1], pepper=b'p', create=True).close()"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, empty_url], stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said


# --- the pepper --------------------------------------------------------------------------------------------------


def test_another_pepper_is_refused_because_no_refusal_would_match(database_url):
    open_ledger(database_url, pepper=PEPPER).close()
    with pytest.raises(GuardRefused, match="WINBACK_PEPPER"):
        open_ledger(database_url, pepper=b"another")
    open_ledger(database_url, pepper=PEPPER).close()


def test_the_pepper_itself_is_not_stored(ledger):
    with ledger.reading() as connection:
        assert PEPPER.decode() not in str(connection.execute(select(meta)).all())


def test_without_a_pepper_reading_works_and_hashing_says_what_to_set(database_url):
    with open_ledger(database_url, pepper=None) as ledger, pytest.raises(SettingsError, match="WINBACK_PEPPER"):
        _ = ledger.pepper


# --- transactions ------------------------------------------------------------------------------------------------


def test_a_transaction_is_kept_whole_or_not_at_all(ledger):
    def fail_halfway() -> None:
        with ledger.writing() as connection:
            connection.execute(meta.insert().values(**ROW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with ledger.reading() as connection:
        assert connection.scalar(select(meta.c.value).where(meta.c.key == "a")) is None


def test_reading_cannot_write(ledger):
    with pytest.raises((StoreUnavailable, InternalError)), ledger.reading() as connection:
        connection.execute(meta.insert().values(**ROW))
    with ledger.writing() as connection:  # and the connection is fit for writing again
        connection.execute(meta.insert().values(**ROW))


def test_glancing_cannot_write(ledger):
    with pytest.raises((StoreUnavailable, InternalError)), ledger.glancing() as connection:
        connection.execute(meta.insert().values(**ROW))


def test_a_glance_sees_what_was_committed_before_it_and_waits_for_no_writer(ledger):
    def glance(seen):
        with ledger.glancing() as connection:
            seen.append(connection.scalar(select(meta.c.value).where(meta.c.key == "a")))

    seen = []
    with ledger.writing() as writer:
        writer.execute(meta.insert().values(**ROW))
        # Two in one thread: on SQLite they share a connection, and none may hold an old state open.
        glance(seen)
        glance(seen)
    glance(seen)
    other = threading.Thread(target=glance, args=(seen,))
    other.start()
    other.join(30)
    assert seen == [None, None, "b", "b"]


def test_reading_does_not_wait_for_a_writer_and_sees_one_state(ledger):
    query = select(meta.c.value).where(meta.c.key == "a")
    with ledger.reading() as reader:
        assert reader.scalar(query) is None
        with ledger.writing() as writer:
            writer.execute(meta.insert().values(**ROW))
            with ledger.reading() as other:
                assert other.scalar(query) is None
        assert reader.scalar(query) is None
    with ledger.reading() as reader:
        assert reader.scalar(query) == "b"


def test_sqlite_writers_take_turns(tmp_path):
    """Two read-then-write transactions at once: without a lock at BEGIN one of them would fail or lose its write."""
    with open_ledger(f"sqlite:///{tmp_path / 'w.db'}", pepper=None, create=True) as ledger:
        with ledger.writing() as connection:
            connection.execute(meta.insert().values(key="n", value="0"))

        def add_one() -> None:
            for _ in range(20):
                with ledger.writing() as connection:
                    now = int(connection.scalar(select(meta.c.value)))
                    time.sleep(0.001)
                    connection.execute(meta.update().values(value=str(now + 1)))

        threads = [threading.Thread(target=add_one) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ledger.reading() as connection:
            assert connection.scalar(select(meta.c.value)) == "60"


def test_a_locked_database_is_busy_not_broken(tmp_path):
    url = f"sqlite:///{tmp_path / 'w.db'}"
    with (
        open_ledger(url, pepper=None, create=True) as first,
        open_ledger(url, pepper=None) as second,
        first.writing(),
        second.engine.connect() as connection,
    ):
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
        connection.close()
        with pytest.raises(StoreBusy, match="another process"), second.writing():
            pytest.fail("two writers at once")


def test_errors_never_show_values(ledger):
    with ledger.writing() as connection:
        connection.execute(meta.insert().values(**ROW))
    with pytest.raises(DBAPIError) as caught, ledger.writing() as connection:
        connection.execute(meta.insert().values(key="a", value="jane@example.com"))
    assert "jane@example.com" not in str(caught.value)


# --- instants ----------------------------------------------------------------------------------------------------


def test_instants_come_back_aware_utc_whatever_zone_they_were_given_in(ledger):
    paris = timezone(timedelta(hours=2))
    given = datetime(2026, 7, 1, 1, 30, 0, 123456, tzinfo=paris)
    with ledger.writing() as connection:
        values = {"as_of": date(2026, 7, 1), "plan_hash": "p", "run_id": "r", "started_at": given}
        connection.execute(nights.insert().values(**values))
    with ledger.reading() as connection:
        stored = connection.scalar(select(nights.c.started_at))
        assert connection.scalar(select(nights.c.run_id).where(nights.c.started_at == given)) == "r"
    assert stored == given
    assert stored.utcoffset() == timedelta(0)
    assert stored.tzinfo == UTC


def test_a_naive_instant_is_refused(ledger):
    with pytest.raises(Exception, match="naive"), ledger.writing() as connection:
        connection.execute(
            overrides.insert().values(
                source="s",
                as_of=date(2026, 1, 1),
                kind="k",
                by="me",
                at=datetime.fromisoformat("2026-01-01"),
                reason="r",
            )
        )


# --- locks -------------------------------------------------------------------------------------------------------


def test_only_one_holds_a_lock(ledger):
    with ledger.lock("night"):
        assert ledger.is_locked("night")
        assert not ledger.is_locked("other")
        with pytest.raises(StoreBusy, match="night"), ledger.lock("night"):
            pytest.fail("two holders")
        with ledger.lock("other"):
            pass
    assert not ledger.is_locked("night")
    with ledger.lock("night"):
        pass


def test_a_lock_ends_with_its_process_however_it_ends(ledger, database_url):
    program = (
        "import sys, time; from winback.ledger.engine import open_ledger\n"
        "ledger = open_ledger(sys.argv[1], pepper=None)\n"
        "with ledger.lock('sender-1'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, database_url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert ledger.is_locked("sender-1")
        holder.kill()
        holder.wait()
    deadline = time.monotonic() + 5
    while ledger.is_locked("sender-1") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not ledger.is_locked("sender-1")


def test_a_locks_name_cannot_leave_the_folder(tmp_path):
    with (
        open_ledger(f"sqlite:///{tmp_path / 'w.db'}", pepper=None, create=True) as ledger,
        pytest.raises(ValueError, match="a lock's name"),
        ledger.lock("../../etc/passwd"),
    ):
        pass


def test_a_lock_that_cannot_be_made_is_a_store_that_cannot_be_used(tmp_path):
    (tmp_path / "w.db.sender-1.lock").mkdir()
    with (
        open_ledger(f"sqlite:///{tmp_path / 'w.db'}", pepper=None, create=True) as ledger,
        pytest.raises(StoreUnavailable, match="cannot be made"),
        ledger.lock("sender-1"),
    ):
        pass


# --- what a sender may import ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["engine", "schema", "queue", "refusals", "switches", "diary", "parameters", "receipts", "epochs"]
)
def test_the_senders_modules_import_neither_pandas_nor_prefect(module):
    program = (
        f"import sys, winback.ledger.{module}; "
        "print([name for name in ('pandas', 'numpy', 'pyarrow', 'prefect', 'alembic') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
