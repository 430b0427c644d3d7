"""The command that serves the pages people see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from winback.cli.console import Answer, session

if TYPE_CHECKING:
    from cyclopts import App

Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]


def register(app: App) -> None:
    """Attach the command to the command tree."""
    app.command(serve)


def serve(*, public_port: Port = 8400, host: str = "127.0.0.1") -> Answer:
    """Serve the public pages: links, landing pages, unsubscribe, preferences.

    SIGTERM and Ctrl-C end it; requests under way are finished.

    Parameters
    ----------
    public_port
        Where the public pages listen; 0 takes a free port.
    host
        The address they listen on; the usual one is this machine alone. Put a proxy that speaks https before any other.
    """
    import os

    from winback.cli.console import say
    from winback.night.pepper import open_project_ledger
    from winback.settings import wall_clock
    from winback.web.http_server import Served
    from winback.web.http_server import serve as serve_apps
    from winback.web.public_app import make_public_app

    os.umask(0o077)
    project = session().project()
    addresses: dict[str, str] = {}

    def ready(listening: dict[str, str]) -> None:
        addresses.update(listening)
        say("\n".join(f"{name} pages: {address}" for name, address in listening.items()))

    with open_project_ledger(project) as ledger:
        public = make_public_app(project, ledger, clock=wall_clock)
        proxies = project.config.web.trusted_proxies
        serve_apps([Served("public", public, host, public_port, proxies)], ready=ready)
    return Answer(data=addresses, words="Stopped; what was under way is finished.")
