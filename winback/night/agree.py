"""Note that a person agreed to a plan, before anything of it is queued.

In: a plan's file and a name. Out: a row in the ledger and in its audit log. Must never happen: an agreement to a plan
other than the one that was looked at.
"""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from winback.errors import GuardRefused
from winback.ledger import verdicts
from winback.night.pepper import open_project_ledger
from winback.night.run import read_plan

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from winback.settings import Project


def note_approval(project: Project, plan_file: Path, *, plan_hash: str, by: str, now: datetime) -> bool:
    """Note who agreed to the plan in a file; return False when that was noted before.

    Raises
    ------
    GuardRefused
        If the file holds another plan by now.
    UsageError
        If it holds none.
    """
    summary = read_plan(plan_file)
    if summary["plan_hash"] != plan_hash:
        raise GuardRefused(f"{by} agreed to plan {plan_hash}, but the plan of that day is {summary['plan_hash']} now")
    as_of = date.fromisoformat(summary["as_of"])
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        verdicts.save_plan(
            connection, plan_hash=plan_hash, as_of=as_of, created_at=now, summary=json.dumps(summary, sort_keys=True)
        )
        return verdicts.approve_plan(connection, plan_hash, at=now, by=by)
