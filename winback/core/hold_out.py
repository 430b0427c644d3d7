"""Who is kept from the messages, so that their effect can be measured: the same people on every machine, every night.

In: customer ids, the programme and its salt, the pepper. Out: one arm a contact. Must never happen: an arm that
depends on the order of the contacts, on the shard, on another programme's draw, or that changes inside a cycle.

References
----------
`facts/model.md` section 7: randomise before step 1 by keyed hash, persist, half and half under 20,000 eligible.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from winback.core.policy import HoldOut

TREATED = "treated"
CONTROL = "control"
GLOBAL_CONTROL = "global_control"
ARMS = (TREATED, CONTROL, GLOBAL_CONTROL)

SMALL_BASE = 20_000
SHARE_OF_SMALL_BASE = 0.5
SHARE_OF_LARGE_BASE = 0.1
_MANTISSA_BITS = 53


def control_share(hold_out: HoldOut, *, eligible: int) -> float:
    """Return the control group's share of a programme with ``eligible`` contacts over all shards.

    "auto" is a half under 20,000 eligible contacts and a tenth from there on: with fewer, a tenth is too small a
    control group to ever show a difference.
    """
    if hold_out.share == "auto":
        return SHARE_OF_SMALL_BASE if eligible < SMALL_BASE else SHARE_OF_LARGE_BASE
    return float(hold_out.share)


def keyed_numbers(customer_ids: Iterable[str], *, pepper: str, purpose: str) -> NDArray[np.uint64]:
    """Return one 64-bit number a customer that nobody can foresee without the pepper.

    SipHash under a key that HMAC-SHA256 derives from the pepper and the purpose, so that two purposes (a programme
    with its salt, the global group, the order of a queue) draw independently.

    Parameters
    ----------
    customer_ids : texts
    pepper : the installation's secret
    purpose : what the numbers are for
    """
    key = hmac.new(pepper.encode(), purpose.encode(), hashlib.sha256).hexdigest()[:16]
    values = np.asarray(customer_ids, dtype=object)
    return np.asarray(pd.util.hash_array(values, hash_key=key, categorize=False), dtype=np.uint64)


def draws(customer_ids: Iterable[str], *, pepper: str, purpose: str) -> NDArray[np.float64]:
    """Return one number in [0, 1) a customer, uniform over customers and fixed for a pepper and a purpose."""
    numbers = keyed_numbers(customer_ids, pepper=pepper, purpose=purpose)
    return (numbers >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float64) / float(1 << _MANTISSA_BITS)


def assign(
    customer_ids: Iterable[str],
    *,
    programme: str,
    salt: str,
    share: float,
    pepper: str,
    global_share: float = 0.0,
    persisted: Iterable[str | None] | None = None,
) -> NDArray[np.object_]:
    """Return the arm of each contact: `treated`, `control` or `global_control`.

    The global group is drawn without the programme's name, so that it is the same people everywhere, and it wins over
    the programme's own draw. A larger share only adds people to the control group; nobody leaves it by that.

    Parameters
    ----------
    customer_ids : texts
    programme, salt : name the draw; another salt draws anew
    share : of the programme's control group, from :func:`control_share`
    pepper : the installation's secret
    global_share : of the group that no programme writes to
    persisted : the arm stored with the open cycle, or None; it always wins
    """
    values = np.asarray(customer_ids, dtype=object)
    own = draws(values, pepper=pepper, purpose=f"arm|{programme}|{salt}") < share
    everywhere = draws(values, pepper=pepper, purpose="arm|*") < global_share
    drawn = np.select([everywhere, own], [GLOBAL_CONTROL, CONTROL], TREATED).astype(object)
    if persisted is None:
        return drawn
    stored = pd.Series(np.asarray(persisted, dtype=object))
    return np.where(stored.isin(ARMS).to_numpy(bool), stored.to_numpy(object), drawn)
