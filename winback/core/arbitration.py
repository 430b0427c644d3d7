"""Between programmes, between contacts, against the limits of a night: who of those due is written to tonight.

In: decided candidates. Out: the same with the claims that need more than one row, decided again, and one row a
contact. Must never happen: two messages to one contact or address on one day, an outcome that depends on how the
contacts were spread over shards, or a control contact that meets other limits than a treated one.

Control contacts take part like treated ones: they win and lose against other programmes, wait for quiet hours and
caps, and are cut off by the limits at the same place in the queue. They only use up neither sends nor money. So
"treated" and "control" differ by the message and by nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from winback.core.candidates import typed
from winback.core.decisions import READ, decide
from winback.core.hold_out import keyed_numbers
from winback.core.matching import is_among, places
from winback.core.reasons import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from winback.core.policy import Programme

KEY = ["programme", "customer_id"]
LIMITED = [*KEY, "value", "step_due_on", "action", "cost", "address"]
"""The columns :func:`limit` needs of all shards."""
CLAIMS = ["is_admitted", "is_sunset_tonight", "is_outvalued"]
WEIGHED = list(dict.fromkeys([*LIMITED, *READ]))
"""The columns :func:`choose` needs, and :func:`limit` of what it returns."""
FLAGS = ["is_address_taken", "is_over_cost_limit", "is_over_night_limit"]
ORDER_OF_ACTIONS = ("send", "hold_out", "sunset", "hold", "defer", "skip", "wait")
_ACTING = [Action.SEND.value, Action.HOLD_OUT.value]
_MICRO = 1_000_000


def spread(
    ids: pd.Series[str], known: Mapping[str, Iterable[pd.DataFrame]], *, programmes: Sequence[Programme]
) -> dict[str, NDArray[np.bool_]]:
    """Return for each programme which contacts need a row in it.

    Those it knows; and those whom no programme knows, in the one :func:`one_each` shows of several that all wait. A
    programme can do nothing about somebody it knows nothing of, and of a night with five programmes those are three
    rows of four.

    Parameters
    ----------
    ids : the contacts
    known : for each programme the frames with a customer_id that make a contact known to it: schedules, cycles
    programmes : all of the night
    """
    needed = {
        name: np.logical_or.reduce([is_among(ids, rows["customer_id"]) for rows in frames])
        for name, frames in known.items()
    }
    first = min(programmes, key=lambda programme: (-programme.value, programme.programme))
    needed[first.programme] |= ~np.logical_or.reduce(list(needed.values()))
    return needed


def admit(waiting: pd.DataFrame, *, programme: Programme, is_first_night: bool, pepper: str) -> NDArray[np.bool_]:
    """Return who of the waiting backlog starts the ladder tonight: the latest lapses first, ties by keyed hash.

    Parameters
    ----------
    waiting : customer_id, lapsed_on of *all* shards' contacts whose reason is `backlog_ramp`, in any order
    programme : its backlog says how many
    is_first_night : whether the programme has had no night before
    pepper : the installation's secret
    """
    most = programme.backlog.first_night if is_first_night else programme.backlog.per_night
    ids = waiting["customer_id"].to_numpy(object)
    ties = keyed_numbers(ids, pepper=pepper, purpose=f"backlog|{programme.programme}")
    order = np.lexsort((ids.astype(str), ties, -waiting["lapsed_on"].to_numpy("datetime64[D]").astype(np.int64)))
    admitted = np.zeros(len(waiting), dtype=bool)
    admitted[order[:most]] = True
    return admitted


def choose(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates decided again after each contact's programmes were weighed against each other.

    Of several that would act on a contact tonight the highest value wins, then the earlier due date, then the name;
    the others are deferred. A contact whose ladder ends in a sunset tonight gets nothing from another programme.

    Parameters
    ----------
    candidates : all programmes' rows of whole contacts (a shard); admission is already known
    """
    decided = decide(candidates.assign(is_sunset_tonight=False, is_outvalued=False))
    ending = decided.loc[decided["action"] == Action.SUNSET.value, "customer_id"]
    tonight = is_among(decided["customer_id"], ending) & ~decided["is_sunset_due"]
    decided = decide(decided.assign(is_sunset_tonight=tonight))
    acting = decided[decided["action"].isin(_ACTING)]
    ranked = acting.assign(below=-acting["value"]).sort_values(["customer_id", "below", "step_due_on", "programme"])
    losers = ranked.index[ranked.duplicated("customer_id")]
    return decide(decided.assign(is_outvalued=decided.index.isin(losers)))


def limit(acting: pd.DataFrame, *, max_sends: int, max_cost: float, pepper: str) -> pd.DataFrame:
    """Return who is over a limit of the night: programme, customer_id and three claims, in the order given.

    The queue is ordered by value, due date and a keyed hash, so that it is the same however the rows arrive. One
    address gets one message. Money and sends are given out from the front; after the first message that does not fit,
    no later one that costs something (or any, for the number of sends) goes out.

    Parameters
    ----------
    acting : :data:`LIMITED` of all shards; rows whose action is neither send nor hold_out are never over a limit
    max_sends, max_cost : of the whole night
    pepper : the installation's secret
    """
    ids = acting["customer_id"].to_numpy(object)
    ties = keyed_numbers(ids, pepper=pepper, purpose="queue")
    due = acting["step_due_on"].to_numpy("datetime64[D]").astype(np.int64)
    order = np.lexsort((acting["programme"].to_numpy(object).astype(str), ids.astype(str), ties, due, -acting["value"]))
    queue = acting.iloc[order]
    takes_part = queue["action"].isin(_ACTING).to_numpy(bool)
    addresses = queue["address"].where(takes_part & (queue["address"] != ""))
    taken = (addresses.notna() & addresses.duplicated()).to_numpy(bool)
    in_line = takes_part & ~taken
    sends = (queue["action"] == Action.SEND.value).to_numpy(bool)
    cost = np.round(queue["cost"].fillna(0).to_numpy(np.float64) * _MICRO).astype(np.int64)
    spent = np.cumsum(np.where(in_line & sends, cost, 0)) - np.where(in_line & sends, cost, 0)
    too_dear = in_line & (cost > 0) & (spent + cost > round(max_cost * _MICRO))
    in_line &= ~too_dear
    sent = np.cumsum(in_line & sends) - (in_line & sends)
    too_many = in_line & (sent >= max_sends)
    flags = pd.DataFrame(dict(zip(FLAGS, (taken, too_dear, too_many), strict=True)))
    found = pd.concat([queue[KEY].reset_index(drop=True), flags], axis=1)
    return found.iloc[np.argsort(order)].set_axis(acting.index)


def marked(candidates: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates with further claims, matched by (programme, customer_id), False where not named.

    Parameters
    ----------
    candidates : rows
    claims : programme, customer_id and one or more columns of booleans, e.g. from :func:`limit`
    """
    columns = {name: np.zeros(len(candidates), dtype=bool) for name in claims.columns if name not in KEY}
    for programme, mine in claims.groupby("programme"):
        rows = np.flatnonzero(candidates["programme"] == programme)
        at = places(candidates["customer_id"].iloc[rows], mine["customer_id"])
        for name, column in columns.items():
            column[rows[at >= 0]] = mine[name].to_numpy(bool)[at[at >= 0]]
    return candidates.assign(**columns)


def settle(
    candidates: pd.DataFrame,
    *,
    programmes: Mapping[str, Programme],
    first_nights: Iterable[str],
    max_sends: int,
    max_cost: float,
    pepper: str,
) -> pd.DataFrame:
    """Return all of a night's candidates, admitted, weighed, limited and decided: the whole chain on one frame.

    Parameters
    ----------
    candidates : all programmes and shards, from :func:`winback.core.candidates.gather`
    programmes : policies by name
    first_nights : names of the programmes that have had no night before
    max_sends, max_cost : of the whole night
    pepper : the installation's secret
    """
    decided = decide(candidates.reset_index(drop=True))
    admitted = np.zeros(len(decided), dtype=bool)
    for name, waiting in decided[decided["reason"] == Reason.BACKLOG_RAMP.value].groupby("programme"):
        is_first = name in set(first_nights)
        chosen = admit(waiting, programme=programmes[name], is_first_night=is_first, pepper=pepper)
        admitted[waiting.index[chosen]] = True
    decided = choose(decided.assign(is_admitted=admitted))
    over = limit(decided[LIMITED], max_sends=max_sends, max_cost=max_cost, pepper=pepper)
    return decide(marked(decided, over))


def one_each(decided: pd.DataFrame, contacts: pd.DataFrame, *, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return one row for each contact: the row of the programme that matters most tonight.

    By action (send, hold_out, sunset, hold, defer, skip, wait), then programmes that know the contact, then by value,
    then by name. A contact that no
    programme has in scope gets a row that says so.

    Parameters
    ----------
    decided : all programmes' rows
    contacts : customer_id, bucket of everybody in scope; the result is in their order
    as_of : the night's date
    """
    at = places(decided["customer_id"], contacts["customer_id"])
    action = places(decided["action"], pd.Series(ORDER_OF_ACTIONS))
    programme, _ = pd.factorize(decided["programme"], sort=True)
    order = np.lexsort((programme, -decided["value"], ~decided["has_activity"], action, at))
    order = order[at[order] >= 0]
    firsts = order[np.diff(at[order], prepend=-1) > 0]
    chosen, chosen_at = decided.iloc[firsts], at[firsts]
    outside = np.setdiff1d(np.arange(len(contacts)), chosen_at)
    if len(outside):
        reason = Reason.NO_PROGRAMME
        rows = typed(contacts[["customer_id", "bucket"]].iloc[outside].assign(as_of=as_of, value=0.0))
        rows = rows.assign(action=reason.action.value, reason=reason.value, rule=-1)
        chosen = pd.concat([chosen, rows]) if len(chosen) else rows
        chosen_at = np.concatenate([chosen_at, outside])
    return chosen.iloc[np.argsort(chosen_at)].reset_index(drop=True)
