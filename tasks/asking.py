"""What a person may ask of a flow, and what a flow may ask of a person.

The parameter types give the trigger form its fields, bounds and descriptions. Must never happen: a parameter that
holds a person's data, or a run whose business day depends on when a worker happened to pick it up.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from winback.errors import ApprovalNeeded, UsageError
from winback.night.agree import who_agreed
from winback.settings import Project, load_project

if TYPE_CHECKING:
    from datetime import date

# Bounds only: Prefect reads the descriptions of the trigger form from each flow's docstring ("Args:", Google's style).
ProgrammeNames = Annotated[list[str] | None, Field(max_length=100)]
ApproveOver = Annotated[int | None, Field(ge=0)]
Nights = Annotated[int, Field(ge=1, le=400)]


class Approval(RunInput):
    """The form of a suspended night: whoever fills it in agrees to exactly this many messages."""

    approved_by: str = Field(min_length=1, description="Who agrees. Written to the audit log.")
    confirm_count: int = Field(ge=0, description="How many messages you expect to be sent.")


def open_project(project: str) -> Project:
    """Return the project a run is about.

    Parameters
    ----------
    project : directory; empty means the worker's WINBACK_PROJECT, and without that the current directory

    Raises
    ------
    SettingsError
        If there is no sound winback.yaml.
    """
    return load_project(Path(project or os.environ.get("WINBACK_PROJECT") or "."))


def business_day(project: Project, as_of: date | None) -> date:
    """Return the business day of this run: the one asked for, else the one it was scheduled for.

    The scheduled time stays what it was when a run starts late, is suspended overnight or is picked up again.

    Raises
    ------
    UsageError
        If the day asked for lies after the one the run was scheduled for.
    """
    scheduled = project.business_date(flow_run.scheduled_start_time)
    if as_of is not None and as_of > scheduled:
        raise UsageError(f"as_of {as_of} lies in the future: the business day of this run is {scheduled}")
    return as_of or scheduled


def is_past(project: Project, as_of: date) -> bool:
    """Tell whether a business day lies before yesterday, seen from the day this run was scheduled for."""
    return as_of < project.business_date(flow_run.scheduled_start_time) - timedelta(days=1)


def run_name() -> str:
    """Return a flow run's name: its moment and its business day, e.g. ``nightly-2026-11-21``."""
    parameters = flow_run.parameters or {}
    day = business_day(open_project(parameters.get("project") or ""), parameters.get("as_of"))
    return f"{(flow_run.flow_name or 'run').removeprefix('winback-')}-{day}"


def ask_approval(project: str, *, plan_hash: str, sends: int) -> Approval:
    """Return who agreed to a plan; suspend the run until a person does, unless one has in the operator pages.

    The process ends here and the concurrency slot is free while the run waits. On resume the flow starts from the
    top; the key is the plan's hash, so that a plan that has changed meanwhile is asked about again.

    Raises
    ------
    ApprovalNeeded
        If the count the person expects is not the plan's, or if this run is part of another one, which cannot wait.
    """
    agreed = who_agreed(open_project(project), plan_hash)
    if agreed is not None:
        return Approval(approved_by=agreed, confirm_count=sends)
    if flow_run.parent_flow_run_id:
        raise ApprovalNeeded(f"plan {plan_hash} sends {sends} messages: run that day with the nightly deployment")
    approval = suspend_flow_run(wait_for_input=Approval, key=f"approve-{plan_hash}", timeout=24 * 3600)
    if approval is None or approval.confirm_count != sends:
        expected = getattr(approval, "confirm_count", "no")
        raise ApprovalNeeded(f"plan {plan_hash} sends {sends} messages, but {expected} were agreed to")
    return approval
