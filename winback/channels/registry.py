"""Which provider carries which channel. Without ``live: true`` it is always the local outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.channels.local_outbox import LocalOutbox
from winback.errors import Fault, SettingsError

if TYPE_CHECKING:
    from winback.channels import Channel
    from winback.settings import Project

PROVIDERS = ("outbox",)
"""Every provider there is a file for."""


def outbox_of(project: Project) -> LocalOutbox:
    """Return the project's local outbox."""
    return LocalOutbox(project.var / "outbox")


def open_channels(project: Project) -> dict[str, Channel]:
    """Return the provider of each channel winback.yaml sets up, by the channel's name.

    Raises
    ------
    SettingsError
        If ``live: true`` asks for a provider that this version cannot reach.
    """
    outbox = outbox_of(project)
    channels: dict[str, Channel] = {}
    faults = []
    for name in ("email", "sms", "whatsapp"):
        configured = getattr(project.config.channels, name)
        if configured is None:
            continue
        if project.config.live and configured.provider not in PROVIDERS:
            what = f"provider {configured.provider!r} cannot be reached by this version: use outbox, or set live: false"
            faults.append(Fault("winback.yaml", 0, f"channels.{name}.provider", what))
        channels[name] = outbox
    if faults:
        raise SettingsError(faults)
    return channels
