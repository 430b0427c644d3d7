"""Asking the programs of this machine that were started here."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from http import HTTPStatus
from typing import Any

LOOPBACK = "127.0.0.1"


def ask(port: int, path: str, body: object = None) -> Any:  # noqa: ANN401  what json.loads returns, which has this type
    """Return a program's JSON answer to a GET, or to a POST where there is a body; None while it is silent."""
    method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
    # A connection of our own: no proxy may see what stays on this machine.
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=30)) as connection:
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return None
    return told if answer.status < HTTPStatus.MULTIPLE_CHOICES else None
