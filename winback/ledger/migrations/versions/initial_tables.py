"""The first version of the tables.

A migration is a photograph: it repeats the types instead of importing them, because those may change later.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
_SAID = "the audit log is only ever added to"


def upgrade() -> None:
    """Make all tables."""
    _people()
    _feeds()
    _journeys()
    _nights()
    _messages()
    _attempts()
    _diary()
    _append_only()


def _people() -> None:
    op.create_table(
        "contacts",
        sa.Column("customer_id", TEXT, primary_key=True),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, TEXT) for name in ("email", "email_key", "email_fault", "phone", "phone_type")),
        *(sa.Column(name, TEXT) for name in ("phone_fault", "phone_zones", "first_name", "last_name", "locale")),
        *(sa.Column(name, TEXT) for name in ("timezone", "country", "region", "category")),
        sa.Column("extra", TEXT, nullable=False),
        *(sa.Column(name, TEXT) for name in ("email_hmac", "sms_hmac", "whatsapp_hmac")),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("updated_on", sa.Date(), nullable=False),
        sa.Column("removed_on", sa.Date()),
    )
    op.create_index("ix_contacts_bucket", "contacts", ["bucket"])
    op.create_index("ix_contacts_email_hmac", "contacts", ["email_hmac"])
    op.create_index("ix_contacts_sms_hmac", "contacts", ["sms_hmac"])
    op.create_table(
        "consents",
        *(sa.Column(name, TEXT, primary_key=True) for name in ("customer_id", "channel", "purpose")),
        sa.Column("recorded_at", INSTANT, primary_key=True),
        sa.Column("status", TEXT, primary_key=True),
        *(sa.Column(name, TEXT) for name in ("basis", "source", "wording")),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_consents_bucket", "consents", ["bucket"])
    op.create_table(
        "suppressions",
        sa.Column("id", SERIAL, primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("channel", "kind", "key", "reason", "programme")),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("lifted_at", INSTANT),
        sa.UniqueConstraint(
            "channel", "kind", "key", "reason", "programme", name="uq_suppressions_channel_kind_key_reason_programme"
        ),
    )
    op.create_index("ix_suppressions_key", "suppressions", ["key"])


def _feeds() -> None:
    op.create_table(
        "loads",
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("as_of", sa.Date(), primary_key=True),
        sa.Column("loaded_at", INSTANT, nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("read", "new", "quarantined", "duplicates", "conflicts")
        ),
        sa.Column("max_occurred_at", INSTANT),
        *(sa.Column(name, TEXT) for name in ("held", "detail", "watermark")),
    )
    op.create_table(
        "quarantine",
        *(sa.Column(name, TEXT, primary_key=True) for name in ("source", "digest")),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("column", TEXT),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("masked_value", TEXT),
    )
    op.create_index("ix_quarantine_as_of", "quarantine", ["as_of"])
    op.create_table(
        "overrides",
        sa.Column("source", TEXT, primary_key=True),
        sa.Column("as_of", sa.Date(), primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("kind", "by")),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
    )
    op.create_table(
        "fits",
        sa.Column("fit_id", TEXT, primary_key=True),
        sa.Column("behaviour", TEXT, nullable=False),
        sa.Column("fitted_on", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("parameters", TEXT, nullable=False),
    )
    op.create_index("ix_fits_behaviour_fitted_on", "fits", ["behaviour", "fitted_on"])


def _journeys() -> None:
    op.create_table(
        "cycles",
        *(sa.Column(name, TEXT, primary_key=True) for name in ("programme", "customer_id")),
        sa.Column("cycle_no", sa.Integer(), primary_key=True),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.Date(), nullable=False) for name in ("opened_on", "lapsed_on", "anchored_on")),
        sa.Column("arm", TEXT, nullable=False),
        sa.Column("threshold_days", sa.Double()),
        sa.Column("step_offsets", TEXT, nullable=False),
        sa.Column("closed_on", sa.Date()),
        sa.Column("close_reason", TEXT),
        sa.Column("policy_hash", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cycles_bucket", "cycles", ["bucket"])
    op.create_index("ix_cycles_customer_id", "cycles", ["customer_id"])
    op.create_table(
        "steps",
        *(sa.Column(name, TEXT, primary_key=True) for name in ("programme", "customer_id")),
        *(sa.Column(name, sa.Integer(), primary_key=True) for name in ("cycle_no", "step")),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("taken_on", sa.Date(), nullable=False),
        sa.Column("arm", TEXT, nullable=False),
        sa.Column("channel", TEXT),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_steps_bucket", "steps", ["bucket"])
    op.create_index("ix_steps_customer_id", "steps", ["customer_id"])


def _nights() -> None:
    op.create_table(
        "nights",
        sa.Column("as_of", sa.Date(), primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("plan_hash", "run_id")),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("applied_at", INSTANT),
        sa.Column("summary", TEXT),
    )
    op.create_table(
        "night_shards",
        sa.Column("as_of", sa.Date(), primary_key=True),
        sa.Column("plan_hash", TEXT, primary_key=True),
        *(sa.Column(name, sa.Integer(), primary_key=True) for name in ("low", "high")),
        sa.Column("written_at", INSTANT, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("plan_hash", TEXT, primary_key=True),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("approved_at", INSTANT),
        sa.Column("approved_by", TEXT),
        sa.Column("summary", TEXT, nullable=False),
    )
    op.create_index("ix_plans_as_of", "plans", ["as_of"])
    op.create_table(
        "decisions",
        sa.Column("as_of", sa.Date(), primary_key=True),
        sa.Column("customer_id", TEXT, primary_key=True),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, TEXT) for name in ("programme", "segment", "behaviour")),
        *(sa.Column(name, sa.Double()) for name in ("silence_days", "threshold_days", "return_probability")),
        sa.Column("step", sa.Integer()),
        *(sa.Column(name, TEXT) for name in ("channel", "arm")),
        *(sa.Column(name, TEXT, nullable=False) for name in ("action", "reason")),
        sa.Column("policy_hash", TEXT),
        *(sa.Column(name, TEXT, nullable=False) for name in ("plan_hash", "facts")),
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", TEXT, primary_key=True),
        *(sa.Column(name, TEXT, nullable=False) for name in ("programme", "customer_id")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("cycle", "step")),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("template", "template_hash")),
        sa.Column("locale", TEXT),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        *(sa.Column(name, INSTANT, nullable=False) for name in ("not_before_at", "expires_at")),
        sa.Column("address_hmac", TEXT),
        sa.Column("local_day", sa.Date(), nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("policy_hash", "plan_hash")),
        sa.Column("cost", sa.Double()),
        sa.Column("segments", sa.Integer()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        *(sa.Column(name, TEXT) for name in ("provider", "provider_id")),
        sa.Column("planned_at", INSTANT, nullable=False),
        sa.Column("accepted_at", INSTANT),
        *(sa.Column(name, TEXT) for name in ("last_error", "owner")),
        sa.Column("lease_until", INSTANT),
        sa.UniqueConstraint(
            "programme", "customer_id", "cycle", "step", name="uq_messages_programme_customer_id_cycle_step"
        ),
        sa.UniqueConstraint("address_hmac", "local_day", name="uq_messages_address_hmac_local_day"),
    )
    op.create_index("ix_messages_as_of", "messages", ["as_of"])
    op.create_index("ix_messages_customer_id", "messages", ["customer_id"])
    op.create_index(
        "ix_messages_due",
        "messages",
        ["not_before_at", "message_id"],
        sqlite_where=sa.text("state = 'planned'"),
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.create_index(
        "ix_messages_owner",
        "messages",
        ["owner"],
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("message_id", TEXT, sa.ForeignKey("messages.message_id"), primary_key=True),
        sa.Column("attempt_no", sa.Integer(), primary_key=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        *(sa.Column(name, TEXT) for name in ("outcome", "provider_id", "error")),
        sqlite_with_rowid=False,
    )


def _diary() -> None:
    op.create_table(
        "switches",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("pressed_at", INSTANT, nullable=False),
        sa.Column("pressed_by", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("released_at", INSTANT),
        *(sa.Column(name, TEXT) for name in ("released_by", "release_reason")),
    )
    op.create_table(
        "audit",
        sa.Column("id", SERIAL, primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("actor", "action", "subject")),
        *(sa.Column(name, TEXT) for name in ("before", "after")),
    )
    op.create_table(
        "meta",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", TEXT, nullable=False),
    )


def _append_only() -> None:
    """Let nobody change or delete a line of the audit log, whatever program they use."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{_SAID}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_SAID}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )
