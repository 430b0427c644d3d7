"""Pieces of work that are written side by side: each is done, once, whatever stands in its way."""

from __future__ import annotations

import threading
from collections import Counter

import ledger_rows as rows
import pytest
from sqlalchemy import select

from winback.errors import StoreBusy
from winback.ledger import verdicts
from winback.ledger.message_tables import messages
from winback.ledger.parallel import each_in_parallel

PATIENCE = 20


class Together:
    """How many are at work at once."""

    def __init__(self) -> None:
        self._lock, self.now, self.most = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


def test_every_piece_is_done_once_and_only_postgresql_has_more_than_one_writer(ledger):
    together, met = Together(), threading.Barrier(2)

    def write(piece: int) -> int:
        with together, ledger.writing() as connection:
            if piece < 2 and not ledger.is_sqlite:
                met.wait(PATIENCE)
            queued = verdicts.queue_messages(connection, rows.messages(f"c{piece}"), pepper=rows.PEPPER)
        return 10 * piece + queued.new

    assert list(each_in_parallel(ledger, write, range(6), writers=2)) == [1, 11, 21, 31, 41, 51]
    assert together.most == (1 if ledger.is_sqlite else 2)
    with ledger.reading() as connection:
        assert Counter(connection.scalars(select(messages.c.customer_id))) == Counter(f"c{n}" for n in range(6))


def test_two_pieces_that_wait_for_each_others_addresses_are_both_done(ledger):
    """Without a second go one of them is lost: PostgreSQL ends one of two transactions that wait for each other."""
    met, begun = threading.Barrier(2), Counter()

    def write(piece: int) -> int:
        begun[piece] += 1
        with ledger.writing() as connection:
            new = 0
            for turn, address in enumerate(("x@y.z", "y@x.z") if piece else ("y@x.z", "x@y.z")):
                frame = rows.messages(f"c{piece}{turn}", address=address)
                new += verdicts.queue_messages(connection, frame, pepper=rows.PEPPER).new
                if begun[piece] == 1 and turn == 0 and not ledger.is_sqlite:
                    met.wait(PATIENCE)
        return new

    assert sorted(each_in_parallel(ledger, write, range(2), writers=2)) == [0, 2]
    assert sum(begun.values()) == (2 if ledger.is_sqlite else 3)
    with ledger.reading() as connection:
        states = dict(connection.execute(select(messages.c.customer_id, messages.c.state)).all())
    assert Counter(states.values()) == {"planned": 2, "cancelled": 2}


def test_a_fault_ends_the_work_and_what_is_not_begun_stays_undone(ledger):
    begun = []

    def write(piece: int) -> int:
        begun.append(piece)
        with ledger.writing() as connection:
            verdicts.queue_messages(connection, rows.messages(f"c{piece}"), pepper=rows.PEPPER)
            if piece == 0:
                raise ValueError("a fault")
        return piece

    with pytest.raises(ValueError, match="a fault"):
        list(each_in_parallel(ledger, write, range(200), writers=2))
    assert len(begun) < 200
    with ledger.reading() as connection:
        assert "c0" not in set(connection.scalars(select(messages.c.customer_id)))


def test_who_is_in_the_way_of_a_piece_that_is_alone_is_told(ledger):
    begun = Counter()

    def write(piece: int) -> int:
        begun[piece] += 1
        if piece == 1:
            raise StoreBusy("somebody else is at work")
        return piece

    done = each_in_parallel(ledger, write, range(3), writers=2)
    assert next(done) == 0
    with pytest.raises(StoreBusy, match="somebody else"):
        list(done)
    assert begun[1] == (1 if ledger.is_sqlite else 2)
