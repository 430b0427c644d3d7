"""Once a week: fit the population again, so that thresholds follow a business that changes; let go of what is old."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks.asking import business_day, open_project, run_name
from tasks.keeping import let_go
from tasks.planning import work_out_thresholds
from tasks.sending import settle_messages


@flow(name="winback-weekly", flow_run_name=run_name, retries=0)
def weekly(*, as_of: date | None = None, project: str = "") -> dict[str, int]:
    """Fit the population again, settle what is open, let go of what is too old; nothing is planned and nothing is sent.

    Args:
        as_of: Business day (YYYY-MM-DD). Empty: the day the run was scheduled for, in the business's time zone.
        project: Directory with winback.yaml on the worker's machine. Empty: WINBACK_PROJECT of the worker.

    """
    day = business_day(open_project(project), as_of)
    groups = work_out_thresholds(project, day, refit=True)
    return {"groups": groups, **settle_messages(project), **let_go(project, day)}
