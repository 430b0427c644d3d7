"""What a command says, and where: JSON on standard output, words and progress on standard error."""

from __future__ import annotations

import getpass
import json
import os
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from winback.settings import Project


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command found.

    Attributes
    ----------
    data : what ``--json`` prints
    words : what a person reads, in rich's markup
    tables : (title, columns, rows) shown after the words
    raw : bytes that go to standard output as they are (CSV), whatever the options
    exit_code : 0 done, 3 needs approval, 4 refused by a guard, as INTERFACE has it
    """

    data: Any = None
    words: str = ""
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[object]]]] = field(default=())
    raw: bytes | None = None
    exit_code: int = 0


@dataclass(frozen=True, kw_only=True)
class Session:
    """The options every command takes, and the instant the command started."""

    root: Path
    as_json: bool
    is_quiet: bool
    started_at: datetime

    @property
    def actor(self) -> str:
        """Who is at the command line, for the audit log."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):  # a container may run under a number without a name
            return f"cli:{os.getuid()}"

    def project(self) -> Project:
        """Return the project this command works on."""
        from winback.settings import load_project

        return load_project(self.root)

    def day(self, project: Project, as_of: date | None) -> date:
        """Return the business day a command is about; default today.

        Raises
        ------
        UsageError
            If the day lies in the future of the business.
        """
        from winback.errors import UsageError

        today = project.business_date(self.started_at)
        if as_of is not None and as_of > today:
            zone = project.config.business.timezone
            raise UsageError(f"--as-of {as_of} is in the future: today is {today} in {zone}. Name a day that has come.")
        return as_of or today


def plain(text: object) -> str:
    """Return a text that rich shows as it is: square brackets in it are no markup."""
    from rich.markup import escape

    return escape(str(text))


_SESSION: ContextVar[Session] = ContextVar("session")


def session() -> Session:
    """Return the options of the command that is running."""
    return _SESSION.get()


def start_session(value: Session) -> None:
    """Set the options of the command that is about to run."""
    _SESSION.set(value)


def give(answer: Answer) -> None:
    """Print an answer: raw bytes or JSON to standard output, words and tables to standard error."""
    if answer.raw is not None:
        sys.stdout.buffer.write(answer.raw)
        sys.stdout.buffer.flush()
    elif session().as_json:
        _print_json(answer.data)
    if session().is_quiet or (session().as_json and answer.raw is None):
        return
    _write_words(answer)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def say(words: str) -> None:
    """Tell a person at the terminal something while a command goes on."""
    if not session().is_quiet:
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()


def _write_words(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    if answer.words:
        console.print(answer.words, soft_wrap=True)
    for title, columns, rows in answer.tables:
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for position, name in enumerate(columns):
            is_number = all(str(row[position]).replace(",", "").isdigit() for row in rows)
            table.add_column(name, justify="right" if is_number and rows else "left", overflow="fold")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        console.print(table)


def complain(message: str, *, exit_code: int, as_json: bool) -> int:
    """Print why a command failed, with ``as_json`` also as an object on standard output; return the exit code."""
    from rich.console import Console
    from rich.text import Text

    if as_json:
        body = {"ok": False, "error": message, "exit_code": exit_code}
        _print_json(body)
    console = Console(stderr=True, highlight=False)
    console.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)
    return exit_code


def counts_table(title: str, counts: Mapping[str, int]) -> tuple[str, list[str], list[list[object]]]:
    """Return a table of counts, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return title, [title.split(" ", maxsplit=1)[0].lower(), "contacts"], [[name, f"{n:,}"] for name, n in ordered]


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback ``(stage, done, total)``; it draws bars on a terminal and is silent elsewhere."""
    if session().is_quiet or not sys.stderr.isatty():
        yield lambda _stage, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def step(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield step
