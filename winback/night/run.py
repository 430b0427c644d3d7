"""The whole night, and its parts as the command line and the flows call them: sync, plan, apply, run.

In: a project, a date, the present instant. Out: the public forms of INTERFACE as plain dictionaries. Must never happen:
two nights at once on one ledger, or a plan carried out after data, policy or consent changed.
"""

from __future__ import annotations

import time
import uuid
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from winback.core.slots import NIGHT_HOURS
from winback.errors import GuardRefused
from winback.ledger import queue
from winback.night.agree import note_accepted_guards, require_agreement
from winback.night.apply import apply
from winback.night.assess import assess, population_fits
from winback.night.brakes import hold_complained_steps
from winback.night.check import check_merge_fields, require_sound
from winback.night.deliver import deliver
from winback.night.exchange_lists import exchange
from winback.night.judge_visits import judge_visits
from winback.night.opening import Night, be_silent, open_night
from winback.night.plan import Plan, plan
from winback.night.plan_file import read_plan, refuse_drift, write_plan
from winback.night.plan_guards import split_accepted
from winback.night.reach import require_reach
from winback.night.render import read_templates
from winback.night.scratch import scratch
from winback.night.settle import settle
from winback.night.stock_coupons import stock_coupons
from winback.night.sync import sync
from winback.night.tell_listeners import tell_listeners
from winback.night.terms import returning_of
from winback.night.waiting import held_programmes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from winback.night.assess import Fits
    from winback.night.source_accounts import Synced
    from winback.settings import Project

    Progress = Callable[[str, int, int], None]


def sync_sources(
    project: Project,
    *,
    as_of: date,
    now: datetime,
    accept: Collection[str] = (),
    actor: str = "cli",
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Read the sources and decide nothing; return what each gave."""
    with open_night(project, as_of=as_of, now=now, progress=progress) as night, night.ledger.lock("night"):
        return _sync(night, accept, actor).to_json()


def _sync(night: Night, accept: Collection[str], actor: str) -> Synced:
    stock_coupons(night.project, night.ledger, night.programmes, now=night.now)
    # Whoever came back by following a link is known before anything is decided.
    judge_visits(night.project, night.ledger, now=night.now)
    return sync(
        night.project,
        night.ledger,
        night.store,
        as_of=night.as_of,
        now=night.now,
        accept=accept,
        actor=actor,
        progress=night.progress,
    )


def _work_out(
    night: Night, folder: Path, accept: Collection[str], *, assessed: Fits | None = None
) -> tuple[Plan, list[dict[str, str]]]:
    """Return the plan of a night and what is held.

    Parameters
    ----------
    assessed : the fits of an assessment that was just made under the same lock: its rhythms are read back
    """
    templates = read_templates(night.project.root, night.project.config)
    with night.ledger.reading() as connection:
        check_merge_fields(connection, templates, night.programmes)
    waiting, held = held_programmes(night)
    fits = population_fits(night) if assessed is None else assessed
    worked_out = plan(night, fits, folder=folder, held=waiting, accept=accept, is_assessed=assessed is not None)
    held += [
        {"name": guard.name, "kind": "guard", "detail": guard.detail} for guard in worked_out.guards if not guard.ok
    ]
    return worked_out, held


def make_plan(
    project: Project,
    *,
    as_of: date,
    now: datetime,
    programmes: Sequence[str] | None = None,
    shards: int | None = None,
    out: Path | None = None,
    accept: Collection[str] = (),
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Work out what a night would do and return its summary; writes nothing but the plan's file.

    Parameters
    ----------
    programmes : names of those that take part; None means all
    out : where the plan is kept for :func:`apply_plan`
    accept : guards of the whole plan a person lets pass: ``growth:DATE``, ``sunsets:DATE``
    """
    require_sound(project.root)
    accept, _ = split_accepted(accept, as_of=as_of, may_hold_feeds=False)
    with (
        open_night(project, as_of=as_of, now=now, programmes=programmes, shards=shards, progress=progress) as night,
        scratch(project) as folder,
    ):
        worked_out, held = _work_out(night, folder, accept)
    summary = worked_out.summary | {"held": held, "begins_at": night.begins_at.isoformat(), "accepted": sorted(accept)}
    if out is not None:
        write_plan(out, summary)
    return summary


def apply_plan(  # noqa: PLR0913  each is an option of `winback apply` or of the flow
    project: Project,
    plan_file: Path,
    *,
    now: datetime,
    allow_backdated: bool = False,
    confirm_count: int | None = None,
    shards: int | None = None,
    actor: str = "cli",
    is_delivered: bool = True,
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Queue and deliver the plan in a file, as it was worked out.

    Parameters
    ----------
    allow_backdated : carry out a day before yesterday, too
    confirm_count : how many messages a person expects
    actor : who that person is, for the audit log
    is_delivered : False leaves the sending to others (`winback deliver`, the flow's batches); a night of the past that
        goes to the local outbox is lived through here in any case

    Raises
    ------
    GuardRefused
        If data, policy or consent changed since the plan was made, or the plan is too old.
    ApprovalNeeded
        If the plan wants a person's agreement, or the count expected is another.
    """
    wanted = read_plan(plan_file)
    require_sound(project.root)
    require_reach(project)
    started = time.monotonic()
    again = f"winback plan --as-of {wanted['as_of']} --out {plan_file}"
    with (
        _open_planned(project, wanted, now=now, shards=shards, progress=progress) as night,
        night.ledger.lock("night"),
        scratch(project) as folder,
    ):
        _refuse_age(night, wanted, again, allow_backdated=allow_backdated)
        worked_out, held = _work_out(night, folder, wanted["accepted"])
        refuse_drift(worked_out, wanted, again)
        command = f"winback apply {plan_file}"
        require_agreement(night, worked_out, confirm_count=confirm_count, by=actor, command=command)
        is_lived = is_delivered or is_of_the_past(night)
        return _carry_out(night, worked_out, held, actor=actor, started=started, is_delivered=is_lived)


def _open_planned(
    project: Project, wanted: Mapping[str, Any], *, now: datetime, shards: int | None, progress: Progress
) -> AbstractContextManager[Night]:
    """Open the night of a plan as it was when it was worked out."""
    return open_night(
        project,
        as_of=date.fromisoformat(wanted["as_of"]),
        now=now,
        programmes=wanted["programmes"],
        shards=shards,
        begins_at=datetime.fromisoformat(wanted["begins_at"]),
        progress=progress,
    )


def is_of_the_past(night: Night) -> bool:
    """Whether a night is lived through moment by moment; what is live goes out at the hour it really is."""
    return night.is_backdated and not night.project.config.live


def _refuse_age(night: Night, wanted: Mapping[str, Any], again: str, *, allow_backdated: bool) -> None:
    """Refuse a plan of the past, and one that is so old that nothing of it would be sent."""
    if night.is_backdated and not allow_backdated:
        what = f"{night.as_of} is more than a day ago. If you mean it, apply its plan with --allow-backdated"
        raise GuardRefused(what)
    if not night.is_backdated and night.now - night.begins_at >= timedelta(hours=NIGHT_HOURS):
        raise GuardRefused(
            f"plan {wanted['plan_hash']} is older than {NIGHT_HOURS} hours, so its messages would have expired. "
            f"Make a new one: {again}"
        )


def run(  # noqa: PLR0913  each is an option of `winback run`
    project: Project,
    *,
    as_of: date,
    now: datetime,
    allow_backdated: bool = False,
    confirm_count: int | None = None,
    accept: Collection[str] = (),
    shards: int | None = None,
    actor: str = "cli",
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Do the whole night without Prefect and return its report; running a day again adds nothing.

    Parameters
    ----------
    allow_backdated : carry out a day before yesterday, too; without it such a day is only planned
    confirm_count : how many messages a person expects
    accept : holds and guards a person has looked at: ``KIND:SOURCE:DATE``, ``growth:DATE``, ``sunsets:DATE``
    actor : who that person is, for the audit log
    """
    started = time.monotonic()
    require_sound(project.root)
    require_reach(project)
    guards, feeds = split_accepted(accept, as_of=as_of)
    with (
        open_night(project, as_of=as_of, now=now, shards=shards, progress=progress) as night,
        night.ledger.lock("night"),
        scratch(project) as folder,
    ):
        _sync(night, feeds, actor)
        worked_out, held = _work_out(night, folder, guards, assessed=assess(night))
        if night.is_backdated and not allow_backdated:
            note = f"{as_of} is more than a day ago: planned only. Carry it out with --allow-backdated."
            return _report(night, worked_out, held, started=started, notes=[note])
        command = f"winback run --as-of {as_of}"
        require_agreement(night, worked_out, confirm_count=confirm_count, by=actor, command=command)
        return _carry_out(night, worked_out, held, actor=actor, started=started)


def _carry_out(
    night: Night,
    worked_out: Plan,
    held: list[dict[str, str]],
    *,
    actor: str,
    started: float,
    is_delivered: bool = True,
) -> dict[str, Any]:
    templates = read_templates(night.project.root, night.project.config)
    run_id = uuid.uuid4().hex
    note_accepted_guards(night, worked_out, by=actor)
    new = apply(night, worked_out, templates=templates, run_id=run_id)
    # Whoever told the vendor no since yesterday is known before anything is claimed.
    lists = exchange(night.project, night.ledger, now=night.now)
    with night.ledger.writing() as connection:
        hold_complained_steps(connection, now=night.now, today=night.project.business_date(night.now))
    try:
        for moment in _moments(night) if is_delivered else ():
            deliver(night.project, night.ledger, now=moment)
            today = night.project.business_date(moment)
            settle(night.ledger, now=moment, today=today, returning=returning_of(night.project))
    except GuardRefused as refused:
        held = [*held, {"name": "stop", "kind": "switch", "detail": str(refused)}]
    told = tell_listeners(night.project, night.ledger, now=night.now)
    notes = [*lists.warnings, *told.warnings]
    return _report(night, worked_out, held, started=started, run_id=run_id, new_messages=new, notes=notes)


def _moments(night: Night) -> list[datetime]:
    """Return when to deliver: now; on a day of the past whenever a message of its 24 hours was due.

    In the evening of that day, all at once, the texts that were due in the morning would have expired.
    """
    if not is_of_the_past(night):
        return [night.now]
    over_at = night.begins_at + timedelta(hours=NIGHT_HOURS)
    with night.ledger.reading() as connection:
        due = queue.due_moments(connection, as_of=night.as_of)
    return [moment for moment in due if moment < over_at] or [night.begins_at]


def _report(
    night: Night,
    worked_out: Plan,
    held: list[dict[str, str]],
    *,
    started: float,
    run_id: str | None = None,
    new_messages: int = 0,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    with night.ledger.reading() as connection:
        states = queue.count_by_state(connection, as_of=night.as_of)
    return worked_out.summary | {
        "run_id": run_id or uuid.uuid4().hex,
        "messages": states,
        "new_messages": new_messages,
        "held": held,
        "notes": list(notes),
        "seconds": round(time.monotonic() - started, 3),
        "exit_code": 4 if held else 0,
    }
