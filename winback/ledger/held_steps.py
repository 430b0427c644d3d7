"""Steps that wait for a person, because too many people complained about them: one switch a step.

In: who holds and who releases. Out: which steps are held now. A held step's messages stay planned; releasing one lets
them go at once. Must never happen: a step that a machine releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from winback.core.reasons import Reason
from winback.ledger import switches
from winback.ledger.control_tables import switches as table
from winback.ledger.message_tables import messages
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_PREFIX = "step "
_HELD = (
    select(table.c.name, table.c.reason)
    .where(table.c.released_at.is_(None), table.c.name.startswith(_PREFIX, autoescape=True))
    .order_by(table.c.id)
)


class HeldStep(NamedTuple):
    """One step of a programme on one channel."""

    programme: str
    step: int
    channel: str

    @property
    def name(self) -> str:
        """How it is called on the command line: ``winback/2/email``."""
        return f"{self.programme}/{self.step}/{self.channel}"


def held_steps(connection: Connection) -> dict[HeldStep, str]:
    """Return the steps that are held now, and why."""
    return {_read(row.name): row.reason or "" for row in connection.execute(_HELD)}


def hold(connection: Connection, step: HeldStep, *, reason: str, by: str, now: datetime) -> bool:
    """Let nothing of a step go until a person releases it; return False when it was held already."""
    return switches.press(connection, at=now, by=by, reason=reason, name=_PREFIX + step.name)


def release_step(connection: Connection, name: str, *, reason: str, by: str, now: datetime) -> bool:
    """Release a step, called as :attr:`HeldStep.name` says; its messages may go at once. False when none was held."""
    if not switches.release(connection, at=now, by=by, reason=reason, name=_PREFIX + name):
        return False
    step = _read(_PREFIX + name)
    mine = [messages.c[column] == value for column, value in step._asdict().items()]
    waiting = messages.c.state == MessageState.PLANNED, messages.c.reason == Reason.STEP_HELD.value
    connection.execute(messages.update().where(*mine, *waiting).values(not_before_at=now, reason=None))
    return True


def released_at(connection: Connection, step: HeldStep) -> datetime | None:
    """Return when a person last released a step, having looked at it."""
    newest = func.max(table.c.released_at, type_=table.c.released_at.type)
    found: datetime | None = connection.scalar(select(newest).where(table.c.name == _PREFIX + step.name))
    return found


def _read(name: str) -> HeldStep:
    programme, step, channel = name.removeprefix(_PREFIX).rsplit("/", 2)
    return HeldStep(programme, int(step), channel)
