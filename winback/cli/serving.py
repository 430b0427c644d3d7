"""The command that serves the pages people see."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from winback.cli.console import Answer, session

if TYPE_CHECKING:
    from cyclopts import App

    from winback.settings import Project

Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]


def register(app: App) -> None:
    """Attach the command to the command tree."""
    app.command(serve)


def serve(
    *, public_port: Port = 8400, operator_port: Port = 8401, host: str = "127.0.0.1", operator: bool = True
) -> Answer:
    """Serve the public pages that messages lead to, and the operator pages, which listen on this machine alone.

    SIGTERM and Ctrl-C end it; requests under way are finished.

    Parameters
    ----------
    public_port
        Where the public pages listen; 0 takes a free port.
    operator_port
        Where the operator pages listen, on 127.0.0.1 whatever the host; 0 takes a free port.
    host
        The address the public pages listen on; the usual one is this machine alone. Put a proxy that speaks https
        before any other.
    operator
        Whether the operator pages are served at all.
    """
    import os

    from winback.channels.simulated_vendor import with_made_up_keys
    from winback.cli.console import say
    from winback.night.pepper import open_project_ledger
    from winback.settings import wall_clock
    from winback.web.http_server import LOOPBACK, Served
    from winback.web.http_server import serve as serve_apps
    from winback.web.operator_app import make_operator_app
    from winback.web.public_app import make_public_app
    from winback.web.request_counts import RequestCounts
    from winback.web.visit_log import VisitLog

    os.umask(0o077)
    project = with_made_up_keys(session().project())
    addresses: dict[str, str] = {}
    counts = RequestCounts()

    def ready(listening: dict[str, str]) -> None:
        addresses.update(listening)
        say(_where(project, listening))

    with open_project_ledger(project) as ledger, (visit_log := VisitLog(ledger)).writing():
        app = make_public_app(project, ledger, clock=wall_clock, visit_log=visit_log)
        public = counts.watch(app, name="public")
        apps = [Served("public", public, host, public_port, project.config.web.trusted_proxies)]
        if operator:
            pages = make_operator_app(project, ledger, clock=wall_clock, counts=counts)
            apps.append(Served("operator", counts.watch(pages, name="operator"), LOOPBACK, operator_port))
        serve_apps(apps, ready=ready)
    return Answer(data=addresses, words="Stopped; what was under way is finished.")


def _where(project: Project, listening: dict[str, str]) -> str:
    """Return where the pages listen, and how to log in where there are operator pages."""
    lines = [f"{name} pages: {address}" for name, address in listening.items()]
    return "\n".join([*lines, *_how_to_log_in(project, listening.get("operator"))])


def _how_to_log_in(project: Project, address: str | None) -> list[str]:
    """Return where the token of the operator pages lies; a person at a terminal gets it as a link.

    What is no terminal may be a log, and a log is read by more people than a token is meant for.
    """
    from winback.web.operator_sessions import operator_token, token_file

    if address is None:
        return []
    if not sys.stderr.isatty():
        return [f"log in to the operator pages with the token in {token_file(project)}"]
    return [f"log in to the operator pages: {address}/log-in?token={operator_token(project).decode()}"]
