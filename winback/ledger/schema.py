"""The ledger's schema as one: which version it has, and all its tables, written once for SQLite and PostgreSQL.

The tables stand with their subjects; whoever wants one imports it from there. The migrations make these tables; a test
says that both agree.
"""

from __future__ import annotations

from winback.ledger import (
    control_tables,
    inbound_tables,
    message_tables,
    night_tables,
    outgoing_tables,
    people_tables,
    public_tables,
    visit_tables,
)
from winback.ledger.columns import REGISTER

REVISION = "0009"
"""The revision of the migrations this program works with; a test says it is their head."""

VERSION_TABLE = "winback_version"
"""Not Alembic's usual name: the database may be shared with another program that has migrations too."""

SUBJECTS = (
    people_tables,
    night_tables,
    message_tables,
    control_tables,
    public_tables,
    inbound_tables,
    visit_tables,
    outgoing_tables,
)
"""The modules the tables stand in. A table is in ``METADATA`` once its module was read, and here all are."""

METADATA = REGISTER
