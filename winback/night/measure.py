"""Did it help? For each programme, who came back among those written to and among those held out, and the difference.

In: the stored cycles with the arm each was drawn for, and the activity store. Out: one plain dictionary a programme,
counts only. Must never happen: a return rate without the one it is compared with, a window that differs between the
arms, or people counted by what they were sent instead of by what they were drawn for.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from winback.core import outcomes
from winback.core.buckets import BUCKETS, bounds
from winback.core.hold_out import ARMS, CONTROL, TREATED, control_share
from winback.ledger import contact_rows, cycles
from winback.night.check import load_programmes
from winback.night.opening import CONTACTS_PER_SHARD, open_store
from winback.night.pepper import open_project_ledger

if TYPE_CHECKING:
    from datetime import date

    from winback.activity.store import ActivityStore
    from winback.core.policy import Programme
    from winback.ledger.engine import Ledger
    from winback.settings import Project

WORTH_KNOWING = 0.05
"""The smallest true difference worth planning for: five people in a hundred."""

Counts = dict[str, tuple[int, int]]


def measure(
    project: Project,
    ledger: Ledger,
    store: ActivityStore,
    *,
    as_of: date,
    window_days: int | None = None,
    shards: int = 1,
) -> list[dict[str, Any]]:
    """Return what each programme's messages did, as far as it can be told on a business day.

    A contact counts with its first cycle, in the arm drawn when that cycle opened, whatever was sent since; it counts
    once the window has passed completely. It returned when a behaviour that ends a cycle was seen in the window.

    Parameters
    ----------
    as_of : what happened before this day is known
    window_days : the same for every programme; None: each programme's own, see :func:`usual_window_days`
    shards : into how many parts the customers are split; changes memory, never a number

    Returns
    -------
    programme, as_of, window_days; `treated`, `control`, `global_control`: {contacts, returns, rate, low, high} with the
    95 % interval of the rate; waiting (contacts whose window is still running); difference, low, high (treated minus
    control, Newcombe's 95 % interval); ratio_p, detectable, needed (contacts in both arms before a result may be
    announced), verdict (see :class:`~winback.core.outcomes.Lift`), sentence. A number that cannot be told is None.
    """
    programmes = load_programmes(project.root)
    windows = {one.programme: window_days or usual_window_days(one) for one in programmes}
    counts: dict[str, Counter[tuple[str, str]]] = {one.programme: Counter() for one in programmes}
    for shard in range(shards):
        low, high = bounds(shard, shards)
        with ledger.reading() as connection:
            opened = cycles.read_cycles(connection, as_of=as_of, low=low, high=high)
        active = _active_days(store, opened, programmes, as_of=as_of, shard=shard, shards=shards)
        for one in programmes:
            mine = opened[opened["programme"] == one.programme]
            counts[one.programme].update(_count(mine, active, one, as_of=as_of, window_days=windows[one.programme]))
    with ledger.reading() as connection:
        eligible = contact_rows.count_contacts(connection)["present"]
    return [
        _result(one, counts[one.programme], as_of=as_of, window_days=windows[one.programme], eligible=eligible)
        for one in programmes
    ]


def measure_project(project: Project, *, as_of: date) -> list[dict[str, Any]]:
    """Return the same as :func:`measure` for a project whose stores are not open, as many shards as suit its size."""
    with open_project_ledger(project) as ledger:
        with ledger.reading() as connection:
            present = contact_rows.count_contacts(connection)["present"]
        shards = min(BUCKETS, 1 + present // CONTACTS_PER_SHARD)
        return measure(project, ledger, open_store(project), as_of=as_of, shards=shards)


def usual_window_days(programme: Programme) -> int:
    """Return how long after the opening of a cycle a return still counts.

    The horizon the policy asks about ("will this contact come back alone within so many days?"), but never shorter
    than the ladder with its time to answer: else the last steps could not have worked yet.
    """
    steps = programme.ladder.steps
    ladder_days = steps[-1].day - steps[0].day + programme.ladder.answer_days
    return max(programme.threshold.horizon_days, ladder_days)


def _active_days(
    store: ActivityStore,
    opened: pd.DataFrame,
    programmes: tuple[Programme, ...],
    *,
    as_of: date,
    shard: int,
    shards: int,
) -> pd.DataFrame:
    """Return the active days of a shard since its first cycle, of every behaviour that ends one."""
    behaviours = sorted({name for one in programmes for name in one.return_behaviours})
    first_on = opened["opened_on"].min().date() if len(opened) else as_of
    until = as_of - timedelta(days=1)
    since = first_on - timedelta(days=1)
    return store.event_days(until, since=since, behaviours=behaviours, shard=shard, shards=shards)


def _count(
    opened: pd.DataFrame, active: pd.DataFrame, programme: Programme, *, as_of: date, window_days: int
) -> dict[tuple[str, str], int]:
    """Return how many contacts of a shard there are, by (arm, contacts | returns | waiting)."""
    is_over = opened["opened_on"] + pd.Timedelta(days=window_days) <= pd.Timestamp(as_of)
    complete = opened[is_over].reset_index(drop=True)
    mine = active[active["behaviour"].isin(programme.return_behaviours)]
    has_returned = outcomes.returned_within(complete, mine, window_days=window_days)
    found = outcomes.count(complete.assign(has_returned=has_returned))
    waiting = opened.loc[~is_over & ~opened["customer_id"].isin(complete["customer_id"])]
    by_arm = {(arm, name): value for arm, pair in found.items() for name, value in zip(_COUNTED, pair, strict=True)}
    return by_arm | {("", "waiting"): int(waiting["customer_id"].nunique())}


_COUNTED = ("contacts", "returns")


def _result(
    programme: Programme, counts: Counter[tuple[str, str]], *, as_of: date, window_days: int, eligible: int
) -> dict[str, Any]:
    """Return the public form of one programme's counts."""
    pairs: Counts = {arm: (counts[arm, "contacts"], counts[arm, "returns"]) for arm in ARMS}
    share = control_share(programme.hold_out, eligible=eligible)
    needed = _needed(pairs[CONTROL], share)
    lift = outcomes.lift(pairs, control_share=share, planned=needed)
    result = {
        "programme": programme.programme,
        "as_of": str(as_of),
        "window_days": window_days,
        **{arm: _arm(*pair) for arm, pair in pairs.items()},
        "waiting": counts["", "waiting"],
        "difference": _known(lift.difference),
        "low": _known(lift.low),
        "high": _known(lift.high),
        "ratio_p": _known(lift.ratio_p),
        "detectable": _known(lift.detectable),
        "needed": needed,
        "verdict": lift.verdict,
    }
    return result | {"sentence": sentence(result)}


def _needed(control: tuple[int, int], share: float) -> int:
    """Return the contacts, both arms together, before a result may be announced; 0 without a control group.

    Worked out from the control group alone, so that looking at it is no look at the difference.
    """
    if not 0 < share < 1:
        return 0
    base_rate = min(outcomes.base_rate(control[1], control[0]), 1 - WORTH_KNOWING)
    return outcomes.contacts_needed(base_rate=base_rate, difference=WORTH_KNOWING, control_share=share)


def _arm(contacts: int, returns: int) -> dict[str, Any]:
    low, high = outcomes.rate_interval(returns, contacts)
    rate = returns / contacts if contacts else math.nan
    return {"contacts": contacts, "returns": returns, "rate": _known(rate), "low": _known(low), "high": _known(high)}


def _known(value: float) -> float | None:
    """Return a number, or None for one that cannot be told: JSON knows no NaN."""
    return None if math.isnan(value) else round(value, 6)


def sentence(result: dict[str, Any]) -> str:
    """Return a result in words: both arms, the difference with its interval, and what it is worth."""
    treated, control = result[TREATED], result[CONTROL]
    if result["verdict"] == outcomes.NO_CONTROL:
        waiting = f"{result['waiting']:,} contacts are inside their {result['window_days']} days"
        return f"Nothing can be said: nobody to compare with has passed the window yet; {waiting}."
    told = (
        f"{treated['returns']:,} of {treated['contacts']:,} people drawn for the messages came back within "
        f"{result['window_days']} days ({treated['rate']:.1%}), and {control['returns']:,} of {control['contacts']:,} "
        f"held out ({control['rate']:.1%}): {points(result)}."
    )
    verdicts = {
        outcomes.WRONG_RATIO: " The arms are not as unequal as they were drawn: do not read this difference.",
        outcomes.TOO_FEW: (
            f" Not enough data to announce it: {treated['contacts'] + control['contacts']:,} of {result['needed']:,} "
            f"contacts; so few can show a difference of {100 * result['detectable']:.0f} points or more."
        ),
    }
    return told + verdicts.get(result["verdict"], "")


def points(result: dict[str, Any]) -> str:
    """Return a difference in percentage points with its interval."""
    difference, low, high = (100 * result[name] for name in ("difference", "low", "high"))
    return f"{difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
