"""Sources that are queries: read only, in time, and only what is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy
from sync_world import DAY, Shop


@pytest.fixture
def shop(tmp_path, ledger):
    root = tmp_path / "project"
    root.mkdir()
    return Shop(root, ledger)


@pytest.fixture
def erp(shop, empty_url, tmp_path, backend):
    url = f"sqlite:///{tmp_path / 'erp.db'}" if backend == "sqlite" else empty_url
    engine = sqlalchemy.create_engine(url)
    kind = "text" if backend == "sqlite" else "timestamptz"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE sales (who integer, at {kind}, number integer, paid numeric(10, 2))")
    shop.environment["ERP_URL"] = url
    query = (
        "select who as customer_id, at as occurred_at, number as event_id, paid as amount from sales where at >= :since"
    )
    shop.sources["events"] = [
        {"name": "erp", "kind": "sql", "url_env": "ERP_URL", "query": query, "behaviour": "purchase"}
    ]
    shop.sources["events"][0]["timezone"] = "UTC"

    def insert(*rows):
        with engine.begin() as connection:
            for who, at, number, paid in rows:
                moment = at if backend == "sqlite" else f"{at}+00"
                connection.exec_driver_sql(f"INSERT INTO sales VALUES ({who}, '{moment}', {number}, {paid})")

    yield insert
    engine.dispose()


def test_a_query_is_asked_for_what_is_new(shop, erp):
    erp(*[(n % 5, f"2026-11-{n % 20 + 1:02d} 10:00:00", n, 9.99) for n in range(40)])
    found, _ = shop.night(DAY)
    assert (found["erp"].read, found["erp"].new, found["erp"].held) == (40, 40, None)
    assert found["erp"].max_occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert (shop.night(DAY)[0]["erp"].read, shop.night(DAY)[0]["erp"].new) == (40, 0)
    erp((1, "2026-11-21 18:00:00", 100, 5), (2, "2026-10-01 09:00:00", 101, 5))
    day = DAY + timedelta(days=1)
    found, _ = shop.night(day)
    assert (found["erp"].new, found["erp"].counts["duplicates"]) == (1, 2)  # the two of the last instant came again
    assert shop.night(day)[0]["erp"].read == found["erp"].read
    assert shop.night(day)[0]["erp"].new == 0


@pytest.mark.parametrize(
    ("query", "held"),
    [
        ("delete from sales", "malformed"),
        ("select 1; drop table sales", "malformed"),
        ("select who as customer_id from sales", "malformed"),
        ("select nothing from nowhere", "malformed"),
        ("select who as customer_id, at as occurred_at from sales where false", "empty"),
    ],
)
def test_a_query_that_is_wrong_holds_the_source(shop, erp, query, held):
    erp((1, "2026-11-20 18:00:00", 1, 5))
    shop.sources["events"][0]["query"] = query
    found, _ = shop.night()
    assert found["erp"].held == held
    assert shop.events() == 0


@pytest.mark.usefixtures("erp")
def test_a_database_that_cannot_be_reached_is_unavailable_and_its_password_is_not_told(shop):
    word = "hunter2"
    for url, words in [
        ("", "ERP_URL"),
        ("no url", "URL"),
        (f"sqlite:///{shop.root}/missing.db", "unable to open"),
        (f"postgresql+psycopg://me:{word}@/shop?host={shop.root}", "did not answer"),
        (f"nosuchdialect://me:{word}@host/shop", "URL"),
    ]:
        shop.environment["ERP_URL"] = url
        found, _ = shop.night()
        assert found["erp"].held == "unavailable", url
        assert words in found["erp"].detail
        assert word not in found["erp"].detail
    assert not (shop.root / "missing.db").exists()


@pytest.mark.usefixtures("erp")
def test_a_query_that_runs_too_long_is_given_up(shop, backend):
    slow = {
        "sqlite": "with recursive n(x) as (select 1 union all select x + 1 from n) "
        "select x as customer_id, 1 as occurred_at from n where x < 0",
        "postgresql": "select pg_sleep(20) as customer_id, now() as occurred_at",
    }
    shop.sources["events"][0] |= {"query": slow[backend], "statement_timeout_seconds": 1}
    found, _ = shop.night()
    assert found["erp"].held == "unavailable"


def test_a_query_can_read_and_nothing_else(shop, erp, backend):
    erp((1, "2026-11-20 18:00:00", 1, 5))
    writes = {
        "sqlite": "with a as (select 1) insert into sales select 1, '2026-11-20 10:00:00', 7, 1 from a "
        "returning who as customer_id, at as occurred_at",
        "postgresql": "with gone as (delete from sales returning *) "
        "select who as customer_id, at as occurred_at from gone",
    }
    shop.sources["events"][0]["query"] = writes[backend]
    found, _ = shop.night()
    assert found["erp"].held in {"malformed", "unavailable"}
    shop.sources["events"][0]["query"] = "select who as customer_id, at as occurred_at from sales"
    assert shop.night()[0]["erp"].new == 1
