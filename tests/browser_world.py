"""What tests in a browser share beside their fixtures: the size of a telephone, and pictures for the documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

TELEPHONE = {"width": 390, "height": 844}


def keep_picture(page: Page, name: str) -> None:
    """Write a picture of a page to where WINBACK_PICTURES says; those in docs/images are made so."""
    folder = os.environ.get("WINBACK_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", scale="css")
