"""What a queued message takes with it besides its text: where its link leads, and a code of its own.

In: the outbox rows of a shard. Out: targets and reserved coupons, in the transaction that queues the messages. Must
never happen: a message whose link follows a policy that was changed later.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from winback.ledger import coupons, keys, links

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from winback.night.opening import Night


def attach(connection: Connection, night: Night, rows: pd.DataFrame) -> None:
    """Note the targets and reserve the coupons of messages that were just queued; doing it again changes nothing.

    Parameters
    ----------
    rows : programme, customer_id, cycle, step of each
    """
    steps = {
        (one.programme, number): step
        for one in night.programmes
        for number, step in enumerate(one.ladder.steps, start=1)
        if step.url or step.pool
    }
    if not steps:
        return
    targets: dict[str, str] = {}
    pools: dict[str, list[str]] = defaultdict(list)
    for programme, customer_id, cycle, number in rows[["programme", "customer_id", "cycle", "step"]].itertuples(
        index=False
    ):
        step = steps.get((programme, number))
        if step is None:
            continue
        which = {"programme": programme, "customer_id": customer_id, "cycle": cycle, "step": number}
        message_id = keys.message_id(night.pepper, **which)
        if step.url:
            targets[message_id] = step.url
        if step.pool:
            pools[step.pool].append(message_id)
    links.store_targets(connection, targets, now=night.now)
    for pool, message_ids in pools.items():
        coupons.reserve(connection, pool, message_ids, now=night.now, today=night.as_of)
