"""Fixtures of the tests that talk to a provider over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripted_provider import make_certificate

from winback.channels.transport import TimeOuts, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripted_provider import Certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return make_certificate(tmp_path)


@pytest.fixture
def time_outs() -> TimeOuts:
    """How long a peer may take; a module whose peers are late on purpose has its own."""
    return TimeOuts(connect=2, read=2, whole=4)


@pytest.fixture
def transport(certificate: Certificate, time_outs: TimeOuts) -> Iterator[Transport]:
    made = Transport(time_outs=time_outs, context=certificate.client_context())
    yield made
    made.close()
