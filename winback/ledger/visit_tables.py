"""The table of visits: who followed the links of a message, as far as it may be kept, and what that was taken to be."""

from __future__ import annotations

from sqlalchemy import Table

from winback.ledger.columns import REGISTER, flag, instant, partial_index, text, texts

visits = Table(
    "visits",
    REGISTER,
    text("visit_id", key=True),  # of a vendor's report a digest, so that the same one told again finds its row
    text("message_id", index=True),
    text("link"),  # act, landing, unsubscribe, preferences, unseen, picture; "other-" and a digest for any other
    text("source"),  # "pages", or the vendor who told of it
    text("method"),  # GET, HEAD; "" where a vendor told of it
    instant("seen_at"),
    flag("is_open"),
    flag("is_prefetch"),
    flag("is_told"),
    # Cut before they are written (/24, /48; 200 characters), emptied after a time; the verdict then is the last one.
    *texts("network", "agent", optional=True),
    *texts("verdict", "why", "verdict_version", optional=False),
    sqlite_with_rowid=False,
)
partial_index("ix_visits_whole", visits.c.seen_at, where="network IS NOT NULL")
partial_index("ix_visits_version", visits.c.verdict_version, visits.c.seen_at, where="network IS NOT NULL")
