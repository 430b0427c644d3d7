"""Plan a night: draft every shard, weigh the drafts against each other and the limits, decide about everybody.

In: an open night. Out: a :class:`Plan`: the decided shards in a temporary folder and a summary with a hash over data,
policy and consent. The ledger is only read. Must never happen: a plan that depends on the number of shards, or one
that differs when it is made again from the same data.

Shards pass through the disk, so that memory holds one of them at a time; what has to be compared over all of them
(the backlog, the limits) are a few columns of the few contacts somebody would write to.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from winback.core import arbitration, decisions
from winback.core.cycle_states import OPENING
from winback.core.digest import combine
from winback.core.matching import places, rows_at
from winback.core.reasons import Action, Reason
from winback.night.draft import draft, set_scene
from winback.night.plan_guards import Guard, guard_growth, guard_sunsets, recent_starts
from winback.night.scratch import lay_down, take_up
from winback.settings import data_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from winback.night.assess import Fits
    from winback.night.draft import Scene
    from winback.night.opening import Night

QUEUED = ("cost", "address", "not_before_at", "expires_at")
"""What a message takes from a decided candidate, beside what a step does."""
_COUNTED = [*arbitration.KEY, "action", "cycle_state"]
GROUPED = ("action", "reason", "segment", "step", "channel")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a night would do.

    Attributes
    ----------
    plan_hash : 16 hex digits over data, policy and consent
    digests : the same, part by part, so that a drift can be named
    summary : the public form (INTERFACE, `winback plan`)
    folder : where the decided shards lie while the plan is being carried out
    guards : what was asked of the plan as a whole
    accepted : the guards a person lets pass
    """

    plan_hash: str
    digests: dict[str, str]
    summary: dict[str, Any]
    folder: Path = field(repr=False)
    guards: tuple[Guard, ...] = ()
    accepted: tuple[str, ...] = ()

    @property
    def sends(self) -> int:
        """How many messages the plan queues."""
        return int(self.summary["decisions"].get(Action.SEND.value, 0))

    def rows(self, shard: int) -> pd.DataFrame:
        """Return the decided candidates of one shard, all programmes: what changes and messages are made of."""
        return take_up(_file(self.folder, "decided", shard))

    def one_each(self, shard: int) -> pd.DataFrame:
        """Return the one decision of each contact of a shard."""
        return take_up(_file(self.folder, "one_each", shard))

    def locales(self, shard: int, customer_ids: pd.Series) -> pd.Series:
        """Return the locale of some contacts of a shard, missing where none is known."""
        known = take_up(_file(self.folder, "contacts", shard), columns=["customer_id", "locale"])
        return rows_at(known, places(customer_ids, known["customer_id"]))["locale"].set_axis(customer_ids.index)


def _file(folder: Path, kind: str, shard: int) -> Path:
    return folder / f"{kind}-{shard:04d}.arrow"


def plan(
    night: Night,
    fits: Fits,
    *,
    folder: Path,
    held: Collection[str] = (),
    accept: Collection[str] = (),
    is_assessed: bool = False,
) -> Plan:
    """Return what the night would do.

    Parameters
    ----------
    fits : from :func:`winback.night.assess.population_fits`
    folder : an empty directory for the decided shards
    held : programmes of which a source is held
    accept : guards of the whole plan a person has looked at: ``growth:DATE``, ``sunsets:DATE``
    is_assessed : whether :func:`winback.night.assess.assess` has just kept this night's rhythms
    """
    scene = set_scene(night, fits, held=held, is_assessed=is_assessed)
    read = _draft_all(night, scene, folder)
    with night.ledger.reading() as connection:
        recent = recent_starts(connection, night.as_of)
    digests = _digests(night, scene, read, recent=recent, accept=accept)
    _weigh(night, scene, folder)
    guards = _guard(night, folder, scene.eligible, recent, accept)
    summary = _decide_all(night, folder, guards)
    plan_hash = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
    summary = {
        "as_of": str(night.as_of),
        "plan_hash": plan_hash,
        **summary,
        "guards": [guard._asdict() for guard in guards],
        "programmes": [programme.programme for programme in night.programmes],
        "digests": digests,
    }
    return Plan(
        plan_hash=plan_hash,
        digests=digests,
        summary=summary,
        folder=folder,
        guards=guards,
        accepted=tuple(sorted(accept)),
    )


def _draft_all(night: Night, scene: Scene, folder: Path) -> dict[str, int]:
    """Write every shard's candidates, decided once, and return the digest of each kind of data that was read."""
    read: dict[str, list[int]] = {}
    for shard in range(night.shards):
        one = draft(night, scene, shard)
        lay_down(decisions.decide(one.rows), _file(folder, "drafted", shard))
        lay_down(one.contacts, _file(folder, "contacts", shard))
        for part, value in one.digests.items():
            read.setdefault(part, []).append(value)
        night.progress("draft", shard + 1, night.shards)
    return {part: combine(values) for part, values in read.items()}


def _digests(
    night: Night, scene: Scene, read: dict[str, int], *, recent: Sequence[int], accept: Collection[str]
) -> dict[str, str]:
    """Return what the plan's hash is made of, by part: whatever can change a decision is in one of them."""
    config = night.project.config.model_dump(mode="json", by_alias=True)
    earlier = {name: [str(day) for day in days] for name, days in scene.earlier.items()}
    parts: dict[str, Any] = {
        "the day": str(night.as_of),
        "the settings": {
            name: config[name] for name in ("business", "channels", "limits", "guards", "hold_out", "live")
        },
        "a policy": [programme.policy_hash for programme in night.programmes],
        "a template": _texts_digest(night.project.root / "templates"),
        "a rule": [_texts_digest(folder / "rules") for folder in (night.project.root, data_directory())],
        "what is accepted": sorted(accept),
        "the red button": scene.night.is_stopped,
        "held sources": sorted(scene.held),
        "thresholds": sorted((*map(str, key), fit.fit_id) for key, fit in scene.fits.items()),
        "a contact": read["contacts"],
        "activity": [read["activity"], sorted(scene.history_days.items())],
        "earlier nights": [read["earlier nights"], earlier, list(recent)],
        "a consent": read["consents"],
        "a suppression": read["suppressions"],
    }
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16] for name, part in parts.items()
    }


def _texts_digest(folder: Path) -> str:
    """Return a digest of every file of a folder: other words are another plan."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.is_file():
            found.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _weigh(night: Night, scene: Scene, folder: Path) -> None:
    """Admit the backlog, let programmes compete for each contact, and mark who is over a limit of the night."""
    pepper = scene.night.pepper
    admitted = _admit(night, scene, folder)
    acting = []
    for shard in range(night.shards):
        rows = take_up(_file(folder, "drafted", shard), columns=arbitration.WEIGHED)
        chosen = arbitration.choose(arbitration.marked(rows, admitted))
        lay_down(chosen[[*arbitration.CLAIMS, *_COUNTED]], _file(folder, "weighed", shard))
        is_acting = chosen["action"].isin([Action.SEND.value, Action.HOLD_OUT.value])
        acting.append(chosen.loc[is_acting, arbitration.LIMITED])
        night.progress("weigh", shard + 1, night.shards)
    limits = night.project.config.limits
    over = arbitration.limit(
        pd.concat(acting, ignore_index=True),
        max_sends=limits.max_sends_per_night,
        max_cost=limits.max_cost_per_night,
        pepper=pepper,
    )
    lay_down(over, folder / "over.arrow")


def _admit(night: Night, scene: Scene, folder: Path) -> pd.DataFrame:
    """Return who of the backlog of all shards starts tonight: programme, customer_id, is_admitted."""
    columns = ["programme", "customer_id", "lapsed_on", "reason"]
    drafted = [take_up(_file(folder, "drafted", shard), columns=columns) for shard in range(night.shards)]
    waiting = pd.concat(drafted, ignore_index=True)
    waiting = waiting[waiting["reason"] == Reason.BACKLOG_RAMP.value].drop(columns="reason")
    parts = [waiting.iloc[:0].assign(is_admitted=False)]
    for programme in night.programmes:
        mine = waiting[waiting["programme"] == programme.programme]
        is_first_night = not scene.earlier[programme.programme]
        claims = arbitration.admit(mine, programme=programme, is_first_night=is_first_night, pepper=scene.night.pepper)
        parts.append(mine.assign(is_admitted=claims))
    return pd.concat(parts, ignore_index=True).drop(columns="lapsed_on")


def _guard(
    night: Night, folder: Path, contacts: int, recent: Sequence[int], accept: Collection[str]
) -> tuple[Guard, ...]:
    """Ask the guards about the plan as a whole, from its counts."""
    over = take_up(folder / "over.arrow")
    counts: Counter[str] = Counter()
    for shard in range(night.shards):
        rows = take_up(_file(folder, "weighed", shard), columns=_COUNTED)
        marked = arbitration.marked(rows, over)
        is_over = marked[arbitration.FLAGS].any(axis=1)
        acting = marked[~is_over]
        counts["starts"] += int(_starts(acting).sum())
        counts["sunsets"] += int((acting["action"] == Action.SUNSET.value).sum())
    guards = night.project.config.guards
    return (
        guard_growth(counts["starts"], recent, growth=guards.segment_growth, as_of=night.as_of, accept=accept),
        guard_sunsets(counts["sunsets"], contacts, share=guards.max_sunset_share, as_of=night.as_of, accept=accept),
    )


def _starts(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return whose ladder starts with a message tonight."""
    return (rows["action"] == Action.SEND.value) & (rows["cycle_state"] == OPENING)


def _decide_all(night: Night, folder: Path, guards: tuple[Guard, ...]) -> dict[str, Any]:
    """Decide every shard with all that is known now, and return the counts for the summary."""
    over = take_up(folder / "over.arrow")
    refused = {guard.name for guard in guards if not guard.ok}
    counts: dict[str, Counter[str]] = {name: Counter() for name in GROUPED}
    cost, contacts, starts = 0.0, 0, 0
    for shard in range(night.shards):
        rows = take_up(_file(folder, "drafted", shard))
        weighed = take_up(_file(folder, "weighed", shard), columns=arbitration.CLAIMS)
        rows = arbitration.marked(rows.assign(**weighed), over).assign(
            is_growth_held="growth" in refused, is_sunset_share_held="sunsets" in refused
        )
        decided = decisions.decide(rows)
        lay_down(decided[[*decisions.CHANGING, *QUEUED]], _file(folder, "decided", shard))
        scope = take_up(_file(folder, "contacts", shard))
        single = arbitration.one_each(decided, scope, as_of=pd.Timestamp(night.as_of))
        lay_down(single, _file(folder, "one_each", shard))
        sent = single[single["action"] == Action.SEND.value]
        counts["step"].update((sent["programme"] + " " + sent["step"].astype(int).astype(str)).value_counts().to_dict())
        counts["channel"].update(sent["channel"].value_counts().to_dict())
        for name in ("action", "reason", "segment"):
            counts[name].update(single[name].value_counts().to_dict())
        cost += float(sent["cost"].sum())
        contacts += len(single)
        starts += int(_starts(single).sum())
        night.progress("decide", shard + 1, night.shards)
    return {
        "contacts": contacts,
        "decisions": dict(counts["action"]),
        "reasons": dict(counts["reason"]),
        "segments": dict(counts["segment"]),
        "steps": dict(counts["step"]),
        "starts": starts,
        "channels": dict(counts["channel"]),
        "cost": round(cost, 2),
    }
