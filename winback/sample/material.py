"""Where the read-only files of the project lie: in the wheel beside the code, in a checkout in ``data/``."""

from __future__ import annotations

from pathlib import Path

import winback
from winback.errors import WinbackError


def data_directory() -> Path:
    """Return the directory that holds ``policies/``, ``schemas/``, ``templates/`` and ``sample/``.

    Raises
    ------
    WinbackError
        If the installation carries no such files.
    """
    package = Path(winback.__file__).parent
    for place in (package / "data", package.parent / "data"):
        if (place / "sample").is_dir():
            return place
    raise WinbackError("the sample files are not installed: the wheel was built without data/; install it again")
