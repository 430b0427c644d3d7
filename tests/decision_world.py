"""A small world for the decision core: contacts with a last active day, and nights that write what they decided.

Everything a test does not say has a default under which a lapsed contact would be written to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from winback.core import arbitration, buckets, decisions, permission
from winback.core.candidates import Night, State, gather
from winback.core.country_rules import load_country_rules
from winback.core.ladder import schedule
from winback.core.policy import Programme
from winback.core.send_hours import load_send_hours

RULES = Path(__file__).parents[1] / "data" / "rules"
HOURS = load_send_hours((RULES / "quiet_hours.yaml").read_text(encoding="utf-8"), file="quiet_hours.yaml")
COUNTRIES = load_country_rules((RULES / "countries.yaml").read_text(encoding="utf-8"), file="countries.yaml")
PEPPER = "pepper for tests"

CYCLES = [
    "programme", "customer_id", "cycle_no", "opened_on", "lapsed_on", "anchored_on", "arm", "threshold_days",
    "step_offsets", "closed_on", "close_reason", "policy_hash", "bucket",
]  # fmt: skip
STEPS = ["programme", "customer_id", "cycle_no", "step", "taken_on", "arm", "channel", "bucket"]
SUPPRESSIONS = ["channel", "kind", "key", "reason", "programme", "effective_on", "lifted_at"]
CONSENTS = ["customer_id", "channel", "purpose", "status", "basis", "recorded_at"]
DATES = ("opened_on", "lapsed_on", "anchored_on", "closed_on", "taken_on", "effective_on")


def programme(**changes: Any) -> Programme:
    """Return the 30/60/90 ladder by e-mail, without a control group, changed as a test wants it."""
    ladder = {
        "mode": changes.pop("mode", "anchored"),
        "steps": changes.pop("steps", None) or steps((30, 60, 90)),
        **{
            name: changes.pop(name)
            for name in ("min_days_between", "late_by_days", "answer_days", "one_offs")
            if name in changes
        },
    }
    defaults = {
        "version": 1,
        "programme": "winback",
        "trigger": {"behaviours": ["purchase"]},
        "ladder": ladder,
        "hold_out": {"share": 0.0},
    }
    return Programme.model_validate({**defaults, **changes})


def steps(days: tuple[int, ...], channels: tuple[str, ...] = ("email",)) -> list[dict[str, Any]]:
    return [{"day": day, "kind": "message", "channels": list(channels), "template": "hello"} for day in days]


def frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return rows as the ledger reads them: typed, also when there are none."""
    made = pd.DataFrame(rows, columns=columns)
    for name in columns:
        if name in DATES:
            made[name] = pd.to_datetime(made[name]).astype("datetime64[s]")
        elif name in ("recorded_at", "lifted_at"):
            made[name] = pd.to_datetime(made[name], utc=True).astype("datetime64[us, UTC]")
        elif name in ("cycle_no", "step", "bucket"):
            made[name] = made[name].astype("Int64").fillna(0).astype("int64")
        elif name == "threshold_days":
            made[name] = made[name].astype("float64")
        else:
            made[name] = made[name].astype("str")
    return made


def people(*customer_ids: str, **changes: Any) -> pd.DataFrame:
    """Return contacts in France with an address on every channel."""
    ids = list(customer_ids)
    made = pd.DataFrame({"customer_id": pd.array(ids, dtype="str"), "bucket": buckets.buckets(ids)})
    defaults: dict[str, Any] = {
        "email": [f"{one}@example.com" for one in ids], "email_fault": None,
        "phone": "+33612345678", "phone_type": "MOBILE", "phone_fault": None,
        "country": "FR", "region": None, "timezone": "Europe/Paris", "phone_zones": None,
        "email_hmac": [f"e-{one}" for one in ids], "sms_hmac": [f"s-{one}" for one in ids],
        "whatsapp_hmac": [f"w-{one}" for one in ids],
    }  # fmt: skip
    for name, value in {**defaults, **changes}.items():
        made[name] = pd.Series(value if isinstance(value, list) else [value] * len(ids), dtype="object")
    return made


def consent(customer_id: str, channel: str = "email", **changes: Any) -> dict[str, Any]:
    row = {
        "customer_id": customer_id, "channel": channel, "purpose": "marketing", "status": "granted",
        "basis": "express", "recorded_at": "2024-01-01T12:00:00Z",
    }  # fmt: skip
    return {**row, **changes}


def rhythms(rows: list[dict[str, Any]], *, as_of: date) -> pd.DataFrame:
    """Return what the thresholds say about customers: threshold T (T2 = 1.5 T, T3 = 2 T unless given)."""
    made = []
    for row in rows:
        threshold = row.get("threshold", 30)
        last_on = row["last_on"]
        made.append(
            {
                "customer_id": row["customer_id"], "behaviour": row.get("behaviour", "purchase"),
                "is_weak": row.get("is_weak", False), "n": row.get("n", 4),
                "first_on": np.datetime64(row.get("first_on", last_on - timedelta(days=400)), "s"),
                "last_on": np.datetime64(last_on, "s"), "silence_days": (as_of - last_on).days,
                "usual_gap_days": 20.0, "own_gap_days": 20.0, "population_gap_days": 25.0, "stop_probability": 0.1,
                "overdue_days": row.get("overdue", threshold * 0.8), "nudge_days": row.get("nudge", np.nan),
                "threshold_1_days": threshold, "threshold_2_days": row.get("threshold_2", round(threshold * 1.5)),
                "threshold_3_days": row.get("threshold_3", threshold * 2), "return_probability": 0.4,
                "basis": "fitted", "fit_id": "0" * 16, "sentence": f"Threshold {threshold} days.",
            }
        )  # fmt: skip
    if not made:
        return rhythms([{"customer_id": "nobody", "last_on": as_of}], as_of=as_of).iloc[:0]
    return pd.DataFrame(made)


@dataclass
class World:
    """Contacts, what they did, and what the nights wrote; ``run`` plays one night, ``play`` several."""

    programmes: list[Programme]
    contacts: pd.DataFrame
    last_days: dict[str, list[dict[str, Any]]]
    consents: list[dict[str, Any]] | None = None
    suppressions: list[dict[str, Any]] = field(default_factory=list)
    history_days: int = 1000
    max_sends: int = 1_000_000
    max_cost: float = 1e9
    per_week: int = 7
    cycles: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    nights: dict[str, list[date]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    is_stopped: bool = False

    def __post_init__(self) -> None:
        if self.consents is None:
            self.consents = [
                consent(one, channel) for one in self.contacts["customer_id"] for channel in ("email", "sms")
            ]

    def night(self, as_of: date) -> Night:
        return Night(
            as_of=as_of, from_at=datetime.combine(as_of, time(4, 30), tzinfo=UTC), business_zone="Europe/Paris",
            hours=HOURS, country_rules=COUNTRIES, pepper=PEPPER, per_week=self.per_week,
            prices={"sms": 0.07}, is_stopped=self.is_stopped,
        )  # fmt: skip

    def schedules(self, one: Programme, as_of: date, ids: set[str]) -> pd.DataFrame:
        rows = []
        for customer_id, days in self.last_days.items():
            known = [day for day in days if day["last_on"] <= as_of and customer_id in ids]
            by_behaviour = {day.get("behaviour", "purchase"): {**day, "customer_id": customer_id} for day in known}
            rows += by_behaviour.values()
        made = schedule(rhythms(rows, as_of=as_of), ladder=one.ladder, trigger=one.trigger, as_of=as_of)
        counted = {
            row["customer_id"]: row["last_on"]
            for row in rows
            if row.get("behaviour", "purchase") in one.return_behaviours
        }
        return made.assign(last_return_on=pd.to_datetime(made["customer_id"].map(counted)))

    def state(self, as_of: date, contacts: pd.DataFrame, one: Programme) -> State:
        taken = frame(self.steps, STEPS)
        before = taken[taken["taken_on"] < pd.Timestamp(as_of)]
        recent = before[before["taken_on"] > pd.Timestamp(as_of) - pd.Timedelta(days=7)]
        week = contacts["customer_id"].map(recent.groupby("customer_id").size()).fillna(0)
        return State(
            contacts=contacts.assign(messages_week=week, messages_day=0),
            verdicts=permission.evaluate(
                contacts,
                frame(self.consents, CONSENTS),
                frame(self.suppressions, SUPPRESSIONS),
                rules=COUNTRIES,
                programme=one.programme,
                purpose=one.purpose,
                as_of=as_of,
            ),
            cycles=frame(self.cycles, CYCLES),
            steps=taken,
        )

    def candidates(self, as_of: date, contacts: pd.DataFrame | None = None) -> pd.DataFrame:
        people_here = self.contacts if contacts is None else contacts
        parts = []
        for one in self.programmes:
            made = gather(
                self.schedules(one, as_of, set(people_here["customer_id"])), self.state(as_of, people_here, one),
                programme=one, night=self.night(as_of), nights=self.nights.get(one.programme, []),
                history_days=self.history_days, eligible=len(self.last_days),
                is_source_held=one.programme in self.held,
            )  # fmt: skip
            parts.append(made)
        return pd.concat(parts, ignore_index=True)

    def decide(self, as_of: date, shards: list[pd.DataFrame] | None = None) -> pd.DataFrame:
        """Return all programmes' decided rows of one night."""
        parts = [self.candidates(as_of, shard) for shard in (shards or [self.contacts])]
        return arbitration.settle(
            pd.concat(parts, ignore_index=True),
            programmes={one.programme: one for one in self.programmes},
            first_nights=[one.programme for one in self.programmes if not self.earlier(one.programme, as_of)],
            max_sends=self.max_sends, max_cost=self.max_cost, pepper=PEPPER,
        )  # fmt: skip

    def earlier(self, name: str, as_of: date) -> list[date]:
        return [night for night in self.nights.get(name, []) if night < as_of]

    def run(self, as_of: date) -> pd.DataFrame:
        """Decide a night, write what follows from it, and return its rows."""
        decided = self.decide(as_of)
        self.write(decisions.changes(decided))
        for one in self.programmes:
            self.nights.setdefault(one.programme, []).append(as_of)
        return decided

    def write(self, changes: decisions.Changes) -> None:
        for row in changes.openings.to_dict("records"):
            self.cycles.append({**row, "closed_on": None, "close_reason": None})
        closings = {
            (row["programme"], row["customer_id"], row["cycle_no"]): row for row in changes.closings.to_dict("records")
        }
        for cycle in self.cycles:
            closed = closings.get((cycle["programme"], cycle["customer_id"], cycle["cycle_no"]))
            if closed is not None:
                cycle.update(closed_on=closed["closed_on"], close_reason=closed["close_reason"])
        self.steps += changes.steps.to_dict("records")
        self.suppressions += [
            {
                "channel": "all", "kind": "customer", "key": row["customer_id"], "reason": "sunset", "programme": "",
                "effective_on": row["effective_on"], "lifted_at": None,
            }
            for row in changes.sunsets.to_dict("records")
        ]  # fmt: skip

    def play(self, first: date, days: int, *, without: range | None = None) -> None:
        """Run the nights of ``days`` days from ``first``; no night runs on the days numbered in ``without``."""
        for number in range(days):
            if without is None or number not in without:
                self.run(first + timedelta(days=number))

    def taken(self, customer_id: str) -> list[tuple[int, date]]:
        """Return (step, day) of every step a customer took, in order."""
        mine = [row for row in self.steps if row["customer_id"] == customer_id]
        return [(int(row["step"]), pd.Timestamp(row["taken_on"]).date()) for row in mine]
