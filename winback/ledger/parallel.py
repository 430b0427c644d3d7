"""Many transactions at once, where the database has many writers.

In: pieces of work that need nothing of each other, each one transaction that may be done again. Out: their results.
Must never happen: a piece that is not done because another was in its way.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from winback.errors import StoreBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from winback.ledger.engine import Ledger

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# Of the 14 CPU µs that a row takes, the database takes eleven: more of us than this would wait for each other.
_MOST_WRITERS = min(4, os.cpu_count() or 1)


def each_in_parallel(
    ledger: Ledger, write: Callable[[Piece], Result], pieces: Sequence[Piece], *, writers: int = _MOST_WRITERS
) -> Iterator[Result]:
    """Yield what ``write`` returns for each piece, those that were hindered last; on SQLite one by one.

    Parameters
    ----------
    write : does one piece in one transaction, and may be called again for it where that was rolled back
    writers : how many at once; each has a connection

    Raises
    ------
    StoreBusy
        If somebody else is in the way of a piece that is done alone.

    Notes
    -----
    Two pieces that wait for each other's rows (a message to one address in each of them, in another order) are not
    waited for: PostgreSQL ends one of them, and it is done again when all others are over.
    """
    if ledger.is_sqlite or writers == 1:
        yield from map(write, pieces)
        return
    hindered = []
    pool = ThreadPoolExecutor(writers, thread_name_prefix="winback-writer")
    try:
        for piece, result in [(piece, pool.submit(write, piece)) for piece in pieces]:
            try:
                yield result.result()
            except StoreBusy:
                hindered.append(piece)
    finally:
        pool.shutdown(cancel_futures=True)
    yield from map(write, hindered)
