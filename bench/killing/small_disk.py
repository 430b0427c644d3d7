"""A disk of a few megabytes that is really full when it is full: a file system of its own in memory.

It needs the right to mount, which a container may not give; there is none then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILLER = "filler"
_BLOCK = b"\0" * (1 << 16)


class SmallDisk:
    """A mounted file system.

    Attributes
    ----------
    place : where it is mounted
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self, *, leave_bytes: int) -> None:
        """Take everything but so many bytes."""
        free = shutil.disk_usage(self.place).free - leave_bytes
        # Whoever else writes here meanwhile may leave less than there was.
        with (self.place / _FILLER).open("wb", buffering=0) as file, suppress(OSError):
            for start in range(0, free, len(_BLOCK)):
                file.write(_BLOCK[: min(len(_BLOCK), free - start)])

    def make_room(self) -> None:
        """Give back what was taken."""
        (self.place / _FILLER).unlink()


@contextmanager
def small_disk(place: Path, *, size_bytes: int) -> Iterator[SmallDisk | None]:
    """Yield a disk mounted at a folder that is made for it, or None where nothing may be mounted."""
    place.mkdir(mode=0o755, parents=True)
    programs = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or not all(programs):
        yield None
        return
    mount, umount = map(str, programs)
    command = [mount, "-t", "tmpfs", "-o", f"size={size_bytes},mode=777", "winback-small-disk", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run([umount, str(place)], check=True)
