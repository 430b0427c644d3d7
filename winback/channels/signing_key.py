"""The key that signs SendGrid-shaped events in the vendor's place: the same secret makes the same key.

Needs the package `cryptography`, which SendGrid's own brings along.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from winback.channels.sendgrid_mail import SIGNATURE_HEADER, TIMESTAMP_HEADER


class SigningKey:
    """A made-up key of SendGrid's event webhook.

    Parameters
    ----------
    secret : whoever knows it can make the key
    """

    def __init__(self, secret: str) -> None:
        number = int.from_bytes(hashlib.sha256(f"events:{secret}".encode()).digest()) >> 1
        self._key = ec.derive_private_key(number, ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """The public half, as SendGrid shows it: base64 of DER without the lines around it."""
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(public).decode()

    def headers(self, body: bytes, timestamp: str) -> dict[str, str]:
        """Return the headers that prove where a body comes from."""
        signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {SIGNATURE_HEADER: base64.b64encode(signature).decode(), TIMESTAMP_HEADER: timestamp}
