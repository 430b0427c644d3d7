"""Working out what a night would do. Writes nothing but the plan, so that it may run any number of times."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks.asking import open_project
from tasks.publishing import publish_plan, publish_thresholds, tell
from winback.core.reasons import Action
from winback.night import observe
from winback.night.agree import offer_plan, what_wants_agreement
from winback.night.assess import assess
from winback.night.check import load_programmes
from winback.night.opening import open_night
from winback.night.run import make_plan
from winback.settings import wall_clock

if TYPE_CHECKING:
    from pathlib import Path

    from winback.settings import Project


def plan_file(project: Project, as_of: date) -> Path:
    """Return where the plan of a business day is kept."""
    return project.var / "plans" / f"{as_of}.json"


@task(cache_policy=NO_CACHE, persist_result=False)
def work_out_thresholds(project: str, as_of: date, *, refit: bool = False) -> int:
    """Fold in what is new and work out how long a silence is too long for each customer; tell of a suppression spike.

    Parameters
    ----------
    project : directory
    as_of : business day
    refit : fit the population again even if the last fit is younger than a week

    Returns
    -------
    how many groups of customers the thresholds table has
    """
    opened = open_project(project)
    with open_night(opened, as_of=as_of, now=wall_clock()) as night:
        with night.ledger.lock("night"):
            fits = assess(night, refit=refit)
        groups = observe.thresholds(night)
        stops = observe.refusals(night.ledger, as_of)
    publish_thresholds(groups, as_of=as_of)
    if stops.is_spike:
        tell("suppression.spike", as_of=as_of, name="night", refusals=stops.on_the_day, usual=stops.usual)
    get_run_logger().info("thresholds as_of=%s fits=%d groups=%d", as_of, len(fits), len(groups))
    return len(groups)


@task(cache_policy=NO_CACHE, persist_result=False)
def work_out_plan(project: str, as_of: date, programmes: list[str] | None = None) -> dict[str, Any]:
    """Plan one business day, publish the plan and tell of it.

    Parameters
    ----------
    project : directory
    as_of : business day
    programmes : only these send; None means all

    Returns
    -------
    plan_hash, sends (messages), contacts (in scope), over_limit (why a person has to agree: programmes over the limit
    of their policy, ``first live night``)
    """
    opened = open_project(project)
    file = plan_file(opened, as_of)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = wall_clock()
    summary = make_plan(opened, as_of=as_of, now=now, programmes=programmes, out=file)
    offer_plan(opened, summary, now=now)
    publish_plan(summary, as_of=as_of)
    sends, plan_hash = int(summary["decisions"].get(Action.SEND, 0)), str(summary["plan_hash"])
    contacts = int(summary["contacts"])
    tell("night.planned", as_of=as_of, name="night", plan_hash=plan_hash, sends=sends, contacts=contacts)
    for held in summary["held"]:
        tell("night.held", as_of=as_of, name=held["name"], kind=held["kind"], plan_hash=plan_hash)
    get_run_logger().info("planned as_of=%s plan=%s sends=%d contacts=%d", as_of, plan_hash, sends, contacts)
    over_limit = what_wants_agreement(opened, load_programmes(opened.root), summary, as_of)
    return {"plan_hash": plan_hash, "sends": sends, "contacts": contacts, "over_limit": over_limit}
