"""The ledger's tables, written once for SQLite and PostgreSQL.

Types are chosen so that both databases return equal values: text compares by code point on both, dates are dates,
instants are aware UTC to the microsecond, JSON is text. What must never happen is decided here and nowhere else:
two messages for one step, two messages to one address on one day. The migrations make these tables; a test says that
both agree.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Double, ForeignKey, Index, Integer, MetaData, Table, UniqueConstraint
from sqlalchemy import text as sql

from winback.ledger.columns import Serial, String, bucket, day, flag, instant, integer, text

REVISION = "0003"
"""The revision of the migrations this program works with; a test says it is their head."""

VERSION_TABLE = "winback_version"
"""Not Alembic's usual name: the database may be shared with another program that has migrations too."""

METADATA = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)


contacts = Table(
    "contacts",
    METADATA,
    text("customer_id", key=True),
    bucket(index=True),
    *(
        text(name, optional=True)
        for name in ("email", "email_key", "email_fault", "phone", "phone_type", "phone_fault", "phone_zones")
    ),
    *(text(name, optional=True) for name in ("first_name", "last_name", "locale", "timezone", "country", "region")),
    text("category", optional=True),
    text("extra"),  # JSON: every further column of the feed, for merge fields
    # Keyed hashes of the addresses, one a channel: suppressions and messages are matched by these.
    Column("email_hmac", String, index=True),
    Column("sms_hmac", String, index=True),
    text("whatsapp_hmac", optional=True),
    Column("digest", BigInteger, nullable=False),
    day("updated_on"),
    day("removed_on", optional=True),
)

consents = Table(
    "consents",
    METADATA,
    text("customer_id", key=True),
    text("channel", key=True),
    text("purpose", key=True),
    instant("recorded_at", key=True),
    # Part of the key, so that a grant and a withdrawal of one instant both stay as evidence; the withdrawal wins.
    text("status", key=True),
    text("basis", optional=True),
    text("source", optional=True),
    text("wording", optional=True),
    bucket(index=True),
    sqlite_with_rowid=False,
)

suppressions = Table(
    "suppressions",
    METADATA,
    Column("id", Serial, primary_key=True),
    text("channel"),  # email, sms, whatsapp; all (by customer only)
    text("kind"),  # address, customer, erased
    Column("key", String, nullable=False, index=True),  # keyed hash of the address or of the erased id; customer id
    text("reason"),
    text("programme"),  # '' means every programme: NULL would slip through the unique constraint
    day("effective_on"),
    instant("created_at"),
    text("source"),
    instant("lifted_at", optional=True),
    UniqueConstraint("channel", "kind", "key", "reason", "programme"),
)

loads = Table(
    "loads",
    METADATA,
    text("source", key=True),
    day("as_of", key=True),
    instant("loaded_at"),
    *(integer(name) for name in ("read", "new", "quarantined", "duplicates", "conflicts")),
    instant("max_occurred_at", optional=True),
    text("held", optional=True),
    text("detail", optional=True),
    text("watermark", optional=True),
)

quarantine = Table(
    "quarantine",
    METADATA,
    text("source", key=True),
    text("digest", key=True),
    day("as_of"),
    integer("row_number"),
    text("column", optional=True),
    text("rule"),
    text("masked_value", optional=True),
    Index("ix_quarantine_as_of", "as_of"),
)

overrides = Table(
    "overrides",
    METADATA,
    text("source", key=True),
    day("as_of", key=True),
    text("kind"),
    text("by"),
    instant("at"),
    text("reason"),
)

fits = Table(
    "fits",
    METADATA,
    text("fit_id", key=True),
    text("behaviour"),
    day("fitted_on"),
    instant("created_at"),
    text("parameters"),
    Index("ix_fits_behaviour_fitted_on", "behaviour", "fitted_on"),
)

cycles = Table(
    "cycles",
    METADATA,
    text("programme", key=True),
    text("customer_id", key=True),
    integer("cycle_no", key=True),
    bucket(index=True),
    day("opened_on"),
    day("lapsed_on"),
    day("anchored_on"),
    text("arm"),
    Column("threshold_days", Double),
    text("step_offsets"),  # days after anchored_on at which each step is due, fixed when the cycle opens: "0,30,60"
    day("closed_on", optional=True),
    text("close_reason", optional=True),
    text("policy_hash"),
    Index("ix_cycles_customer_id", "customer_id"),
    sqlite_with_rowid=False,
)

steps = Table(
    "steps",
    METADATA,
    text("programme", key=True),
    text("customer_id", key=True),
    integer("cycle_no", key=True),
    integer("step", key=True),
    bucket(index=True),
    day("taken_on"),
    text("arm"),
    text("channel", optional=True),
    Index("ix_steps_customer_id", "customer_id"),
    sqlite_with_rowid=False,
)

nights = Table(
    "nights",
    METADATA,
    day("as_of", key=True),
    text("plan_hash"),
    text("run_id"),
    instant("started_at"),
    instant("applied_at", optional=True),
    text("summary", optional=True),
)

night_shards = Table(
    "night_shards",
    METADATA,
    day("as_of", key=True),
    text("plan_hash", key=True),
    integer("low", key=True),
    integer("high", key=True),
    instant("written_at"),
)

plans = Table(
    "plans",
    METADATA,
    text("plan_hash", key=True),
    Column("as_of", Date, nullable=False, index=True),
    instant("created_at"),
    instant("approved_at", optional=True),
    text("approved_by", optional=True),
    text("summary"),
)

decisions = Table(
    "decisions",
    METADATA,
    day("as_of", key=True),
    text("customer_id", key=True),
    bucket(),
    text("programme", optional=True),
    text("segment", optional=True),
    text("behaviour", optional=True),
    *(Column(name, Double) for name in ("silence_days", "threshold_days", "return_probability")),
    integer("step", optional=True),
    text("channel", optional=True),
    text("arm", optional=True),
    text("action"),
    text("reason"),
    text("policy_hash", optional=True),
    text("plan_hash"),
    text("facts"),
    # With a row id, unlike other tables: without one SQLite puts what is longer than a quarter of a page into pages of
    # its own, and every row is (100,000 rows: 143 instead of 444 MiB, 0.8 instead of 2.4 CPU s).
)

messages = Table(
    "messages",
    METADATA,
    text("message_id", key=True),
    text("programme"),
    Column("customer_id", String, nullable=False, index=True),
    *(integer(name) for name in ("cycle", "step")),
    text("channel"),
    bucket(),
    Column("as_of", Date, nullable=False, index=True),
    *(text(name) for name in ("template", "template_hash")),
    text("locale", optional=True),
    text("state"),
    text("reason", optional=True),
    *(instant(name) for name in ("not_before_at", "expires_at")),
    text("address_hmac", optional=True),
    day("local_day"),
    *(text(name) for name in ("policy_hash", "plan_hash")),
    Column("cost", Double),
    integer("segments", optional=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    *(text(name, optional=True) for name in ("provider", "provider_id")),
    instant("planned_at"),
    instant("accepted_at", optional=True),
    *(text(name, optional=True) for name in ("last_error", "owner")),
    instant("lease_until", optional=True),
    # How far the receipts have brought it: the furthest of their kinds, and when it arrived.
    text("progress", optional=True),
    instant("delivered_at", optional=True),
    Column("reserved_cost", Double, nullable=False, server_default="0"),
    UniqueConstraint("programme", "customer_id", "cycle", "step"),
    UniqueConstraint("address_hmac", "local_day"),
)
_PLANNED, _SENDING, _UNKNOWN = sql("state = 'planned'"), sql("state = 'sending'"), sql("state = 'unknown'")
Index(
    "ix_messages_due",
    messages.c.not_before_at,
    messages.c.message_id,
    sqlite_where=_PLANNED,
    postgresql_where=_PLANNED,
)
Index("ix_messages_owner", messages.c.owner, sqlite_where=_SENDING, postgresql_where=_SENDING)
Index("ix_messages_unknown", messages.c.message_id, sqlite_where=_UNKNOWN, postgresql_where=_UNKNOWN)

attempts = Table(
    "attempts",
    METADATA,
    Column("message_id", String, ForeignKey("messages.message_id"), primary_key=True),
    integer("attempt_no", key=True),
    text("owner"),
    instant("started_at"),
    instant("finished_at", optional=True),
    *(text(name, optional=True) for name in ("outcome", "provider_id", "error")),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    METADATA,
    # No foreign key: what a provider says about a message that is not in the table is kept, and counted.
    text("message_id", key=True),
    text("kind", key=True),
    instant("occurred_at", key=True),
    text("code", key=True),  # '' where the provider names none
    text("provider"),
    text("provider_id", optional=True),
    instant("received_at"),
    text("detail"),
    flag("is_machine"),
    text("consequence", optional=True),
    # Why it is not worked into its message yet: "stray" (there is none), "sending" (its sender may still be at work).
    text("pending", optional=True),
    sqlite_with_rowid=False,
)
_PENDING = sql("pending IS NOT NULL")
Index("ix_receipts_pending", receipts.c.message_id, sqlite_where=_PENDING, postgresql_where=_PENDING)
spending = Table(
    "spending",
    METADATA,
    text("scope", key=True),  # "night 2026-03-10", "month 2026-03"
    integer("sends"),
    Column("cost_micros", BigInteger, nullable=False),
)

signs_of_life = Table(
    "signs_of_life",
    METADATA,
    text("customer_id", key=True),
    text("behaviour", key=True),
    instant("newest_at"),
    instant("seen_at"),
)

switches = Table(
    "switches",
    METADATA,
    Column("id", Serial, primary_key=True),
    text("name"),
    instant("pressed_at"),
    text("pressed_by"),
    text("reason", optional=True),
    instant("released_at", optional=True),
    *(text(name, optional=True) for name in ("released_by", "release_reason")),
)

audit = Table(
    "audit",
    METADATA,
    Column("id", Serial, primary_key=True),
    instant("at"),
    *(text(name) for name in ("actor", "action", "subject")),
    *(text(name, optional=True) for name in ("before", "after")),
    text("line_hash", optional=True),  # over the hash of the line before and everything in this one
)

meta = Table("meta", METADATA, text("key", key=True), text("value"))

epochs = Table(
    "epochs",
    METADATA,
    Column("counter", Integer, primary_key=True, autoincrement=False),
    text("token"),
    instant("opened_at"),
    text("opened_by"),
)
