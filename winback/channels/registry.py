"""Which provider carries which channel. Without ``live: true`` it is always the local outbox.

A provider's file, and with it the vendor's package, is loaded when a channel asks for it.
"""

# ruff: noqa: PLC0415  vendors' packages are loaded only where they are used
from __future__ import annotations

from typing import TYPE_CHECKING

from winback.channels.local_outbox import LocalOutbox
from winback.channels.provider_settings import ProviderSettings
from winback.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from winback.channels import Channel
    from winback.channels.sendgrid_lists import SendGridLists
    from winback.channels.transport import Transport
    from winback.channels.twilio_polls import TwilioPolls
    from winback.settings import Project


def outbox_of(project: Project) -> LocalOutbox:
    """Return the project's local outbox."""
    return LocalOutbox(project.var / "outbox")


def open_channels(project: Project, transport: Transport | None = None) -> dict[str, Channel]:
    """Return the provider of each channel winback.yaml sets up, by the channel's name.

    Parameters
    ----------
    project : read
    transport : to the providers; default one of its own, shared by all of them

    Raises
    ------
    SettingsError
        If ``live: true`` asks for a provider whose settings are missing or wrong: all of them, by variable.
    """
    outbox = outbox_of(project)
    asked = {name: getattr(project.config.channels, name) for name in ("email", "sms", "whatsapp")}
    providers = {name: channel.provider for name, channel in asked.items() if channel is not None}
    if not project.config.live:
        return dict.fromkeys(providers, outbox)
    settings = ProviderSettings(project.environment)
    opened: dict[str, Channel] = {"outbox": outbox}
    if OPENERS.keys() & providers.values():
        from winback.channels.transport import Transport as RealTransport

        way_out = transport or RealTransport()
        for provider in sorted(OPENERS.keys() & providers.values()):
            channel = OPENERS[provider](project, settings, way_out)
            if channel is not None:
                opened[provider] = channel
    if settings.faults:
        raise SettingsError(settings.faults)
    return {name: opened[provider] for name, provider in providers.items()}


def keeps_lists(project: Project) -> bool:
    """Return whether the project's live mail goes by a vendor that keeps lists of refusals."""
    email = project.config.channels.email
    return project.config.live and email is not None and email.provider == "sendgrid"


def open_lists(project: Project, transport: Transport | None = None) -> SendGridLists | None:
    """Return the lists of the vendor that sends the project's mail, or None where it keeps none or nothing is live.

    Raises
    ------
    SettingsError
        If its settings are missing or wrong: all of them, by variable.
    """
    if not keeps_lists(project):
        return None
    from winback.channels.sendgrid_lists import SendGridLists
    from winback.channels.sendgrid_mail import BASE_URL
    from winback.channels.transport import Transport as RealTransport

    settings = ProviderSettings(project.environment)
    key, base_url = settings.key("SENDGRID_API_KEY"), settings.base_url("SENDGRID_BASE_URL", BASE_URL)
    if settings.faults:
        raise SettingsError(settings.faults)
    return SendGridLists(api_key=key, base_url=base_url, transport=transport or RealTransport())


def _sendgrid(project: Project, settings: ProviderSettings, transport: Transport) -> Channel | None:
    from winback.channels.sendgrid_mail import BASE_URL, SendGridMail

    key = settings.key("SENDGRID_API_KEY")
    base_url = settings.base_url("SENDGRID_BASE_URL", BASE_URL)
    email = project.config.channels.email
    if settings.faults or email is None:
        return None
    return SendGridMail(api_key=key, base_url=base_url, transport=transport, max_batch=email.people_per_request)


def _smtp(project: Project, settings: ProviderSettings, transport: Transport) -> Channel | None:
    from winback.channels.smtp_mail import SmtpMail, smtp_server

    del project
    url = settings.key("SMTP_URL")
    if settings.faults:
        return None
    try:
        server = smtp_server(url)
    except ValueError as problem:
        settings.fault("SMTP_URL", str(problem))
        return None
    return SmtpMail(server, transport=transport)


def open_polls(project: Project, transport: Transport | None = None) -> TwilioPolls | None:
    """Return who can be asked how the project's texts fared, or None where nobody can or nothing is live.

    Raises
    ------
    SettingsError
        If its settings are missing or wrong: all of them, by variable.
    """
    texts = project.config.channels.sms, project.config.channels.whatsapp
    if not project.config.live or not any(one is not None and one.provider == "twilio" for one in texts):
        return None
    from winback.channels.transport import Transport as RealTransport
    from winback.channels.twilio_polls import TwilioPolls
    from winback.channels.twilio_texts import BASE_URL

    settings = ProviderSettings(project.environment)
    account, username, password = _twilio_account(settings)
    base_url = settings.base_url("TWILIO_BASE_URL", BASE_URL)
    if settings.faults:
        raise SettingsError(settings.faults)
    return TwilioPolls(
        account_sid=account,
        username=username,
        password=password,
        transport=transport or RealTransport(),
        base_url=base_url,
    )


def _twilio_account(settings: ProviderSettings) -> tuple[str, str, str]:
    """Return whose account it is, and the name and password of whoever calls."""
    account = settings.sid("TWILIO_ACCOUNT_SID")
    # An API key can be taken back alone; the account's token signs callbacks, too.
    if settings.has("TWILIO_API_KEY") or settings.has("TWILIO_API_SECRET"):
        return account, settings.key("TWILIO_API_KEY"), settings.key("TWILIO_API_SECRET")
    return account, account, settings.key("TWILIO_AUTH_TOKEN")


def _twilio(project: Project, settings: ProviderSettings, transport: Transport) -> Channel | None:
    from winback.channels.twilio_texts import BASE_URL, TwilioTexts

    account, username, password = _twilio_account(settings)
    base_url = settings.base_url("TWILIO_BASE_URL", BASE_URL)
    service = settings.sid("TWILIO_MESSAGING_SERVICE_SID", is_needed=False)
    whatsapp = project.config.channels.whatsapp
    if whatsapp and whatsapp.provider == "twilio" and not whatsapp.sender and not service:
        settings.fault("TWILIO_MESSAGING_SERVICE_SID", "is not set, and channels.whatsapp has no `from`: set one")
    if settings.faults:
        return None
    return TwilioTexts(
        account_sid=account,
        username=username,
        password=password,
        transport=transport,
        base_url=base_url,
        messaging_service_sid=service,
        contents=whatsapp.contents if whatsapp else {},
    )


OPENERS: dict[str, Callable[[Project, ProviderSettings, Transport], Channel | None]] = {
    "sendgrid": _sendgrid,
    "smtp": _smtp,
    "twilio": _twilio,
}
"""How each provider beside the local outbox is opened."""
