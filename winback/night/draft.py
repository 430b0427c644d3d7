"""Draft what a night might do, one shard at a time: every fact about every contact and programme, side by side.

In: both stores as they stood before the night. Out: candidates for the rules, and the digests of what they were made
from. Nothing is written. Must never happen: a draft that reads what its own night wrote.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core import arbitration, candidates, ladder, permission
from winback.core.buckets import bounds
from winback.core.digest import digest
from winback.core.matching import is_among, places, values_of
from winback.core.sending_frequency import ANSWERS, sending_days_per_day
from winback.ledger import contact_rows, cycles, live_nights, people, switches
from winback.night.assess import Fits, kept_rhythms, rhythms
from winback.night.dated_rules import read_rules
from winback.night.wishes import with_wishes

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from sqlalchemy import Connection

    from winback.core.policy import Programme
    from winback.night.opening import Night

CAP_DAYS = 7
# What the rules ask; the digest stands for all the others.
CONTACT_COLUMNS = (
    *("customer_id", "bucket", "digest", "email", "email_fault", "phone", "phone_type", "phone_fault", "phone_zones"),
    *("email_hmac", "sms_hmac", "whatsapp_hmac", "locale", "timezone", "country", "region", "category"),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is the same for all shards of a night.

    Attributes
    ----------
    night : the core's view of it
    fits : the population
    earlier : for each programme the nights it took part in before
    history_days : by behaviour
    eligible : contacts in scope, over all shards
    held : programmes of which a source is held
    is_assessed : whether this night's rhythms have just been worked out and kept
    """

    night: candidates.Night
    fits: Fits
    earlier: dict[str, list[date]]
    history_days: dict[str, int]
    eligible: int
    held: Collection[str]
    is_assessed: bool = False


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One shard: its candidates, everybody in scope (with locale), and the digest of each kind of data read."""

    rows: pd.DataFrame
    contacts: pd.DataFrame
    digests: dict[str, int]


def set_scene(night: Night, fits: Fits, *, held: Collection[str], is_assessed: bool = False) -> Scene:
    """Read what every shard needs."""
    config = night.project.config
    hours, country_rules = read_rules(night.project)
    with night.ledger.reading() as connection:
        nights = cycles.nights_before(connection, night.as_of)
        present = contact_rows.count_contacts(connection)["present"]
        is_stopped = switches.pressed(connection) is not None
    took_part = {one.as_of: json.loads(one.summary or "{}").get("programmes", ()) for one in nights}
    prices = {}
    if config.channels.sms is not None:
        prices["sms"] = config.channels.sms.price_per_segment
    if config.channels.whatsapp is not None:
        prices["whatsapp"] = config.channels.whatsapp.price_per_message
    core_night = candidates.Night(
        as_of=night.as_of,
        from_at=night.begins_at,
        business_zone=config.business.timezone,
        hours=hours,
        country_rules=country_rules,
        pepper=night.pepper.decode("utf-8", "replace"),
        channels=[name for name in ("email", "sms", "whatsapp") if getattr(config.channels, name) is not None],
        per_day=config.limits.per_contact.per_day,
        per_week=config.limits.per_contact.per_week,
        prices=prices,
        global_share=config.hold_out.global_share,
        is_stopped=is_stopped,
    )
    return Scene(
        night=core_night,
        fits=fits,
        earlier={
            programme.programme: [one.as_of for one in nights if programme.programme in took_part[one.as_of]]
            for programme in night.programmes
        },
        history_days=night.store.history_days(night.as_of),
        eligible=present,
        held=held,
        is_assessed=is_assessed,
    )


def draft(night: Night, scene: Scene, shard: int) -> Draft:
    """Return the candidates of one shard, for all programmes."""
    low, high = bounds(shard, night.shards)
    with night.ledger.reading() as connection:
        state = _read_state(connection, night, low=low, high=high)
    profiles = night.store.profiles(night.as_of, shard=shard, shards=night.shards)
    profiles = profiles[is_among(profiles["customer_id"], state.contacts["customer_id"])]
    contacts = state.contacts.assign(
        last_purchase_on=_newest(profiles, ["purchase"], state.contacts["customer_id"]),
    )
    schedules = {one.programme: _schedules(night, scene, one, shard, contacts, profiles) for one in night.programmes}
    known = {name: [rows, state.cycles[state.cycles["programme"] == name]] for name, rows in schedules.items()}
    scopes = arbitration.spread(contacts["customer_id"], known, programmes=night.programmes)
    verdicts = permission.evaluate_each(
        contacts, state.consents, state.suppressions,
        rules=scene.night.country_rules, programmes=night.programmes, as_of=night.as_of,
    )  # fmt: skip
    facts = []
    for one in night.programmes:
        scope = scopes[one.programme]
        mine = candidates.State(
            contacts=contacts[scope].assign(
                ignored_sends=_ignored_sends(contacts.loc[scope, "customer_id"], profiles, one, night.as_of)
            ),
            verdicts=verdicts[one.programme][scope],
            cycles=state.cycles,
            steps=state.steps,
        )
        facts.append(_of_programme(scene, one, mine, schedules[one.programme]))
    return Draft(
        rows=pd.concat(facts, ignore_index=True),
        contacts=state.contacts[["customer_id", "bucket", "locale"]],
        digests=_digests(state, profiles),
    )


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What the ledger knew about a run of buckets before this night; ``recent`` are the steps of the last days."""

    contacts: pd.DataFrame
    consents: pd.DataFrame
    suppressions: pd.DataFrame
    cycles: pd.DataFrame
    steps: pd.DataFrame
    recent: pd.DataFrame


def _read_state(connection: Connection, night: Night, *, low: int, high: int) -> _Stored:
    """Return what the ledger knew about a run of buckets before this night."""
    as_of = night.as_of
    contacts = people.read_contacts(connection, as_of=as_of, low=low, high=high, columns=CONTACT_COLUMNS)
    steps = cycles.read_steps(connection, as_of=as_of, low=low, high=high)
    recent = steps[steps["taken_on"] > pd.Timestamp(as_of - timedelta(days=CAP_DAYS))]
    counts = recent.groupby("customer_id").size()
    contacts = contacts.assign(
        messages_day=0,
        messages_week=values_of(contacts["customer_id"], counts).fillna(0).astype(np.int64),
    )
    return _Stored(
        contacts=with_wishes(connection, contacts, steps, as_of=as_of, zone=night.project.zone, low=low, high=high),
        consents=people.read_consents(connection, low=low, high=high, columns=people.CONSENT_COLUMNS[:6]),
        suppressions=_about_customers(people.read_suppressions(connection, as_of=as_of, low=low, high=high)),
        cycles=_read_cycles(connection, night, low=low, high=high),
        steps=steps,
        recent=recent,
    )


def _read_cycles(connection: Connection, night: Night, *, low: int, high: int) -> pd.DataFrame:
    """Return the cycles before this night, and whether none of their messages arrived."""
    found = cycles.read_cycles(connection, as_of=night.as_of, low=low, high=high)
    rehearsals = live_nights.rehearsals(connection) if night.project.config.live else ()
    lost = cycles.unheard(connection, as_of=night.as_of, low=low, high=high, rehearsals=rehearsals)
    known = pd.MultiIndex.from_frame(lost)
    return found.assign(is_unheard=pd.MultiIndex.from_frame(found[list(lost.columns)]).isin(known))


def _digests(state: _Stored, profiles: pd.DataFrame) -> dict[str, int]:
    """Return the digest of each kind of data that was read."""
    read = {
        "contacts": [state.contacts],
        "activity": [profiles],
        "earlier nights": [state.cycles, state.steps, state.recent],
        "consents": [state.consents],
        "suppressions": [state.suppressions],
    }
    return {part: sum(digest(frame) for frame in frames) for part, frames in read.items()}


def _about_customers(found: pd.DataFrame) -> pd.DataFrame:
    """Return suppressions in the core's form; the ledger has matched addresses to customers already."""
    return found.assign(kind="customer", key=found["customer_id"], lifted_at=pd.NaT)


def _schedules(
    night: Night, scene: Scene, programme: Programme, shard: int, contacts: pd.DataFrame, profiles: pd.DataFrame
) -> pd.DataFrame:
    """Return one programme's schedules of a shard."""
    own = kept_rhythms(night, programme, shard) if scene.is_assessed else None
    if own is None:
        categories = contacts.set_index("customer_id")["category"]
        own = rhythms(profiles, programme=programme, fits=scene.fits, categories=categories, as_of=night.as_of)
    else:
        own = own[is_among(own["customer_id"], contacts["customer_id"])]
    schedules = ladder.schedule(own, ladder=programme.ladder, trigger=programme.trigger, as_of=night.as_of)
    # In the order of the contacts, so that nothing has to be looked up and put in order again for each thing to know.
    at = places(contacts["customer_id"], schedules["customer_id"])
    schedules = schedules.iloc[at[at >= 0]].reset_index(drop=True)
    returned_on = _newest(profiles, programme.return_behaviours, schedules["customer_id"])
    answers = contacts["answered_on"].set_axis(contacts["customer_id"])
    # Who answered a message is there, whatever else this programme counts.
    answered_on = values_of(schedules["customer_id"], answers).astype(returned_on.dtype)
    return schedules.assign(last_return_on=np.fmax(returned_on.to_numpy(), answered_on.to_numpy()))


def _of_programme(scene: Scene, programme: Programme, state: candidates.State, schedules: pd.DataFrame) -> pd.DataFrame:
    """Return one programme's candidates among some contacts of a shard."""
    return candidates.gather(
        schedules,
        state,
        programme=programme,
        night=scene.night,
        nights=scene.earlier[programme.programme],
        history_days=max((scene.history_days.get(name, 0) for name in programme.trigger.behaviours), default=0),
        eligible=scene.eligible,
        is_source_held=programme.programme in scene.held,
    )


def _newest(profiles: pd.DataFrame, behaviours: Collection[str], ids: pd.Series) -> pd.Series:
    """Return the newest day of any of the behaviours of each customer, missing where there is none."""
    return values_of(ids, profiles[profiles["behaviour"].isin(behaviours)].groupby("customer_id")["last_on"].max())


def _ignored_sends(ids: pd.Series, profiles: pd.DataFrame, programme: Programme, as_of: date) -> pd.Series:
    """Return about how many messages each reader has left unanswered; 0 where the sending frequency is unknown."""
    sends_per_month = programme.threshold.sends_per_month
    if sends_per_month is None:
        return pd.Series(0, index=ids.index)
    silent = (pd.Timestamp(as_of) - _newest(profiles, ANSWERS, ids)).dt.days
    # Unknown is not ignoring: who never answered anything may never have been written to.
    return (silent.fillna(0) * sending_days_per_day(sends_per_month)).astype(np.int64)
