"""Carry a plan out: decisions, cycles, steps, sunsets and messages, one transaction a shard.

In: a plan whose data, policy and consent are unchanged. Out: rows in the ledger; nothing is sent here. Must never
happen: half a shard, or a second message for a step because a night was run again.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from winback.core import decisions
from winback.core.buckets import bounds
from winback.core.reasons import Action
from winback.ledger import cycles, live_nights, refusals, stored_plans, verdicts
from winback.ledger.parallel import each_in_parallel
from winback.night.announce import announce
from winback.night.attach import attach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.core.policy import Programme
    from winback.core.templates import Templates
    from winback.night.opening import Night
    from winback.night.plan import Plan


def apply(night: Night, plan: Plan, *, templates: Templates, run_id: str) -> int:
    """Write a plan's rows; return how many messages are new. Shards that are written are left as they are.

    Parameters
    ----------
    templates : those of the project; each message remembers which text it was planned with
    run_id : for the record of the night
    """
    with night.ledger.writing() as connection:
        summary = json.dumps(plan.summary)
        stored_plans.save_plan(
            connection, plan_hash=plan.plan_hash, as_of=night.as_of, created_at=night.now, summary=summary
        )
        cycles.begin_night(
            connection, as_of=night.as_of, plan_hash=plan.plan_hash, run_id=run_id, started_at=night.begins_at
        )
        written = cycles.written_shards(connection, as_of=night.as_of, plan_hash=plan.plan_hash)
        is_repeated = verdicts.has_decisions(connection, night.as_of)
    new = 0
    if not _covers_everything(written):
        write = partial(_apply_shard, night, plan, templates=templates, is_repeated=is_repeated)
        for done, count in enumerate(each_in_parallel(night.ledger, write, range(night.shards)), start=1):
            new += count
            night.progress("write", done, night.shards)
    with night.ledger.writing() as connection:
        kept = {name: plan.summary[name] for name in ("starts", "programmes", "plan_hash")}
        kept[live_nights.LIVE] = _is_live(connection, night, plan)
        cycles.end_night(connection, night.as_of, applied_at=night.now, summary=json.dumps(kept))
    return new


def _is_live(connection: Connection, night: Night, plan: Plan) -> bool:
    """Return whether messages of a night reach people; once they have, no later rehearsal of it takes that back."""
    return (night.project.config.live and plan.sends > 0) or live_nights.went_live(connection, night.as_of)


def _covers_everything(written: set[tuple[int, int]]) -> bool:
    """Return whether written runs of buckets leave no gap, whatever number of shards they were written in."""
    reached = 0
    for low, high in sorted(written):
        if low > reached:
            return False
        reached = max(reached, high)
    return reached == bounds(0, 1)[1]


def _apply_shard(night: Night, plan: Plan, shard: int, *, templates: Templates, is_repeated: bool) -> int:
    """Write one shard in one transaction; return how many messages are new."""
    low, high = bounds(shard, night.shards)
    rows, single = plan.rows(shard), plan.one_each(shard)
    with night.ledger.writing() as connection:
        # Of a night that decides for the first time it would look through what its earlier shards have just written.
        if is_repeated:
            verdicts.withdraw_decisions(connection, night.as_of, low=low, high=high)
        verdicts.write_decisions(connection, decisions.public(single).assign(plan_hash=plan.plan_hash))
        sent = rows[rows["action"] == Action.SEND.value]
        messages = _messages(night, plan, sent.assign(locale=plan.locales(shard, sent["customer_id"])), templates)
        queued = verdicts.queue_messages(connection, messages, pepper=night.pepper)
        attach(connection, night, messages)
        # Last: a sunset keeps all other writers of the audit log waiting until this shard is committed.
        _write_changes(connection, decisions.changes(rows), at=night.now)
        cycles.mark_shard(
            connection, as_of=night.as_of, plan_hash=plan.plan_hash, low=low, high=high, written_at=night.now
        )
    return queued.new


def _write_changes(connection: Connection, changes: decisions.Changes, *, at: datetime) -> None:
    cycles.open_cycles(connection, changes.openings)
    cycles.close_cycles(connection, changes.closings)
    cycles.take_steps(connection, changes.steps)
    if len(changes.sunsets):
        effective_on = changes.sunsets["effective_on"].iloc[0].date()
        refusals.sunset(connection, changes.sunsets["customer_id"].unique(), at=at, effective_on=effective_on)
    announce(connection, changes, now=at)


def _messages(night: Night, plan: Plan, sent: pd.DataFrame, templates: Templates) -> pd.DataFrame:
    """Return the outbox rows of the decisions to send."""
    programmes = {programme.programme: programme for programme in night.programmes}
    rows = sent[["programme", "customer_id", "channel", "as_of", "policy_hash", "not_before_at", "expires_at"]].assign(
        cycle=sent["cycle_no"].astype("int64"),
        step=sent["step"].astype("int64"),
        cost=sent["cost"],
        address_hmac=sent["address"].where(sent["address"] != ""),
        local_day=sent["as_of"],
        locale=sent["locale"].astype("str"),
        plan_hash=plan.plan_hash,
        planned_at=pd.Timestamp(night.begins_at).tz_convert("UTC"),
        segments=pd.array([None] * len(sent), dtype="Int64"),
    )
    return rows.assign(**_texts(rows, programmes, templates))


def _texts(rows: pd.DataFrame, programmes: Mapping[str, Programme], templates: Templates) -> dict[str, pd.Series]:
    """Return template and template_hash of each message; looked up once per programme, step, channel and locale."""
    kinds = rows[["programme", "step", "channel", "locale"]].drop_duplicates()
    names, hashes = [], []
    for programme, step, channel, locale in kinds.itertuples(index=False):
        template = programmes[programme].ladder.steps[step - 1].template
        names.append(template)
        hashes.append(templates.template_hash(template, channel, None if pd.isna(locale) else locale))
    known = kinds.assign(template=pd.array(names, dtype="str"), template_hash=pd.array(hashes, dtype="str"))
    found = rows[["programme", "step", "channel", "locale"]].merge(known, how="left")
    return {name: found[name].set_axis(rows.index) for name in ("template", "template_hash")}
