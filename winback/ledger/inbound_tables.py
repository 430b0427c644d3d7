"""The tables of what reaches us from outside unasked: texts a person has to read, and events that are heard at once.

Must never happen, and is decided here: one event in two rows, by the sender's id or by what it says.
"""

from __future__ import annotations

from sqlalchemy import Index, Table, UniqueConstraint

from winback.ledger.columns import REGISTER, instant, partial_index, serial, text

reviews = Table(
    "reviews",
    REGISTER,
    serial(),
    text("channel"),
    text("address_hmac"),  # of the sender's number on the channel
    text("number_hmac"),  # the same number as contacts are looked for by it: whoever has it waits, on every channel
    text("customer_id"),  # and this customer, whatever number they have by then
    instant("received_at"),
    text("said", optional=True),  # emptied when a person has read it, and when somebody is forgotten
    instant("settled_at", optional=True),
    text("settled_by", optional=True),
    text("outcome", optional=True),  # stop, keep, forgotten
)
_IS_OPEN = "settled_at IS NULL"
partial_index("ix_reviews_open_customer", reviews.c.customer_id, where=_IS_OPEN)
partial_index("ix_reviews_open_number", reviews.c.number_hmac, where=_IS_OPEN)

heard_events = Table(
    "heard_events",
    REGISTER,
    text("source", key=True),  # who told of it: segment
    text("event_id", key=True),  # the teller's own id of it
    # As they were said: the rules of the border judge them, as they judge every feed.
    text("customer_id", index=True),
    text("behaviour"),
    text("occurred_at"),
    text("amount"),  # '' for none: NULL would slip through the unique constraint
    instant("heard_at"),
    UniqueConstraint("source", "customer_id", "behaviour", "occurred_at", "amount", name="uq_heard_events_meaning"),
    Index("ix_heard_events_heard_at", "heard_at"),
)
