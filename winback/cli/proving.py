"""Commands that prove what was recorded: audit verify."""

from __future__ import annotations

from cyclopts import App

from winback.cli.console import Answer, session

audit = App(name="audit", help="The log of who changed what.")


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    app.command(audit)


@audit.command
def verify() -> Answer:
    """Follow the chain of the audit log; exit 1, and the line, where it was changed.

    Note the hash it prints somewhere else: with it even a log that was written anew from the start is found out.
    """
    from winback.ledger import diary
    from winback.night.pepper import open_project_ledger

    with open_project_ledger(session().project()) as ledger, ledger.reading() as connection:
        chain = diary.verify(connection)
    found = {"ok": chain.broken is None, "lines": chain.lines, "broken": chain.broken, "head": chain.head}
    if chain.broken is None:
        return Answer(data=found, words=f"The audit log is whole: {chain.lines:,} lines. {chain.head}")
    words = (
        f"The audit log is broken at line {chain.broken}: it, or one before it, was changed, added or taken away. The "
        f"{chain.lines:,} lines before it hold. Keep this database as it is, and compare it with a backup."
    )
    return Answer(data=found, words=words, exit_code=1)
