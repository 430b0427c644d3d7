"""One decision a contact and programme: the first rule that holds, and what it changes.

In: candidates. Out: action, reason and rule beside each; the cycles, steps and sunsets that follow; the facts as text.
Must never happen: a row that no rule decides, or a change that the decision does not say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from winback.core import cycle_states
from winback.core.decision_facts import COLUMNS, FACTS
from winback.core.decision_rules import RULES
from winback.core.matching import named
from winback.core.reasons import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHANGING = (
    "programme", "customer_id", "cycle_no", "bucket", "as_of", "action", "reason", "cycle_state", "lapsed_on",
    "anchored_on", "arm", "cycle_threshold_days", "step_offsets", "policy_hash", "close_reason", "step", "channel",
)  # fmt: skip
"""The columns :func:`changes` needs of decided candidates."""

_REASONS = [rule.reason.value for rule in RULES]
READ = tuple(sorted({name for rule in RULES for name in rule.inputs}))
"""The facts :func:`decide` needs."""
_ACTIONS = [rule.reason.action.value for rule in RULES]
_DEFERRED_AFTER_OPENING = (
    Reason.LOWER_VALUE, Reason.FREQUENCY_CAP, Reason.QUIET_HOURS, Reason.NIGHT_LIMIT, Reason.COST_LIMIT,
    Reason.BETWEEN_STEPS, Reason.DUE, Reason.CONTROL, Reason.GLOBAL_CONTROL,
)  # fmt: skip
_CLOSING = (Reason.LADDER_ENDED, Reason.SHORT_HISTORY, Reason.CYCLE_ENDED)
_DECIMALS = 10
_BLOCK_ROWS = 8192
_Pairs = tuple[Any, Any]  # pyarrow ships no types
_TO_ESCAPE = r'[\x00-\x1f"\\]'


def first_rule(facts: Mapping[str, Any], rows: int) -> NDArray[np.int64]:
    """Return the place in the table of the first rule that holds for each row, -1 where none does.

    Parameters
    ----------
    facts : arrays by name, each of length ``rows``
    rows : how many candidates there are
    """
    place = np.full(rows, -1, dtype=np.int64)
    for number, rule in enumerate(RULES):
        place[(place < 0) & np.asarray(rule.holds(facts), dtype=bool)] = number
    return place


def decide(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates with action, reason and rule (the place in the table) of the first rule that holds.

    Parameters
    ----------
    candidates : every column of :data:`winback.core.decision_facts.FACTS`, typed as there

    Raises
    ------
    ValueError
        If no rule decides a row: the facts contradict each other.
    """
    columns = {name: candidates[name] for name in READ}
    # Texts stay in pandas's arrays, which compare faster than Python objects; everything else is a plain array.
    facts = {name: one.array if FACTS[name] == "text" else one.to_numpy() for name, one in columns.items()}
    place = first_rule(facts, len(candidates))
    undecided = place < 0
    if undecided.any():
        row = candidates[undecided].iloc[0]
        raise ValueError(f"no rule decides {int(undecided.sum())} rows; the first is {row['customer_id']}: {dict(row)}")
    return candidates.assign(action=named(place, _ACTIONS), reason=named(place, _REASONS), rule=place)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the decisions of a night change, in the ledger's columns.

    Attributes
    ----------
    openings : programme, customer_id, cycle_no, bucket, opened_on, lapsed_on, anchored_on, arm, threshold_days,
        step_offsets, policy_hash
    closings : programme, customer_id, cycle_no, closed_on, close_reason
    steps : programme, customer_id, cycle_no, step, bucket, taken_on, arm, channel; of both arms
    sunsets : programme, customer_id, bucket, effective_on
    """

    openings: pd.DataFrame
    closings: pd.DataFrame
    steps: pd.DataFrame
    sunsets: pd.DataFrame


def changes(decided: pd.DataFrame) -> Changes:
    """Return what follows from decided candidates: all programmes' rows, not only the one row shown a contact.

    A cycle opens with its arm even if its first step is deferred, so that the waiting step keeps its place. Holds,
    skips and the back-log ramp open nothing. A return always closes; the end of a ladder closes unless it is held.

    Parameters
    ----------
    decided : :data:`CHANGING`
    """
    reason = decided["reason"]
    opening = decided["cycle_state"] == cycle_states.OPENING
    opens = decided[opening & reason.isin([one.value for one in _DEFERRED_AFTER_OPENING])]
    openings = opens.assign(
        opened_on=opens["as_of"], threshold_days=opens["cycle_threshold_days"], cycle_no=_whole(opens["cycle_no"])
    )
    ended = (decided["cycle_state"] == cycle_states.ENDED) & reason.isin([one.value for one in _CLOSING])
    closes = decided[(decided["cycle_state"] == cycle_states.RETURNED) | ended]
    taken = decided[decided["action"].isin([Action.SEND.value, Action.HOLD_OUT.value])]
    sunset = decided[decided["action"] == Action.SUNSET.value]
    key = ["programme", "customer_id", "cycle_no"]
    return Changes(
        openings=openings[
            [*key, "bucket", "opened_on", "lapsed_on", "anchored_on", "arm", "threshold_days", "step_offsets",
             "policy_hash"]
        ].reset_index(drop=True),
        closings=closes.assign(closed_on=closes["as_of"], cycle_no=_whole(closes["cycle_no"]))[
            [*key, "closed_on", "close_reason"]
        ].reset_index(drop=True),
        steps=taken.assign(
            taken_on=taken["as_of"], cycle_no=_whole(taken["cycle_no"]), step=_whole(taken["step"])
        )[[*key, "step", "bucket", "taken_on", "arm", "channel"]].reset_index(drop=True),
        sunsets=sunset.assign(effective_on=sunset["as_of"])[
            ["programme", "customer_id", "bucket", "effective_on"]
        ].reset_index(drop=True),
    )  # fmt: skip


def _whole(column: pd.Series) -> pd.Series:
    return column.astype(np.int64)


def facts_as_json(candidates: pd.DataFrame) -> pd.Series[str]:
    """Return each row's facts as one line of JSON; missing values, empty texts and False are left out.

    Enough to decide the row again (:mod:`explanation`). Numbers keep ten decimals. Put together column by column, each
    distinct value written once: a twelfth of what a JSON writer costs that makes rows of values first.
    """
    pairs = [_pairs(name, kind, candidates[name]) for name, kind in FACTS.items()]
    blocks = [_lines(pairs, row, row + _BLOCK_ROWS) for row in range(0, len(candidates), _BLOCK_ROWS)]
    lines = pa.chunked_array(blocks, pa.large_string()).to_pandas()
    return lines.set_axis(candidates.index)


def _lines(pairs: list[_Pairs], low: int, high: int) -> pa.Array:
    """Return a block of rows as lines of JSON: what one of 8,192 needs stays close to the processor."""
    said = [texts.take(which[low:high]) for texts, which in pairs if len(texts)]
    inner = pc.binary_join_element_wise(*said, ",", null_handling="skip")
    lines = pc.binary_join_element_wise("{", inner, "}", "").cast(pa.large_string())
    return lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines


def _pairs(name: str, kind: str, column: pd.Series) -> _Pairs:
    """Return ``"name":value`` of each distinct value of a column, and which is each row's: null, nothing is said."""
    if kind == "claim":
        codes, values = np.where(column.to_numpy(bool), 0, -1), pa.array(["true"] if column.any() else [], pa.string())
    elif kind == "number":
        numbers = np.round(column.to_numpy(np.float64), _DECIMALS)
        codes, distinct = pd.factorize(numbers.view(np.int64))  # by their bits: 0 and -0 are two
        codes, values = np.where(np.isfinite(numbers), codes, -1), pa.array(distinct.view(np.float64)).cast(pa.string())
    elif kind == "text":
        codes, texts = pd.factorize(column)
        codes, values = np.where((column == "").to_numpy(bool), -1, codes), _quoted(texts)
    else:
        suffix = "Z" if kind == "instant" else ""
        instants = column.dt.tz_localize(None) if kind == "instant" else column
        codes, distinct = pd.factorize(instants.to_numpy(f"datetime64[{'s' if suffix else 'D'}]"))
        values = pa.array([f'"{one}{suffix}"' for one in distinct], pa.string())
    return pc.binary_join_element_wise(f'"{name}":', values, ""), pa.array(codes, mask=codes < 0)


def _quoted(texts: pd.Index[str]) -> pa.Array:
    """Return texts as JSON writes them."""
    array = pa.array(texts.array, from_pandas=True).cast(pa.string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    quoted = pc.binary_join_element_wise('"', array, '"', "")
    is_odd = pc.match_substring_regex(array, _TO_ESCAPE)
    if not pc.any(is_odd).as_py():
        return quoted
    escaped = [json.dumps(one) for one in array.filter(is_odd).to_pylist()]
    return pc.replace_with_mask(quoted, is_odd, pa.array(escaped, pa.string()))


def public(decided: pd.DataFrame) -> pd.DataFrame:
    """Return decided rows with the columns of INTERFACE and `bucket`, `facts`; a step of 0 is missing."""
    rows = decided[["bucket", *COLUMNS]].copy()
    rows["step"] = rows["step"].where(rows["step"] > 0).astype("Int64")
    for name in ("programme", "segment", "behaviour", "channel", "arm", "policy_hash"):
        rows[name] = rows[name].mask(rows[name] == "")
    # The channel belongs to the step a contact stands before; whoever stands before none has none.
    rows["channel"] = rows["channel"].mask(rows["step"].isna())
    rows["facts"] = facts_as_json(decided)
    return rows.reset_index(drop=True)
