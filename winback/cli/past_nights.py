"""The past nights of the demo: a simulated shop, its nights, and people who visit its pages in between.

``python -m winback.cli.past_nights DIR CUSTOMERS NIGHTS EVERY_DAYS [TONIGHT]``. It stands here because it joins the
simulated shop to the real pages, which know nothing of each other.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from winback.sample.nights import every, found_and_live
from winback.sample.planted import TIMEZONE
from winback.settings import wall_clock
from winback.web.public_app import make_public_app

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Found a shop and live through the nights before tonight's."""
    root, customers, nights, days = Path(arguments[0]), *map(int, arguments[1:4])
    tonight = wall_clock().astimezone(ZoneInfo(TIMEZONE)).date()
    if len(arguments) > len(("DIR", "CUSTOMERS", "NIGHTS", "EVERY_DAYS")):
        tonight = date.fromisoformat(arguments[4])
    dates = every(days, before=tonight, nights=nights)

    def tell(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    until = tonight - timedelta(days=1)
    found_and_live(root, customers=customers, nights=dates, until=until, tell=tell, pages=make_public_app)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
