"""Reading the sources: the one step that is tried again, and only when a source could not be reached.

Nothing is sent here and a source that was read before adds nothing, so a second try is safe.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from tasks.asking import open_project
from tasks.publishing import publish_sources
from winback.errors import SourceUnavailable
from winback.night.observe import refused_rows
from winback.night.pepper import open_project_ledger
from winback.night.run import sync_sources
from winback.settings import wall_clock

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun


def is_worth_another_try(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failed reading may be repeated: a source was out of reach, and nothing else went wrong."""
    return isinstance(state.result(raise_on_failure=False), SourceUnavailable)


@task(
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=20),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_worth_another_try,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def read_sources(project: str, as_of: date) -> dict[str, int]:
    """Read every source up to the business day and publish what each delivered.

    Parameters
    ----------
    project : directory
    as_of : business day

    Returns
    -------
    read, new, quarantined (rows) and held (sources)

    Raises
    ------
    SourceUnavailable
        If a source still cannot be reached after three more tries.
    """
    opened = open_project(project)
    sources = sync_sources(opened, as_of=as_of, now=wall_clock())["sources"]
    with open_project_ledger(opened) as ledger:
        publish_sources(sources, refused_rows(ledger, as_of), as_of=as_of)
    counts = {name: sum(source[name] for source in sources) for name in ("read", "new", "quarantined")}
    counts["held"] = sum(bool(source["held"]) for source in sources)
    get_run_logger().info("sources read as_of=%s %s", as_of, " ".join(f"{k}={v}" for k, v in counts.items()))
    return counts
