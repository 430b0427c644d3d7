"""Commands about what is certain: audit verify, and release of a message in doubt."""

from __future__ import annotations

from cyclopts import App

from winback.cli.console import Answer, session

audit = App(name="audit", help="The log of who changed what.")


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    app.command(audit)
    app.command(release)


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


def release(message: str, *, reason: str) -> Answer:
    """Let an unknown message be sent once more, because you know that it never arrived.

    Refused while whoever posted it may be alive, or once the provider has spoken of it. Every gate is asked again.

    Parameters
    ----------
    message
        The message's id (`winback messages --state unknown`).
    reason
        What you know; it stands in the audit log.
    """
    from winback.ledger import unknowns
    from winback.night.pepper import open_project_ledger

    with open_project_ledger(session().project()) as ledger, ledger.writing() as connection:
        unknowns.release(
            connection,
            message,
            is_alive=ledger.is_locked,
            reason=reason,
            actor=session().actor,
            now=session().started_at,
        )
    words = "Released. The next `winback deliver` asks every gate again and sends it."
    return Answer(data={"message_id": message, "state": "planned"}, words=words)
