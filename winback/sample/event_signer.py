"""SendGrid's signing key at the fake vendors, by the seed of a run; needs the package `cryptography`."""

from __future__ import annotations

from winback.channels.signing_key import SigningKey


class EventSigner(SigningKey):
    """The key of SendGrid's event webhook; the same seed makes the same key.

    Parameters
    ----------
    seed : of the run
    """

    def __init__(self, seed: int) -> None:
        super().__init__(str(seed))
