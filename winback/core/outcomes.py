"""Did the messages help? The difference between those written to and those held out, with its uncertainty.

In: one row a contact and cycle with its arm and whether the contact came back. Out: a difference with an interval, and
the checks that say whether it may be read at all. Must never happen: a return rate without its control group, or a
group counted by what it was sent instead of by what it was drawn for (intention to treat).

References
----------
Newcombe 1998, interval estimation for the difference between independent proportions (hybrid score), and Wilson 1927
for one proportion, both through statsmodels; `facts/model.md` section 7 (checked there on the Hillstrom experiment).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from winback.core.hold_out import CONTROL, TREATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

RATIO_ALARM = 0.001
CONFIDENCE = 0.95
POWER = 0.8
ENOUGH, TOO_FEW, WRONG_RATIO, NO_CONTROL = "enough", "not_enough_data", "sample_ratio", "no_control"


@dataclass(frozen=True, kw_only=True)
class Lift:
    """The effect of a programme, as the difference between two return rates.

    Attributes
    ----------
    treated, control : contacts drawn for each arm
    treated_returns, control_returns : of those, who came back
    difference, low, high : treated rate minus control rate, with its 95 % interval; NaN without both arms
    ratio_p : chance of arms as unequal as these under the planned share; an alarm under .001
    detectable : the smallest true difference these numbers would find in four of five experiments
    verdict : `enough`, `not_enough_data`, `sample_ratio` (the arms were not drawn as planned: do not read the
        difference), `no_control`
    """

    treated: int
    treated_returns: int
    control: int
    control_returns: int
    difference: float
    low: float
    high: float
    ratio_p: float
    detectable: float
    verdict: str


def count(cycles: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Return (contacts, returns) by arm, each contact once: by intention to treat.

    A contact counts with its first cycle, in the arm drawn for it then, whether or not any message arrived.

    Parameters
    ----------
    cycles : customer_id, opened_on, arm, has_returned (within the window that is the same for both arms)
    """
    first = cycles.sort_values(["opened_on", "customer_id"]).drop_duplicates("customer_id")
    by_arm = first.groupby("arm")["has_returned"].agg(["size", "sum"])
    return {str(arm): (int(row["size"]), int(row["sum"])) for arm, row in by_arm.iterrows()}


def returned_within(cycles: pd.DataFrame, active_days: pd.DataFrame, *, window_days: int) -> NDArray[np.bool_]:
    """Return for each cycle whether its contact was active within ``window_days`` days, the day it was opened included.

    Parameters
    ----------
    cycles : customer_id, opened_on; any order, a contact may have several
    active_days : customer_id, occurred_on of the behaviours that count as a return
    window_days : the same for both arms; a cycle opened less than that long ago is none to ask about
    """
    opened = pd.DataFrame({"row": np.arange(len(cycles)), "customer_id": cycles["customer_id"].to_numpy()})
    opened["opened_on"] = cycles["opened_on"].to_numpy("datetime64[s]")
    pairs = opened.merge(active_days[["customer_id", "occurred_on"]], on="customer_id")
    after_days = (pairs["occurred_on"] - pairs["opened_on"]).dt.days
    has_returned = np.zeros(len(cycles), dtype=bool)
    has_returned[pairs.loc[(after_days >= 0) & (after_days < window_days), "row"].to_numpy()] = True
    return has_returned


def rate_interval(returns: int, contacts: int) -> tuple[float, float]:
    """Return the 95 % interval of one arm's return rate (Wilson's score interval); NaN without contacts."""
    if not contacts:
        return math.nan, math.nan
    low, high = proportion_confint(returns, contacts, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def sample_ratio_p(treated: int, control: int, *, control_share: float) -> float:
    """Return the chance of a split at least as uneven as this one if the share was as planned (χ², one degree)."""
    total = treated + control
    if not total or not 0 < control_share < 1:
        return math.nan
    expected = [total * (1 - control_share), total * control_share]
    return float(stats.chisquare([treated, control], expected).pvalue)


def base_rate(returns: int, contacts: int) -> float:
    """Return the rate to plan with, from the control group seen so far: never 0 or 1, a half before anybody was seen.

    Laplace's rule of succession. No return among few contacts does not mean that a single one would prove something.
    """
    return (returns + 1) / (contacts + 2)


def detectable_difference(treated: int, control: int, *, base_rate: float) -> float:
    """Return the smallest difference found with 80 % power at 5 % error, for a return rate without messages.

    Show it before the first result: a difference below it cannot be told from chance.
    """
    if not treated or not control:
        return math.nan
    z = stats.norm.ppf(0.5 + CONFIDENCE / 2) + stats.norm.ppf(POWER)
    return float(z * math.sqrt(base_rate * (1 - base_rate) * (1 / treated + 1 / control)))


def contacts_needed(*, base_rate: float, difference: float, control_share: float) -> int:
    """Return how many contacts, both arms together, find a true difference with 80 % power at 5 % error."""
    z = stats.norm.ppf(0.5 + CONFIDENCE / 2) + stats.norm.ppf(POWER)
    lifted = base_rate + difference
    variance = base_rate * (1 - base_rate) / control_share + lifted * (1 - lifted) / (1 - control_share)
    return math.ceil(float(variance * (z / difference) ** 2))


def lift(counts: Mapping[str, tuple[int, int]], *, control_share: float, planned: int) -> Lift:
    """Return the difference between the arms, and whether it may be read.

    Parameters
    ----------
    counts : (contacts, returns) by arm, from :func:`count`; the global control group is another comparison
    control_share : the planned share of the control group
    planned : contacts in both arms before which no result is announced; looking earlier, again and again, turns one
        false alarm in 20 into one in four

    Raises
    ------
    ValueError
        If an arm has more returns than contacts.
    """
    treated, treated_returns = counts.get(TREATED, (0, 0))
    control, control_returns = counts.get(CONTROL, (0, 0))
    if treated_returns > treated or control_returns > control:
        raise ValueError(f"more returns than contacts: {dict(counts)}")
    difference = low = high = math.nan
    if treated and control:
        difference = treated_returns / treated - control_returns / control
        low, high = confint_proportions_2indep(
            treated_returns, treated, control_returns, control, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
        )
    ratio_p = sample_ratio_p(treated, control, control_share=control_share)
    return Lift(
        treated=treated,
        treated_returns=treated_returns,
        control=control,
        control_returns=control_returns,
        difference=difference,
        low=float(low),
        high=float(high),
        ratio_p=ratio_p,
        detectable=detectable_difference(treated, control, base_rate=base_rate(control_returns, control)),
        verdict=_verdict(treated, control, ratio_p=ratio_p, planned=planned),
    )


def _verdict(treated: int, control: int, *, ratio_p: float, planned: int) -> str:
    """Return whether the difference may be read, and if not, why."""
    if not control or not treated:
        return NO_CONTROL
    if ratio_p < RATIO_ALARM:
        return WRONG_RATIO
    return ENOUGH if treated + control >= planned else TOO_FEW
