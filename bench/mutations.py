"""Mutations planted in what sends, gates and suppresses: how many the tests named for them catch, and which survive.

Each is one small fault in a copy of the checkout (:mod:`bench.planting`). The same tests are run without any fault
first: one that fails by itself proves nothing.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.killing.postgres import own_server
from bench.planting import nursery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.planting.nursery import Mutation


def run(*, customers: int = 0, events_per_customer: int = 0, repetitions: int = 1) -> dict[str, Any]:
    """Run the case; mutations have no size."""
    del customers, events_per_customer, repetitions
    return judged(nursery.read_mutations())


def judged(mutations: Sequence[Mutation]) -> dict[str, Any]:
    """Return how many mutations were caught, and those that were not, by what became of them.

    Raises
    ------
    RuntimeError
        If a test fails without any mutation.
    ValueError
        If the code that a mutation changes has changed itself.
    """
    for one in mutations:
        nursery.mutated(one)
    nursery.import_libraries()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        has_postgresql = any(one.on_postgresql for one in mutations) and _provide_postgresql(stack)
        tried = [one for one in mutations if has_postgresql or not one.on_postgresql]
        unsound = nursery.unsound(tried, folder)
        if unsound:
            raise RuntimeError(f"these fail without any mutation: {', '.join(unsound)}")
        fates = {one: nursery.judge(one, folder) for one in tried}
    found = {fate.value: [one.breaks for one in tried if fates[one] is fate] for fate in nursery.Fate}
    caught = len(found.pop(nursery.Fate.CAUGHT.value))
    left_out = [one.breaks for one in mutations if one not in tried]
    return {"case": "mutations", "planted": len(tried), "caught": caught, **found, "left_out": left_out}


def _provide_postgresql(stack: ExitStack) -> bool:
    """Tell the tests of a server, ours if nobody named one; return whether there is one."""
    if "WINBACK_TEST_PG_URL" not in os.environ:
        server = stack.enter_context(own_server(fsync="off"))
        if server is None:
            return False
        os.environ["WINBACK_TEST_PG_URL"] = server.url
    return True
