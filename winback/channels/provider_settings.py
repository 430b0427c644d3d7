"""What the environment says about providers: keys and addresses, each checked before anything is claimed.

In: a project. Out: the values, or every fault at once with the name of its variable. Must never happen: a key in a
fault, a key over a bare connection to another machine.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from winback.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = re.compile(r"[!-~]+")
_SID = re.compile(r"[A-Za-z0-9]+")


class ProviderSettings:
    """Reads variables and keeps what is wrong with them in ``faults``.

    Parameters
    ----------
    environment : variables
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[Fault] = []

    def key(self, variable: str) -> str:
        """Return a key that has to be there."""
        value = self._environment.get(variable, "").strip()
        if not value:
            self.fault(variable, "is not set: live sending needs it")
        elif not _KEY.fullmatch(value):
            self.fault(variable, "holds characters no key has")
        return value

    def sid(self, variable: str, *, is_needed: bool = True) -> str:
        """Return an id that stands in addresses."""
        value = self._environment.get(variable, "").strip()
        if is_needed and not value:
            self.fault(variable, "is not set: live sending needs it")
        elif value and not _SID.fullmatch(value):
            self.fault(variable, "is no id: only letters and digits")
        return value

    def has(self, variable: str) -> bool:
        """Return whether a variable is set."""
        return bool(self._environment.get(variable, "").strip())

    def base_url(self, variable: str, default: str) -> str:
        """Return where a provider is: https, or http on this machine."""
        value = self._environment.get(variable, "").strip() or default
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host, parts = "", urlsplit("")
        if not host or parts.scheme not in {"http", "https"}:
            self.fault(variable, "is no address of the form https://host")
        elif parts.username or parts.password or parts.query or parts.fragment:
            self.fault(variable, "may hold a host and a path only")
        elif parts.scheme == "http" and not is_loopback(host):
            self.fault(variable, "has to be https: a key may not cross a network in the open")
        return value.rstrip("/")

    def fault(self, variable: str, what: str) -> None:
        """Keep what is wrong with a variable; its value is never repeated."""
        self.faults.append(Fault("the environment", 0, variable, what))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
