"""Prefect's programs on this machine: server, worker, deployments, automations. Standard library only.

In: a project directory. Out: running programs, each known by its process id, and their addresses. Must never happen:
a program left running after its starter ended, anything written to the user's own Prefect profile, a server that
listens beyond this machine.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from deploy.loopback import LOOPBACK, ask

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
USUAL_PORT = 4200
POOL = "winback"
FAKE_VENDORS = "fake-vendors"
START_TIMEOUT_SECONDS = 180
STOP_TIMEOUT_SECONDS = 15
PAGES = "pages"
BUSINESS = (
    "import sys, pathlib; from winback.settings import load_project as load; "
    "print(load(pathlib.Path(sys.argv[1])).config.business.model_dump_json())"
)

# With fake vendors, nothing may find its way to a real one: these would, beside what the fakes replace.
REAL_VENDORS = frozenset({"SMTP_URL", "TWILIO_API_KEY", "TWILIO_API_SECRET"})


class ServiceFailed(Exception):
    """A program did not start; the message says which, and where its log is."""


def free_port(preferred: int = USUAL_PORT) -> int:
    """Return the preferred port of this machine if nobody listens there, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                return int(probe.getsockname()[1])
    raise ServiceFailed("no free port on this machine")


def business_of(project: Path) -> dict[str, str]:
    """Return the section `business` of the project's winback.yaml; what is wrong there is raised as one message."""
    done = subprocess.run(
        [sys.executable, "-c", BUSINESS, str(project)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise ServiceFailed((done.stderr.strip().splitlines() or ["winback.yaml cannot be read"])[-1])
    return dict(json.loads(done.stdout))


def called(name: str) -> str:
    """Return what a program is called when something is said about it."""
    others = {FAKE_VENDORS: "the program of the fake vendors", PAGES: "the program of the pages"}
    return others.get(name, f"Prefect's {name}")


def stop_in_order() -> None:
    """Treat a request to end like Ctrl-C, so that everything that was started is stopped."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)


@dataclass
class Services:
    """Prefect for one project. Use as a context manager: whatever was started is stopped, last first.

    Attributes
    ----------
    project : the project directory the deployments work on
    home : PREFECT_HOME: database, logs
    port : where the server listens on this machine
    vendors : variables that lead senders to the fake vendors; empty while there are none
    elsewhere : variables that say where the pages are, if not where winback.yaml has them
    made_up : makes the keys of reports that a person makes in a vendor's place; gone when everything has stopped
    """

    project: Path
    home: Path
    port: int
    vendors: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    made_up: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of Prefect's pages."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables every program is started with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        if self.vendors:
            inherited = {name: value for name, value in inherited.items() if name not in REAL_VENDORS}
        own = {
            "DO_NOT_TRACK": "1",
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_API_HOST": LOOPBACK,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_UI_API_URL": f"{self.url}/api",
            "WINBACK_HOME": str(ROOT),
            "WINBACK_PROJECT": str(self.project),
        }
        # A live project makes nothing of it, and doubles have one of their own.
        return {"WINBACK_SIMULATED_VENDORS": self.made_up} | inherited | self.vendors | self.elsewhere | own

    def __enter__(self) -> Self:
        """Make the home directory; nothing is started yet."""
        self.project, self.home = self.project.resolve(), self.home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop()

    @property
    def operator_token(self) -> Path:
        """Where the token lies that opens the operator pages."""
        return self.project / "var" / "operator.token"

    @property
    def accepted(self) -> Path:
        """Where the fake vendors write down what they took."""
        return self.home / f"{FAKE_VENDORS}.jsonl"

    def start_fake_vendors(self, *, report_to: str = "") -> None:
        """Start doubles of SendGrid and Twilio; whatever is started after them sends there.

        Parameters
        ----------
        report_to : the address of the pages on this machine, whose hooks the doubles call; "" for nobody

        Raises
        ------
        ServiceFailed
            If they do not start.
        """
        log = self.log(FAKE_VENDORS)
        said_before = log.stat().st_size if log.exists() else 0
        reports = ["--callbacks", report_to] if report_to else []
        self._start(FAKE_VENDORS, ["winback.sample.fake_vendors", "--log", str(self.accepted), *reports])

        def said() -> bool:
            lines = log.read_bytes()[said_before:].decode().splitlines(keepends=True)
            ready = [line for line in lines if line.startswith("{") and line.endswith("\n")]
            self.vendors = json.loads(ready[0])["environment"] if ready else {}
            return bool(ready)

        self._wait(FAKE_VENDORS, said)

    def start_pages(self, port: int, *, operator_port: int) -> None:
        """Start `winback serve`: what the links in messages lead to, and the pages of those who run it.

        Raises
        ------
        ServiceFailed
            If it does not start.
        """
        self._start(PAGES, ["winback", "serve", "--public-port", str(port), "--operator-port", str(operator_port)])
        self._wait(PAGES, lambda: bool(ask(port, "/healthz")))

    def start_server(self) -> None:
        """Start the server; it is not ready yet (:meth:`wait_for_server`)."""
        self._start("server", ["prefect", "server", "start"])

    def wait_for_server(self) -> None:
        """Return when the server answers.

        Raises
        ------
        ServiceFailed
            If it ends, or does not answer in time.
        """
        self._wait("server", lambda: self.ask("health") is True)

    def start_worker(self) -> None:
        """Start a worker that runs flows as processes; it makes the work pool where there is none."""
        # No --limit: with one, a run that is resumed while its old process still ends takes the whole worker down
        # (Prefect 3.8.8). Each deployment lets one run through at a time anyway.
        self._start("worker", ["prefect", "worker", "start", "--pool", POOL, "--type", "process"])
        self._wait("worker", lambda: bool(self.ask(f"work_pools/{POOL}/workers/filter", {})))

    def register(self) -> dict[str, Any]:
        """Deploy everything in prefect.yaml and apply the automations; return what became of the automations.

        Raises
        ------
        ServiceFailed
            If either fails; the message holds the end of its output.
        """
        zone = {"WINBACK_TIMEZONE": business_of(self.project)["timezone"]}
        self.run("deploy", ["prefect", "--no-prompt", "deploy", "--all"], zone)
        found: dict[str, Any] = json.loads(self.run("automations", ["tasks.observing"]).splitlines()[-1])
        return found

    def watch(self) -> None:
        """Return never; raise when a program ends by itself.

        Raises
        ------
        ServiceFailed
            Naming the program and its log.
        """
        while True:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise ServiceFailed(f"{called(name)} has ended; its log is {self.log(name)}")
            time.sleep(0.5)

    def run(self, name: str, module: list[str], more: dict[str, str] | None = None) -> str:
        """Run a module of this environment to its end and return its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=self.environment | (more or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-5:]
            raise ServiceFailed(f"{name} failed: " + "\n".join(last))
        return done.stdout

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401  what json.loads returns, which has this type
        """Return the server's JSON answer to a GET, or to a POST where there is a body; None while it is silent."""
        return ask(self.port, f"/api/{path}", body)

    def stop(self) -> None:
        """Stop what was started, by process id, last first; what does not listen in time is killed."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_TIMEOUT_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if hasattr(os, "killpg"):
                # A program that was killed may leave children behind; the group is ours alone.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        self.processes.clear()

    def log(self, name: str) -> Path:
        """Return where a program's output goes."""
        return self.home / f"{name}.log"

    def _start(self, name: str, module: list[str]) -> None:
        """Start a program of its own group, so that Ctrl-C reaches its starter only."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Return when a program is ready."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if is_ready():
                return
            if self.processes[name].poll() is not None:
                break
            time.sleep(0.25)
        raise ServiceFailed(f"{called(name)} did not start; its log is {self.log(name)}")
