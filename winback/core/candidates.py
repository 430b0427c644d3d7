"""Every fact about one programme and its contacts on one night, side by side: what the rules then decide on.

In: contacts, what stands against writing to them, schedules, cycles and steps. Out: one row a contact with the columns
of :data:`winback.core.decision_facts.FACTS`. Must never happen: a contact in scope without a row, or with two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from winback.core import hold_out, journeys, permission, segments, send_window, slots
from winback.core.cycle_states import ENDED, OPEN, OPENING, RETURNED
from winback.core.decision_facts import FACTS
from winback.core.matching import named, places, rows_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from numpy.typing import NDArray

    from winback.core.country_rules import CountryRules
    from winback.core.policy import Programme
    from winback.core.send_hours import SendHours

IDENTITY = ("customer_id", "bucket", "as_of", "address")
SILENCE = (
    "behaviour", "n", "first_on", "last_on", "silence_days", "threshold_days", "threshold_2_days", "threshold_3_days",
    "overdue_days", "nudge_days", "return_probability", "stop_probability", "usual_gap_days", "own_gap_days",
    "population_gap_days", "basis", "fit_id", "sentence",
)  # fmt: skip
MESSAGES = ("messages_day", "messages_week", "messages_month")
WISHES = ("is_paused", "wants_fewer", "is_under_review")
CYCLE = (
    "cycle_state", "cycle_no", "close_reason", "opened_on", "lapsed_on", "anchored_on", "cycle_threshold_days",
    "step_offsets", "step", "step_due_on", "ends_on", "last_step_on", "is_lapsed", "is_dormant", "is_cycle_ended",
    "is_cycle_limit_reached", "is_step_due", "is_step_missed", "is_ladder_done", "is_sunset_due", "is_history_short",
    "is_backlog",
)  # fmt: skip

_TYPES: dict[str, Any] = {
    "claim": np.dtype(bool),
    "number": np.dtype(np.float64),
    "date": np.dtype("datetime64[us]"),
    "instant": pd.DatetimeTZDtype("us", "UTC"),
}
_ABSENT = {"claim": False, "text": ""}


@dataclass(frozen=True, kw_only=True)
class Night:
    """What is the same for every programme and shard of one night.

    Attributes
    ----------
    as_of : the business date
    from_at : the instant sending may begin (aware)
    business_zone : time zone of the business
    hours, country_rules : the dated data files
    pepper : the installation's secret
    channels : the ones the business uses
    per_day, per_week : most messages a contact, tonight's included
    prices : estimated cost of one message a channel
    global_share : of the contacts that no programme writes to
    is_stopped : whether the red button is pressed
    windows : memory of the sending windows worked out so far, shared by programmes and shards
    """

    as_of: date
    from_at: datetime
    business_zone: str
    hours: SendHours
    country_rules: CountryRules
    pepper: str = field(repr=False)
    channels: Sequence[str] = permission.CHANNELS
    per_day: int = 1
    per_week: int = 2
    prices: Mapping[str, float] = field(default_factory=dict)
    global_share: float = 0.0
    is_stopped: bool = False
    windows: dict[slots.Place, slots.Window] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known of some contacts, in the ledger's columns; see the functions named for what they need.

    Attributes
    ----------
    contacts : :func:`winback.core.permission.evaluate`, and bucket, region, timezone; optionally phone_zones,
        messages_day, messages_week and messages_month (steps taken today, in the last seven and the last 30 days over
        all programmes and arms, tonight's not included), is_paused and wants_fewer (what the person chose),
        is_under_review, ignored_sends
    verdicts : from :func:`winback.core.permission.evaluate`, of the same contacts in the same order
    cycles, steps : :func:`winback.core.journeys.advance`
    """

    contacts: pd.DataFrame
    verdicts: pd.DataFrame
    cycles: pd.DataFrame
    steps: pd.DataFrame


def gather(
    schedules: pd.DataFrame,
    state: State,
    *,
    programme: Programme,
    night: Night,
    nights: Sequence[date],
    history_days: int,
    eligible: int,
    is_source_held: bool = False,
) -> pd.DataFrame:
    """Return one row for each contact of a shard, with every fact of the decision, in the order of the contacts.

    Parameters
    ----------
    schedules : the programme's, from the ladder; contacts without one have no activity that counts
    state : what is known of the contacts
    programme : the policy
    night : what is the same for all of the night
    nights : dates of the programme's earlier nights
    history_days : length of the recorded history
    eligible : contacts with a schedule over *all* shards; sets the control group's share
    is_source_held : whether a source that this programme reads is held

    Notes
    -----
    The claims that need more than one programme or shard (is_admitted, is_outvalued, …) are False; `arbitration`
    sets them.
    """
    contacts = state.contacts.reset_index(drop=True)
    allowed = permission.for_steps(state.verdicts, contacts["country"], programme=programme, available=night.channels)
    walks = journeys.advance(
        schedules, state.cycles, state.steps, programme=programme, nights=nights, as_of=night.as_of,
        history_days=history_days, permitted=allowed,
    )  # fmt: skip
    walks = rows_at(walks, places(contacts["customer_id"], walks["customer_id"]))
    known = rows_at(schedules, places(contacts["customer_id"], schedules["customer_id"]))
    rows: dict[str, object] = {name: known[name] for name in SILENCE if name in known}
    rows |= {name: walks[name] for name in CYCLE}
    rows |= _segment_facts(contacts, allowed, schedules, walks, programme=programme, night=night)
    rows |= _channel_facts(contacts, allowed, walks, night=night)
    rows |= _arm_facts(contacts, walks, programme=programme, night=night, eligible=eligible)
    rows |= {name: contacts[name] for name in ("customer_id", "bucket", *MESSAGES, *WISHES) if name in contacts}
    rows |= _common_facts(programme=programme, night=night)
    rows |= {"history_days": history_days, "is_source_held": is_source_held, "has_activity": known["last_on"].notna()}
    return typed(pd.DataFrame({**dict.fromkeys(MESSAGES, 0), **rows}, index=contacts.index))


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with every fact present and of its kind; a missing claim is False, a missing text empty."""
    columns = {name: _as_kind(rows, name, kind) for name, kind in FACTS.items()}
    identity = {name: rows[name] for name in (*IDENTITY, "bucket") if name in rows}
    return pd.DataFrame({**identity, **columns}, index=rows.index)


def _as_kind(rows: pd.DataFrame, name: str, kind: str) -> pd.Series:
    """Return one fact as its kind; most columns are already."""
    column = rows[name] if name in rows else pd.Series(_ABSENT.get(kind, np.nan), index=rows.index)
    if kind == "text":
        return _as_text(column)
    if column.dtype == _TYPES[kind]:
        return column
    if kind == "claim":
        return column.astype("boolean").fillna(value=False).astype(bool)
    numbers_or_dates = pd.to_numeric(column) if kind == "number" else pd.to_datetime(column, utc=kind == "instant")
    return numbers_or_dates.astype(_TYPES[kind])


def _as_text(column: pd.Series) -> pd.Series:
    """Return texts, "" for a missing one."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()  # -1, a missing one, takes the last
        return pd.Series(named(codes, [*column.cat.categories, ""]), index=column.index)
    if isinstance(column.dtype, pd.StringDtype):
        return column.fillna("") if column.hasnans else column
    return column.astype(object).where(column.notna(), "").astype("str")


def _common_facts(*, programme: Programme, night: Night) -> dict[str, object]:
    """Return the facts that are the same for everybody."""
    return {
        "as_of": pd.Timestamp(night.as_of),
        "programme": programme.programme,
        "policy_hash": programme.policy_hash,
        "value": programme.value,
        "per_day": night.per_day,
        "per_week": night.per_week,
        "is_stopped": night.is_stopped,
    }


def _segment_facts(
    contacts: pd.DataFrame,
    allowed: pd.DataFrame,
    schedules: pd.DataFrame,
    walks: pd.DataFrame,
    *,
    programme: Programme,
    night: Night,
) -> dict[str, object]:
    """Return segment, tier and is_overdue."""
    columns = [name for name in ("ignored_sends", "opened", "missed") if name in contacts]
    people = contacts[["customer_id", *columns]].assign(
        is_reachable=allowed["is_reachable"],
        is_sunset=allowed["is_sunset"],
        is_cycle_ended=walks["is_cycle_ended"].astype("boolean").fillna(value=False),
        has_open_cycle=walks["has_open_cycle"].astype("boolean").fillna(value=False),
    )
    found = segments.classify(people, schedules, as_of=night.as_of, oldest_days=programme.backlog.oldest_days)
    return {name: found[name] for name in ("segment", "tier", "is_overdue")}


def _channel_facts(
    contacts: pd.DataFrame, allowed: pd.DataFrame, walks: pd.DataFrame, *, night: Night
) -> dict[str, object]:
    """Return channel, permission, window and cost of the step each contact stands before (of step 1 where none)."""
    step = walks["step"].fillna(0).clip(lower=1).to_numpy(np.int64)
    channel = _of_step(allowed, "channel", step)
    window = send_window.windows(
        contacts.reindex(columns=slots.PLACE).assign(channel=channel.astype("str")),
        hours=night.hours, from_at=night.from_at, business_zone=night.business_zone, known=night.windows,
    )  # fmt: skip
    return {
        "channel": channel,
        "permission": _of_step(allowed, "permission", step),
        "address": _addresses(contacts, channel),
        "cost": channel.map({"": 0.0, **night.prices}).astype(np.float64).fillna(0.0),
        **{name: window[name] for name in ("window", "not_before_at", "expires_at")},
    }


def _of_step(allowed: pd.DataFrame, name: str, step: NDArray[np.int64]) -> pd.Series:
    """Return the column ``name_k`` of each contact's own step k."""
    columns = [allowed[column] for column in allowed if re.fullmatch(rf"{name}_\d+", str(column))]
    codes = np.stack([column.cat.codes.to_numpy() for column in columns])
    return pd.Series(pd.Categorical.from_codes(codes[step - 1, np.arange(len(step))], dtype=columns[0].dtype))


def _addresses(contacts: pd.DataFrame, channel: pd.Series) -> pd.Series:
    """Return the keyed hash of each contact's address on its channel, "" where it has none of either."""
    address = pd.Series("", index=contacts.index, dtype="str")
    for name in permission.CHANNELS:
        address = address.mask(channel == name, contacts[f"{name}_hmac"])
    return address.fillna("")


def _arm_facts(
    contacts: pd.DataFrame, walks: pd.DataFrame, *, programme: Programme, night: Night, eligible: int
) -> dict[str, object]:
    """Return the arm of everybody who is on a ladder or about to start one; nobody else has one."""
    on_ladder = walks["cycle_state"].isin([OPENING, OPEN, RETURNED, ENDED])
    arms = np.full(len(contacts), "", dtype=object)
    arms[on_ladder] = hold_out.assign(
        contacts.loc[on_ladder, "customer_id"],
        programme=programme.programme,
        salt=programme.hold_out.salt,
        share=hold_out.control_share(programme.hold_out, eligible=eligible),
        pepper=night.pepper,
        global_share=night.global_share,
        persisted=walks.loc[on_ladder, "arm"],
    )
    return {"arm": arms}
