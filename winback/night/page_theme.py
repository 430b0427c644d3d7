"""The colours of the public pages: ours, and over them those of the project's ``pages/theme.yaml``.

In: the project directory. Out: a style sheet with one palette for light and one for dark screens. Must never happen: a
page that cannot be read; a pair of colours with too little contrast is a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from winback import documents
from winback.errors import Fault, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "pages/theme.yaml"
LEAST_CONTRAST = 4.5
"""WCAG 2, level AA, for text of usual size."""
READABLE = (
    *(("ink", ground) for ground in ("ground", "card", "soft")),
    *(("quiet", ground) for ground in ("ground", "card")),
    *(("accent", ground) for ground in ("ground", "card")),
    ("on_accent", "accent"),
    ("good", "good_soft"),
)
"""What is written on what."""

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class Palette(BaseModel):
    """The colours of one kind of screen; the defaults are those of the light one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ground: Colour = "#f6efe8"
    card: Colour = "#fffdfb"
    ink: Colour = "#2b211c"
    quiet: Colour = "#665a53"
    line: Colour = "#8d7f76"
    soft: Colour = "#f3e4da"
    accent: Colour = "#9a3c1a"
    on_accent: Colour = "#ffffff"
    good: Colour = "#1d5c3a"
    good_soft: Colour = "#e2f0e6"

    def css(self) -> str:
        """Return the palette as custom properties."""
        return " ".join(f"--{name.replace('_', '-')}: {value};" for name, value in self.model_dump().items())


class DarkPalette(Palette):
    """The colours of a dark screen."""

    ground: Colour = "#171311"
    card: Colour = "#211c19"
    ink: Colour = "#f1e9e3"
    quiet: Colour = "#b9aca3"
    line: Colour = "#83776f"
    soft: Colour = "#33261f"
    accent: Colour = "#f2a27f"
    on_accent: Colour = "#241710"
    good: Colour = "#8fd3a8"
    good_soft: Colour = "#1b2f23"


class Theme(BaseModel):
    """The whole of ``pages/theme.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    light: Palette = Palette()
    dark: DarkPalette = DarkPalette()


def theme_css(root: Path) -> str:
    """Return the palettes of a project as a style sheet.

    Raises
    ------
    SettingsError
        With every fault of the project's file.
    """
    theme = _read(root / FILE)
    faults = [
        Fault(FILE, 0, f"{kind}.{text}", f"on {ground} it has a contrast of {ratio:.1f}, and needs {LEAST_CONTRAST}")
        for kind, palette in (("light", theme.light), ("dark", theme.dark))
        for text, ground in READABLE
        if (ratio := contrast(getattr(palette, text), getattr(palette, ground))) < LEAST_CONTRAST
    ]
    if faults:
        raise SettingsError(faults)
    return (
        f":root {{ color-scheme: light dark; {theme.light.css()} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {theme.dark.css()} }} }}\n"
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21.

    References
    ----------
    WCAG 2.1, relative luminance and contrast ratio.
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)  # noqa: PLR2004  as WCAG defines it
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _read(file: Path) -> Theme:
    if not file.exists():
        return Theme()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError([Fault(FILE, 0, "", f"cannot be read: {problem}")]) from problem
    return documents.load(text, file=FILE, model=Theme, error=SettingsError)
