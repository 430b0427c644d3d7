"""The tables about people: how to reach them, what they allowed and refused, when they were last seen."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, UniqueConstraint

from winback.ledger.columns import REGISTER, bucket, day, instant, serial, text, texts

contacts = Table(
    "contacts",
    REGISTER,
    text("customer_id", key=True),
    bucket(index=True),
    *texts("email", "email_key", "email_fault", optional=True),
    *texts("phone", "phone_type", "phone_fault", "phone_zones", optional=True),
    *texts("first_name", "last_name", "locale", "timezone", "country", "region", "category", optional=True),
    text("extra"),  # JSON: every further column of the feed, for merge fields
    # Keyed hashes of the addresses, one a channel: suppressions and messages are matched by these.
    text("email_hmac", optional=True, index=True),
    text("sms_hmac", optional=True, index=True),
    text("whatsapp_hmac", optional=True),
    Column("digest", BigInteger, nullable=False),
    day("updated_on"),
    day("removed_on", optional=True),
)

consents = Table(
    "consents",
    REGISTER,
    text("customer_id", key=True),
    text("channel", key=True),
    text("purpose", key=True),
    instant("recorded_at", key=True),
    # Part of the key, so that a grant and a withdrawal of one instant both stay as evidence; the withdrawal wins.
    text("status", key=True),
    *texts("basis", "source", "wording", optional=True),
    bucket(index=True),
    sqlite_with_rowid=False,
)

suppressions = Table(
    "suppressions",
    REGISTER,
    serial(),
    text("channel"),  # email, sms, whatsapp; all (by customer only)
    text("kind"),  # address, customer, erased
    text("key", index=True),  # keyed hash of the address or of the erased id; customer id
    text("reason"),
    text("programme"),  # '' means every programme: NULL would slip through the unique constraint
    day("effective_on"),
    instant("created_at"),
    text("source"),
    instant("lifted_at", optional=True),
    UniqueConstraint("channel", "kind", "key", "reason", "programme"),
)

signs_of_life = Table(
    "signs_of_life",
    REGISTER,
    text("customer_id", key=True),
    text("behaviour", key=True),
    instant("newest_at"),
    instant("seen_at"),
)
