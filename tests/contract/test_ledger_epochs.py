"""A backup that was put back forgets what was sent: it is recognised, and refused until a person adopts it."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import ledger_rows as rows
import pytest
from sqlalchemy import select

from winback.errors import GuardRefused, StoreUnavailable, UsageError
from winback.ledger import control_tables, diary, epochs
from winback.ledger.engine import open_ledger

if TYPE_CHECKING:
    from pathlib import Path

PEPPER, NOW = rows.PEPPER, rows.NOW
FIRST = {"counter": 1, "token": "t"}


@pytest.fixture
def twin(ledger, tmp_path) -> Path:
    return epochs.twin_file(ledger, tmp_path)


def _open(ledger, twin, by: str = "s1") -> epochs.Epoch:
    return epochs.open_for_sending(ledger, twin, now=NOW, by=by)


def _adopt(ledger, twin, reason: str = "restored, reconciled") -> epochs.Epoch:
    return epochs.adopt(ledger, twin, reason=reason, actor="cli:ann", now=NOW)


def _seen(ledger) -> list[tuple[int, str]]:
    with ledger.reading() as connection:
        query = select(control_tables.epochs.c.counter, control_tables.epochs.c.token).order_by(
            control_tables.epochs.c.counter
        )
        return [tuple(row) for row in connection.execute(query)]


def _put_back(ledger, seen: list[tuple[int, str]]) -> None:
    """Make the database know no more epochs than a backup did."""
    with ledger.writing() as connection:
        connection.execute(control_tables.epochs.delete())
        if seen:
            rows_of = [
                {"counter": number, "token": token, "opened_at": NOW, "opened_by": "s"} for number, token in seen
            ]
            connection.execute(control_tables.epochs.insert(), rows_of)


def test_each_opening_is_a_new_epoch_in_both_places(ledger, twin):
    opened = [_open(ledger, twin) for _ in range(3)]
    assert [epoch.counter for epoch in opened] == [1, 2, 3]
    assert len({epoch.token for epoch in opened}) == 3
    assert _seen(ledger) == opened
    assert json.loads(twin.read_text()) == opened[-1]._asdict()
    assert stat.S_IMODE(twin.stat().st_mode) == 0o600


def test_the_twin_lies_beside_the_file_or_in_var(ledger, tmp_path, backend):
    expected = {"sqlite": tmp_path / "var" / "winback.db.epoch", "postgresql": tmp_path / "postgresql.epoch"}
    assert epochs.twin_file(ledger, tmp_path) == expected[backend]


def test_an_older_copy_is_refused_and_nothing_is_written(ledger, twin):
    _open(ledger, twin)
    backup = _seen(ledger)
    _open(ledger, twin)
    _put_back(ledger, backup)
    before = twin.read_text()
    for _ in range(2):
        with pytest.raises(GuardRefused, match="winback db adopt") as refused:
            _open(ledger, twin)
    assert refused.value.exit_code == 4
    assert "epoch 1" in str(refused.value)
    assert (_seen(ledger), twin.read_text()) == (backup, before)


def test_a_database_of_another_line_is_refused_although_its_number_is_higher(ledger, twin):
    _open(ledger, twin)
    _put_back(ledger, [(number, f"other-{number}") for number in range(1, 9)])
    with pytest.raises(GuardRefused, match="not the database that sent last"):
        _open(ledger, twin)


def test_an_empty_database_beside_a_twin_is_refused(ledger, twin):
    _open(ledger, twin)
    _put_back(ledger, [])
    with pytest.raises(GuardRefused, match="no epoch"):
        _open(ledger, twin)


def test_a_backup_on_a_new_machine_has_no_twin_and_is_refused(ledger, twin):
    _open(ledger, twin)
    twin.unlink()
    with pytest.raises(GuardRefused, match="missing"):
        _open(ledger, twin)


def test_a_file_copied_back_over_a_newer_one_is_refused(tmp_path):
    """The whole story on a real file: copy, send, copy back."""
    file = tmp_path / "winback.db"
    with open_ledger(f"sqlite:///{file}", pepper=PEPPER, create=True) as ledger:
        twin = epochs.twin_file(ledger, tmp_path)
        _open(ledger, twin)
    shutil.copy(file, tmp_path / "backup.db")
    with open_ledger(f"sqlite:///{file}", pepper=PEPPER) as ledger:
        _open(ledger, twin)
    for left in tmp_path.glob("winback.db-*"):
        left.unlink()
    shutil.copy(tmp_path / "backup.db", file)
    with open_ledger(f"sqlite:///{file}", pepper=PEPPER) as ledger:
        with pytest.raises(GuardRefused, match="not the database that sent last"):
            _open(ledger, twin)
        _adopt(ledger, twin)
        assert _open(ledger, twin).counter == 4


def test_a_crash_between_the_two_writes_is_no_restored_backup(ledger, twin):
    _open(ledger, twin)
    before = twin.read_text()
    _open(ledger, twin)
    twin.write_text(before)  # the database is written first
    assert _open(ledger, twin).counter == 3


def test_a_crash_before_the_very_first_twin_harms_nobody(ledger, twin):
    with ledger.writing() as connection:
        connection.execute(control_tables.epochs.insert().values(**{**FIRST, "opened_at": NOW, "opened_by": "s"}))
    assert _open(ledger, twin).counter == 2
    twin.unlink()
    with pytest.raises(GuardRefused, match="missing"):
        _open(ledger, twin)


def test_another_host_with_a_twin_of_its_own_may_lag_behind(ledger, tmp_path):
    here, there = tmp_path / "here.epoch", tmp_path / "there.epoch"
    _open(ledger, here)
    shutil.copy(here, there)
    for _ in range(3):
        _open(ledger, there)
    assert _open(ledger, here).counter == 5


def test_many_openings_at_once_all_get_an_epoch_and_the_twin_keeps_the_newest(ledger, twin):
    opened: list[int] = []

    def begin(name: str) -> None:
        opened.extend(_open(ledger, twin, name).counter for _ in range(5))

    _open(ledger, twin)
    threads = [threading.Thread(target=begin, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(opened) == list(range(2, 22))
    assert json.loads(twin.read_text())["counter"] == 21


def test_a_slower_sender_does_not_put_its_older_epoch_over_a_newer_one(ledger, twin):
    first, second = _open(ledger, twin), _open(ledger, twin)
    epochs._write(twin, first)
    assert json.loads(twin.read_text()) == second._asdict()


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"counter": "x", "token": "t"}', '{"counter": 1}'])
def test_a_damaged_twin_is_refused_and_a_person_mends_it(ledger, twin, content):
    _open(ledger, twin)
    twin.write_text(content)
    with pytest.raises(GuardRefused, match="damaged"):
        _open(ledger, twin)
    _adopt(ledger, twin)
    assert _open(ledger, twin).counter == 3


def test_a_twin_that_cannot_be_written_stops_everything(ledger, tmp_path):
    twin = tmp_path / "twin.epoch"
    twin.with_name("twin.epoch.part").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        _open(ledger, twin)


def test_a_twin_that_cannot_be_read_stops_everything(ledger, twin):
    twin.mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        _open(ledger, twin)


def test_a_person_adopts_and_it_stands_in_the_audit_log(ledger, twin):
    _open(ledger, twin)
    backup = _seen(ledger)
    for _ in range(5):
        _open(ledger, twin)
    _put_back(ledger, backup)
    assert _adopt(ledger, twin).counter == 7, "above everything that either of the two has seen"
    assert _open(ledger, twin).counter == 8
    with ledger.reading() as connection:
        (line,) = diary.read_entries(connection)
    assert (line.actor, line.action, json.loads(line.before)) == ("cli:ann", "adopt", {"epoch": 1})
    assert json.loads(line.after) == {"epoch": 7, "twin": 6, "reason": "restored, reconciled"}


def test_without_a_reason_nothing_is_adopted(ledger, twin):
    with pytest.raises(UsageError, match="--reason"):
        _adopt(ledger, twin, reason="  ")
    assert _seen(ledger) == []


def test_time_plays_no_part(ledger, twin):
    _open(ledger, twin)
    assert epochs.open_for_sending(ledger, twin, now=NOW - timedelta(days=400), by="s").counter == 2
