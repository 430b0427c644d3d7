"""Calls of Segment as a project gets them, signed."""

from __future__ import annotations

import hashlib
import hmac

SHARED = "words that both know"
AT = "2026-03-10T09:00:00.000Z"
HOOK = "/hooks/segment"
SOURCE = {"name": "app", "kind": "segment", "events": {"Order Completed": "purchase", "Product Viewed": "visit"}}


def track(**changes: object) -> dict:
    """A purchase of c1; a field that is given as None is left out."""
    said = {"type": "track", "messageId": "m1", "userId": "c1", "event": "Order Completed", "timestamp": AT}
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def sign(body: bytes, secret: str = SHARED) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
