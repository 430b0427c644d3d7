"""The addresses in a message: one that opens a page, two that act.

In: the business's public address, the message's opaque id and a secret. Out: links that are the same however often the
message is rendered, and that hold nothing about the person. The short code is the head of the id, enough to find the
message by its primary key; what acts (unsubscribe, preferences) carries a signature bound to its purpose.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Literal, TypedDict

Purpose = Literal["unsubscribe", "preferences"]
CODE_BYTES = 8
TOKEN_BYTES = 12


class Links(TypedDict):
    """What a template knows as ``links``."""

    act: str
    unsubscribe: str
    preferences: str


def short_code(message_id: str) -> str:
    """Return the 11 characters of a short link. Such a link only ever opens a page: it is too short to act.

    Parameters
    ----------
    message_id : 32 hexadecimal digits
    """
    return _letters(bytes.fromhex(message_id)[:CODE_BYTES])


def capability(message_id: str, purpose: Purpose, *, key: bytes) -> str:
    """Return the 32 characters that let their holder do one thing: 96 bits of the id, 96 bits of HMAC-SHA256.

    Parameters
    ----------
    message_id : 32 hexadecimal digits
    purpose : a token for one purpose is worthless for another
    key : the project's secret
    """
    head = bytes.fromhex(message_id)[:TOKEN_BYTES]
    signature = hmac.digest(key, purpose.encode() + b"\0" + head, hashlib.sha256)[:TOKEN_BYTES]
    return _letters(head + signature)


def message_links(message_id: str, *, base_url: str, key: bytes) -> Links:
    """Return every link of one message under the business's public address."""
    base = base_url.rstrip("/")
    return Links(
        act=f"{base}/s/{short_code(message_id)}",
        unsubscribe=f"{base}/u/{capability(message_id, 'unsubscribe', key=key)}",
        preferences=f"{base}/p/{capability(message_id, 'preferences', key=key)}",
    )


def _letters(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
