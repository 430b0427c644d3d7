"""A folder for the shards of a plan, inside the project and gone when it is done with, however its process ends.

In: a project. Out: a private folder. Must never happen: rows about people that a killed process leaves lying about,
or a folder that is taken away from a process that is still at work.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import feather

from winback.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from winback.settings import Project

_PREFIX = ".plan-"


@contextmanager
def scratch(project: Project) -> Iterator[Path]:
    """Yield an empty folder that is removed at the end; what dead processes left is removed first.

    Raises
    ------
    StoreUnavailable
        If there is no room for one.
    """
    try:
        project.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_scratch(project)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=project.var))
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        what = f"{project.var} cannot be written: {problem.strerror}. Make it writable for this user"
        raise StoreUnavailable(what) from problem
    try:
        # The kernel lets go of this lock when the process dies, so whoever can take it may clear the folder away.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def clear_scratch(project: Project) -> int:
    """Remove the folders that dead processes left, and return how many there were."""
    cleared = 0
    for folder in project.var.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
            finally:
                os.close(handle)
    return cleared


def lay_down(rows: pd.DataFrame, file: Path) -> None:
    """Put rows aside, without their index, as Arrow lays them out: half of what Parquet costs."""
    feather.write_feather(pa.Table.from_pandas(rows, preserve_index=False), file, compression="lz4")


def take_up(file: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows that were put aside, or some of their columns."""
    wanted = None if columns is None else list(columns)
    rows: pd.DataFrame = feather.read_table(file, columns=wanted, memory_map=False).to_pandas()
    return rows
