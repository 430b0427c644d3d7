"""Keyed hashes: what is left of a person when everything else is forgotten.

HMAC-SHA256 with a secret that is not in the database ("pepper"): whoever has the database alone cannot try out all
telephone numbers against it.
"""

from __future__ import annotations

import hmac
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANNELS = ("email", "sms", "whatsapp")
ERASED = "erased-"
"""What the pseudonym of somebody who was erased begins with."""

_PLAIN = re.compile(r"[ !#-\[\]-~]*")


def _keyed(pepper: bytes, text: str) -> str:
    return hmac.digest(pepper, text.encode(), "sha256").hex()


def address_key(pepper: bytes, channel: str, address: str) -> str:
    """Return the key of an address on a channel.

    Parameters
    ----------
    address : normalised: the comparison form of an e-mail address, E.164 for a telephone number
    """
    return _keyed(pepper, channel + address)


def customer_key(pepper: bytes, customer_id: str) -> str:
    """Return the key by which an erased customer, and the audit log's subject, can be recognised."""
    return _keyed(pepper, "customer" + customer_id)


def message_id(pepper: bytes, *, programme: str, customer_id: str, cycle: int, step: int) -> str:
    """Return the opaque id of the one message there may be for a step: 128 bits, in 32 hexadecimal digits."""
    return message_ids(pepper, [(programme, customer_id, cycle, step)])[0]


def message_ids(pepper: bytes, steps: Iterable[tuple[str, str, int, int]]) -> list[str]:
    """Return the id of each message by its programme, customer, cycle and step; 1.6 CPU µs each."""
    begun = hmac.new(pepper, b"message", "sha256")
    ids = []
    for programme, customer_id, cycle, step in steps:
        # As JSON has it, which takes 3 of 5 CPU µs where nothing has to be escaped.
        is_plain = _PLAIN.fullmatch(programme + customer_id)
        which = f'["{programme}", "{customer_id}", {cycle:d}, {step:d}]' if is_plain else None
        keyed = begun.copy()
        keyed.update((which or json.dumps([programme, customer_id, int(cycle), int(step)])).encode())
        ids.append(keyed.hexdigest()[:32])
    return ids
