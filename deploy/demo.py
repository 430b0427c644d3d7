"""`./do demo`: a made-up shop, several nights, the last one through a real Prefect server. Nothing leaves the machine.

While the shop lives through its past nights in one process, Prefect is started and everything is deployed beside it;
tonight's night is then triggered like any scheduled one and run by a worker. Everything lies in `var/demo` and is made
anew each time; the server is stopped at the end and `./do up --project var/demo` brings it back with all it knows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, date, datetime
from typing import Any

from deploy.loopback import LOOPBACK
from deploy.page_addresses import USUAL_OPERATOR_PORT, page_address
from deploy.services import ROOT, USUAL_PORT, ServiceFailed, Services, business_of, free_port, stop_in_order

PROJECT = ROOT / "var" / "demo"
# The server starts before the project is there; its state moves into the project at the end.
HOME = ROOT / "var" / "demo-prefect"
RUN_TIMEOUT_SECONDS = 300
PICTURE = PROJECT / "var" / "reports" / "season.svg"
ARTIFACTS = {
    f"winback-{name}" for name in ("sources", "quarantine", "thresholds", "plan", "segments", "why-not", "ladder")
}


def parser() -> argparse.ArgumentParser:
    """Return what `./do demo` understands."""
    made = argparse.ArgumentParser(prog="./do demo", description="A made-up shop; nothing leaves this machine.")
    made.add_argument("--customers", type=int, default=2000, help="default 2000")
    made.add_argument("--nights", type=int, default=9, help="past nights before tonight's; default 9")
    made.add_argument("--every", type=int, default=10, help="days from night to night; default 10")
    made.add_argument("--keep-open", action="store_true", help="leave Prefect and the pages running until Ctrl-C")
    return made


def say(text: str = "") -> None:
    """Tell the person at the terminal at once."""
    print(text, flush=True)


class Prefect(threading.Thread):
    """Brings Prefect up beside the simulation; what goes wrong is kept for :meth:`ready`."""

    def __init__(self, services: Services, project_is_there: threading.Event) -> None:
        super().__init__(daemon=True)
        self._services, self._project_is_there = services, project_is_there
        self._problem: Exception | None = None

    def run(self) -> None:
        """Start the server, then, once there is a project, deploy and start the worker."""
        try:
            self._services.start_server()
            self._services.wait_for_server()
            self._project_is_there.wait()
            self._services.start_worker()
            self._services.register()
        except (ServiceFailed, OSError) as problem:
            self._problem = problem

    def ready(self) -> None:
        """Wait until everything stands.

        Raises
        ------
        ServiceFailed
            If something did not.
        """
        self.join()
        if self._problem is not None:
            raise ServiceFailed(str(self._problem))


def live(asked: argparse.Namespace, tonight: date, project_is_there: threading.Event) -> None:
    """Live through the past nights in a process of its own and pass on what it tells."""
    arguments = [str(PROJECT), str(asked.customers), str(asked.nights), str(asked.every), str(tonight)]
    command = [sys.executable, "-m", "winback.cli.past_nights", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as nights:
        try:
            for line in nights.stdout or ():
                project_is_there.set()
                say(f"  {line.rstrip()}")
        except KeyboardInterrupt:
            nights.terminate()
            raise
        finally:
            project_is_there.set()
    if nights.returncode:
        raise ServiceFailed("the simulated nights ended early; the message stands above")


def run_tonight(services: Services, tonight: date) -> dict[str, Any]:
    """Trigger tonight's night, wait for it, and return the flow run.

    Raises
    ------
    ServiceFailed
        If it does not complete.
    """
    deployment = services.ask("deployments/name/winback-nightly/nightly")
    if not deployment:
        raise ServiceFailed("the nightly deployment is missing")
    asked = {"parameters": {"as_of": str(tonight)}}
    run = services.ask(f"deployments/{deployment['id']}/create_flow_run", asked)
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    while run and time.monotonic() < deadline:
        run = services.ask(f"flow_runs/{run['id']}") or run
        if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            break
        time.sleep(0.5)
    if not run or run["state_type"] != "COMPLETED":
        state = run["state_type"] if run else "missing"
        raise ServiceFailed(f"tonight's run is {state}; the worker's log is {services.log('worker')}")
    return dict(run)


def tell_run(services: Services, run: dict[str, Any]) -> None:
    """Say what Prefect shows about tonight.

    Raises
    ------
    ServiceFailed
        If the night published less than it should.
    """
    found = services.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}) or []
    keys = {item["key"] for item in found if item["key"]}
    if missing := ARTIFACTS - keys:
        raise ServiceFailed(f"tonight's run published no {', '.join(sorted(missing))}; see {services.log('worker')}")
    scheduled = services.ask("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}) or []
    say(f"  {run['name']} completed in {run['total_run_time']:.0f} s; {len(scheduled)} more runs are scheduled")
    say(f"  artifacts: {', '.join(sorted(keys))}")


def read_story() -> dict[str, Any]:
    """Return what has happened in the shop, from its ledger, and draw its picture."""
    command = [sys.executable, "-m", "winback.sample.season", str(PROJECT), str(PICTURE)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ServiceFailed("the story of the nights cannot be told; the message stands above")
    return dict(json.loads(done.stdout))


def tell_story(told: dict[str, Any]) -> None:
    """Say what has happened in the shop."""
    steps = ", ".join(f"{told['steps'].get(step, 'step')} {count}" for step, count in told["messages"].items())
    channels = ", ".join(f"{name} {count}" for name, count in told["channels"].items())
    held_out = sum(count["opened"] for arm, count in told["cycles"].items() if arm != "treated")
    returned = sum(count["returned"] for count in told["cycles"].values())
    say(
        f"  nights         {told['nights']}, from {told['first_on']} to {told['as_of']}; {told['contacts']:,} customers"
    )
    say(f"  messages       {steps} ({channels})")
    say(f"  control        {held_out} silences were held out; {told['withheld']} messages were withheld from them")
    say(f"  came back      {returned} customers, written to or not")
    answers = ", ".join(f"{name} {count}" for name, count in told["answers"].items())
    say(f"  answered       {sum(told['answers'].values())} on the public pages ({answers})")
    say(f"  said stop      {told['said_stop']}")
    say(f"  left in peace  {told['sunset']}, at the end of the ladder")
    say("  and so tonight shows")
    for name, standing in told["standings"].items():
        one = standing["example"]
        because = f"e.g. {one['customer_id']}: {one['sentence']}" if one else "nobody"
        say(f"    {name:12} {standing['contacts']:5,}  {because}")
    say("  did it help?")
    for result in told["results"]:
        say(
            textwrap.fill(
                f"{result['programme']}: {result['sentence']}", 112, initial_indent="    ", subsequent_indent="      "
            )
        )


def tell_where(told: dict[str, Any]) -> None:
    """Say where to look."""
    explain = f".venv/bin/winback --project {PROJECT.relative_to(ROOT)} explain"
    say(f"  every message, as people would see it   {(PROJECT / 'var' / 'outbox' / 'index.html').as_uri()}")
    say(f"  this season as a picture                {PICTURE.as_uri()}")
    questions = {"why somebody got one tonight": told["examples"].get("send")}
    questions |= {"why somebody did not": told["examples"].get("hold_out")}
    for name in ("reactivated", "sunset", "suppressed"):
        questions[f"why somebody is {name}"] = (told["standings"][name]["example"] or {}).get("customer_id")
    for question, customer_id in questions.items():
        if customer_id:
            say(f"  {question:39} {explain} {customer_id}")
    say()
    say(f"In a browser, once ./do up --project {PROJECT.relative_to(ROOT)} serves them")
    # The usual ports; where one is taken by then, ./do up says which it has instead.
    public, operator = business_of(PROJECT)["public_base_url"], f"http://{LOOPBACK}:{USUAL_OPERATOR_PORT}"
    say(f"  how things stand, and the red button    {operator}/")
    say(f"  the outbox: act as a customer           {operator}/outbox")
    shown = next(filter(None, questions.values()), None)
    if shown:
        say(f"  why, rule by rule                       {operator}/explain/{shown}")
    for kind, code in told["links"].items():
        say(f"  the page behind a link: {kind:15} {public}/s/{code}")


def demo(asked: argparse.Namespace, services: Services) -> None:
    """Play the whole demo."""
    project_is_there = threading.Event()
    prefect = Prefect(services, project_is_there)
    prefect.start()
    # Nowhere ahead of the shop's own day, and the same for all programs that run on past midnight.
    tonight = datetime.now(tz=UTC).date()
    say(f"Past nights ({asked.nights}, one every {asked.every} days; Prefect starts meanwhile)")
    live(asked, tonight, project_is_there)
    prefect.ready()
    say()
    say(f"Tonight, through Prefect ({services.url})")
    tell_run(services, run_tonight(services, tonight))
    say()
    say("What happened")
    told = read_story()
    tell_story(told)
    say()
    say("Where to look")
    tell_where(told)


def keep_open(services: Services) -> None:
    """Serve the pages as well, until Ctrl-C.

    Raises
    ------
    ServiceFailed
        If a program ends by itself.
    """
    pages = page_address(business_of(PROJECT))
    operator_port = free_port(USUAL_OPERATOR_PORT)
    services.start_pages(pages.port, operator_port=operator_port)
    say(f"Until Ctrl-C: Prefect {services.url}, the public pages {pages.url},")
    say(f"the operator pages http://{LOOPBACK}:{operator_port}, with the token in {services.operator_token}")
    if pages.elsewhere:
        say("(another program has the port that the links in the messages lead to)")
    services.watch()


def main(arguments: list[str]) -> int:
    """Carry `./do demo` out."""
    asked = parser().parse_args(arguments)
    begun = time.monotonic()
    for old in (PROJECT, HOME):
        shutil.rmtree(old, ignore_errors=True)
    stop_in_order()
    try:
        with Services(project=PROJECT, home=HOME, port=free_port(USUAL_PORT)) as services:
            demo(asked, services)
            say(f"\n{time.monotonic() - begun:.0f} s; nothing left this machine.")
            if asked.keep_open:
                keep_open(services)
            else:
                say(f"Prefect and the pages that its links open: ./do up --project {PROJECT.relative_to(ROOT)}")
        shutil.move(HOME, PROJECT / "var" / "prefect")
    except ServiceFailed as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("stopped")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
