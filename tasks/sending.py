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
from winback.errors import GuardRefused
from winback.ledger import queue
from winback.night.agree import note_approval
from winback.night.deliver import deliver, write_local_pages
from winback.night.evidence import seek_evidence
from winback.night.exchange_lists import exchange
from winback.night.judge_visits import judge_visits
from winback.night.pepper import open_project_ledger
from winback.night.poll_texts import poll
from winback.night.run import apply_plan
from winback.night.settle import settle
from winback.night.tell_listeners import tell_listeners
from winback.night.terms import returning_of
from winback.settings import wall_clock

BATCH_MESSAGES = 1000
MOST_BATCHES = 2000
"""Prefect's database is no queue: a night of two million messages is the most that is split this finely."""


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def queue_plan(project: str, as_of: date, plan_hash: str, confirm_count: int | None, approved_by: str | None) -> int:
    """Queue the plan of a business day; refused when data, policy or consent changed since.

    A night of the past that goes to the local outbox is delivered here too, moment by moment.

    Parameters
    ----------
    project : directory
    as_of : business day
    plan_hash : the plan that was looked at; it lies in the project
    confirm_count : how many messages a person agreed to; None where nobody had to be asked
    approved_by : who agreed; written to the audit log before anything is queued

    Returns
    -------
    messages that wait to be sent
    """
    opened = open_project(project)
    file, now = plan_file(opened, as_of), wall_clock()
    if approved_by:
        note_approval(opened, file, plan_hash=plan_hash, by=approved_by, now=now)
    # The flow has asked already whether a day of the past may be carried out.
    report = apply_plan(opened, file, now=now, confirm_count=confirm_count, allow_backdated=True, is_delivered=False)
    waiting, new = int(report["messages"].get("planned", 0)), int(report["new_messages"])
    get_run_logger().info("queued as_of=%s plan=%s new_messages=%d waiting=%d", as_of, plan_hash, new, waiting)
    return waiting


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def send_batch(project: str, as_of: date) -> dict[str, int]:
    """Send up to :data:`BATCH_MESSAGES` of what is due; any number of these may run side by side.

    Returns
    -------
    messages by the state they came to; nothing when sending is stopped, which is told as an event
    """
    opened = open_project(project)
    with open_project_ledger(opened) as ledger:
        try:
            counts = deliver(opened, ledger, now=wall_clock(), at_most=BATCH_MESSAGES, write_outbox_pages=False)
        except GuardRefused as refused:
            get_run_logger().warning("sending stopped: %s", refused)
            tell("sending.stopped", as_of=as_of, name="night")
            return {}
    get_run_logger().info("sent %s", counts)
    return counts


def batches_for(waiting: int) -> int:
    """Return into how many task runs that many messages are split: few enough for Prefect's database."""
    return min(-(-waiting // BATCH_MESSAGES), MOST_BATCHES)


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
def close_night(project: str, as_of: date, plan_hash: str) -> dict[str, int]:
    """Settle what is open after the batches, show what became of the night's messages and tell of it.

    Returns
    -------
    messages of the night by state
    """
    opened, now = open_project(project), wall_clock()
    with open_project_ledger(opened) as ledger:
        seek_evidence(opened, ledger, now=now)
        settle(ledger, now=now, today=opened.business_date(now), returning=returning_of(opened))
        with ledger.reading() as connection:
            counts = {state: int(count) for state, count in queue.count_by_state(connection, as_of=as_of).items()}
    write_local_pages(opened)
    publish_night({"messages": counts}, as_of=as_of)
    publish_outbox(opened.var / "outbox" / "index.html", as_of=as_of)
    tell("night.finished", as_of=as_of, name="night", plan_hash=plan_hash, messages=sum(counts.values()))
    get_run_logger().info("closed as_of=%s plan=%s %s", as_of, plan_hash, counts)
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
        seek_evidence(opened, ledger, now=now)
        polled = poll(opened, ledger, now=now)
        for warning in (*polled.warnings, *exchange(opened, ledger, now=now).warnings):
            get_run_logger().warning("%s", warning)
        judged = judge_visits(opened, ledger, now=now)
        settled = settle(ledger, now=now, today=opened.business_date(now), returning=returning_of(opened))
        told = tell_listeners(opened, ledger, now=now)
    for warning in told.warnings:
        get_run_logger().warning("%s", warning)
    counts = dict(settled.states)
    get_run_logger().info("settled %s returned=%d, visits %s", counts, settled.returned, judged)
    return counts
