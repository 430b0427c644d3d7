"""The red button: while it is pressed nothing is claimed, by any sender on any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, select

from winback.ledger import diary
from winback.ledger.control_tables import switches

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

STOP = "stop"
_PRESSED = (
    select(switches.c.pressed_at, switches.c.pressed_by, switches.c.reason)
    .where(switches.c.name == bindparam("switch"), switches.c.released_at.is_(None))
    .order_by(switches.c.id)
    .limit(1)
)


class Pressed(NamedTuple):
    """Since when, by whom and why."""

    at: datetime
    by: str
    reason: str | None


def pressed(connection: Connection, name: str = STOP) -> Pressed | None:
    """Return since when the switch is pressed, or None."""
    row = connection.execute(_PRESSED, {"switch": name}).one_or_none()
    return None if row is None else Pressed(*row)


def press(connection: Connection, *, at: datetime, by: str, reason: str | None = None, name: str = STOP) -> bool:
    """Press the switch; return False when it was pressed already (nothing is changed then)."""
    if pressed(connection, name):
        return False
    connection.execute(switches.insert().values(name=name, pressed_at=at, pressed_by=by, reason=reason))
    diary.record(connection, at=at, actor=by, action=name, subject="switch", after={"reason": reason})
    return True


def release(connection: Connection, *, at: datetime, by: str, reason: str, name: str = STOP) -> bool:
    """Let the switch go, with a reason; return False when it was not pressed."""
    change = switches.update().where(switches.c.name == name, switches.c.released_at.is_(None))
    done = connection.execute(change.values(released_at=at, released_by=by, release_reason=reason)).rowcount
    if done:
        diary.record(connection, at=at, actor=by, action=f"release {name}", subject="switch", after={"reason": reason})
    return bool(done)
