"""The signature under SendGrid's events, as its event webhook gives it. Needs the package `cryptography`."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class EventSigner:
    """The key of SendGrid's event webhook; the same seed makes the same key.

    Parameters
    ----------
    seed : of the run
    """

    def __init__(self, seed: int) -> None:
        number = int.from_bytes(hashlib.sha256(f"events:{seed}".encode()).digest()) >> 1
        self._key = ec.derive_private_key(number, ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """The public half, as SendGrid shows it: base64 of DER without the lines around it."""
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(public).decode()

    def headers(self, body: bytes, timestamp: str) -> dict[str, str]:
        """Return the headers that prove where a body comes from."""
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
