"""Who answered or came back has their cycle closed by the settlement, on the day of the first night still to begin."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import ledger_rows as rows
import pytest
from sqlalchemy import select

from winback.ledger import cycles, engagements, links, outgoing, queue, returns, signs_of_life
from winback.ledger.night_tables import cycles as stored
from winback.ledger.outgoing_tables import outgoing as told
from winback.ledger.public_tables import engagements as acts
from winback.ledger.returns import Returning
from winback.ledger.signs_of_life import Sign
from winback.night.settle import settle

NIGHT, NOW = rows.NIGHT, rows.NOW
NEXT = NIGHT + timedelta(days=1)
HOUR = timedelta(hours=1)
RETURNING = Returning({"winback": {"purchase"}}, ZoneInfo("Europe/Paris"))


@pytest.fixture
def shop(ledger):
    """Three people with an open cycle since the 1st of March."""
    rows.populate(ledger, "ann", "bob", "cy")
    return ledger


def _answer(ledger, customer: str, *, at=NOW) -> None:
    with ledger.writing() as connection:
        message = queue.list_messages(connection, customer_id=customer)[0]["message_id"]
        engagements.record(connection, links.find_message(connection, message), "survey", detail={}, now=at)


def _sign(ledger, customer: str, behaviour: str, *, at=NOW) -> None:
    with ledger.writing() as connection:
        signs_of_life.note_signs(connection, [Sign(customer, behaviour, at, at)])


def _begin(ledger, night: date) -> None:
    with ledger.writing() as connection:
        cycles.begin_night(connection, as_of=night, plan_hash="p", run_id="r", started_at=NOW)


def _settle(ledger, *, at=NOW + HOUR) -> int:
    return settle(ledger, now=at, today=NIGHT, returning=RETURNING).returned


def _closed(ledger) -> dict[str, tuple[date, str]]:
    columns = stored.c.customer_id, stored.c.closed_on, stored.c.close_reason
    with ledger.reading() as connection:
        found = connection.execute(select(*columns).where(stored.c.closed_on.is_not(None)))
        return {row.customer_id: (row.closed_on, row.close_reason) for row in found}


def test_an_answer_closes_the_cycle_once(shop):
    _answer(shop, "ann")
    assert _settle(shop) == 1
    assert _settle(shop) == 0
    assert _closed(shop) == {"ann": (NIGHT, "returned")}


def test_what_is_no_qualified_act_closes_nothing(shop):
    _answer(shop, "ann")
    with shop.writing() as connection:
        connection.execute(acts.update().values(is_qualified=False))
    assert _settle(shop) == 0


def test_a_behaviour_closes_the_cycles_of_programmes_that_count_it(shop):
    _sign(shop, "ann", "purchase")
    _sign(shop, "bob", "open")
    assert _settle(shop) == 1
    assert _closed(shop) == {"ann": (NIGHT, "returned")}


@pytest.mark.parametrize(
    ("at", "closes"),
    [
        (rows.datetime(2026, 2, 28, 22, 59, tzinfo=rows.UTC), False),  # the last minute before the cycle opened
        (rows.datetime(2026, 2, 28, 23, 0, tzinfo=rows.UTC), True),  # midnight in Paris
        (NOW + 2 * HOUR, False),  # not yet
    ],
)
def test_only_an_act_since_the_cycle_opened_counts_by_the_day_of_the_business(shop, at, closes):
    _sign(shop, "ann", "purchase", at=at)
    assert bool(_settle(shop)) is closes


def test_it_closes_on_the_day_of_the_first_night_that_has_not_begun(shop):
    """The night that has begun decides as it would have; the next one is told that the customer came back."""
    _begin(shop, NIGHT)
    _answer(shop, "ann")
    assert _settle(shop) == 1
    assert _closed(shop) == {"ann": (NEXT, "returned")}
    for night, is_open in ((NIGHT, True), (NEXT, True), (NEXT + timedelta(days=1), False)):
        with shop.reading() as connection:
            found = cycles.read_cycles(connection, as_of=night).set_index("customer_id")
        assert bool(found.loc["ann", ["closed_on"]].isna().all()) is is_open


def test_without_what_brings_customers_back_nothing_closes(shop):
    _answer(shop, "ann")
    assert settle(shop, now=NOW + HOUR, today=NIGHT).returned == 0
    assert _closed(shop) == {}


def test_who_listens_is_told_in_the_same_transaction(shop):
    shop.listeners = {"return": ("crm",)}
    _answer(shop, "ann")

    def fail() -> None:
        with shop.writing() as connection:
            assert returns.close_returned(connection, RETURNING, now=NOW + HOUR) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with shop.reading() as connection:
        assert outgoing.count_waiting(connection) == {}
    _settle(shop)
    with shop.reading() as connection:
        row = connection.execute(select(told)).one()
    assert (row.kind, row.customer_id, row.programme, row.cycle_no, row.reason, row.occurred_on) == (
        *("return", "ann", "winback", 1, "returned"),
        NIGHT,
    )
