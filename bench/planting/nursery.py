"""Plants one mutation at a time in a copy of the checkout and runs the tests that are to catch it.

In: mutations. Out: for each what its test said. The libraries are imported once; each copy is tried in a process that
is forked from here and imports our own code anew, which costs a fifth of a fresh start. Must never happen: a mutation
of the checkout itself, a mutation that counts as caught because the copy does not even start.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutations.yaml")
LONGEST_SECONDS, LONGEST_BASELINE_SECONDS = 120, 1800
# What our code and the tests import of others: nothing here starts a thread, so that a fork is whole.
_LIBRARIES = (
    "alembic.command", "email_validator", "holidays.countries", "hypothesis", "liquid", "orjson", "pandas",
    "phonenumbers", "psycopg", "pyarrow", "pydantic.main", "sendgrid", "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite", "twilio.rest", "urllib3",
)  # fmt: skip


class Mutation(NamedTuple):
    """One fault: what it breaks, where, what is replaced by what, and the test that has to notice."""

    breaks: str
    file: str
    text: str
    instead: str
    test: str
    is_for_every_day: bool = False
    on_postgresql: bool = False


class Fate(StrEnum):
    """What became of a mutation."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    HUNG = "hung"
    BROKEN = "broken"  # the copy could not be tested at all, so that nothing is proved


class _Witness:
    """Notes which tests failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def read_mutations() -> tuple[Mutation, ...]:
    """Return every mutation there is (`mutations.yaml`)."""
    groups = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return tuple(
        Mutation(
            breaks=row["breaks"],
            file=group["file"],
            text=row["text"],
            instead=row["instead"],
            test=f"{group['tests']}::{row['test']}",
            is_for_every_day=group.get("every_day", False),
            on_postgresql=group.get("on_postgresql", False),
        )
        for group in groups
        for row in group["mutations"]
    )


def mutated(mutation: Mutation) -> str:
    """Return the text of the mutated file.

    Raises
    ------
    ValueError
        If what it replaces does not stand there exactly once: the code has changed, so the mutation has to.
    """
    whole = (ROOT / mutation.file).read_text(encoding="utf-8")
    found = whole.count(mutation.text)
    if found != 1:
        message = f"{mutation.breaks}: {mutation.text!r} stands {found} times in {mutation.file}, not once"
        raise ValueError(message)
    return whole.replace(mutation.text, mutation.instead)


def judge(mutation: Mutation, folder: Path) -> Fate:
    """Return what became of a mutation once the test named for it was run."""
    with _copy(folder, changed=mutation.file, text=mutated(mutation)) as copy:
        code, _failed = _tried(copy, [mutation.test], on_postgresql=mutation.on_postgresql)
    if code is None:
        return Fate.HUNG
    if code == pytest.ExitCode.OK:
        return Fate.SURVIVED
    return Fate.CAUGHT if code == pytest.ExitCode.TESTS_FAILED else Fate.BROKEN


def unsound(mutations: Sequence[Mutation], folder: Path) -> list[str]:
    """Return which of the tests that are named fail without any mutation, so that their failing proves nothing."""
    found: list[str] = []
    for on_postgresql in {one.on_postgresql for one in mutations}:
        tests = sorted({one.test for one in mutations if one.on_postgresql is on_postgresql})
        with _copy(folder) as copy:
            code, failed = _tried(copy, tests, on_postgresql=on_postgresql, is_whole=True)
        if code != pytest.ExitCode.OK:
            found += failed or [f"pytest itself, with {code}"]
    return found


def import_libraries() -> None:
    """Import what every copy needs, once; without threads of their own, which a fork would lose."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # what never changes is not looked through again in each copy


@contextlib.contextmanager
def _copy(folder: Path, *, changed: str = "", text: str = "") -> Iterator[Path]:
    """Yield a checkout in which ``winback`` and ``data`` are copies and the rest that counts is linked."""
    copy, compiled = folder / "copy", folder / "compiled"
    if not compiled.exists():
        # Once, as no copy would have byte code where PYTHONDONTWRITEBYTECODE is set.
        shutil.copytree(ROOT / "winback", compiled / "winback")
        shutil.copytree(ROOT / "data", compiled / "data")
        compileall.compile_dir(compiled, quiet=2)
    shutil.copytree(compiled, copy)
    for one in ROOT.iterdir():
        if one.name not in {"winback", "data", "var"} and not one.name.startswith("."):
            (copy / one.name).symlink_to(one)
    if changed:
        (copy / changed).write_text(text, encoding="utf-8")
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def _tried(
    copy: Path, tests: Sequence[str], *, on_postgresql: bool, is_whole: bool = False
) -> tuple[int | None, tuple[str, ...]]:
    """Run tests on a copy in a process of its own; return pytest's exit code, None if it hung, and what failed."""
    method = multiprocessing.get_context("fork")
    ours, theirs = method.Pipe(duplex=False)
    options = ["-m", "postgres" if on_postgresql else "not postgres", *(() if is_whole else ("--exitfirst",))]
    process = method.Process(target=_try, args=(copy, [*options, *tests], theirs))
    process.start()
    theirs.close()
    told: tuple[int | None, tuple[str, ...]] = (None, ())
    if ours.poll(LONGEST_BASELINE_SECONDS if is_whole else LONGEST_SECONDS):
        try:
            told = ours.recv()
        except EOFError:
            told = (pytest.ExitCode.INTERNAL_ERROR, ())
    # Its children, too: senders and vendors.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()
    return told


def _try(copy: Path, options: list[str], told: Connection) -> None:
    os.setsid()
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    quiet = os.open(copy / "pytest.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    witness = _Witness()
    # No plugins, and assertions as they are: what they would say is not read.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plain = ["--quiet", "-p", "no:cacheprovider", "--assert=plain", f"--basetemp={copy / 'tmp'}"]
    code = int(pytest.main([*plain, *options], plugins=[witness]))
    import winback  # noqa: PLC0415  must not be loaded before the path leads to the changed copy

    is_ours = Path(winback.__file__).is_relative_to(copy)
    told.send((code if is_ours else pytest.ExitCode.INTERNAL_ERROR, tuple(witness.failed)))
