"""Column types that return equal values from SQLite and PostgreSQL, and short names for the usual columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, SmallInteger, Text, TypeDecorator

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


def text(name: str, *, key: bool = False, optional: bool = False) -> Column[str]:
    """Return a column of text."""
    return Column(name, String, primary_key=key, nullable=optional)


def day(name: str, *, key: bool = False, optional: bool = False) -> Column[date]:
    """Return a column of dates."""
    return Column(name, Date, primary_key=key, nullable=optional)


def instant(name: str, *, key: bool = False, optional: bool = False) -> Column[datetime]:
    """Return a column of instants."""
    return Column(name, Instant, primary_key=key, nullable=optional)


def integer(name: str, *, key: bool = False, optional: bool = False) -> Column[int]:
    """Return a column of whole numbers."""
    return Column(name, Integer, primary_key=key, nullable=optional)


def flag(name: str) -> Column[bool]:
    """Return a column of yes or no."""
    return Column(name, Boolean, nullable=False)


def bucket(*, index: bool = False) -> Column[int]:
    """Return the column that says which shard a customer belongs to (0 to 1023)."""
    return Column("bucket", SmallInteger, nullable=False, index=index)
