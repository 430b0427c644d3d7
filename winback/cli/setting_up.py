"""Commands for making a project and looking after it: init, doctor, check, db."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from winback.cli.console import Answer, plain, session

if TYPE_CHECKING:
    from winback.errors import Fault

db = App(name="db", help="Migrations of the ledger's database.")


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    app.command(init)
    app.command(doctor)
    app.command(check)
    app.command(db)


def init(directory: Path, *, sample: int = 0, seed: int = 1) -> Answer:
    """Make a project directory: winback.yaml, policies, templates and, with --sample, a simulated shop.

    Nothing is ever overwritten. The sample's history ends yesterday, so that a night of today passes every guard.

    Parameters
    ----------
    directory
        Where to make it.
    sample
        How many simulated customers; 0 makes an empty skeleton for your own data.
    seed
        Another number makes another shop.
    """
    from datetime import timedelta
    from zoneinfo import ZoneInfo

    from winback.sample.planted import TIMEZONE
    from winback.sample.scaffold import scaffold

    yesterday = session().started_at.astimezone(ZoneInfo(TIMEZONE)).date() - timedelta(days=1)
    files = scaffold(directory, customers=sample, ends_on=yesterday, seed=seed)
    next_step = f"Next: winback --project {directory} " + ("run" if sample else "check")
    return Answer(
        data={"directory": str(directory), "customers": sample, "files": [str(file) for file in files]},
        words=plain(f"Made {directory} with {len(files)} files. {next_step}"),
    )


def check() -> Answer:
    """Check winback.yaml, the policies and the templates; every fault is listed with its line."""
    from winback.night.check import check as check_project

    faults = check_project(session().root)
    return _faults_answer(faults)


def _faults_answer(faults: list[Fault]) -> Answer:
    words = plain("\n".join(map(str, faults))) or "winback.yaml, policies and templates are sound."
    return Answer(
        data={"ok": not faults, "errors": [fault._asdict() for fault in faults]},
        words=words,
        exit_code=2 if faults else 0,
    )


def doctor() -> Answer:
    """Look at everything a night needs: configuration, stores, sources, secrets, disk."""
    from winback.night.diagnose import diagnose

    checks = diagnose(session().root, now=session().started_at)
    is_sound = all(item.ok for item in checks)
    is_configured = all(item.ok for item in checks if item.name == "configuration")
    rows = [("ok" if item.ok else "FAULT", item.name, plain(item.detail)) for item in checks]
    return Answer(
        data={"ok": is_sound, "checks": [item._asdict() for item in checks]},
        words="Everything a night needs is there." if is_sound else "Some things need attention first.",
        tables=[("", ["", "check", "detail"], rows)],
        exit_code=0 if is_sound else 1 if is_configured else 2,
    )


@db.command
def upgrade() -> Answer:
    """Bring the database to the version this program needs."""
    from winback.ledger.engine import upgrade as upgrade_database

    project = session().project()
    version = upgrade_database(project.database_url)
    return Answer(data={"ok": True, "version": version}, words=f"The database is at version {version}.")


@db.command(name="check")
def check_database() -> Answer:
    """Say whether the database is of the version this program needs, and sound."""
    from winback.ledger.engine import check as check_version

    project = session().project()
    found = check_version(project.database_url)
    problems = list(found.problems)
    if found.revision != found.expected:
        problems.insert(0, f"it has version {found.revision}, this program needs {found.expected}: winback db upgrade")
    words = f"The database is at version {found.revision}" + ("." if not problems else ", but:\n")
    return Answer(
        data={"ok": not problems, "version": found.revision, "needed": found.expected, "problems": problems},
        words=words + plain("\n".join(problems)),
        exit_code=1 if problems else 0,
    )


@db.command
def adopt(*, reason: str) -> Answer:
    """Let this database send again after a backup was put back and reconciled with the providers.

    Parameters
    ----------
    reason
        Why it may send from now on; it stands in the audit log.
    """
    from winback.ledger import epochs
    from winback.night.pepper import open_project_ledger

    project = session().project()
    with open_project_ledger(project) as ledger:
        twin = epochs.twin_file(ledger, project.var)
        epoch = epochs.adopt(ledger, twin, reason=reason, actor=session().actor, now=session().started_at)
    words = f"Adopted: this database is in epoch {epoch.counter} and may send. {twin} was written."
    return Answer(data={"ok": True, "epoch": epoch.counter, "file": str(twin)}, words=plain(words))
