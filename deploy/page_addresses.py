"""Where the pages of a project are served on this machine, and whether the links in its messages lead there.

In: the section `business` of winback.yaml and the ports a person asked for. Out: a port, and what whoever is started
has to be told when it is not the one that winback.yaml names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from deploy.loopback import LOOPBACK
from deploy.services import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL_PUBLIC_PORT, USUAL_OPERATOR_PORT = 8400, 8401
HERE = frozenset({LOOPBACK, "localhost"})


class PageAddress(NamedTuple):
    """Where the pages are.

    Attributes
    ----------
    port : where they listen on this machine
    links : the address that stands in messages
    elsewhere : variables for whoever is started, so that new messages lead to the pages; empty where they do anyway
    """

    port: int
    links: str
    elsewhere: dict[str, str]

    @property
    def url(self) -> str:
        """The address on this machine."""
        return f"http://{LOOPBACK}:{self.port}"


def page_address(business: Mapping[str, str], *, asked_port: int | None = None) -> PageAddress:
    """Return where the pages go.

    Parameters
    ----------
    business : with public_base_url. One of this machine says which port is wanted; before any other stands a proxy,
        whose own business it is to find the pages
    asked_port : by a person; 0 for any free one, None for the one that fits
    """
    links = business["public_base_url"].rstrip("/")
    parts = urlsplit(links)
    is_here = parts.scheme == "http" and parts.hostname in HERE and not parts.path
    usual = (parts.port if is_here else None) or USUAL_PUBLIC_PORT
    port = free_port(usual if asked_port is None else asked_port)
    if not is_here or port == parts.port:
        return PageAddress(port, links, {})
    moved = f"http://{LOOPBACK}:{port}"
    return PageAddress(port, moved, {"PUBLIC_BASE_URL": moved})
