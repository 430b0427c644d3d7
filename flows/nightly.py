"""The night: read, assess, plan, ask a person where the plan is large, carry out. Order and parameters only."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, cast

from prefect import flow
from prefect.futures import wait
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.asking import ApproveOver, ProgrammeNames, ask_approval, business_day, is_past, open_project, run_name
from tasks.planning import work_out_plan, work_out_thresholds
from tasks.publishing import tell
from tasks.reading import read_sources
from tasks.sending import batches_for, close_night, queue_plan, send_batch

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

# Its type parameter is invariant: a runner of one kind of futures is none of futures to a type checker.
SENDERS = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=4))


@flow(
    name="winback-nightly",
    flow_run_name=run_name,
    retries=0,
    task_runner=SENDERS,
)
def nightly(
    *,
    as_of: date | None = None,
    project: str = "",
    dry_run: bool = False,
    programmes: ProgrammeNames = None,
    approve_over: ApproveOver = None,
    allow_backdated: bool = False,
) -> dict[str, Any]:
    """One night of win-back: read the sources, work the thresholds out, plan, and carry the plan out.

    Running the same day again adds nothing.

    Args:
        as_of: Business day (YYYY-MM-DD). Empty: the day the run was scheduled for, in the business's time zone.
        project: Directory with winback.yaml on the worker's machine. Empty: WINBACK_PROJECT of the worker.
        dry_run: Plan only: nothing is queued and nothing is sent.
        programmes: Only these programmes send. Empty: all.
        approve_over: A plan with more sends than this waits for a person. Empty: only the policies' own limits do.
        allow_backdated: Carry out a day before yesterday, too. Without it such a day is only planned.

    """
    log = get_run_logger()
    opened = open_project(project)
    day = business_day(opened, as_of)
    read_sources(project, day)
    work_out_thresholds(project, day)
    plan = work_out_plan(project, day, programmes)
    if dry_run or (is_past(opened, day) and not allow_backdated):
        log.info("as_of=%s plan=%s planned only", day, plan["plan_hash"])
        return {"as_of": str(day), **plan, "messages": {}}
    approval = None
    if plan["over_limit"] or (approve_over is not None and plan["sends"] > approve_over):
        tell("plan.over_cap", as_of=day, name="night", plan_hash=plan["plan_hash"], sends=plan["sends"])
        approval = ask_approval(project, plan_hash=plan["plan_hash"], sends=plan["sends"])
        log.info("as_of=%s plan=%s approved sends=%d", day, plan["plan_hash"], approval.confirm_count)
    agreed = (approval.confirm_count, approval.approved_by) if approval else (None, None)
    waiting = queue_plan(project, day, plan["plan_hash"], *agreed)
    wait([send_batch.submit(project, day) for _ in range(batches_for(waiting))])
    messages = close_night(project, day, plan["plan_hash"])
    return {"as_of": str(day), **plan, "messages": messages}
