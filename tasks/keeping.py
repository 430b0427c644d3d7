"""The step that lets go of what is too old."""

from __future__ import annotations

from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks.asking import open_project
from winback.night.pepper import open_project_ledger
from winback.night.retain import retain


@task(cache_policy=NO_CACHE, persist_result=False)
def let_go(project: str, as_of: date) -> dict[str, int]:
    """Empty and delete what the project no longer wants to keep.

    Returns
    -------
    rows let go, by kind
    """
    opened = open_project(project)
    with open_project_ledger(opened) as ledger:
        counts = retain(opened, ledger, as_of=as_of)
    get_run_logger().info("let go as_of=%s %s", as_of, counts)
    return {f"let_go_{kind}": count for kind, count in counts.items()}
