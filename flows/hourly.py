"""Every hour: deliver what has become due (quiet hours ended, limits moved on), settle what has run out of time."""

from __future__ import annotations

from prefect import flow

from tasks.asking import run_name
from tasks.observing import notice_missing_night
from tasks.sending import deliver_due, settle_messages


@flow(name="winback-hourly", flow_run_name=run_name, retries=0)
def hourly(*, project: str = "") -> dict[str, int]:
    """Deliver and settle; plan nothing and decide about nobody. Tell when the night of today is missing.

    Args:
        project: Directory with winback.yaml on the worker's machine. Empty: WINBACK_PROJECT of the worker.

    """
    notice_missing_night(project)
    deliver_due(project)
    return settle_messages(project)
