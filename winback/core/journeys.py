"""Cycles and their steps: who starts the ladder, who is on which rung, who has come back, whose ladder is over.

In: tonight's schedules, the stored cycles and steps, the dates of earlier nights. Out: one row a contact with the
state of its cycle and the step it stands before. Must never happen: a cycle derived from the last activity instead of
a stored row, two steps closer than the policy allows, or a cap or an outage that costs somebody a step silently.

What a night wrote is no input to that night (:func:`as_before`), so that repeating it gives the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from winback.core.cycle_states import (
    ENDED,
    LADDER_ENDED,
    LADDER_MISSED,
    NONE,
    OPEN,
    OPENING,
    RETURNED,
    TOUCHED,
    UNHEARD,
)
from winback.core.day_numbers import dates, day_number, day_numbers
from winback.core.hold_out import TREATED
from winback.core.matching import first_name, is_among, places, rows_at, values_of
from winback.core.step_offsets import offset_texts, offsets_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from winback.core.policy import Programme

CYCLE_YEAR_DAYS = 365

_State = dict[str, Any]
"""Arrays by name, one value a contact: for the few thousand of a programme a frame's columns cost twice as much."""


def as_before(
    cycles: pd.DataFrame, steps: pd.DataFrame, *, programme: str, as_of: date
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a programme's cycles and steps as they stood before the night of ``as_of``.

    Cycles opened that night or later are left out, those closed that night or later are open again, and steps taken
    that night or later are left out.
    """
    tonight = pd.Timestamp(as_of)
    mine = cycles[(cycles["programme"] == programme) & (cycles["opened_on"] < tonight)].copy()
    undone = (mine["closed_on"] >= tonight).to_numpy(bool)
    mine["closed_on"] = mine["closed_on"].mask(undone)
    mine["close_reason"] = mine["close_reason"].astype(object).mask(undone, None)
    taken = steps[(steps["programme"] == programme) & (steps["taken_on"] < tonight)]
    return mine, taken


def advance(
    schedules: pd.DataFrame,
    cycles: pd.DataFrame,
    steps: pd.DataFrame,
    *,
    programme: Programme,
    nights: Sequence[date],
    as_of: date,
    history_days: int,
    permitted: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row for every contact with a schedule or an open cycle, those without a schedule last.

    Parameters
    ----------
    schedules : customer_id, last_on, lapsed_on, threshold_days, due_1_days … due_K_days, is_touched_once, and
        optionally last_return_on (the last day of a behaviour that ends a cycle, or of a human act on a landing page)
    cycles : programme, customer_id, cycle_no, opened_on, lapsed_on, anchored_on, arm, threshold_days, step_offsets,
        closed_on, close_reason, and optionally is_unheard (whether none of its messages arrived, as far as is known);
        other programmes' and tonight's rows are ignored
    steps : programme, customer_id, cycle_no, step, taken_on (of both arms)
    nights : dates of this programme's earlier nights; tonight's is ignored
    as_of : the night's date
    history_days : length of the recorded history
    permitted : customer_id, is_permitted_1 … is_permitted_K: may the step be sent at all? default yes

    Returns
    -------
    customer_id; cycle_state (`none|opening|open|returned|ended`), close_reason, cycle_no, arm (stored one, else
    None), opened_on, lapsed_on, anchored_on, cycle_threshold_days, step_offsets ("0,30,60": days after anchored_on),
    step (1…K, the one before the contact; 0 none), step_due_on, ends_on, last_step_on, and the claims is_lapsed,
    is_step_due, is_step_missed, is_ladder_done, is_cycle_ended, is_cycle_limit_reached, is_dormant, is_backlog,
    is_sunset_due, is_history_short, has_open_cycle.

    Notes
    -----
    Step k is due at ``anchored_on + offset_k``, never sooner than ``min_days_between`` after the last step of any
    cycle. It is passed over only if no night ran while it was the current one (it was missed), or if it may not be
    sent to this contact at all and the next one is due. A step that was deferred or held stays due. A cycle has as many
    steps as its offsets name: whoever came once has one, and closes as `touched`, without a sunset.
    """
    past_cycles, past_steps = as_before(cycles, steps, programme=programme.programme, as_of=as_of)
    state = _known_state(schedules, past_cycles, past_steps, programme=programme, as_of=as_of)
    today = float(day_number(as_of))
    ran = np.unique(np.array([day_number(night) for night in nights if night < as_of], dtype=np.float64))
    _open_cycles(state, programme=programme, nights=ran, today=today)
    rungs = _stand(state, _may(state, permitted, len(programme.ladder.steps)), programme, ran, today)
    return _described(state, rungs, programme=programme, today=today, history_days=history_days)


class _Rungs(NamedTuple):
    """The step each contact stands before: its number (0 none is left), the day it is due, the day the ladder ends."""

    step: NDArray[np.int64]
    due: NDArray[np.float64]
    ends: NDArray[np.float64]


def _known_state(
    schedules: pd.DataFrame, cycles: pd.DataFrame, steps: pd.DataFrame, *, programme: Programme, as_of: date
) -> _State:
    """Return one value a contact: its schedule, its latest cycle, and the steps taken; days as numbers."""
    latest = cycles.sort_values("cycle_no").drop_duplicates("customer_id", keep="last")
    is_stray = latest["closed_on"].isna() & ~is_among(latest["customer_id"], schedules["customer_id"])
    ids = pd.concat([schedules["customer_id"], latest.loc[is_stray, "customer_id"]], ignore_index=True)
    state = _scheduled(schedules, len(ids), programme=programme) | {"customer_id": ids.array}
    recent = cycles["opened_on"] > pd.Timestamp(as_of) - pd.Timedelta(days=CYCLE_YEAR_DAYS)
    in_cycle = steps["cycle_no"] == values_of(steps["customer_id"], latest.set_index("customer_id")["cycle_no"])
    taken = steps[in_cycle].groupby("customer_id")["step"].max()
    latest = rows_at(latest, places(ids, latest["customer_id"]))
    for name in ("opened_on", "lapsed_on", "anchored_on", "closed_on"):
        state["cycle_" + name.removesuffix("_on")] = day_numbers(latest[name])
    known = latest.reindex(columns=["is_unheard"])["is_unheard"]
    state["is_unheard"] = known.astype("boolean").fillna(value=False).to_numpy(bool)
    for name in ("arm", "step_offsets", "close_reason"):
        state["stored_" + name] = latest[name].to_numpy(object)
    for name in ("cycle_no", "threshold_days"):
        state["stored_" + name] = pd.to_numeric(latest[name]).to_numpy(np.float64)
    state["cycles_this_year"] = values_of(ids, cycles[recent].groupby("customer_id").size()).fillna(0).to_numpy()
    state["last_step_on"] = day_numbers(values_of(ids, steps.groupby("customer_id")["taken_on"].max()))
    state["last_step"] = values_of(ids, taken).fillna(0).to_numpy(np.float64)
    return state


def _scheduled(schedules: pd.DataFrame, count: int, *, programme: Programme) -> _State:
    """Return what the schedules say, unknown for contacts behind their end: those have a cycle only."""
    dues = [f"due_{k + 1}_days" for k in range(len(programme.ladder.steps))]
    columns = ["threshold_days", "lapsed_on", "last_return_on", "is_touched_once", *dues]
    at = np.arange(count)
    known = rows_at(schedules.reindex(columns=columns), np.where(at < len(schedules), at, -1))
    threshold = known["threshold_days"].to_numpy(np.float64)
    returned = day_numbers(known["last_return_on"])
    return {
        "threshold": threshold,
        "returned": returned,
        # A return by a behaviour the trigger does not count is life, too: the silence starts again from it.
        "lapsed": np.fmax(day_numbers(known["lapsed_on"]), returned + threshold),
        "is_touched_once": known["is_touched_once"].fillna(value=False).to_numpy(bool),
        "offsets": np.column_stack([known[name].to_numpy(np.float64) - threshold for name in dues]),
    }


def _open_cycles(state: _State, *, programme: Programme, nights: NDArray[np.float64], today: float) -> None:
    """Mark in ``state`` who is on a ladder and who would start one tonight, with the dates of that cycle."""
    ladder = programme.ladder
    has_returned = state["returned"] >= state["cycle_opened"]
    state["is_open"] = np.isfinite(state["cycle_opened"]) & np.isnan(state["cycle_closed"])
    state["came_back"] = state["is_open"] & has_returned
    # The latest cycle ended without an answer, and nothing since its opening counts as a return.
    ended = np.isfinite(state["cycle_closed"]) & (state["stored_close_reason"] != RETURNED)
    state["is_cycle_ended"] = ended & ~has_returned
    state["is_lapsed"] = state["lapsed"] <= today
    state["is_cycle_limit_reached"] = state["cycles_this_year"] >= programme.cycles_per_year
    state["is_too_old"] = state["lapsed"] < today - programme.backlog.oldest_days
    blocked = state["is_cycle_ended"] | state["is_cycle_limit_reached"] | state["is_too_old"]
    state["opens"] = state["is_lapsed"] & ~state["is_open"] & ~blocked
    state["is_backlog"] = state["opens"] & ((state["lapsed"] < nights[-1]) if len(nights) else True)
    offsets = state["offsets"] = _offsets(state, programme)
    # Step 1 is never skipped on the way in: whoever is let in after its window starts the ladder from today.
    first_window = np.fmin(ladder.late_by_days + 1, offsets[:, 1] if len(ladder.steps) > 1 else np.inf)
    restarts = (today - state["lapsed"] >= first_window) & (ladder.mode != "calendar")
    state["anchored"] = np.where(state["is_open"], state["cycle_anchored"], np.where(restarts, today, state["lapsed"]))
    state["opened"] = np.where(state["is_open"], state["cycle_opened"], today)
    state["steps"] = np.isfinite(offsets).sum(axis=1)
    # One step of several is a touch for good; where the whole ladder is one step, only the activity can tell.
    state["is_touch"] = (state["steps"] == 1) & (state["is_touched_once"] | (len(ladder.steps) > 1))


def _offsets(state: _State, programme: Programme) -> NDArray[np.float64]:
    """Return days after the anchor at which each step is due: stored ones for open cycles, else tonight's."""
    fresh, is_open = state["offsets"], state["is_open"]
    if programme.ladder.mode != "calendar":
        fresh = fresh - fresh[:, :1]
    stored = np.full_like(fresh, np.nan)
    stored[is_open] = offsets_of(state["stored_step_offsets"][is_open], steps=fresh.shape[1])
    return np.asarray(np.where(is_open[:, None], stored, fresh), dtype=np.float64)


def _may(state: _State, permitted: pd.DataFrame | None, count: int) -> NDArray[np.bool_]:
    """Return whether each contact may get each step at all."""
    if permitted is None:
        return np.ones((len(state["threshold"]), count), dtype=bool)
    columns = [f"is_permitted_{k + 1}" for k in range(count)]
    may = np.vstack([permitted[columns].to_numpy(bool), np.zeros(count, dtype=bool)])  # the last row: place -1, nobody
    return np.asarray(may[places(pd.Series(state["customer_id"]), permitted["customer_id"])])


def _stand(
    state: _State, may: NDArray[np.bool_], programme: Programme, nights: NDArray[np.float64], today: float
) -> _Rungs:
    """Return the first step that is neither taken nor passed over, and when the ladder is over if none is left."""
    ladder = programme.ladder
    count, opened, last_step_on = (state[name] for name in ("steps", "opened", "last_step_on"))
    days = state["anchored"][:, None] + state["offsets"]
    nominal = np.column_stack([days, np.full(len(days), np.nan)])  # nothing follows the last step
    soonest = np.nan_to_num(last_step_on + ladder.min_days_between, nan=-np.inf)
    answered = last_step_on + ladder.answer_days
    taken = np.where(state["is_open"], state["last_step"], 0)
    step = np.zeros(len(days), dtype=np.int64)
    due = np.full(len(days), np.nan)
    ends = np.where(taken >= count, answered, np.nan)
    for k in range(len(ladder.steps)):
        this = np.maximum(nominal[:, k], soonest)  # NaN: the cycle has no such step
        closes = this + ladder.late_by_days + 1
        follows = np.where(k + 1 < count, np.fmax(nominal[:, k + 1], this + ladder.min_days_between), closes)
        bound = np.fmin(closes, follows)
        # Only nights on which this cycle was open could have taken the step.
        ran = np.searchsorted(nights, np.fmax(this, opened)) < np.searchsorted(nights, bound)
        passed = ((today >= bound) & ~ran) | ((today >= follows) & ~may[:, k])
        left = taken < k + 1
        chosen = left & ~passed & (step == 0) & np.isfinite(this)
        step[chosen] = k + 1
        due[chosen] = this[chosen]
        ends = np.where((k + 1 == count) & left & (step == 0), np.fmax(bound, answered), ends)
    return _Rungs(step=step, due=due, ends=np.where(step == 0, ends, np.nan))


def _described(state: _State, rungs: _Rungs, *, programme: Programme, today: float, history_days: int) -> pd.DataFrame:
    """Return the public columns of :func:`advance`."""
    is_open, came_back = state["is_open"], state["came_back"]
    # A literal calendar whose last window has passed starts nothing: there is no rung to stand on.
    opens = state["opens"] & (rungs.step > 0)
    walks = is_open & ~came_back
    ended = walks & (rungs.step == 0) & (today >= rungs.ends)
    all_taken = ended & (state["last_step"] >= state["steps"])
    touched = all_taken & state["is_touch"]
    # Who got none of the messages has not ignored any.
    unheard = all_taken & ~touched & state["is_unheard"]
    answers = all_taken & (state["stored_arm"] == TREATED) & ~touched & ~unheard & (programme.end == "sunset")
    is_long = history_days >= programme.threshold.min_history_days
    step = np.where(walks | opens, rungs.step, 0)
    dormant = state["is_lapsed"] & state["is_too_old"] & ~state["is_open"] & ~state["is_cycle_ended"]
    rows = {
        "customer_id": state["customer_id"],
        "cycle_state": first_name([came_back, ended, is_open, opens], [RETURNED, ENDED, OPEN, OPENING], NONE),
        "close_reason": first_name(
            [came_back, touched, unheard, all_taken, ended],
            [RETURNED, TOUCHED, UNHEARD, LADDER_ENDED, LADDER_MISSED],
            "",
        ),
        "cycle_no": np.nan_to_num(state["stored_cycle_no"]).astype(np.int64) + opens,
        **_cycle_rows(state, opens),
        "step": step,
        "step_due_on": dates(rungs.due, where=step > 0),
        "ends_on": dates(rungs.ends, where=walks),
        "last_step_on": dates(state["last_step_on"]),
        "is_step_due": (step > 0) & (today >= rungs.due),
        "is_step_missed": (step > np.where(is_open, state["last_step"], 0) + 1) & (today < rungs.due),
        "is_ladder_done": walks & (rungs.step == 0) & ~ended,
        **{name: state[name] for name in ("is_lapsed", "is_cycle_ended", "is_cycle_limit_reached")},
        "is_dormant": dormant | (state["opens"] & ~opens),
        "is_backlog": opens & state["is_backlog"],
        "is_sunset_due": answers & is_long,
        "is_history_short": answers & (not is_long),
        "has_open_cycle": is_open,
    }
    return pd.DataFrame(rows)


def _cycle_rows(state: _State, opens: NDArray[np.bool_]) -> _State:
    """Return the stored columns of the cycles that are open or open tonight."""
    is_open = state["is_open"]
    on_ladder = is_open | opens
    new_threshold = np.where(opens, state["threshold"], np.nan)
    return {
        "arm": np.where(is_open, state["stored_arm"], None),
        "opened_on": dates(state["opened"], where=on_ladder),
        "lapsed_on": dates(np.asarray(np.where(is_open, state["cycle_lapsed"], state["lapsed"]))),
        "anchored_on": dates(state["anchored"], where=on_ladder),
        "cycle_threshold_days": np.where(is_open, state["stored_threshold_days"], new_threshold),
        "step_offsets": offset_texts(state["offsets"], on_ladder),
    }
