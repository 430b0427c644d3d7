"""The states of a cycle, and why one is closed: the words that are stored. Pages read them without pandas."""

from __future__ import annotations

NONE, OPENING, OPEN, RETURNED, ENDED = "none", "opening", "open", "returned", "ended"
LADDER_ENDED, LADDER_MISSED, TOUCHED, UNHEARD = "ladder_ended", "ladder_missed", "touched", "ladder_unheard"
