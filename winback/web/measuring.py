"""Results that take pandas are worked out by another process, so that the pages' own stays small and answers meanwhile.

In: what has to change before it is worth measuring again. Out: what `winback measure --json` printed, or why not, or
nothing yet. One measurement at a time; a page that asks meanwhile waits a little for it and then says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import date

    from winback.settings import Project

WAIT_SECONDS = 20.0
MOST_SECONDS = 1800.0


class Measured(NamedTuple):
    """What came of one measurement: results, or the sentence that says why there are none."""

    results: list[dict[str, Any]]
    fault: str = ""


class Measuring:
    """Measures a project's programmes, once for each state of it.

    Parameters
    ----------
    project : whose
    wait_seconds : so long a page waits for a measurement under way
    """

    def __init__(self, project: Project, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.project, self.wait_seconds = project, wait_seconds
        self._lock = threading.Lock()
        self._about, self._found = "", Measured([])
        self._is_done = threading.Event()

    def results(self, about: str, *, as_of: date) -> Measured | None:
        """Return what came of the measurement, None while it is under way.

        Parameters
        ----------
        about : names the state the results are of; another one is measured anew
        as_of : the business day
        """
        with self._lock:
            is_idle = not self._about or self._is_done.is_set()
            if is_idle and (about != self._about or self._found.fault):
                self._about = about
                self._is_done.clear()
                # Whoever stops the pages does not wait for it.
                threading.Thread(target=self._measure, args=(as_of,), daemon=True).start()
        return self._found if self._is_done.wait(self.wait_seconds) else None

    def _measure(self, as_of: date) -> None:
        try:
            self._found = _ask(self.project, as_of)
        finally:
            self._is_done.set()


def _ask(project: Project, as_of: date) -> Measured:
    command = [sys.executable, "-m", "winback", "--project", str(project.root), "--json", "measure"]
    command += ["--as-of", str(as_of)]
    environment = {**os.environ, **project.environment}
    try:
        done = subprocess.run(  # noqa: S603  our own program, and a directory that we were started with
            command, env=environment, capture_output=True, timeout=MOST_SECONDS, check=False, text=True
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as problem:
        return Measured([], f"`winback measure` gave no answer ({type(problem).__name__}): try it in a terminal")
    return Measured(answer["results"]) if done.returncode == 0 else Measured([], str(answer.get("error", "")))
