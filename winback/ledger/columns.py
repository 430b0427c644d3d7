"""What the tables are made of: types that return equal values from SQLite and PostgreSQL, short names for columns.

Types are chosen so that both databases return equal values: text compares by code point on both, dates are dates,
instants are aware UTC to the microsecond, JSON is text.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    TypeDecorator,
)
from sqlalchemy import text as sql

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect


class Instant(TypeDecorator[datetime]):
    """A moment: aware going in, aware UTC coming out, on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware instant into what the database stores (UTC; SQLite keeps no zone)."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"a naive instant cannot be stored: {value!r}"
            raise ValueError(message)
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database stores into an aware UTC instant."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# PostgreSQL would otherwise sort and compare by the language of the server; SQLite compares code points.
String = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts a key up by itself only when its type is exactly INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

REGISTER = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)
"""Where each table is entered when its module is read; :mod:`winback.ledger.schema` reads them all."""


def text(name: str, *, key: bool = False, optional: bool = False, index: bool = False) -> Column[str]:
    """Return a column of text."""
    return Column(name, String, primary_key=key, nullable=optional, index=index)


def texts(*names: str, optional: bool = False) -> list[Column[str]]:
    """Return columns of text."""
    return [text(name, optional=optional) for name in names]


def day(name: str, *, key: bool = False, optional: bool = False, index: bool = False) -> Column[date]:
    """Return a column of dates."""
    return Column(name, Date, primary_key=key, nullable=optional, index=index)


def instant(name: str, *, key: bool = False, optional: bool = False) -> Column[datetime]:
    """Return a column of instants."""
    return Column(name, Instant, primary_key=key, nullable=optional)


def integer(name: str, *, key: bool = False, optional: bool = False) -> Column[int]:
    """Return a column of whole numbers."""
    return Column(name, Integer, primary_key=key, nullable=optional)


def blob(name: str, *, optional: bool = False) -> Column[bytes]:
    """Return a column of bytes."""
    return Column(name, LargeBinary, nullable=optional)


def number(name: str) -> Column[float]:
    """Return a column of numbers that may be missing."""
    return Column(name, Double)


def flag(name: str) -> Column[bool]:
    """Return a column of yes or no."""
    return Column(name, Boolean, nullable=False)


def bucket(*, index: bool = False) -> Column[int]:
    """Return the column that says which shard a customer belongs to (0 to 1023)."""
    return Column("bucket", SmallInteger, nullable=False, index=index)


def cycle_key() -> list[Column[str] | Column[int]]:
    """Return the columns that name one cycle of a customer in a programme."""
    return [text("programme", key=True), text("customer_id", key=True), integer("cycle_no", key=True)]


def load_key() -> list[Column[str] | Column[date]]:
    """Return the columns that name one night's load of a source."""
    return [text("source", key=True), day("as_of", key=True)]


def serial() -> Column[int]:
    """Return a key that the database counts up by itself."""
    return Column("id", Serial, primary_key=True)


def partial_index(name: str, *columns: Column[datetime] | Column[str], where: str) -> Index:
    """Return an index over those rows only for which ``where`` holds."""
    condition = sql(where)
    return Index(name, *columns, sqlite_where=condition, postgresql_where=condition)
