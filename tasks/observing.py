"""What Prefect watches, as code: one list of automations, applied by name and safe to apply again.

``python -m tasks.observing`` makes this server's automations equal to the list. An alert goes to the notification
block named ``winback-alerts`` where somebody made one; without it the alert is an event in Prefect's own feed.
None of them starts a deployment: an alert must never send a message.
"""

from __future__ import annotations

import json
import sys
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, DoNothing, PauseDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from tasks.asking import open_project
from tasks.publishing import tell
from winback.night.observe import was_carried_out
from winback.night.pepper import open_project_ledger
from winback.settings import wall_clock

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.actions import ActionTypes

PREFIX = "winback: "
ALERT_BLOCK = "winback-alerts"
FLOWS = ("winback-nightly", "winback-hourly", "winback-weekly", "winback-replay")
# Runs send a heartbeat every 30 s (prefect.yaml); three missed ones mean that the process is gone.
HEARTBEAT_WITHIN = timedelta(seconds=90)
# From the schedule (04:30) to the hour a person wants to know (05:30).
NIGHT_WITHIN = timedelta(minutes=60)
CRASHED = ChangeFlowRunState(
    name="Crashed", state=StateType.CRASHED, message="no heartbeat: the process is gone", force=False
)
# The hourly run in this window is the one that tells: one alert a day, not one an hour.
KNOWN_BY, ONCE_BEFORE = time(5, 30), time(6, 30)
ENDED = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Crashed", "Cancelled", "Suspended", "Paused")}


@task(cache_policy=NO_CACHE, persist_result=False)
def notice_missing_night(project: str) -> bool:
    """Tell whether the night of today is missing although it is past 05:30 business time; say so once a day.

    Parameters
    ----------
    project : directory
    """
    opened, now = open_project(project), wall_clock()
    local, today = now.astimezone(opened.zone).time(), opened.business_date(now)
    with open_project_ledger(opened) as ledger:
        is_missing = not was_carried_out(ledger, today) and local >= KNOWN_BY
    if is_missing and local < ONCE_BEFORE:
        tell("night.missing", as_of=today, name="night")
    return is_missing


def _of(*flows: str) -> dict[str, Any]:
    """Return the filter that keeps a trigger to some of our flows."""
    return {"prefect.resource.role": "flow", "prefect.resource.name": list(flows)}


def _alert(block: UUID | None, subject: str, body: str) -> ActionTypes:
    """Return a notification, or nothing where nobody set one up: that the automation fired stands in the feed."""
    if block is None:
        return DoNothing()
    return SendNotification(block_document_id=block, subject=f"winback: {subject}", body=body)


def _watch(
    flows: Sequence[str],
    *,
    posture: Literal[Posture.Reactive, Posture.Proactive],
    expect: set[str],
    after: Collection[str] = (),
    within: timedelta = timedelta(0),
) -> EventTrigger:
    """Return a trigger that looks at each run of some of our flows by itself."""
    each = "prefect.resource.id"
    return EventTrigger(
        match={each: "prefect.flow-run.*"},
        match_related=_of(*flows),
        for_each={each},
        posture=posture,
        threshold=1,
        after=set(after),
        expect=expect,
        within=within,
    )


def _run_triggers() -> dict[str, tuple[str, EventTrigger]]:
    """Return what is watched about runs: name -> (what it means, trigger)."""
    return {
        "zombie run": (
            "No heartbeat for 90 s: the process is gone. The run is marked Crashed, so that its slot is free.",
            _watch(
                FLOWS,
                posture=Posture.Proactive,
                after={"prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.heartbeat", *ENDED},
                within=HEARTBEAT_WITHIN,
            ),
        ),
        "failed run": (
            "A run failed or crashed. Running the same day again is safe: nothing is sent twice.",
            _watch(FLOWS, posture=Posture.Reactive, expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}),
        ),
        "night did not start": (
            "The nightly run was late at 04:30 and had not started an hour later: is a worker running?",
            _watch(
                ["winback-nightly"],
                posture=Posture.Proactive,
                after={"prefect.flow-run.Late"},
                expect={"prefect.flow-run.Pending", "prefect.flow-run.Running", *ENDED},
                within=NIGHT_WITHIN,
            ),
        ),
    }


def _own_triggers() -> dict[str, tuple[str, EventTrigger]]:
    """Return what is watched about our own events: name -> (what it means, trigger)."""
    meanings = {
        "no night by 05:30": ("winback.night.missing", "No night of today has been applied by 05:30 business time."),
        "suppression spike": ("winback.suppression.spike", "Far more people than usual said stop; nights are paused."),
        "plan over its cap": ("winback.plan.over_cap", "A plan wants more sends than allowed; it waits for a person."),
        "source held": ("winback.source.held", "A source is stale, empty or strange; what depends on it is held."),
    }
    return {
        name: (text, EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1))
        for name, (event, text) in meanings.items()
    }


def automations(*, alert_block: UUID | None, nightly: UUID | None) -> list[AutomationCore]:
    """Return every automation this house wants.

    Parameters
    ----------
    alert_block : the notification block, if there is one
    nightly : the nightly deployment, which a suppression spike pauses; None before it is deployed
    """
    made = []
    for name, (text, trigger) in {**_run_triggers(), **_own_triggers()}.items():
        actions: list[ActionTypes] = [_alert(alert_block, name, text)]
        if name == "zombie run":
            actions.insert(0, CRASHED)
        if name == "suppression spike" and nightly is not None:
            actions.insert(0, PauseDeployment(source="selected", deployment_id=nightly))
        if len(actions) > 1:
            actions = [action for action in actions if not isinstance(action, DoNothing)]
        made.append(AutomationCore(name=PREFIX + name, description=text, trigger=trigger, actions=actions))
    return made


def _find_block(client: SyncPrefectClient) -> UUID | None:
    """Return the id of the notification block people made for alerts."""
    found = client.read_block_documents()
    return next((document.id for document in found if document.name == ALERT_BLOCK), None)


def _find_nightly(client: SyncPrefectClient) -> UUID | None:
    """Return the id of the nightly deployment."""
    try:
        return client.read_deployment_by_name("winback-nightly/nightly").id
    except ObjectNotFound:
        return None


def _same(present: AutomationCore, wanted: AutomationCore) -> bool:
    """Tell whether an automation on the server is the wanted one; the server adds ids of its own to triggers."""
    ours = {"name", "description", "enabled", "trigger", "actions"}
    left, right = (item.model_dump(mode="json", include=ours) for item in (present, wanted))
    for trigger in (left["trigger"], right["trigger"]):
        trigger.pop("id", None)
        for key in ("after", "expect", "for_each"):
            trigger[key] = sorted(trigger.get(key) or ())
    return bool(left == right)


def apply() -> dict[str, list[str]]:
    """Make the server's automations equal to the list; what a person paused stays paused.

    Returns
    -------
    created, updated, unchanged, deleted : names
    """
    done: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "deleted": []}
    with get_client(sync_client=True) as client:
        wanted = automations(alert_block=_find_block(client), nightly=_find_nightly(client))
        present = {item.name: item for item in client.read_automations() if item.name.startswith(PREFIX)}
        for automation in wanted:
            old = present.pop(automation.name, None)
            if old is None:
                client.create_automation(automation)
                done["created"].append(automation.name)
                continue
            kept = automation.model_copy(update={"enabled": old.enabled})
            if _same(old, kept):
                done["unchanged"].append(automation.name)
            else:
                client.update_automation(old.id, kept)
                done["updated"].append(automation.name)
        for name, old in present.items():
            client.delete_automation(old.id)
            done["deleted"].append(name)
    return done


def main(arguments: Sequence[str]) -> int:
    """Apply the list to the server of PREFECT_API_URL and print what changed, as JSON."""
    if arguments:
        sys.stderr.write("usage: python -m tasks.observing\n")
        return 2
    sys.stdout.write(json.dumps(apply()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
