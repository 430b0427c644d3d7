"""The tables of the nights: what the feeds brought, what was fitted, planned, decided, and each customer's cycles."""

from __future__ import annotations

from sqlalchemy import Index, Table

from winback.ledger.columns import REGISTER, bucket, cycle_key, day, instant, integer, load_key, number, text, texts

loads = Table(
    "loads",
    REGISTER,
    *load_key(),
    instant("loaded_at"),
    *(integer(name) for name in ("read", "new", "quarantined", "duplicates", "conflicts")),
    instant("max_occurred_at", optional=True),
    *texts("held", "detail", "watermark", optional=True),
)

quarantine = Table(
    "quarantine",
    REGISTER,
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
    REGISTER,
    *load_key(),
    text("kind"),
    text("by"),
    instant("at"),
    text("reason"),
)

fits = Table(
    "fits",
    REGISTER,
    text("fit_id", key=True),
    text("behaviour"),
    day("fitted_on"),
    instant("created_at"),
    text("parameters"),
    Index("ix_fits_behaviour_fitted_on", "behaviour", "fitted_on"),
)

cycles = Table(
    "cycles",
    REGISTER,
    *cycle_key(),
    bucket(index=True),
    day("opened_on"),
    day("lapsed_on"),
    day("anchored_on"),
    text("arm"),
    number("threshold_days"),
    text("step_offsets"),  # days after anchored_on at which each step is due, fixed when the cycle opens: "0,30,60"
    day("closed_on", optional=True),
    text("close_reason", optional=True),
    text("policy_hash"),
    Index("ix_cycles_customer_id", "customer_id"),
    sqlite_with_rowid=False,
)

steps = Table(
    "steps",
    REGISTER,
    *cycle_key(),
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
    REGISTER,
    day("as_of", key=True),
    text("plan_hash"),
    text("run_id"),
    instant("started_at"),
    instant("applied_at", optional=True),
    text("summary", optional=True),
)

night_shards = Table(
    "night_shards",
    REGISTER,
    day("as_of", key=True),
    text("plan_hash", key=True),
    integer("low", key=True),
    integer("high", key=True),
    instant("written_at"),
)

plans = Table(
    "plans",
    REGISTER,
    text("plan_hash", key=True),
    day("as_of", index=True),
    instant("created_at"),
    instant("approved_at", optional=True),
    text("approved_by", optional=True),
    text("summary"),
)

decisions = Table(
    "decisions",
    REGISTER,
    day("as_of", key=True),
    text("customer_id", key=True),
    bucket(),
    *texts("programme", "segment", "behaviour", optional=True),
    *(number(name) for name in ("silence_days", "threshold_days", "return_probability")),
    integer("step", optional=True),
    *texts("channel", "arm", optional=True),
    *texts("action", "reason"),
    text("policy_hash", optional=True),
    text("plan_hash"),
    text("facts"),
    # With a row id, unlike other tables: without one SQLite puts what is longer than a quarter of a page into pages of
    # its own, and every row is (100,000 rows: 143 instead of 444 MiB, 0.8 instead of 2.4 CPU s).
)
