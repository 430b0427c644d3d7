"""The file a plan is kept in between `winback plan` and `winback apply`.

In: the summary of a plan, or a file somebody hands us. Out: the same summary. Must never happen: half a file under
the plan's name, or a file of another kind taken for a plan.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from winback.errors import GuardRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from winback.night.plan import Plan

_KINDS: Mapping[str, type] = {
    "as_of": str,
    "begins_at": str,
    "plan_hash": str,
    "digests": dict,
    "programmes": list,
    "accepted": list,
}


def write_plan(out: Path, summary: Mapping[str, Any]) -> None:
    """Write a plan, whole or not at all.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    if not out.name:
        raise UsageError(f"--out {out}: names no file; give one, for example plan.json")
    temporary = out.with_name(f".{out.name}.partial")
    try:
        try:
            temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        what = f"--out {out}: cannot be written: {problem.strerror}. Name a file in a directory that exists"
        raise UsageError(what) from problem


def read_plan(file: Path) -> dict[str, Any]:
    """Return the plan in a file.

    Raises
    ------
    UsageError
        If there is none, or the file is no plan.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"{file}: no plan: {problem.strerror}. Make one: winback plan --out {file}") from problem
    except ValueError as problem:
        raise _no_plan(file, str(problem)) from problem
    if not isinstance(content, dict):
        raise _no_plan(file, "it holds no object")
    wrong = sorted(name for name, kind in _KINDS.items() if not isinstance(content.get(name), kind))
    if wrong:
        raise _no_plan(file, f"{', '.join(wrong)} missing or of another kind")
    try:
        date.fromisoformat(content["as_of"])
        aware = datetime.fromisoformat(content["begins_at"]).tzinfo is not None
    except ValueError as problem:
        raise _no_plan(file, str(problem)) from problem
    if not aware:
        raise _no_plan(file, "begins_at has no time zone")
    return content


def _no_plan(file: Path, why: str) -> UsageError:
    return UsageError(
        f"{file}: not a plan that `winback plan --out` wrote ({why}). Make one: winback plan --out {file}"
    )


def refuse_drift(worked_out: Plan, wanted: Mapping[str, Any], again: str) -> None:
    """Refuse a plan if it would not be made again as it is, and name what changed."""
    drifted = sorted(part for part, value in worked_out.digests.items() if wanted["digests"].get(part) != value)
    if drifted or worked_out.plan_hash != wanted["plan_hash"]:
        what = ", ".join(drifted) or "the program"
        raise GuardRefused(
            f"{what} changed since plan {wanted['plan_hash']} was made, so it is not carried out. "
            f"Look at the new one: {again}"
        )
