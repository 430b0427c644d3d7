"""Forget one person: in the ledger, in the activity store, in the outbox, at once and with a line in the audit log.

In: a project and a customer's id. Out: counts. Must never happen: a copy that stays, or somebody who comes back with
the next file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from winback.channels.outbox_pages import remove_pages
from winback.channels.registry import outbox_of
from winback.errors import StoreUnavailable
from winback.ledger import erasure, refusals, who_refused
from winback.night.opening import open_store
from winback.night.pepper import open_project_ledger
from winback.night.refuse import require_customer
from winback.night.scratch import clear_scratch

if TYPE_CHECKING:
    from datetime import datetime

    from winback.settings import Project


def forget(project: Project, customer_id: str, *, actor: str, now: datetime) -> dict[str, Any]:
    """Erase a person from both stores and the outbox; only keyed hashes stay, so that a re-import stays out.

    Somebody who is erased already may be erased again: that finishes what an earlier attempt may have left.

    Raises
    ------
    UsageError
        If nobody has that id.
    StoreBusy
        If a night is running, which holds copies of its own.
    """
    act = refusals.Act(now, project.business_date(now), source="cli", actor=actor)
    with open_project_ledger(project) as ledger, ledger.lock("night"):
        with ledger.writing() as connection:
            if not who_refused.is_erased(connection, customer_id, pepper=ledger.pepper):
                require_customer(connection, customer_id)
            counts = erasure.forget(connection, customer_id, act, pepper=ledger.pepper)
        ledger.scrub()
        counts["outbox"] = _forget_in_outbox(project, customer_id)
        counts["events"] = open_store(project).forget(customer_id)
        clear_scratch(project)
    return {"erased": counts}


def _forget_in_outbox(project: Project, customer_id: str) -> int:
    """Remove what was written to a person, and the pages that show it; return how many messages there were."""
    outbox = outbox_of(project)
    if not outbox.file.exists():
        return 0
    gone = outbox.forget(customer_id)
    try:
        remove_pages(outbox, gone)
    except OSError as problem:
        what = f"the pages in {outbox.folder} cannot be removed: {problem.strerror}. Delete the folder's pages by hand"
        raise StoreUnavailable(what) from problem
    return len(gone)
