"""How a channel's messages have been taken: what its kill switches go by, on both databases."""

from __future__ import annotations

from datetime import timedelta

import ledger_rows as rows
import pandas as pd

from winback.core.flow_control import Feedback
from winback.ledger import queue, receipts, verdicts
from winback.ledger.channel_health import channel_feedback
from winback.ledger.receipts import Receipt

PEPPER, NIGHT, NOW = rows.PEPPER, rows.NIGHT, rows.NOW


def _heard(ledger, kind_of: dict[str, str], *, channel: str = "email", days_ago: int = 0) -> None:
    """Messages of some customers, and what the provider said of each."""
    day = pd.Timestamp(NIGHT - timedelta(days=days_ago))
    made = rows.messages(*kind_of, channel=channel, step=1 + days_ago, local_day=day)
    with ledger.writing() as connection:
        verdicts.queue_messages(connection, made, pepper=PEPPER)
        ids = {row["customer_id"]: row["message_id"] for row in queue.list_messages(connection)}
        told = [Receipt(ids[one], "p", kind, NOW) for one, kind in kind_of.items()]
        receipts.record_receipts(connection, told, now=NOW, today=NIGHT, pepper=PEPPER)


def test_what_became_of_the_messages_of_a_channel_of_late(ledger):
    _heard(ledger, {"a": "delivered", "b": "delivered", "c": "bounced", "d": "accepted", "e": "opened"})
    _heard(ledger, {"f": "complained", "g": "delivered"}, days_ago=7)
    _heard(ledger, {"h": "bounced", "i": "complained"}, days_ago=8)
    _heard(ledger, {"j": "bounced", "k": "complained"}, channel="sms")
    with ledger.writing() as connection:
        (f,) = queue.list_messages(connection, customer_id="f")
        again = [Receipt(f["message_id"], "p", "complained", NOW + timedelta(hours=1))]
        receipts.record_receipts(connection, again, now=NOW, today=NIGHT, pepper=PEPPER)
    with ledger.reading() as connection:
        found = channel_feedback(connection, "email", since=NIGHT - timedelta(days=7))
    assert found == Feedback(delivered=3, bounced=1, complained=1)


def test_of_a_channel_nobody_used_nothing_is_known(ledger):
    with ledger.reading() as connection:
        assert channel_feedback(connection, "sms", since=NIGHT) == Feedback(delivered=0)
