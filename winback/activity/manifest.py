"""The one file that says what the activity store holds, and the lock that lets one process change it.

In: a directory. Out: a :class:`Manifest`, which names every file of one generation. A generation exists from the
moment its manifest replaces the one before; files are written once and never changed. Must never happen: a manifest
that names a file which is not wholly on the disk.

Files of the generation before stay until the next commit, so that a reader that is at work can finish. A crash leaves
files that no manifest names; the next writer removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from winback.errors import StoreBusy, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MANIFEST_FILE = "manifest.json"
LOCK_FILE = "writer.lock"
DATA_FOLDERS = ("events", "profiles", "dirty")
REMEDY = (
    "restore the directory from a backup, or move it away and read all sources again from their beginning "
    "(the events in it are copies of your sources)"
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredFile(_Strict):
    """A file of the store: its path below the directory, and what must be true of it."""

    file: str
    size_bytes: int = Field(gt=0)
    rows: int = Field(ge=0)


class EventPart(StoredFile):
    """Events of one source and one shard, and the first and last business day among them."""

    source: str
    shard: int = Field(ge=0)
    first_on: date
    last_on: date


class Manifest(_Strict):
    """One generation of the store.

    Attributes
    ----------
    version : of the layout; a directory of another one is refused, since its profiles lack or misread a column
    zone : the business time zone in which the days of the events were counted
    shards : the number of runs of buckets the files are split into; fixed when the store is made
    folded_through : the last business day that is contained in the profiles; None before the first fold
    parts : the events, oldest part first
    profiles : one file a shard, or None while the shard has no customer
    dirty : customers whose profiles have to be rebuilt from their events
    retired : files of the generation before, kept for readers that are still at work
    """

    version: Literal[2] = 2
    generation: int = Field(default=0, ge=0)
    zone: str
    shards: int = Field(gt=0)
    folded_through: date | None = None
    parts: tuple[EventPart, ...] = ()
    profiles: tuple[StoredFile | None, ...] = ()
    dirty: StoredFile | None = None
    retired: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_profile_file_a_shard(self) -> Manifest:
        if len(self.profiles) not in {0, self.shards} or any(part.shard >= self.shards for part in self.parts):
            message = "the files do not fit the number of shards"
            raise ValueError(message)
        return self

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file of this generation."""
        return tuple(file for file in (*self.parts, *self.profiles, self.dirty) if file is not None)

    def profile(self, shard: int) -> StoredFile | None:
        """Return the file with the profiles of a shard."""
        return self.profiles[shard] if self.profiles else None


def unavailable(root: Path, what: str) -> StoreUnavailable:
    """Return the error that says what is wrong with the store in ``root`` and what to do."""
    return StoreUnavailable(f"activity store {root}: {what}; {REMEDY}")


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(root: Path) -> Manifest | None:
    """Return the present generation, or None where no store was ever made.

    Raises
    ------
    StoreUnavailable
        If the manifest is unreadable, missing beside data, or names a file that is missing or cut short.
    """
    file = root / MANIFEST_FILE
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        if any((root / folder).exists() for folder in DATA_FOLDERS):
            raise unavailable(root, f"there are data files but no {MANIFEST_FILE}") from None
        return None
    except OSError as problem:
        raise unavailable(root, f"{MANIFEST_FILE} cannot be read ({problem.strerror})") from problem
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise unavailable(root, f"{MANIFEST_FILE} is damaged ({where}: {first['msg']})") from problem
    for stored in manifest.files:
        _check(root, stored)
    return manifest


def _check(root: Path, stored: StoredFile) -> None:
    """Raise unless the file is there in its full length."""
    try:
        size = (root / stored.file).stat().st_size
    except OSError as problem:
        raise unavailable(root, f"{stored.file} is missing or cannot be read ({problem.strerror})") from problem
    if size != stored.size_bytes:
        raise unavailable(root, f"{stored.file} has {size} bytes where {stored.size_bytes} were written")


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Make ``manifest`` the present generation: all of it or, at a crash, none of it."""
    for folder in DATA_FOLDERS:
        if (root / folder).exists():
            sync_directory(root / folder)
    temporary = root / f"{MANIFEST_FILE}.new"
    with temporary.open("wb") as stream:
        stream.write(manifest.model_dump_json(indent=1).encode())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(root / MANIFEST_FILE)
    sync_directory(root)


def remove_orphans(root: Path, keep: Iterable[str]) -> None:
    """Remove every data file that is not in ``keep``, and what a crash may have left beside the manifest."""
    kept = set(keep)
    (root / f"{MANIFEST_FILE}.new").unlink(missing_ok=True)
    for folder in DATA_FOLDERS:
        for path in sorted((root / folder).glob("*")):
            if path.relative_to(root).as_posix() not in kept:
                path.unlink(missing_ok=True)
    for spilled in root.glob("spill-*-*"):
        if not _is_alive(int(spilled.name.split("-")[1])):
            shutil.rmtree(spilled, ignore_errors=True)


def spill_directory(root: Path, process: int, serial: int) -> Path:
    """Return where a query may put what does not fit into its memory: nobody else's, gone when the query is done."""
    return root / f"spill-{process}-{serial}"


def _is_alive(process: int) -> bool:
    """Return whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def make_directory(root: Path) -> None:
    """Make the store's directory, readable by its owner only.

    Raises
    ------
    StoreUnavailable
        If it cannot be made or written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
    except OSError as problem:
        raise StoreUnavailable(
            f"activity store {root}: the directory cannot be made ({problem.strerror}); "
            "name one that this user may write to in WINBACK_ACTIVITY_URL"
        ) from problem


@contextmanager
def writer_lock(root: Path) -> Iterator[None]:
    """Hold the right to change the store; the system gives it back when the process ends, however it ends.

    Raises
    ------
    StoreBusy
        At once, if another process (or another writer of this one) holds it.
    StoreUnavailable
        If the lock file cannot be opened.
    """
    make_directory(root)
    file = root / LOCK_FILE
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise unavailable(root, f"{LOCK_FILE} cannot be opened ({problem.strerror})") from problem
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise StoreBusy(
                f"activity store {root}: another process is writing (it holds {file}); "
                "wait until it has finished and try again"
            ) from problem
        yield
    finally:
        with suppress(OSError):
            os.close(handle)
