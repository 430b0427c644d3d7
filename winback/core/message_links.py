"""The addresses in a message: one that opens a page, two that act, and in mails one that nobody sees.

In: the business's public address, the message's opaque id and a secret. Out: links that are the same however often the
message is rendered, and that hold nothing about the person. The short code is the head of the id, enough to find the
message XX (unsubscribe, preferences) carries a signature bound to its purpose and to the key that made it, so that
keys can change and old links still work. Must never happen: a text accepted that we did not make.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

Purpose = Literal["unsubscribe", "preferences"]
CODE_BYTES = 8
TOKEN_BYTES = 12
"""Of each half: 88 bits of the id with 8 that name the key, and 96 bits of signature."""
CODE_LETTERS = 11
TOKEN_LETTERS = 32
_ID_BYTES = TOKEN_BYTES - 1


class Links(TypedDict):
    """What a template knows as ``links``; ``unseen`` stands in every mail by itself, and in nothing else."""

    act: str
    unsubscribe: str
    preferences: str
    unseen: str


def short_code(message_id: str) -> str:
    """Return the 11 characters of a short link. Such a link only ever opens a page: it is too short to act.

    Parameters
    ----------
    message_id : 32 hexadecimal digits
    """
    return _letters(bytes.fromhex(message_id)[:CODE_BYTES])


def capability(message_id: str, purpose: Purpose, *, key: bytes) -> str:
    """Return the 32 characters that let their holder do one thing: 96 opaque bits, 96 bits of HMAC-SHA256.

    Parameters
    ----------
    message_id : 32 hexadecimal digits
    purpose : a token for one purpose is worthless for another
    key : the project's secret
    """
    head = _key_id(key) + bytes.fromhex(message_id)[:_ID_BYTES]
    return _letters(head + _signature(head, purpose, key))


def coded_prefix(code: str) -> str | None:
    """Return the hexadecimal digits a message's id begins with, or None for what is no short code.

    Parameters
    ----------
    code : any text
    """
    value = _bytes(code, CODE_LETTERS)
    return None if value is None else value.hex()


def unseen_code(message_id: str, *, key: bytes) -> str:
    """Return the 11 characters of the link that nobody sees: the head of the id under a mask of the project's own.

    Parameters
    ----------
    message_id : 32 hexadecimal digits
    key : the project's secret
    """
    return _letters(_masked(bytes.fromhex(message_id)[:CODE_BYTES], key))


def unseen_prefixes(code: str, *, keys: Sequence[bytes]) -> list[str]:
    """Return the hexadecimal digits the id of an unseen link's message may begin with, one for each key.

    Parameters
    ----------
    code : any text
    keys : the secrets in use: the one that masks, and those that used to
    """
    value = _bytes(code, CODE_LETTERS)
    return [] if value is None else [_masked(value, key).hex() for key in keys]


def held_prefix(token: str, purpose: Purpose, *, keys: Sequence[bytes]) -> str | None:
    """Return the hexadecimal digits the id of a token's message begins with; None unless we made it for this purpose.

    Parameters
    ----------
    token : any text
    keys : the secrets in use: the one that signs, and those that used to
    """
    value = _bytes(token, TOKEN_LETTERS)
    if value is None:
        return None
    head, signature = value[:TOKEN_BYTES], value[TOKEN_BYTES:]
    of_this_id = [key for key in keys if _key_id(key) == head[:1]]
    is_ours = [hmac.compare_digest(signature, _signature(head, purpose, key)) for key in of_this_id]
    return head[1:].hex() if any(is_ours) else None


def message_links(message_id: str, *, base_url: str, key: bytes) -> Links:
    """Return every link of one message under the business's public address."""
    base = base_url.rstrip("/")
    return Links(
        act=f"{base}/s/{short_code(message_id)}",
        unsubscribe=f"{base}/u/{capability(message_id, 'unsubscribe', key=key)}",
        preferences=f"{base}/p/{capability(message_id, 'preferences', key=key)}",
        unseen=f"{base}/s/{unseen_code(message_id, key=key)}",
    )


def _masked(value: bytes, key: bytes) -> bytes:
    """Return 8 bytes with the mask put on, or taken off again."""
    return (int.from_bytes(value, "big") ^ _mask(key)).to_bytes(CODE_BYTES, "big")


@lru_cache(maxsize=8)
def _mask(key: bytes) -> int:
    return int.from_bytes(hmac.digest(key, b"unseen", hashlib.sha256)[:CODE_BYTES], "big")


@lru_cache(maxsize=8)
def _key_id(key: bytes) -> bytes:
    """Return the byte by which tokens name the key they were signed with; of two keys with one, both are tried."""
    return hashlib.sha256(b"key id\0" + key).digest()[:1]


def _signature(head: bytes, purpose: Purpose, key: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + head, hashlib.sha256)[:TOKEN_BYTES]


def _letters(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(letters: str, length: int) -> bytes | None:
    """Return what some letters stand for, or None unless they are the only way to write it."""
    if len(letters) != length or not letters.isascii():
        return None
    try:
        value = base64.b64decode(letters + "=" * (-length % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if _letters(value) == letters else None
