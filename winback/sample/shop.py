"""The simulated shop, day after day.

:func:`found_shop` plants a history into the feeds of a directory; :func:`play` lets days pass and appends what happens
on them. The same seed, days and messages give the same files, whether the days are played one by one or at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.sample import lifetimes
from winback.sample.clientele import make_consents, make_contacts
from winback.sample.planted import HISTORY_DAYS
from winback.sample.reactions import as_frame, react
from winback.sample.shop_feeds import append_events, append_rows, day_date, day_number, instant
from winback.sample.shop_memory import Memory, note_unfinished, recall, remember

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    from winback.sample.lifetimes import Shop
    from winback.sample.reactions import Told


@dataclass(frozen=True)
class Played:
    """What happened while days passed.

    Attributes
    ----------
    day : the last day that was played
    events : rows appended to the event feeds
    newcomers : customers who joined
    messages : messages that were reacted to
    brought_back : of those, how many bring back a customer who had stopped
    opted_out : of those, how many were answered with a stop
    """

    day: date
    events: int = 0
    newcomers: int = 0
    messages: int = 0
    brought_back: int = 0
    opted_out: int = 0


def found_shop(
    root: Path, *, customers: int, ends_on: date, seed: int, history_days: int = HISTORY_DAYS, pace: float = 1.0
) -> int:
    """Plant a shop's history into the feeds of a directory and return how many events it has.

    Parameters
    ----------
    ends_on : last business day of the history
    history_days : length of the history
    pace : factor on every usual gap; with 2 everybody comes half as often
    """
    rng = np.random.default_rng([seed, 0])
    last = day_number(ends_on)
    shop = lifetimes.found(customers=customers, ends_on=last, history_days=history_days, pace=pace, rng=rng)
    _append_people(root, shop, first=1, day=last, rng=rng)
    events = lifetimes.advance(shop, until=last, rng=rng)
    written = append_events(root, events, label="h", last_day=last, rng=rng)
    reactions, comebacks = react(shop, as_frame([]), pending=np.zeros(0, dtype=np.int64), seed=seed)
    remember(root, Memory(shop, seed, customers, comebacks, reactions))
    return written


def _append_people(root: Path, shop: Shop, *, first: int, day: int, rng: np.random.Generator) -> None:
    """Append the contacts and consents of the customers from number ``first`` on."""
    # A customer's main line of business is the first of their lives.
    lives = pd.DataFrame({"customer": shop.lives.customer, "line": shop.lives.line, "joined_on": shop.lives.joined_on})
    main = lives[lives["customer"] >= first].drop_duplicates("customer").sort_values("customer")
    contacts = make_contacts(numbers=main["customer"].to_numpy(), line=main["line"].to_numpy(), rng=rng)
    joined_at = (main["joined_on"].to_numpy() * 86_400 + 8 * 3600).astype("datetime64[s]")
    consents = make_consents(contacts, joined_at=joined_at, until=instant(day, 22), rng=rng)
    append_rows(root, "contacts", contacts, last_day=day, rng=rng)
    append_rows(root, "consents", consents, last_day=day, rng=rng)


def play(root: Path, *, day: date, messages: Iterable[Told] = ()) -> Played:
    """Let the shop live on up to and including a day, appending to its feeds what happens.

    A stopped customer comes back only by the planted effect of a message; everybody else comes when their own rhythm
    says so, whatever is sent.

    Parameters
    ----------
    root : a directory that holds a simulated shop
    day : the last day to play; one that was played already changes nothing
    messages : ``(customer_id, step, channel, day[, programme])`` of what reached customers, as
        :class:`~winback.sample.reactions.Message`. Those of days played before are left out, so the whole outbox may be
        given each time; play a day when its messages are out

    Raises
    ------
    UsageError
        If the directory holds no simulated shop.
    """
    memory = recall(root)
    before, goal = memory.shop.day, day_number(day)
    if goal <= before:
        return Played(day_date(before))
    told = as_frame(messages)
    note_unfinished(root, day=before)
    reactions = [memory.reactions]
    events = newcomers = 0
    for today in range(before + 1, goal + 1):
        mine = told[told["day"] == today].reset_index(drop=True)
        reaction, happened, joined = _play_day(root, memory, mine, today=today)
        events, newcomers = events + happened, newcomers + joined
        reactions.append(reaction)
    fresh = pd.concat(reactions[1:], ignore_index=True)
    memory.reactions = pd.concat([part for part in reactions if len(part)] or reactions[:1], ignore_index=True)
    remember(root, memory)
    return Played(
        day=day,
        events=events,
        newcomers=newcomers,
        messages=len(fresh),
        brought_back=int((fresh["returns_on"] < lifetimes.NEVER).sum()),
        opted_out=int(fresh["opted_out"].sum()),
    )


def _play_day(root: Path, memory: Memory, messages: pd.DataFrame, *, today: int) -> tuple[pd.DataFrame, int, int]:
    """Play one day; return the reactions to its messages, how many events there were and how many people joined."""
    shop = memory.shop
    rng = np.random.default_rng([memory.seed, today])
    reactions, comebacks = memory.reactions.iloc[:0], memory.comebacks.iloc[:0]
    if len(messages):
        pending = memory.comebacks["life"].to_numpy()
        reactions, comebacks = react(shop, messages, pending=pending, seed=memory.seed)
    due = memory.comebacks["returns_on"] == today
    lifetimes.bring_back(shop, memory.comebacks.loc[due, "life"].to_numpy(), day=today, rng=rng)
    memory.comebacks = pd.concat([memory.comebacks[~due], comebacks], ignore_index=True)
    joined = int(rng.poisson(memory.founders / shop.history_days))
    if joined:
        lifetimes.admit(shop, joined_on=np.full(joined, today), rng=rng)
        _append_people(root, shop, first=shop.customers - joined + 1, day=today, rng=rng)
    happened = lifetimes.advance(shop, until=today, rng=rng)
    label = f"{day_date(today):%y%m%d}"
    written = append_events(
        root, happened, label=label, last_day=today, rng=rng, machine_opens=_machine_opens(reactions, day=today)
    )
    _append_stops(root, reactions, day=today, rng=rng)
    return reactions, written, joined


def _machine_opens(reactions: pd.DataFrame, *, day: int) -> pd.DataFrame:
    """Return the opens of our own mails by mail programs: ``customer_id, behaviour, day``. None is a sign of life."""
    opened = reactions.loc[reactions["machine_opened"], ["customer_id"]].drop_duplicates()
    return opened.assign(behaviour="machine_open", day=day)


def _append_stops(root: Path, reactions: pd.DataFrame, *, day: int, rng: np.random.Generator) -> None:
    """Append a withdrawn consent for whoever answered a message with a stop."""
    out = reactions.loc[reactions["opted_out"], ["customer_id", "channel"]].drop_duplicates()
    if out.empty:
        return
    rows = out.assign(
        purpose="marketing",
        status="withdrawn",
        basis="",
        recorded_at=instant(day, 20),
        source=np.where(out["channel"] == "email", "unsubscribe_link", "stop"),
        wording="",
    )
    append_rows(root, "consents", rows, last_day=day, rng=rng)
