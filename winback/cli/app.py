"""The command tree: global options, the commands, and what happens when one fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter

from winback import __version__
from winback.cli.console import Answer, Session, complain, give, start_session
from winback.errors import UsageError, WinbackError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def make_app() -> App:
    """Return the command tree; every command lives beside the others it is used with."""
    from winback.cli import night_commands, proving, questions, refusing, serving, setting_up

    app = App(
        name="winback",
        version=__version__,
        help="Find customers who have gone quiet and ask them back: never twice, never after they said stop.",
        help_epilogue="Exit codes: 0 done - 1 failed, and says what to do - 2 wrong usage or configuration - "
        "3 needs approval - 4 refused by a safety guard.",
    )
    for module in (setting_up, night_commands, serving, questions, refusing, proving):
        module.register(app)

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        project: Annotated[Path, Parameter(env_var="WINBACK_PROJECT")] = Path(),
        json: Annotated[bool, Parameter(negative=())] = False,
        quiet: Annotated[bool, Parameter(negative=())] = False,
    ) -> object:
        """Run one command.

        Parameters
        ----------
        project
            The project directory; default the current one.
        json
            Print the result as JSON on standard output.
        quiet
            Print nothing but errors and what was asked for as JSON or CSV.
        """
        from winback.settings import wall_clock

        start_session(Session(root=project, as_json=json, is_quiet=quiet, started_at=wall_clock()))
        return app(tokens, result_action="return_value", exit_on_error=False, print_error=False)

    return app


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; print its answer or its error."""
    try:
        return _answer(arguments)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while closing standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _answer(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        answer = make_app().meta(arguments, result_action="return_value", exit_on_error=False, print_error=False)
        if isinstance(answer, Answer):
            give(answer)
            return answer.exit_code
    except WinbackError as problem:
        return complain(str(problem), exit_code=problem.exit_code, as_json=as_json)
    except CycloptsError as problem:
        command = " ".join(["winback", *(problem.command_chain or ())])
        return complain(f"{problem} See: {command} --help", exit_code=UsageError.exit_code, as_json=as_json)
    except KeyboardInterrupt:
        what = "interrupted; running the same command again is safe"
        return complain(what, exit_code=INTERRUPTED, as_json=as_json)
    except BrokenPipeError:
        raise
    except Exception as problem:
        if os.environ.get("WINBACK_DEBUG"):
            raise
        what = (
            f"unexpected {type(problem).__name__}: {problem}\nThis is a fault in winback. Nothing was half-written; "
            "running again is safe. Set WINBACK_DEBUG=1 to see the traceback for a report."
        )
        return complain(what, exit_code=WinbackError.exit_code, as_json=as_json)
    return 0
