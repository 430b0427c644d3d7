"""The sentence of a threshold: every number a person needs to agree or disagree with it.

In: columns of numbers. Out: one English sentence a row, put together column by column. Must never happen: a number
in the sentence that is not a stored one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from winback.core.population import PopulationFit, band_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ONE_PERCENT, HALF = 0.01, 0.5
Text: TypeAlias = "pa.Array | str"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, 11th, 21st …."""
    teens = number // 10 % 10 == 1
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def plural(noun: str) -> str:
    """Return the English plural of a regular noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in {"a", "e", "i", "o", "u"}:
        return noun[:-1] + "ies"
    return noun + "s"


def whole(values: ArrayLike) -> pa.Array:
    """Return numbers as text, rounded to whole ones."""
    return pc.cast(pa.array(np.rint(np.nan_to_num(values)).astype(np.int64)), pa.string())


def join(*parts: Text) -> pa.Array:
    """Return the parts of each row one after the other."""
    return pc.binary_join_element_wise(*parts, "")


def choose(condition: NDArray[np.bool_], yes: Text, no: Text) -> pa.Array:
    """Return one text or the other for each row."""
    return pc.if_else(pa.array(condition), yes, no)


def counted(values: ArrayLike, one: str, many: str) -> pa.Array:
    """Return "1 day", "2 days" and so on."""
    numbers = np.rint(values)
    return join(whole(numbers), choose(numbers == 1, f" {one}", f" {many}"))


def as_text(rows: pa.Array) -> pd.Series:
    """Return an Arrow text column as pandas text."""
    return pd.Series(rows.to_pandas(), dtype="str")


def rhythm_sentences(rows: pd.DataFrame, *, fit: PopulationFit, horizon_days: int, is_small: bool) -> pa.Array:
    """Return the sentences of thresholds from the customer's own rhythm.

    Parameters
    ----------
    rows : n, usual_gap_days, own_gap_days, overdue_days, threshold_1_days, and return_at_threshold (the chance of
        coming back alone at the threshold)
    fit : the population they were pulled towards
    horizon_days : H
    is_small : whether the population is too small to be read without care
    """
    noun = fit.behaviour.replace("_", " ")
    n = rows["n"].to_numpy()
    usual = np.rint(rows["usual_gap_days"].to_numpy())
    shop = round(np.exp(fit.mu0))
    every = choose(usual <= 1, "day", join(whole(usual), " days"))
    rhythm = join(
        counted(n, noun, plural(noun)), ", usually every ", every, " (yours ", whole(rows["own_gap_days"]),
        f", pulled towards the shop's {shop}); 25 % of your silences",
    )  # fmt: skip
    such = (
        f"; 25 % of the silences between a 1st and a 2nd {noun} (of {fit.first_gaps} customers)"
        if fit.knows_first_gaps
        else f" (the shop's is {shop} days); 25 % of such silences"
    )
    single = f"1 {noun}, so no rhythm of your own yet{such}"
    stops = [f"{share:.0%}".replace("%", " %") if share >= ONE_PERCENT else "under 1 %" for share in fit.stop]
    after = _lookup(n, {int(k): f"the {ordinal(int(k))} {noun} {stops[band_of(k)]} stop" for k in np.unique(n)})
    rarely = rows["return_at_threshold"].to_numpy() <= HALF
    back = choose(rarely, "fewer than half", join(whole(rows["return_at_threshold"].to_numpy() * 100), " %"))
    days = counted(rows["threshold_1_days"], "day", "days")
    caution = f"; only {fit.customers} customers to learn from, so read this with care" if is_small else ""
    return join(
        "Threshold ", days, f": behaviour {noun}; frequency ", choose(n == 1, single, rhythm), " last over ",
        counted(rows["overdue_days"], "day", "days"), " by chance; lifecycle: after ", after, "; at ", days, " ", back,
        f" of customers like this return within {horizon_days} days{caution}",
    )  # fmt: skip


def answer_sentences(rows: pd.DataFrame, *, behaviour: str, sends_per_month: float, limit_days: float) -> pa.Array:
    """Return the sentences of thresholds counted in sends (n, ignored_days, ignored_sends, threshold_1_days)."""
    noun = behaviour.replace("_", " ")
    return join(
        "Threshold ", counted(rows["threshold_1_days"], "day", "days"), f": behaviour {noun}; frequency ",
        counted(rows["n"], noun, plural(noun)), f" at {_number(sends_per_month)} sends a month; an active reader "
        "like this ignores ", counted(rows["ignored_sends"], "send", "sends"), " in a row (",
        counted(rows["ignored_days"], "day", "days"), ") less than 5 % of the time; and never before "
        f"{round(limit_days)} days, the usual limit at this sending frequency",
    )  # fmt: skip


def prior_sentences(rows: pd.DataFrame, *, fit: PopulationFit, sends_per_month: float | None) -> pa.Array:
    """Return the sentences where there was too little data to fit anything (threshold_1_days)."""
    noun = fit.behaviour.replace("_", " ")
    source = (
        "so the policy's default_days stands in"
        if sends_per_month is None
        else f"so the usual limit for {_number(sends_per_month)} sends a month stands in"
    )
    learnt = ", ".join(
        f"{number} {one if number == 1 else many}"
        for number, one, many in (
            (fit.customers, "customer", "customers"),
            (fit.gaps, "gap", "gaps"),
            (fit.history_days, "day of history", "days of history"),
        )
    )
    return join(
        "Threshold ", counted(rows["threshold_1_days"], "day", "days"),
        f": behaviour {noun}; too little data to learn a rhythm from ({learnt}), {source}",
    )  # fmt: skip


def finish(sentences: pa.Array, *, threshold_days: ArrayLike, model_days: ArrayLike) -> pa.Array:
    """Return the sentences with a word about the policy's floor or ceiling where it moved the threshold."""
    threshold, model = np.asarray(threshold_days), np.asarray(model_days)
    if (threshold == model).all():
        return join(sentences, ".")
    moved = choose(threshold > model, "raised to the policy's floor", "lowered to the policy's ceiling")
    return join(
        sentences, choose(threshold == model, ".", join("; ", moved, " from ", counted(model, "day", "days"), "."))
    )


def _lookup(values: NDArray[np.int64], texts: dict[int, str]) -> pa.Array:
    """Return the text of each value; the keys are the distinct values in ascending order."""
    return pa.array(list(texts.values()), pa.string()).take(pa.array(np.searchsorted(list(texts), values)))


def _number(value: float) -> str:
    """Return a number without needless decimals."""
    return f"{value:g}"
