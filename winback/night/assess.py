"""Work out how long a silence is too long, for every customer and behaviour.

In: the activity store. Out: folded profiles, the population's fits (stored, versioned, weekly) and each customer's
rhythm with its thresholds. Must never happen: a fit that knows an event after its day, or one that changes under a
night that is repeated.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd

from winback.core import population, recalibration, thresholds
from winback.core.buckets import bounds
from winback.core.population import PopulationFit
from winback.ledger import parameters, people
from winback.night.waiting import may_learn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from winback.core.policy import Programme
    from winback.night.opening import Night

REFIT_AFTER = timedelta(days=7)
Fits = dict[tuple[str, int], PopulationFit]
"""Fits by behaviour and horizon in days."""


def assess(night: Night, *, refit: bool = False) -> Fits:
    """Fold last night's events, refit the population where that is due, and keep each customer's rhythms.

    Parameters
    ----------
    refit : fit again even if the newest fit is younger than a week
    """
    with night.store.writing() as writer:
        writer.fold(night.as_of)
    fits = population_fits(night, refit=refit)
    learned = may_learn(night, {behaviour for behaviour, _ in fits})
    with night.ledger.writing() as connection:
        for (behaviour, horizon_days), fit in fits.items():
            if behaviour not in learned:
                continue
            row = parameters.Fit(fit.fit_id, _name(behaviour, horizon_days), fit.fitted_on, fit.to_json())
            parameters.save_fit(connection, row, created_at=night.now)
    if night.programmes:
        night.store.write_assessments(night.as_of, _all_rhythms(night, fits))
    return fits


def _name(behaviour: str, horizon_days: int) -> str:
    return f"{behaviour}@{horizon_days}"


def _key(programme: Programme) -> str:
    return f"rhythms-{programme.programme}"


def kept_rhythms(night: Night, programme: Programme, shard: int) -> pd.DataFrame | None:
    """Return the rhythms of a shard that :func:`assess` kept, or None where there are none.

    Only for a night that has just been assessed, under the lock it still holds: nothing else says that they belong to
    the present events, fits and policy.
    """
    return night.store.read_assessment(night.as_of, _key(programme), shard=shard, shards=night.shards)


def behaviours_of(programme: Programme) -> list[str]:
    """Return the counted and the weak behaviours of a programme."""
    return [*programme.trigger.behaviours, *programme.trigger.weak]


def population_fits(night: Night, *, refit: bool = False) -> Fits:
    """Return the fit of each behaviour and horizon the programmes need; stores nothing.

    The newest stored one fitted on or before the night's day, unless it is older than a week or knew too little.
    """
    with night.ledger.reading() as connection:
        stored = parameters.newest_fits(connection, as_of=night.as_of)
    wanted = {(name, p.threshold.horizon_days) for p in night.programmes for name in behaviours_of(p)}
    fits: Fits = {}
    for key in sorted(wanted):
        known = stored.get(_name(*key))
        if known is None or night.as_of - known.fitted_on >= REFIT_AFTER:
            continue
        fit = PopulationFit.from_json(known.parameters)
        # A shop that has just begun, or has just been connected, does not wait a week to be known.
        is_due = refit or fit.quality_for(key[1]) == "too_little"
        if known.fitted_on == night.as_of or not is_due:
            fits[key] = fit
    missing = sorted(wanted - fits.keys())
    return fits | (_fit(night, missing) if missing else {})


def _fit(night: Night, missing: list[tuple[str, int]]) -> Fits:
    """Return fresh fits, with the second layer where the own past carries one."""
    today = dict(iter(_profiles(night, night.as_of).groupby("behaviour")))
    nothing = next(iter(today.values())).iloc[:0] if today else _profiles(night, night.as_of)
    fits: Fits = {}
    for done, (behaviour, horizon_days) in enumerate(missing):
        night.progress("fit", done, len(missing))
        mine = today.get(behaviour, nothing)
        fits[behaviour, horizon_days] = population.fit(
            mine, behaviour=behaviour, as_of=night.as_of, horizon_days=horizon_days
        )
    for horizon_days in sorted({horizon for _, horizon in missing}):
        wanted = [
            name
            for name, horizon in missing
            if horizon == horizon_days and recalibration.can_calibrate(fits[name, horizon], horizon_days=horizon)
        ]
        past = _past(night, wanted, horizon_days)
        for name in wanted:
            fits[name, horizon_days] = recalibration.calibrate(
                fits[name, horizon_days], today[name], past[name], as_of=night.as_of, horizon_days=horizon_days
            )
    night.progress("fit", len(missing), len(missing))
    return fits


def _profiles(night: Night, as_of: date) -> pd.DataFrame:
    return pd.concat(
        [night.store.profiles(as_of, shard=shard, shards=night.shards) for shard in range(night.shards)],
        ignore_index=True,
    )


def _past(night: Night, behaviours: list[str], horizon_days: int) -> dict[str, list[recalibration.Snapshot]]:
    """Return what was known on earlier days, and who came back within the horizon, for a share of the customers.

    The second layer has five parameters: a fixed run of buckets with some 50,000 customers tells them as well as ten
    million, and its cost does not grow with the base.
    """
    past: dict[str, list[recalibration.Snapshot]] = {name: [] for name in behaviours}
    if not behaviours:
        return past
    for earlier in recalibration.snapshot_dates(night.as_of, horizon_days=horizon_days):
        until = earlier + timedelta(days=horizon_days)
        known = night.store.profiles(earlier, shard=0, shards=night.shards)
        for name in behaviours:
            rows = known[known["behaviour"] == name].reset_index(drop=True)
            came_back = night.store.activity_since(earlier, until, behaviours=[name], shard=0, shards=night.shards)
            returned = pd.Index(came_back["customer_id"]).get_indexer(pd.Index(rows["customer_id"])) >= 0
            past[name].append(recalibration.Snapshot(as_of=earlier, profiles=rows, returned=returned))
    return past


def rhythms(
    profiles: pd.DataFrame,
    *,
    programme: Programme,
    fits: Mapping[tuple[str, int], PopulationFit],
    categories: pd.Series | None,
    as_of: date,
) -> pd.DataFrame:
    """Return each customer's thresholds for the behaviours of one programme."""
    horizon_days = programme.threshold.horizon_days
    return thresholds.assess(
        profiles,
        fits={name: fits[name, horizon_days] for name in behaviours_of(programme)},
        threshold=programme.threshold,
        trigger=programme.trigger,
        categories=categories,
        as_of=as_of,
    )


def _all_rhythms(night: Night, fits: Fits) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rhythms of every programme with their key, a shard at a time."""
    by_category = any(programme.threshold.by_category for programme in night.programmes)
    for shard in range(night.shards):
        night.progress("thresholds", shard, night.shards)
        profiles = night.store.profiles(night.as_of, shard=shard, shards=night.shards)
        categories = _categories(night, shard) if by_category else None
        for programme in night.programmes:
            found = rhythms(profiles, programme=programme, fits=fits, categories=categories, as_of=night.as_of)
            yield _key(programme), found
    night.progress("thresholds", night.shards, night.shards)


def _categories(night: Night, shard: int) -> pd.Series:
    """Return the category of each customer of a shard, by customer id."""
    low, high = bounds(shard, night.shards)
    with night.ledger.reading() as connection:
        contacts = people.read_contacts(connection, as_of=night.as_of, low=low, high=high)
    return contacts.set_index("customer_id")["category"]
