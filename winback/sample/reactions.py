"""What a message leads to: somebody comes back, says stop, or a mail program opens it by itself.

Each chance is a hash of (seed, customer, programme, step, channel, day, question), so the order in which messages are
told, and whatever else happens, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from winback.sample import planted
from winback.sample.lifetimes import NEVER, Shop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Message(NamedTuple):
    """A message that reached a customer.

    ``step`` counts from 1; ``day`` is the business day it arrived, ISO text or a date; an empty ``programme`` speaks to
    every line of business the customer is in.
    """

    customer_id: str
    step: int
    channel: str
    day: object
    programme: str = ""


Told = Message | tuple[str, int, str, object] | tuple[str, int, str, object, str]
"""A message as callers may write it."""

COLUMNS = [
    *("customer_id", "programme", "step", "channel", "day", "planted_probability", "returns_on", "opted_out"),
    "machine_opened",
]


def as_frame(messages: Iterable[Told]) -> pd.DataFrame:
    """Return messages as a frame with ``day`` in days since 1970-01-01, in an order that depends on them alone."""
    rows = [Message(*message) for message in messages]
    frame = pd.DataFrame(rows, columns=Message._fields)
    frame["day"] = frame["day"].astype("datetime64[s]").astype("int64") // 86_400
    frame["step"] = frame["step"].astype("int64")
    names = ["customer_id", "channel", "programme"]
    frame[names] = frame[names].astype("str")
    return frame.sort_values(list(Message._fields), ignore_index=True).drop_duplicates(ignore_index=True)


def _chance(messages: pd.DataFrame, question: str, *, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) per message: the same for the same message, question and seed."""
    key = messages["customer_id"] + "|" + messages["programme"] + "|" + messages["channel"]
    key = key + "|" + messages["step"].astype("str") + "|" + messages["day"].astype("str")
    return uniform(f"{seed}|{question}|" + key)


def uniform(keys: pd.Series) -> NDArray[np.float64]:
    """Return a number in [0, 1) per key, as if drawn evenly, and always the same for the same key."""
    hashed = pd.util.hash_array(keys.to_numpy(dtype=object), categorize=False)
    numbers: NDArray[np.float64] = (hashed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return numbers


def loads_mail_by_machine(customer_ids: pd.Series, *, seed: int) -> NDArray[np.bool_]:
    """Return whose mail program opens every mail by itself."""
    return uniform(f"{seed}|machine|" + customer_ids) < planted.MACHINE_OPEN


def stopped_lives(shop: Shop, messages: pd.DataFrame, *, pending: NDArray[np.int64]) -> pd.DataFrame:
    """Return (place of the message, life) for each message that speaks to a life that stopped before its day.

    ``pending`` are lives that are on their way back already; no message brings back twice.
    """
    number = messages["customer_id"].str.extract(r"^C(\d{7,})$", expand=False).astype("float64")
    codes = {name: code for code, name in enumerate(planted.line_names())}
    only = messages["programme"].map(codes)
    spoken = pd.DataFrame({"message": messages.index, "customer": number, "only": only, "day": messages["day"]})
    lives = pd.DataFrame({"customer": shop.lives.customer.astype("float64"), "line": shop.lives.line})
    lives = lives.rename_axis("life").reset_index()[shop.lives.stopped_on != NEVER]
    lives = lives[~lives["life"].isin(pending)]
    pairs = spoken.dropna(subset="customer").merge(lives, on="customer")
    fits = (pairs["only"] == pairs["line"]) | (messages["programme"].to_numpy()[pairs["message"]] == "")
    pairs = pairs[fits & (shop.lives.stopped_on[pairs["life"]] < pairs["day"])]
    return pairs.sort_values(["message", "life"])[["message", "life"]].reset_index(drop=True)


def react(
    shop: Shop, messages: pd.DataFrame, *, pending: NDArray[np.int64], seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what one day's messages lead to.

    Parameters
    ----------
    shop : as it stands before the day
    messages : of one day, as :func:`as_frame` gives them
    pending : lives that are on their way back already

    Returns
    -------
    reactions : one row per message, :data:`COLUMNS`; ``planted_probability`` is the chance with which the message could
        bring somebody back, 0 for whoever had not stopped
    comebacks : one row per life brought back: ``life, returns_on`` (days since 1970-01-01)
    """
    pairs = stopped_lives(shop, messages, pending=pending)
    speaks = messages.index.isin(pairs["message"])
    effects = np.array(planted.RETURN_BY_STEP)
    place = np.clip(messages["step"].to_numpy() - 1, 0, len(effects) - 1)
    probability = np.where(speaks, effects[place], 0.0)
    returns = _chance(messages, "return", seed=seed) < probability
    delay = 1 + (_chance(messages, "delay", seed=seed) * planted.RETURN_WITHIN_DAYS).astype(np.int64)
    returns_on = np.where(returns, messages["day"] + delay, NEVER)
    mail = messages["channel"].to_numpy() == "email"
    rate = messages["channel"].map(planted.OPT_OUT).fillna(0.0).to_numpy()
    reactions = messages.assign(
        planted_probability=probability,
        returns_on=returns_on,
        opted_out=(_chance(messages, "stop", seed=seed) < rate) & ~returns,
        machine_opened=mail & loads_mail_by_machine(messages["customer_id"], seed=seed),
    )
    comebacks = pairs.assign(returns_on=returns_on[pairs["message"]])
    comebacks = comebacks[comebacks["returns_on"] < NEVER].drop_duplicates("life")
    return reactions[COLUMNS], comebacks[["life", "returns_on"]].reset_index(drop=True)
