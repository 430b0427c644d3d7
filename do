#!/usr/bin/env python3
"""One script for everything: it sets the checkout up and runs a command in it. It needs Python and nothing else.

In: a command and its arguments. Out: that command's exit code. Set-up happens in `.venv` beside this file, once; a
stamp over the locked requirements makes later calls free. Must never happen: a package installed without its hash,
an index named here or in a lock file (the machine's own pip configuration decides), a write outside the checkout.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / ".winback-stamp"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOCK, UV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-uv.lock"
OLDEST = (3, 11)

HELP = """usage: ./do COMMAND [arguments]

  demo              a made-up shop, several nights, the last one through Prefect; nothing leaves this machine
  test [pytest …]   the whole test suite
  check             format, lint, types, import contract, dependencies, secrets, house rules
  up [--project D]  Prefect server, deployments, worker and public pages; Ctrl-C stops them all; --fake: and vendors
  bench CASE        one benchmark, or `all`, or `list`; JSON on standard output

The first command sets up .venv (Python 3.11 or later is all it needs; `python do demo` works as well)."""

# What uv calls the settings of pip; uv does not read pip's configuration itself.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
}

# One process more than cores, because a third of the time is waiting for what was started or killed. Each file of tests
# is for one of them: its tests share servers and made-up seasons. In the order of the folders: by number of tests, the
# few that kill for minutes would come last, and all other processes wait.
TEST_PROCESSES = min(8, 1 + (os.cpu_count() or 1))
WHOLE_SUITE = ["--numprocesses", str(TEST_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder"]

# What every process of a night, of Prefect and of the tests imports.
EVERYDAY_MODULES = ["flows.nightly", "winback.cli.night_commands", "prefect.server.api.server", "prefect.cli", "pytest"]

CHECKS = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "types": ["mypy"],
    "import contract": ["importlinter.cli", "--config", "pyproject.toml"],
    "dependencies": ["deptry", "."],
    "house rules and secrets": ["pytest", "-q", "tests/house"],
}


class SetupFailed(Exception):
    """Set-up cannot go on; the message is one line a stranger can act upon."""


def fingerprint() -> str:
    """Return what the environment is made from, as one hash."""
    parts = [LOCK, UV_LOCK, ROOT / "pyproject.toml"]
    try:
        content = b"\0".join(part.read_bytes() for part in parts)
    except OSError as problem:
        raise SetupFailed(f"the checkout is not whole: {problem}") from problem
    return hashlib.sha256(content + repr((sys.version_info[:2], str(ROOT))).encode()).hexdigest()


def is_ready() -> bool:
    """Tell whether the environment is there and made from the present files."""
    made_from = fingerprint()
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="ascii") == made_from


@contextmanager
def alone() -> Iterator[None]:
    """Keep a second `./do` waiting while the first one sets up."""
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "setup.lock").open("w") as file:
        if os.name == "nt":
            import msvcrt  # noqa: PLC0415  exists on Windows only

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl  # noqa: PLC0415  exists on POSIX only

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_environment() -> None:
    """Create `.venv`, or repair one whose Python is gone."""
    if importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupFailed(f"this Python has no ensurepip: install it (Debian and Ubuntu: apt-get install {name})")
    works = PYTHON.exists() and run([PYTHON, "-m", "pip", "--version"], quiet=True) == 0
    if not works and run([sys.executable, "-m", "venv", "--clear", VENV]) != 0:
        raise SetupFailed(f"{sys.executable} -m venv failed (its message stands above)")


def run(command: list, *, quiet: bool = False, environment: dict | None = None) -> int:
    """Run one program and return its exit code; its output goes to standard error."""
    out = subprocess.DEVNULL if quiet else sys.stderr
    settings = {**os.environ, **(environment or {})}
    return subprocess.run(list(map(str, command)), stdout=out, stderr=out, env=settings, check=False).returncode


def uv_settings() -> dict:
    """Return the machine's pip configuration in uv's words; what is set for uv already stays."""
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for line in sorted(listing.splitlines(), key=lambda row: row.startswith(":env:")):  # the environment wins in pip
        key, _, value = line.partition("=")
        name = PIP_TO_UV.get(key.rpartition(".")[2])
        words = value.strip().strip("'\"").replace("\\n", " ").split()
        if name and words:
            found[name] = ("," if name == "UV_FIND_LINKS" else " ").join(words)
    # Hashes make it harmless which index a file comes from.
    found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if name not in os.environ}


def install() -> None:
    """Install the locked requirements and the project, by uv where it works and by pip where it does not."""
    pip = [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    # The lock is complete, so nothing is resolved again: pip would stumble over extras it sees twice.
    locked = ["--no-deps", "--require-hashes", "-r", LOCK]
    project = ["--no-deps", "--no-build-isolation", "-e", ROOT]
    uv = [PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON]
    settings = uv_settings()
    if run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", UV_LOCK], quiet=True) == 0:
        if run([*uv, *locked], environment=settings) == 0 and run([*uv, *project], environment=settings) == 0:
            return
        say("uv could not install (its message stands above); trying pip, which takes a minute or two")
    else:
        say("no uv for this machine; installing with pip, which takes a minute or two")
    if run([*pip, *locked]) != 0:
        raise SetupFailed("pip could not install requirements.lock (its message stands above)")
    if run([*pip, *project]) != 0:
        raise SetupFailed("pip could not install the project itself (its message stands above)")


def set_up() -> None:
    """Make the environment once; later calls cost the reading of four files."""
    if is_ready():
        return
    with alone():
        if is_ready():  # another ./do made it while this one waited
            return
        begun = time.monotonic()
        say("setting up .venv (once) …")
        make_environment()
        install()
        STAMP.write_text(fingerprint(), encoding="ascii")
        compile_everyday_modules()
        say(f"set up in {time.monotonic() - begun:.0f} s")


def compile_everyday_modules() -> None:
    """Keep the byte code of what is imported daily, as pip does of all it installs; uv leaves it to the first import.

    Where PYTHONDONTWRITEBYTECODE is set, no import would ever keep it: 3 CPU seconds more for every night.
    """
    imports = "import " + ", ".join(EVERYDAY_MODULES)
    run([PYTHON, "-c", imports], quiet=True, environment={**environment(), "PYTHONDONTWRITEBYTECODE": ""})


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"do: {text}", file=sys.stderr, flush=True)


def environment() -> dict:
    """Return the variables every command runs with: Prefect's state stays in the checkout, and nobody is told."""
    defaults = {"PREFECT_HOME": str(ROOT / "var" / "prefect")}
    forced = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "VIRTUAL_ENV": str(VENV)}
    path = str(PYTHON.parent) + os.pathsep + os.environ.get("PATH", "")
    return {**defaults, **os.environ, **forced, "PATH": path}


def become(module: str, arguments: list[str]) -> int:
    """Run a module of the environment in this process's place, so that signals reach it; Windows gets a child."""
    command = [str(PYTHON), "-m", module, *arguments]
    os.chdir(ROOT)
    if os.name != "nt":
        sys.stdout.flush()
        os.execve(command[0], command, environment())  # noqa: S606  no shell is wanted
    return subprocess.run(command, env=environment(), check=False).returncode


def check() -> int:
    """Run every check, all of them even when one fails, and name those that failed."""
    failed = []
    os.chdir(ROOT)
    for name, (module, *arguments) in CHECKS.items():
        command = [str(PYTHON), "-m", module, *arguments]
        code = subprocess.run(command, env=environment(), check=False).returncode
        say(f"{name}: {'ok' if code == 0 else 'FAILED'}")
        failed += [name] if code else []
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def newer_python() -> str | None:
    """Return another Python on this machine that is new enough and starts, if there is one."""
    found = (shutil.which(f"python3.{minor}") for minor in range(OLDEST[1], OLDEST[1] + 4))
    return next((path for path in found if path and run([path, "-c", ""], quiet=True) == 0), None)


def main(arguments: list[str]) -> int:
    """Carry out one command."""
    commands = {"demo": "deploy.demo", "up": "deploy.up", "test": "pytest", "bench": "bench"}
    command, *rest = arguments or ["help"]
    if command in {"help", "-h", "--help"}:
        print(HELP)
        return 0
    if command not in {*commands, "check"}:
        say(f"unknown command {command!r}: one of demo, test, check, up, bench")
        return 2
    if sys.version_info < OLDEST:
        other = newer_python()
        if other is None:
            raise SetupFailed(f"Python 3.11 or later is needed; this is {sys.version.split()[0]} ({sys.executable})")
        return subprocess.run([other, __file__, *arguments], check=False).returncode
    set_up()
    if command == "check":
        return check()
    return become(commands[command], WHOLE_SUITE if command == "test" and not rest else rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupFailed as problem:
        say(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
