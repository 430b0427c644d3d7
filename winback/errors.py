"""Every surprise winback raises, in one tree.

::

    WinbackError                     exit 1: failed, and says what to do
    |- ConfigError                   exit 2: every fault at once, as file:line: path: message
    |  |- SettingsError              winback.yaml or the environment
    |  |- PolicyError                a programme
    |  `- TemplateError              a message template
    |- UsageError                    exit 2: the call itself cannot be meant (unknown customer, future date)
    |- ApprovalNeeded                exit 3: a person has to agree first
    |- GuardRefused                  exit 4: a safety guard said no (drifted plan, held source, red button)
    |- SourceError                   carries the source's name
    |  |- SourceUnavailable          cannot be reached: safe to try again
    |  `- SourceMalformed            not what was declared: stops that source before anything is written
    |- StoreError
    |  |- StoreUnavailable           the database or the activity store cannot be opened
    |  |- StoreBusy                  another process holds the writer's lock
    |  |- MigrationNeeded            the database is of another version
    |  `- LeaseLost                  another sender owns the message now: drop it quietly
    `- SendError                     one question: refused, deferred or unknown?
       |- SendRefused                no for good
       |- SendDeferred               provably not accepted: back to the outbox
       `- SendUnknown                may have been accepted: never sent again by a machine

Expected outcomes (suppressed, held out, capped, quiet hours) are no errors: they are values of
:class:`winback.core.reasons.Reason`. Messages say what happened, why, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fault(NamedTuple):
    """One thing wrong in one file; ``line`` is 1-based, 0 when no line can be named."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        """Return ``file:line: path: message``, leaving out what is not known."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class WinbackError(Exception):
    """winback could not finish what it was asked to do."""

    exit_code: ClassVar[int] = 1


class ConfigError(WinbackError):
    """A configuration file is wrong.

    Parameters
    ----------
    faults : every fault found, in the order of the file
    """

    exit_code = 2

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class SettingsError(ConfigError):
    """winback.yaml or the environment is wrong."""


class PolicyError(ConfigError):
    """A programme's policy file is wrong."""


class TemplateError(ConfigError):
    """A message template is wrong."""


class UsageError(WinbackError):
    """The command cannot be carried out as it was called."""

    exit_code = 2


class ApprovalNeeded(WinbackError):
    """A person has to approve this first."""

    exit_code = 3


class GuardRefused(WinbackError):
    """A safety guard refused to go on."""

    exit_code = 4


class SourceError(WinbackError):
    """A source cannot be read.

    Parameters
    ----------
    source : the name it has in winback.yaml
    message : what happened, why, and what to do
    """

    def __init__(self, source: str, message: str) -> None:
        self.source = source
        super().__init__(f"source {source}: {message}")


class SourceUnavailable(SourceError):
    """The source cannot be reached now; trying again is safe."""


class SourceMalformed(SourceError):
    """The source is not what was declared; nothing of it was written."""


class StoreError(WinbackError):
    """A store cannot be used."""


class StoreUnavailable(StoreError):
    """The database or the activity store cannot be opened."""


class StoreBusy(StoreError):
    """Another process is writing to the store."""


class MigrationNeeded(StoreError):
    """The database is of another version than this program: run `winback db upgrade`."""


class LeaseLost(StoreError):
    """Another sender owns this message now."""


class SendError(WinbackError):
    """A message did not get a plain yes.

    Parameters
    ----------
    message : what the provider said
    provider_code : the vendor's own code, when there is one
    retry_after_seconds : how long the vendor asked to wait, when it did
    """

    def __init__(
        self, message: str, *, provider_code: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        self.provider_code = provider_code
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class SendRefused(SendError):
    """The provider refused the message for good."""


class SendDeferred(SendError):
    """The message was provably not accepted and may be tried again."""


class SendUnknown(SendError):
    """The message may have been accepted; no machine sends it again."""
