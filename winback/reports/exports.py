"""Frames as files people open: CSV that no spreadsheet executes, and JSON records."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

# A cell that starts with one of these is run as a formula by spreadsheets (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def neutralise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with ``'`` before every text cell that a spreadsheet would run as a formula."""
    safe = frame.copy()
    for name in safe.columns:
        if pd.api.types.is_string_dtype(safe[name]):
            text = safe[name].astype("str")
            safe[name] = text.mask(text.str.startswith(FORMULA_STARTS, na=False), "'" + text)
    return safe


def with_plain_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with dates as YYYY-MM-DD and instants as ISO 8601 in UTC, to the second."""
    shown = frame.copy()
    for name in shown.columns:
        if pd.api.types.is_datetime64_any_dtype(shown[name]):
            style = "%Y-%m-%d" if name.endswith(("_on", "as_of")) else "%Y-%m-%dT%H:%M:%SZ"
            shown[name] = shown[name].dt.strftime(style)
    return shown


def to_csv(frame: pd.DataFrame) -> bytes:
    """Return the frame as CSV bytes (UTF-8, with a header) that is safe to open in a spreadsheet."""
    return plain_csv(neutralise(with_plain_times(frame)))


def plain_csv(frame: pd.DataFrame) -> bytes:
    """Return the frame as CSV bytes for a program; ids stay as they are."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    return buffer.getvalue().encode()


def to_records(frame: pd.DataFrame) -> bytes:
    """Return the frame as a JSON list of objects; dates as YYYY-MM-DD, instants as ISO 8601, missing as null."""
    text: str = with_plain_times(frame).to_json(orient="records", force_ascii=False, indent=1)
    return text.encode() + b"\n"


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    """Write the frame as CSV for a program, whole or not at all."""
    temporary = file.with_name(f".{file.name}.partial")
    try:
        with temporary.open("wb") as opened:
            opened.write(plain_csv(frame))
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
