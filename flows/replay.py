"""Past days worked out again, to see what a policy would have done. Plans only unless told otherwise."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from prefect import flow

from flows.nightly import nightly
from tasks.asking import ApproveOver, Nights, ProgrammeNames, run_name


@flow(name="winback-replay", flow_run_name=run_name, retries=0)
def replay(
    *,
    as_of: date,
    project: str = "",
    dry_run: bool = True,
    programmes: ProgrammeNames = None,
    approve_over: ApproveOver = None,
    nights: Nights = 1,
) -> list[dict[str, Any]]:
    """Work past business days out again, one after the other.

    Args:
        as_of: First business day (YYYY-MM-DD).
        project: Directory with winback.yaml on the worker's machine. Empty: WINBACK_PROJECT of the worker.
        dry_run: Plan only: nothing is queued and nothing is sent.
        programmes: Only these programmes send. Empty: all.
        approve_over: A plan with more sends than this is refused; run such a day with the nightly deployment.
        nights: How many days, one after the other.

    """
    days = [as_of + timedelta(days=offset) for offset in range(nights)]
    return [
        nightly(
            as_of=day,
            project=project,
            dry_run=dry_run,
            programmes=programmes,
            approve_over=approve_over,
            allow_backdated=True,
        )
        for day in days
    ]
