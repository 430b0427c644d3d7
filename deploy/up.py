"""`./do up`: Prefect's server, the deployments, the automations, a worker and the pages, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.loopback import LOOPBACK
from deploy.page_addresses import USUAL_OPERATOR_PORT, USUAL_PUBLIC_PORT, page_address
from deploy.services import USUAL_PORT, ServiceFailed, Services, business_of, free_port, stop_in_order

if TYPE_CHECKING:
    from deploy.page_addresses import PageAddress


def parser() -> argparse.ArgumentParser:
    """Return what `./do up` understands."""
    made = argparse.ArgumentParser(prog="./do up", description="Prefect and the pages of a project, until Ctrl-C.")
    default = os.environ.get("WINBACK_PROJECT", ".")
    made.add_argument("--project", type=Path, default=Path(default), help="directory with winback.yaml")
    made.add_argument("--port", type=int, default=USUAL_PORT, help=f"default {USUAL_PORT}, or a free one")
    made.add_argument("--public-port", type=int, help=f"default the one of public_base_url, or {USUAL_PUBLIC_PORT}")
    made.add_argument(
        "--operator-port", type=int, default=USUAL_OPERATOR_PORT, help="default %(default)s, or a free one"
    )
    made.add_argument("--fake", action="store_true", help="send to doubles of SendGrid and Twilio on this machine")
    made.add_argument("--home", type=Path, help="Prefect's state; default PROJECT/var/prefect")
    return made


def up(services: Services, pages: PageAddress, *, operator_port: int, is_fake: bool = False) -> None:
    """Start everything and say where it is; return when a program ends or a signal comes."""
    services.elsewhere = pages.elsewhere
    if is_fake:
        services.start_fake_vendors(report_to=pages.url)
        say(f"fake vendors  {services.vendors['SENDGRID_BASE_URL']}; what they take: {services.accepted}")
    services.start_pages(pages.port, operator_port=operator_port)
    say(f"public pages  {pages.url}")
    say(f"operator      http://{LOOPBACK}:{operator_port} (log in with the token in {services.operator_token})")
    if pages.elsewhere:
        say("              not where winback.yaml has them: links in messages sent before lead elsewhere")
    say(f"starting Prefect in {services.home} …")
    services.start_server()
    services.wait_for_server()
    services.start_worker()
    changed = services.register()
    watched = sum(len(names) for kind, names in changed.items() if kind != "deleted")
    say(f"Prefect       {services.url}")
    say(f"deployments   {services.url}/deployments")
    say(f"automations   {services.url}/automations ({watched} watch)")
    say(f"logs          {services.home}")
    say(f"a night now   PREFECT_API_URL={services.url}/api .venv/bin/prefect deployment run winback-nightly/nightly")
    say("Ctrl-C stops everything.")
    services.watch()


def say(text: str) -> None:
    """Tell the person at the terminal at once."""
    print(text, flush=True)


def main(arguments: list[str]) -> int:
    """Carry `./do up` out."""
    asked = parser().parse_args(arguments)
    project = asked.project.expanduser().resolve()
    if not (project / "winback.yaml").is_file():
        print(f"no winback.yaml in {project}: make a project with `winback init DIR --sample 2000`", file=sys.stderr)
        return 2
    stop_in_order()
    try:
        with Services(
            project=project, home=asked.home or project / "var" / "prefect", port=free_port(asked.port)
        ) as services:
            pages = page_address(business_of(project), asked_port=asked.public_port)
            up(services, pages, operator_port=free_port(asked.operator_port), is_fake=asked.fake)
    except ServiceFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
