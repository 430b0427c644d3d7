"""Who may look at the operator pages: one token a project, kept in ``var/``, and sessions signed with it.

In: what somebody typed, or the cookie of a browser. Out: a session with the name its acts are noted under. Nothing is
stored: a session is a signed cookie, and a new token ends them all. Must never happen: a session that was not opened
with the token, a token that can be guessed by trying, or one that others on the machine can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from winback.errors import StoreUnavailable
from winback.night.pepper import read_or_make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from winback.settings import Project

SESSION_HOURS = 12
MOST_FAILURES = 10
"""Wrong tokens a minute; after that nobody is let in until the minute is over."""
LONGEST_NAME = 60
MOST_ENDED = 10_000
"""Sessions that were logged out and are remembered until the program ends."""


@dataclass(frozen=True)
class Session:
    """One log-in.

    Attributes
    ----------
    name : what the person calls themselves; the audit log has it behind ``operator:``
    key : opaque, this session's alone
    opened_at : when
    """

    name: str
    key: str
    opened_at: datetime

    @property
    def actor(self) -> str:
        """Who acts, for the audit log."""
        return f"operator:{self.name}"


class Sessions:
    """Opens, reads and ends sessions.

    Parameters
    ----------
    token : the project's, from :func:`operator_token`
    clock : the present instant (aware)
    """

    def __init__(self, token: bytes, *, clock: Callable[[], datetime]) -> None:
        self._token, self._clock = token, clock
        self._failures: deque[datetime] = deque(maxlen=MOST_FAILURES)
        self._ended: deque[str] = deque(maxlen=MOST_ENDED)

    def open(self, token: str, name: str) -> str | None:
        """Return the cookie of a new session; None for a wrong token, and for any while :meth:`must_wait`."""
        now = self._clock()
        if self.must_wait():
            return None
        if not is_same(token, self._token):
            self._failures.append(now)
            return None
        opened_at = int(now.timestamp())
        content = json.dumps([name.strip()[:LONGEST_NAME] or "somebody", secrets.token_hex(16), opened_at])
        head = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
        return f"{head}.{self._sign('session', head)}"

    def must_wait(self) -> bool:
        """Whether too many tokens were wrong within the last minute: even the right one waits then."""
        is_full = len(self._failures) == MOST_FAILURES
        return is_full and self._clock() - self._failures[0] < timedelta(minutes=1)

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None unless we made it and it is neither over nor ended."""
        head, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", head).encode()):
            return None
        name, key, seconds = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        session = Session(name, key, datetime.fromtimestamp(seconds, tz=UTC))
        is_over = self._clock() - session.opened_at >= timedelta(hours=SESSION_HOURS)
        return None if is_over or key in self._ended else session

    def end(self, session: Session) -> None:
        """Let a session be none any more, whoever kept its cookie."""
        self._ended.append(session.key)

    def form_key(self, session: Session) -> str:
        """Return what a form of this session has to bring, so that no other page can send it."""
        return self._sign("form", session.key)

    def is_form_key(self, session: Session, given: str) -> bool:
        """Whether a form is one that this session was shown."""
        return hmac.compare_digest(self.form_key(session).encode(), given.encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.digest(self._token, f"{purpose}\0{text}".encode(), hashlib.sha256).hex()


def operator_token(project: Project) -> bytes:
    """Return the token that opens the operator pages; made once, for the owner of the project alone.

    Raises
    ------
    StoreUnavailable
        If others can read it, or it cannot be read or written.
    """
    return _secret(token_file(project))


def metrics_token(project: Project) -> bytes:
    """Return the token that may read ``/metrics`` and nothing else: what Prometheus is given.

    Raises
    ------
    StoreUnavailable
        As :func:`operator_token`.
    """
    return _secret(project.var / "metrics.token")


def token_file(project: Project) -> Path:
    """Return where the token of the operator pages lies."""
    return project.var / "operator.token"


def is_same(given: str, token: bytes) -> bool:
    """Compare in a time that tells nothing about the token."""
    return hmac.compare_digest(_digest(given.encode()), _digest(token))


def _secret(file: Path) -> bytes:
    try:
        return read_or_make(file).strip()
    except OSError as problem:
        what = f"{file} cannot be used: {problem.strerror}. It opens the operator pages; mend the file or delete it"
        raise StoreUnavailable(what) from problem


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
