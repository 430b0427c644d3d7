"""A person's agreement: to a plan that wants one, and to a guard that stopped one.

In: a plan, and who says what. Out: rows in the ledger and in its audit log, before anything of the plan is queued.
Must never happen: an agreement to a plan other than the one that was looked at, or one that nobody can be named for.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

from winback.core.reasons import Action
from winback.errors import ApprovalNeeded, GuardRefused, UsageError
from winback.ledger import diary, live_nights, stored_plans
from winback.night.pepper import open_project_ledger
from winback.night.plan_file import read_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from winback.core.policy import Programme
    from winback.ledger.engine import Ledger
    from winback.night.opening import Night
    from winback.night.plan import Plan
    from winback.settings import Project


def note_approval(project: Project, plan_file: Path, *, plan_hash: str, by: str, now: datetime) -> bool:
    """Note who agreed to the plan in a file; return False when that was noted before.

    Raises
    ------
    GuardRefused
        If the file holds another plan by now.
    UsageError
        If it holds none.
    """
    summary = read_plan(plan_file)
    if summary["plan_hash"] != plan_hash:
        raise GuardRefused(f"{by} agreed to plan {plan_hash}, but the plan of that day is {summary['plan_hash']} now")
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        keep_plan(connection, summary, now=now)
        return stored_plans.approve_plan(connection, plan_hash, at=now, by=by)


def keep_plan(connection: Connection, summary: Mapping[str, Any], *, now: datetime) -> None:
    """Keep a plan where the operator pages find it, so that a person can look at it and agree to its hash."""
    stored_plans.save_plan(
        connection,
        plan_hash=summary["plan_hash"],
        as_of=date.fromisoformat(summary["as_of"]),
        created_at=now,
        summary=json.dumps(summary, sort_keys=True),
    )


def offer_plan(project: Project, summary: Mapping[str, Any], *, now: datetime) -> None:
    """Keep a plan of a project whose ledger is not open, before anybody is asked about it."""
    with open_project_ledger(project) as ledger, ledger.writing() as connection:
        keep_plan(connection, summary, now=now)


def agree_to_stored(ledger: Ledger, plan_hash: str, *, confirm_count: int, by: str, now: datetime) -> bool:
    """Note who agreed to a plan that was kept; return False when that was noted before.

    Whatever carries a plan out later looks for this by the hash it has worked out itself, so a plan that has drifted
    meanwhile is another one, and nobody has agreed to that.

    Parameters
    ----------
    confirm_count : how many messages the person expects

    Raises
    ------
    UsageError
        If no such plan is kept.
    ApprovalNeeded
        If another count was expected.
    """
    with ledger.writing() as connection:
        stored = stored_plans.read_plan(connection, plan_hash)
        if stored is None:
            raise UsageError(f"no plan {plan_hash} waits for anybody: `winback apply plan.json` asks about one")
        _require_count(plan_hash, sends_of(json.loads(stored.summary)), confirm_count)
        return stored_plans.approve_plan(connection, plan_hash, at=now, by=by)


def who_agreed(project: Project, plan_hash: str) -> str | None:
    """Return who has agreed to a plan, by its hash; None while nobody has."""
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        stored = stored_plans.read_plan(connection, plan_hash)
    return stored.approved_by if stored else None


def sends_of(summary: Mapping[str, Any]) -> int:
    """Return how many messages a plan queues."""
    return int(summary["decisions"].get(Action.SEND, 0))


def _require_count(plan_hash: str, sends: int, expected: int) -> None:
    if expected != sends:
        raise ApprovalNeeded(
            f"plan {plan_hash} sends {sends} messages, not the {expected} you expected. "
            "Look at it with `winback plan`, then confirm the count it names."
        )


def require_agreement(night: Night, plan: Plan, *, confirm_count: int | None, by: str, command: str) -> None:
    """Let a plan pass if nothing wants a person's agreement, or if a person has agreed to this very plan.

    A policy may want one over a number of messages; the first night that sends for real always does.

    Parameters
    ----------
    confirm_count : how many messages the person at the command line expects; agreeing is noted, with ``by``
    command : what the person typed, to be typed again with the count

    Raises
    ------
    ApprovalNeeded
        If nobody has agreed yet, or another count was expected.
    """
    if confirm_count is not None:
        _require_count(plan.plan_hash, plan.sends, confirm_count)
        with night.ledger.writing() as connection:
            keep_plan(connection, plan.summary, now=night.now)
            stored_plans.approve_plan(connection, plan.plan_hash, at=night.now, by=by)
        return
    words = [
        f"programme {name} would send {sends} messages, and its policy wants a person to agree over {most}"
        for name, (sends, most) in programmes_over_limit(night.programmes, plan.summary["steps"]).items()
    ]
    with night.ledger.reading() as connection:
        if is_first_live(connection, night.project, night.as_of, sends=plan.sends):
            words.append(f"this is the first live night of this ledger: {plan.sends} messages would reach people")
        stored = stored_plans.read_plan(connection, plan.plan_hash)
    if words and (stored is None or stored.approved_at is None):
        with night.ledger.writing() as connection:
            keep_plan(connection, plan.summary, now=night.now)
        raise ApprovalNeeded(
            f"{'; '.join(words)}. Look at plan {plan.plan_hash} in the operator pages and agree to it there, or: "
            f"{command} --confirm-count {plan.sends}"
        )


def is_first_live(connection: Connection, project: Project, as_of: date, *, sends: int) -> bool:
    """Tell whether a plan would be the first of its ledger whose messages reach people."""
    return project.config.live and sends > 0 and not live_nights.has_gone_live(connection, before=as_of)


def what_wants_agreement(
    project: Project, programmes: Iterable[Programme], summary: Mapping[str, Any], as_of: date
) -> list[str]:
    """Return why a plan would not be carried out unasked: programmes over their limit, ``first live night``."""
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        return reasons_to_ask(connection, project, programmes, summary, as_of)


def reasons_to_ask(
    connection: Connection, project: Project, programmes: Iterable[Programme], summary: Mapping[str, Any], as_of: date
) -> list[str]:
    """Return the same as :func:`what_wants_agreement`, from an open ledger."""
    is_first = is_first_live(connection, project, as_of, sends=sends_of(summary))
    return sorted(programmes_over_limit(programmes, summary["steps"])) + (["first live night"] if is_first else [])


def programmes_over_limit(programmes: Iterable[Programme], steps: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the programmes that would send more than their policy lets go unasked: name -> (sends, its limit).

    Parameters
    ----------
    steps : messages by "programme step", as in a plan's summary
    """
    sends: Counter[str] = Counter()
    for step, count in steps.items():
        sends[step.rpartition(" ")[0]] += count
    limits = {one.programme: one.approve_over for one in programmes if one.approve_over is not None}
    return {name: (sends[name], most) for name, most in sorted(limits.items()) if sends[name] > most}


def note_accepted_guards(night: Night, plan: Plan, *, by: str) -> None:
    """Write to the audit log, once a night, which guards of the whole plan a person has let pass."""
    with night.ledger.writing() as connection:
        for item in plan.accepted:
            if not diary.read_entries(connection, subject=item, limit=1):
                after = {"reason": f"--accept {item}", "plan_hash": plan.plan_hash}
                diary.record(connection, at=night.now, actor=by, action="override", subject=item, after=after)
