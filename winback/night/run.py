"""The whole night, and its parts as the command line and the flows call them: sync, plan, apply, run.

In: a project, a date, the present instant. Out: the public forms of INTERFACE as plain dictionaries. Must never happen:
two nights at once on one ledger, or a plan carried out after data, policy or consent changed.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winback.errors import ApprovalNeeded, GuardRefused, UsageError
from winback.ledger import loads, queue
from winback.night.apply import apply
from winback.night.assess import assess, population_fits
from winback.night.check import check_merge_fields
from winback.night.deliver import deliver
from winback.night.opening import Night, be_silent, open_night, usual_start
from winback.night.plan import Plan, plan
from winback.night.render import read_templates
from winback.night.settle import settle
from winback.night.sync import sync

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date

    from winback.night.source_accounts import Synced
    from winback.settings import Project

    Progress = Callable[[str, int, int], None]

FEED_HOLDS = ("volume:", "empty:", "stale:", "quarantine:")
EVENING = timedelta(hours=19, minutes=25)
"""From the usual start of a night (04:30) to the end of its day: a past day is delivered as that evening saw it."""


def sync_sources(
    project: Project, *, as_of: date, now: datetime, accept: Collection[str] = (), progress: Progress = be_silent
) -> dict[str, Any]:
    """Read the sources and decide nothing; return what each gave."""
    with open_night(project, as_of=as_of, now=now, progress=progress) as night, night.ledger.lock("night"):
        return _sync(night, accept).to_json()


def _sync(night: Night, accept: Collection[str]) -> Synced:
    return sync(
        night.project,
        night.ledger,
        night.store,
        as_of=night.as_of,
        now=night.now,
        accept=[item for item in accept if item.startswith(FEED_HOLDS)],
        progress=night.progress,
    )


def held_programmes(night: Night) -> tuple[list[str], list[dict[str, str]]]:
    """Return the programmes that must wait, and the sources that hold them, as of this night's loads."""
    with night.ledger.reading() as connection:
        today = loads.loads_on(connection, night.as_of)
    held = {load.source: load for load in today if load.held}
    described = [{"name": name, "kind": str(load.held), "detail": load.detail or ""} for name, load in held.items()]
    if {"contacts", "consents"} & held.keys():
        return [programme.programme for programme in night.programmes], described
    sources = {source.name: source for source in night.project.config.sources.events}
    # A source that names its behaviour in each row may carry any of them.
    delivers_any = any(sources[name].behaviour is None for name in held if name in sources)
    behaviours = {sources[name].behaviour for name in held if name in sources}
    waiting = [
        programme.programme
        for programme in night.programmes
        if delivers_any or behaviours & {*programme.trigger.behaviours, *programme.trigger.weak}
    ]
    return waiting, described


def _work_out(night: Night, folder: Path, accept: Collection[str]) -> tuple[Plan, list[dict[str, str]]]:
    """Return the plan of a night and what is held."""
    templates = read_templates(night.project.root, night.project.config)
    with night.ledger.reading() as connection:
        check_merge_fields(connection, templates, night.programmes)
    waiting, held = held_programmes(night)
    worked_out = plan(night, population_fits(night), folder=folder, held=waiting, accept=accept)
    held += [
        {"name": guard.name, "kind": "guard", "detail": guard.detail} for guard in worked_out.guards if not guard.ok
    ]
    return worked_out, held


def _scratch(project: Project) -> tempfile.TemporaryDirectory[str]:
    """Return a folder for a plan's shards that is gone when it is done with; inside the project, never readable."""
    project.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".plan-", dir=project.var)


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
    """Work out what a night would do and return its summary; writes nothing but the plan's file."""
    with (
        open_night(project, as_of=as_of, now=now, programmes=programmes, shards=shards, progress=progress) as night,
        _scratch(project) as folder,
    ):
        worked_out, held = _work_out(night, Path(folder), accept)
    summary = worked_out.summary | {"held": held, "begins_at": night.begins_at.isoformat(), "accepted": sorted(accept)}
    if out is not None:
        _write_plan(out, summary)
    return summary


def _write_plan(out: Path, summary: Mapping[str, Any]) -> None:
    temporary = out.with_name(f".{out.name}.partial")
    try:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(out)
    except OSError as problem:
        raise UsageError(f"--out {out}: cannot be written: {problem}") from problem
    finally:
        temporary.unlink(missing_ok=True)


def read_plan(file: Path) -> dict[str, Any]:
    """Return the plan in a file.

    Raises
    ------
    UsageError
        If there is none, or the file is no plan.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        missing = {"as_of", "plan_hash", "digests", "programmes"} - content.keys()
        datetime.fromisoformat(content["begins_at"])
    except OSError as problem:
        raise UsageError(f"{file}: no plan: {problem}. Make one: winback plan --out {file}") from problem
    except (ValueError, TypeError, AttributeError) as problem:
        raise UsageError(f"{file}: no plan that `winback plan --out` wrote: {problem}") from problem
    if missing:
        raise UsageError(f"{file}: no plan that `winback plan --out` wrote: {', '.join(sorted(missing))} missing")
    return dict(content)


def apply_plan(
    project: Project,
    plan_file: Path,
    *,
    now: datetime,
    confirm_count: int | None = None,
    shards: int | None = None,
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Queue and deliver the plan in a file.

    Raises
    ------
    GuardRefused
        If data, policy or consent changed since the plan was made.
    ApprovalNeeded
        If the plan wants a person's agreement, or the count expected is another.
    """
    wanted = read_plan(plan_file)
    started = time.monotonic()
    as_of = datetime.fromisoformat(wanted["as_of"]).date()
    with (
        open_night(
            project, as_of=as_of, now=now, programmes=wanted["programmes"], shards=shards, progress=progress
        ) as night,
        night.ledger.lock("night"),
        _scratch(project) as folder,
    ):
        worked_out, held = _work_out(night, Path(folder), wanted.get("accepted", ()))
        drifted = sorted(part for part, value in worked_out.digests.items() if wanted["digests"].get(part) != value)
        if drifted or worked_out.plan_hash != wanted["plan_hash"]:
            what = " and ".join(drifted) or "the program"
            raise GuardRefused(
                f"{what} changed since plan {wanted['plan_hash']} was made, so it is not carried out. "
                f"Look at the new one: winback plan --as-of {as_of} --out {plan_file}"
            )
        _agree(night, worked_out, confirm_count)
        return _carry_out(night, worked_out, held, started=started)


def run(
    project: Project,
    *,
    as_of: date,
    now: datetime,
    allow_backdated: bool = False,
    confirm_count: int | None = None,
    accept: Collection[str] = (),
    shards: int | None = None,
    progress: Progress = be_silent,
) -> dict[str, Any]:
    """Do the whole night without Prefect and return its report; running a day again adds nothing.

    Parameters
    ----------
    allow_backdated : carry out a day before yesterday, too; without it such a day is only planned
    confirm_count : how many messages a person expects
    accept : holds and guards a person has looked at: ``KIND:SOURCE:DATE``, ``growth:DATE``, ``sunsets:DATE``
    """
    started = time.monotonic()
    with (
        open_night(project, as_of=as_of, now=now, shards=shards, progress=progress) as night,
        night.ledger.lock("night"),
        _scratch(project) as folder,
    ):
        _sync(night, accept)
        assess(night)
        worked_out, held = _work_out(night, Path(folder), accept)
        if night.is_backdated and not allow_backdated:
            note = f"{as_of} is more than a day ago: planned only. Carry it out with --allow-backdated."
            return _report(night, worked_out, held, started=started, notes=[note])
        _agree(night, worked_out, confirm_count)
        return _carry_out(night, worked_out, held, started=started)


def _agree(night: Night, worked_out: Plan, confirm_count: int | None) -> None:
    """Ask for a person's agreement where a policy wants it, or where another count was expected."""
    if confirm_count is not None:
        if confirm_count != worked_out.sends:
            raise ApprovalNeeded(
                f"plan {worked_out.plan_hash} sends {worked_out.sends} messages, not the {confirm_count} you expected. "
                "Look at it with `winback plan`, then confirm the count it names."
            )
        return
    sends: Counter[str] = Counter()
    for step, count in worked_out.summary["steps"].items():
        sends[step.rpartition(" ")[0]] += count
    for programme in night.programmes:
        most = programme.approve_over
        if most is not None and sends[programme.programme] > most:
            raise ApprovalNeeded(
                f"programme {programme.programme} would send {sends[programme.programme]} messages, and its policy "
                f"wants a person to agree over {most}. Look at the plan, then: winback run --as-of {night.as_of} "
                f"--confirm-count {worked_out.sends}"
            )


def _carry_out(night: Night, worked_out: Plan, held: list[dict[str, str]], *, started: float) -> dict[str, Any]:
    templates = read_templates(night.project.root, night.project.config)
    run_id = uuid.uuid4().hex
    new = apply(night, worked_out, templates=templates, run_id=run_id)
    at = usual_start(night.project, night.as_of) + EVENING if night.is_backdated else night.now
    try:
        deliver(night.project, night.ledger, now=at)
    except GuardRefused as refused:
        held = [*held, {"name": "stop", "kind": "switch", "detail": str(refused)}]
    settle(night.ledger, now=at)
    return _report(night, worked_out, held, started=started, run_id=run_id, new_messages=new)


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
