"""Whether the project's messages can leave this machine, and where each channel's would go.

In: a project. Out: nothing, or what is missing by the name of its variable. Must never happen: a key shown, or a night
that queues live messages and only then finds that it has no key.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from winback.channels.provider_settings import ProviderSettings
from winback.channels.registry import OPENERS, open_channels
from winback.channels.transport import Transport
from winback.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from winback.settings import Project

CHANNELS = ("email", "sms", "whatsapp")


class _Noted(ProviderSettings):
    """Remembers which variables a provider asked for, and the addresses it took; never what a key holds."""

    def __init__(self, project: Project) -> None:
        super().__init__(project.environment)
        self.present: list[str] = []
        self.addresses: list[str] = []

    def key(self, variable: str) -> str:
        return self._noted(variable, super().key(variable))

    def sid(self, variable: str, *, is_needed: bool = True) -> str:
        return self._noted(variable, super().sid(variable, is_needed=is_needed))

    def base_url(self, variable: str, default: str) -> str:
        value = super().base_url(variable, default)
        if not any(fault.path == variable for fault in self.faults):
            # Part of an address may be a key (user:password@…): one at fault is not shown.
            self.addresses.append(value)
        return value

    def _noted(self, variable: str, value: str) -> str:
        if value and not any(fault.path == variable for fault in self.faults):
            self.present.append(variable)
        return value


def require_reach(project: Project) -> None:
    """Refuse a live project whose providers cannot be reached for want of a setting.

    Raises
    ------
    SettingsError
        With every variable that is missing or wrong.
    """
    if project.config.live:
        open_channels(project)


def live_hosts(project: Project) -> list[str]:
    """Return the names of the machines that live messages go to, as far as their settings are sound."""
    if not project.config.live:
        return []
    noted = _Noted(project)
    for provider in sorted(
        {getattr(project.config.channels, name).provider for name in _used(project)} & OPENERS.keys()
    ):
        OPENERS[provider](project, noted, Transport())
    return sorted({urlsplit(address).hostname or "" for address in noted.addresses} - {""})


def _used(project: Project) -> list[str]:
    return [name for name in CHANNELS if getattr(project.config.channels, name) is not None]


def way_out_of_each(project: Project) -> dict[str, Callable[[Project], str]]:
    """Return one question a channel of the project: where its messages go, and what it has for that."""
    return {f"channel {name}": partial(_way_out, name=name) for name in _used(project)}


def _way_out(project: Project, name: str) -> str:
    """Say where one channel's messages go.

    Raises
    ------
    SettingsError
        If it is live and something is missing.
    """
    provider = getattr(project.config.channels, name).provider
    is_live = project.config.live
    noted = _Noted(project)
    if provider in OPENERS:
        OPENERS[provider](project, noted, Transport())
    if noted.faults and is_live:
        raise SettingsError(noted.faults)
    where = "live" if is_live and provider != "outbox" else "local: everything goes to var/outbox"
    parts = [f"{provider}, {where}", *(f"{variable} is set" for variable in noted.present)]
    parts += [f"{fault.path} {fault.message}" for fault in noted.faults]
    parts += [f"to {address}" for address in noted.addresses]
    if project.config.only_to:
        force = "in force" if is_live else "in force once live"
        parts.append(f"only_to with {len(project.config.only_to)} entries {force}")
    return "; ".join(parts)
