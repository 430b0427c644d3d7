"""Look at everything a night needs, and name what is missing, before a night finds out.

In: a project directory and the present instant. Out: one :class:`Finding` a question. Nothing is written but what
opening a new ledger makes.
"""

from __future__ import annotations

import os
import shutil
import stat
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from winback.channels.outgoing_hooks import is_told, open_hooks
from winback.channels.provider_settings import is_loopback
from winback.channels.registry import keeps_lists
from winback.channels.segment_calls import VARIABLE as SEGMENT_SECRET
from winback.errors import ConfigError, WinbackError
from winback.ledger import cycles, held_steps, outgoing, queue, reviews, switches, vendor_lists
from winback.ledger.engine import check as check_database
from winback.night.check import check
from winback.night.exchange_lists import LAST
from winback.night.opening import open_store
from winback.night.pepper import open_project_ledger
from winback.night.reach import live_hosts, way_out_of_each
from winback.night.resolve import unresolved
from winback.settings import load_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from winback.settings import Project

LEAST_FREE_BYTES = 1 << 30
FAULTS_A_LINE = 3
LISTS_READ_WITHIN = timedelta(hours=26)


class Finding(NamedTuple):
    """One question, whether all is well, and what was seen or has to be done."""

    name: str
    ok: bool
    detail: str


def diagnose(root: Path, *, now: datetime) -> list[Finding]:
    """Return what was looked at, in the order in which a person would mend it."""
    faults = check(root)
    words = "; ".join(map(str, faults[:FAULTS_A_LINE]))
    if len(faults) > FAULTS_A_LINE:
        words += f" and {len(faults) - FAULTS_A_LINE} more"
    found = [Finding("configuration", not faults, f"{words}: see `winback check`" if faults else "no fault")]
    try:
        project = load_project(root)
    except ConfigError:
        return found
    questions: dict[str, Callable[[Project], str]] = {
        "state directory": _state_directory,
        "free disk": _free_disk,
        "database": _database,
        "activity store": _activity,
        "sources": _sources,
        "channels": _channels,
        **way_out_of_each(project),
        "names": _names,
        "public address": _public_address,
        "vendor's lists": lambda opened: _vendor_lists(opened, now),
        "hooks": _hooks,
        "red button": _red_button,
        "held steps": _held_steps,
        "texts to read": _texts_to_read,
        "last night": lambda opened: _last_night(opened, now),
        "unknown messages": _unknown_messages,
    }
    return found + [_asked(name, question, project) for name, question in questions.items()]


class _Amiss(Exception):
    """What a question found wrong; never leaves this module."""


def _asked(name: str, question: Callable[[Project], str], project: Project) -> Finding:
    try:
        return Finding(name, ok=True, detail=question(project))
    except (_Amiss, WinbackError, OSError) as problem:
        return Finding(name, ok=False, detail=str(problem))


def _state_directory(project: Project) -> str:
    if not project.var.exists():
        return f"{project.var} will be made by the first night"
    if project.var.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _Amiss(f"{project.var} can be read by others: chmod 700 {project.var}")
    if not os.access(project.var, os.W_OK):
        raise _Amiss(f"{project.var} cannot be written by this user")
    return f"{project.var} is writable and private"


def _free_disk(project: Project) -> str:
    free = shutil.disk_usage(project.root).free
    if free < LEAST_FREE_BYTES:
        raise _Amiss(f"{free / (1 << 20):,.0f} MiB free under {project.root}: make room, a full disk stops the night")
    return f"{free / (1 << 30):,.1f} GiB free"


def _database(project: Project) -> str:
    open_project_ledger(project).close()
    found = check_database(project.database_url)
    if found.problems:
        raise _Amiss("; ".join(found.problems))
    return f"revision {found.revision}"


def _activity(project: Project) -> str:
    counts = open_store(project).counts()
    return f"{counts['events']:,} events, {counts['profiles']:,} profiles, generation {counts['generation']}"


def _sources(project: Project) -> str:
    sources = project.config.sources
    named = [
        ("contacts", sources.contacts),
        ("consents", sources.consents),
        *((one.name, one) for one in sources.events),
    ]
    missing = []
    for name, source in named:
        if source.kind == "sql":
            if source.url_env and not project.environment.get(source.url_env):
                missing.append(f"{name}: the variable {source.url_env} is not set")
        elif source.kind == "segment":
            if not project.environment.get(SEGMENT_SECRET):
                missing.append(f"{name}: the variable {SEGMENT_SECRET} is not set")
        elif not any(project.root.glob(str(source.path))):
            missing.append(f"{name}: no file {source.path}")
    if missing:
        raise _Amiss("; ".join(missing))
    return f"{len(named)} sources can be found"


def _channels(project: Project) -> str:
    channels = project.config.channels
    used = {name: getattr(channels, name) for name in ("email", "sms", "whatsapp") if getattr(channels, name)}
    if not used:
        raise _Amiss("no channel is set up in winback.yaml: nothing could ever be sent")
    text = ", ".join(f"{name} by {channel.provider}" for name, channel in used.items())
    return text + ("" if project.config.live else "; live: false, so nothing leaves this machine")


def _names(project: Project) -> str:
    hosts = live_hosts(project)
    lost = unresolved(hosts)
    if lost:
        raise _Amiss("; ".join(f"{host} {why}" for host, why in lost.items()) + ": is there a name server?")
    return f"{', '.join(hosts)} found" if hosts else "none to look up: nothing is live"


def _public_address(project: Project) -> str:
    """Say whether people and providers can reach what links and callbacks name."""
    url = project.config.business.public_base_url
    parts = urlsplit(url)
    if not project.config.live:
        return f"{url}; not looked at before live: true"
    if is_loopback(parts.hostname or ""):
        what = "is this machine: links, unsubscribe buttons and callbacks reach nobody"
        raise _Amiss(f"business.public_base_url {url} {what}. Name the address people see")
    if parts.scheme != "https":
        what = "is not https: mail programs want it for one-click unsubscribe, and anybody on the way can read links"
        raise _Amiss(f"business.public_base_url {url} {what}")
    return url


def _vendor_lists(project: Project, now: datetime) -> str:
    """Say how the last exchange of refusals with the mail vendor went: a key may send and yet not read its lists."""
    if not keeps_lists(project):
        return "none to read: no live mail goes by a vendor that keeps lists"
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        last = vendor_lists.read_mark(connection, LAST)
    if not last:
        return "not read yet: the next night does it, or winback settle; the key needs the scope Suppressions"
    if last["warnings"]:
        raise _Amiss("; ".join(last["warnings"]))
    at = datetime.fromisoformat(last["at"])
    if now - at > LISTS_READ_WITHIN:
        raise _Amiss(f"last read at {at:%Y-%m-%d %H:%M} UTC: is the schedule running? winback settle")
    return f"read at {at:%Y-%m-%d %H:%M} UTC"


def _hooks(project: Project) -> str:
    """Say how the tools fare that are told what happens."""
    named = project.config.hooks.outgoing
    if not named:
        return "no other tool is told"
    _, faults = open_hooks(project)
    amiss = [str(fault) for fault in faults]
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        waiting, lost = outgoing.count_waiting(connection), outgoing.count_given_up(connection)
        states = {one.name: outgoing.state(connection, one.name) for one in named}
    for name, found in states.items():
        if found.disabled_at:
            amiss.append(
                f"{name} is asked no more: {found.why}. Mend it, then: winback resume --hook {name} --reason …"
            )
        elif lost.get(name):
            amiss.append(f"{name} was not told of {lost[name]:,} events: winback resume --hook {name}")
    if amiss:
        raise _Amiss("; ".join(amiss))
    said = [
        f"{one.name}: {waiting.get(one.name, 0):,} waiting"
        + ("" if is_told(project, one) else ", told nothing before live: true")
        for one in named
    ]
    return "; ".join(said)


def _red_button(project: Project) -> str:
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        pressed = switches.pressed(connection)
    if pressed is not None:
        raise _Amiss(f"pressed by {pressed.by} at {pressed.at:%Y-%m-%d %H:%M} UTC ({pressed.reason}): `winback resume`")
    return "not pressed"


def _held_steps(project: Project) -> str:
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        held = held_steps.held_steps(connection)
    if held:
        said = "; ".join(f"{step.name} ({why})" for step, why in held.items())
        raise _Amiss(f"{said}: look at the texts, then winback resume --step NAME --reason …")
    return "none"


def _texts_to_read(project: Project) -> str:
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        count = reviews.count_open(connection)
    if count:
        raise _Amiss(f"{count} may mean stop, and whoever sent them waits: winback review")
    return "none"


def _last_night(project: Project, now: datetime) -> str:
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        night = cycles.last_night(connection)
    if night is None:
        return "none yet: winback run"
    days = (project.business_date(now) - night.as_of).days
    if days > 1:
        raise _Amiss(f"the last night was {night.as_of}, {days} days ago: is the schedule running?")
    return str(night.as_of)


def _unknown_messages(project: Project) -> str:
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        unknown = queue.count_by_state(connection).get("unknown", 0)
    if unknown:
        raise _Amiss(f"{unknown} messages may or may not have been accepted: winback messages --state unknown")
    return "none"
