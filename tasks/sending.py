"""The steps that may reach people. None of them is ever tried again by Prefect.

That a message goes out once is the ledger's promise, not the scheduler's; a run that breaks here is finished by the
next one, which adopts what is in doubt as *unknown* and sends it to nobody.
"""

from __future__ import annotations

from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks.asking import open_project
from tasks.planning import plan_file
from tasks.publishing import publish_night, publish_outbox, tell
from winback.night.agree import note_approval
from winback.night.deliver import deliver
from winback.night.pepper import open_project_ledger
from winback.night.run import apply_plan
from winback.night.settle import settle
from winback.settings import wall_clock


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def carry_out_plan(
    project: str, as_of: date, plan_hash: str, confirm_count: int | None, approved_by: str | None
) -> dict[str, int]:
    """Queue and deliver the plan of a business day; refused when data, policy or consent changed since.

    Parameters
    ----------
    project : directory
    as_of : business day
    plan_hash : the plan that was looked at; it lies in the project
    confirm_count : how many messages a person agreed to; None where nobody had to be asked
    approved_by : who agreed; written to the audit log before anything is queued

    Returns
    -------
    messages by state
    """
    opened = open_project(project)
    file, now = plan_file(opened, as_of), wall_clock()
    if approved_by:
        note_approval(opened, file, plan_hash=plan_hash, by=approved_by, now=now)
    # The flow has asked already whether a day of the past may be carried out.
    report = apply_plan(opened, file, now=now, confirm_count=confirm_count, allow_backdated=True)
    publish_night(report, as_of=as_of)
    publish_outbox(opened.var / "outbox" / "index.html", as_of=as_of)
    counts = {state: int(count) for state, count in report["messages"].items()}
    new = int(report["new_messages"])
    tell("night.finished", as_of=as_of, name="night", plan_hash=plan_hash, new_messages=new)
    get_run_logger().info("carried out as_of=%s plan=%s new_messages=%d", as_of, plan_hash, new)
    return counts


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def deliver_due(project: str) -> dict[str, int]:
    """Deliver what is due in the outbox now.

    Returns
    -------
    messages by the state they came to
    """
    opened = open_project(project)
    with open_project_ledger(opened) as ledger:
        counts = {state: int(count) for state, count in deliver(opened, ledger, now=wall_clock()).items()}
    get_run_logger().info("delivered %s", counts)
    return counts


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def settle_messages(project: str) -> dict[str, int]:
    """Apply receipts, and settle or give up what is in doubt.

    Returns
    -------
    messages by state
    """
    opened, now = open_project(project), wall_clock()
    with open_project_ledger(opened) as ledger:
        counts = dict(settle(ledger, now=now, today=opened.business_date(now)).states)
    get_run_logger().info("settled %s", counts)
    return counts
