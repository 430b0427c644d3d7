"""What Alembic runs: our migrations, on the connection and in the transaction that the caller opened."""

from __future__ import annotations

from alembic import context

from winback.ledger import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.METADATA,
    version_table=schema.VERSION_TABLE,
)
context.run_migrations()
