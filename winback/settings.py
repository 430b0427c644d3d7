"""What a project says about itself (``winback.yaml``) and what the environment adds.

In: a directory and a mapping of environment variables. Out: one frozen :class:`Project`. Secrets come from the
environment only and are never printed; the wall clock is read here and nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from winback import documents
from winback.configuration import Configuration
from winback.errors import Fault, SettingsError, WinbackError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_FILE = "winback.yaml"


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project directory, read once.

    Attributes
    ----------
    root : the directory that holds winback.yaml
    config : its content
    database_url : the ledger's SQLAlchemy URL
    activity : the directory of the activity store
    environment : the variables winback was started with; never shown
    """

    root: Path
    config: Configuration
    database_url: str = field(repr=False)
    activity: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def var(self) -> Path:
        """The directory that holds all state."""
        return self.root / "var"

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.config.business.timezone)

    def business_date(self, now: datetime) -> date:
        """Return the business day that the instant ``now`` (aware) falls on."""
        return now.astimezone(self.zone).date()


def wall_clock() -> datetime:
    """Return the present instant, aware UTC. The only place in winback that asks the machine for the time."""
    return datetime.now(tz=UTC)


def data_directory() -> Path:
    """Return where the read-only files lie: in the wheel beside the code, in a checkout in ``data/``.

    Raises
    ------
    WinbackError
        If the installation carries no such files.
    """
    package = Path(__file__).parent
    for place in (package / "data", package.parent / "data"):
        if (place / "rules").is_dir():
            return place
    raise WinbackError("the rules and templates are not installed: the wheel was built without data/; install it again")


def load_configuration(root: Path) -> Configuration:
    """Return the validated ``winback.yaml`` of a project directory.

    Raises
    ------
    SettingsError
        If the directory or the file is missing or cannot be read, or with every fault found in it.
    """
    file = root / CONFIG_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        what = "not found: make a project with `winback init DIR`, or name one with --project"
        raise SettingsError([Fault(str(file), 0, "", what)]) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError([Fault(str(file), 0, "", f"cannot be read: {problem}")]) from problem
    return documents.load(text, file=CONFIG_FILE, model=Configuration, error=SettingsError)


def load_project(root: Path, environment: Mapping[str, str] | None = None) -> Project:
    """Return the project in ``root``.

    Parameters
    ----------
    root : directory
    environment : variables; default the process's own

    Raises
    ------
    SettingsError
        As :func:`load_configuration`.
    """
    environment = dict(os.environ if environment is None else environment)
    root = root.expanduser().resolve()
    default = f"sqlite:///{root / 'var' / 'winback.db'}"
    activity = environment.get("WINBACK_ACTIVITY_URL") or "var/activity"
    config = load_configuration(root)
    if public := environment.get("PUBLIC_BASE_URL"):
        business = config.business.model_copy(update={"public_base_url": public})
        config = config.model_copy(update={"business": business})
    return Project(
        root=root,
        config=config,
        database_url=environment.get("WINBACK_DATABASE_URL") or default,
        activity=root / activity.removeprefix("file://"),
        environment=environment,
    )
