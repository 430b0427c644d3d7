"""What is planted in the simulated shop: how often people come, how they stop, and what a message does to them.

These are the numbers an honest engine should find again. They are plain constants, so that a test, a reader and the
truth file in ``var/sample/`` all speak of the same ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

TIMEZONE = "Europe/Paris"
"""The business time zone of the simulated shop; a simulated day is a day there."""

HISTORY_DAYS = 900
"""How long a history is planted by default: about two and a half years."""

REST_SPREAD = 0.4
"""Standard deviation of the logarithm of a rest's length."""

SEASON_AMPLITUDE = 0.10
"""Gaps are up to this share shorter around the peak of the year, and longer half a year later."""

SEASON_PEAK_DAY = 345
"""Day of the year with the shortest gaps: shortly before Christmas."""


@dataclass(frozen=True)
class Habit:
    """One thing people of a line of business do again and again.

    The gap to the next time is log-normal: its median is the person's own usual gap, which itself is log-normal
    around ``usual_gap_days``.

    Attributes
    ----------
    behaviour : name of the signal in the feeds
    feed : which feed it is delivered by
    usual_gap_days : median over the people of their usual gap
    between : standard deviation of the logarithm of usual gaps, between people (tau)
    within : standard deviation of the logarithm of one person's gaps (sigma)
    share : part of the line's people who have this habit at all
    counts : whether it is a sign of life (an open is none)
    outlives : whether it goes on after the person has stopped (a machine that loads every mail)
    """

    behaviour: str
    feed: str
    usual_gap_days: float
    between: float
    within: float
    share: float = 1.0
    counts: bool = True
    outlives: bool = False


@dataclass(frozen=True)
class Line:
    """One line of business with its own length of life; named like the programme that looks after it.

    After each time of the main habit a person stops for good with a fixed chance, and nothing but a message brings
    them back. Whoever has not stopped comes back alone, however long the silence; with another, smaller chance they
    take a long rest first. So a silence far beyond the own rhythm may still end by itself, as silences do.

    Attributes
    ----------
    habits : the main habit first
    share : part of the customers whose main line this is
    stop_after_first, stop_later : chance to stop after the first time, and after every later one
    rest : chance to take a rest after a time without a stop
    rest_days : median length of a rest
    typical_amount : median of an order's amount, where the main habit has one
    """

    name: str
    share: float
    habits: tuple[Habit, ...]
    stop_after_first: float
    stop_later: float
    rest: float = 0.0
    rest_days: float = 0.0
    typical_amount: float = 0.0


LINES = (
    Line(
        "grocery",
        0.40,
        (
            Habit("purchase", "orders", 11, between=0.5, within=0.6),
            Habit("visit", "visits", 9, between=0.4, within=0.8),
            Habit("loyalty_scan", "scans", 12, between=0.4, within=0.7, share=0.6),
        ),
        stop_after_first=0.25,
        stop_later=0.03,
        rest=0.012,
        rest_days=80,
        typical_amount=48,
    ),
    Line(
        "marketplace",
        0.25,
        (Habit("market_order", "orders", 45, between=0.6, within=0.7),),
        stop_after_first=0.35,
        stop_later=0.08,
        typical_amount=35,
    ),
    Line(
        "car_dealer",
        0.12,
        (Habit("service", "orders", 300, between=0.25, within=0.35),),
        stop_after_first=0.20,
        stop_later=0.12,
        typical_amount=310,
    ),
    Line(
        "daily_newsletter",
        0.13,
        (
            Habit("click", "engagement", 9, between=0.5, within=0.9),
            Habit("open", "engagement", 6, between=0.4, within=0.7, counts=False),
            Habit("machine_open", "machine_opens", 8, between=0.1, within=0.3, share=0.4, counts=False, outlives=True),
        ),
        stop_after_first=0.20,
        stop_later=0.025,
        rest=0.010,
        rest_days=75,
    ),
    Line(
        "monthly_newsletter",
        0.10,
        (
            Habit("digest_click", "engagement", 45, between=0.3, within=0.5),
            Habit("digest_open", "engagement", 32, between=0.2, within=0.3, counts=False),
        ),
        stop_after_first=0.25,
        stop_later=0.06,
        rest=0.020,
        rest_days=260,
    ),
)

ALSO = (("grocery", "daily_newsletter", 0.10), ("marketplace", "monthly_newsletter", 0.15))
"""(main line, second line, share): customers of one line who are customers of another as well."""

RETURN_BY_STEP = (0.06, 0.09, 0.15)
"""The planted effect: chance that a message of step 1, 2, 3 (and later) brings back a person who had stopped."""

RETURN_WITHIN_DAYS = 7
"""A person brought back by a message comes 1 to this many days after it, each day equally likely."""

OPT_OUT = {"email": 0.004, "sms": 0.012, "whatsapp": 0.008}
"""Chance that a message is answered with a stop, by whoever is not brought back by it."""

ANSWERS_BROUGHT_BACK, ANSWERS = 0.5, 0.06
"""Chance that a message is answered on its page: by whoever it brings back, and by everybody else."""

STOPS = {"email": 0.025, "sms": 0.05, "whatsapp": 0.05}
"""Chance that a message is answered by the link in it that says stop, or by a texted STOP, by whoever is not brought
back by it. Beside :data:`OPT_OUT`, which is told to the shop and reaches the engine by the feed of consents."""

MACHINE_OPEN = 0.40
"""Part of the customers whose mail program loads every mail by itself."""


KNOWN_BEHAVIOURS = tuple(habit.behaviour for line in LINES for habit in line.habits)
"""Everything people, and machines, do in the simulated shop."""


def line_names() -> list[str]:
    """Return the names of the lines of business, in the order of their codes."""
    return [line.name for line in LINES]


def planted_parameters() -> dict[str, object]:
    """Return everything planted, as plain values for the truth file."""
    parameters: dict[str, object] = {
        "lines": [asdict(line) for line in LINES],
        "also": [list(entry) for entry in ALSO],
        "rest_spread": REST_SPREAD,
        "season": {"amplitude": SEASON_AMPLITUDE, "peak_day": SEASON_PEAK_DAY},
        "return_by_step": list(RETURN_BY_STEP),
        "return_within_days": RETURN_WITHIN_DAYS,
        "opt_out": OPT_OUT,
        "answers": [ANSWERS_BROUGHT_BACK, ANSWERS],
        "stops": STOPS,
        "machine_open": MACHINE_OPEN,
    }
    plain: dict[str, object] = json.loads(json.dumps(parameters))
    return plain
