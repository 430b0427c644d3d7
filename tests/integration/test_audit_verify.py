"""`winback audit verify` and `winback db adopt`, as a person runs them."""

from __future__ import annotations

import sqlite3

import pytest
from night_world import Shop


@pytest.fixture
def shop(tmp_path) -> Shop:
    shop = Shop(tmp_path / "shop")
    shop.do("stop", "--reason", "lunch")
    shop.do("resume", "--reason", "over")
    return shop


def test_a_whole_log_says_so_and_its_hash(shop):
    told = shop.do("audit", "verify", "--json").data
    assert (told["ok"], told["lines"], told["broken"], len(told["head"])) == (True, 2, None, 64)


def test_a_changed_line_is_named_and_the_command_fails(shop):
    with sqlite3.connect(shop.root / "var" / "winback.db") as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE id = 2")
    connection.close()
    told = shop.do("audit", "verify", "--json", code=1).data
    assert (told["ok"], told["lines"], told["broken"]) == (False, 1, 2)
    assert "line 2" in shop.do("audit", "verify", code=1).err


def test_adopting_needs_a_reason_and_is_in_the_log(shop):
    assert "--reason" in shop.do("db", "adopt", code=2).err
    assert shop.do("db", "adopt", "--reason", "restored", "--json").data["epoch"] == 1
    assert shop.do("audit", "verify", "--json").data["lines"] == 3
