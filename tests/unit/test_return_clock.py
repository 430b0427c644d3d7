"""The return clock: bisection on tabulated survival against the plain formula."""

import numpy as np
import pytest

from winback.core.return_clock import BISECTIONS, SurvivalTable, return_clock
from winback.core.rhythm import Rhythm


def customers(rows):
    mu, scale, freedom, stop = map(np.array, zip(*rows, strict=True))
    return Rhythm(mu.astype(float), scale.astype(float), freedom.astype(float), stop.astype(float))


MIXED = customers(
    [
        (3.4, 1.0, 4.0, 0.5),
        (2.0, 0.3, 24.0, 0.01),
        (3.6, 0.8, 11.0, 0.05),
        (0.1, 0.05, 900.0, 0.002),
        (5.5, 1.4, 5.0, 0.3),
    ]
)


def plain_bisection(rhythm, *, share, horizon_days, start):
    low, high = start.copy(), np.full(len(rhythm), 15.0 * horizon_days)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        gone = 1 - rhythm.return_probability(middle, horizon_days=horizon_days) > share
        low, high = np.where(gone, low, middle), np.where(gone, middle, high)
    return high


def test_the_table_gives_the_survival_function():
    table = SurvivalTable.of(MIXED)
    rows = np.arange(len(MIXED))
    for days in (0.0, 0.5, 1.0, 3.0, 30.0, 90.0, 700.0, 1440.0):
        exact = MIXED.survival(np.full(len(MIXED), days))
        told = np.exp(table.log_survival(rows, np.full(len(MIXED), days)))
        assert told == pytest.approx(exact, rel=1e-4, abs=1e-30)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("horizon_days", [60, 90, 180])
def test_the_clock_is_the_sheets_bisection(share, horizon_days):
    start = MIXED.overdue_days(0.75)
    told = return_clock(MIXED, share=share, horizon_days=horizon_days, start_days=start)
    gone = 1 - MIXED.return_probability(start, horizon_days=horizon_days) > share
    plain = plain_bisection(MIXED, share=share, horizon_days=horizon_days, start=start)
    expected = np.where(gone, start, np.maximum(start, plain))
    assert told == pytest.approx(expected, abs=2 * 15 * horizon_days / 2**BISECTIONS)


def test_at_the_clock_the_chance_of_return_is_what_was_asked():
    days = return_clock(MIXED[:3], share=0.75, horizon_days=90, start_days=MIXED[:3].overdue_days(0.75))
    late = MIXED[:3].return_probability(days, horizon_days=90)
    early = MIXED[:3].return_probability(days - 0.1, horizon_days=90)
    assert (late < 0.25).all()
    assert ((early >= 0.25) | (days <= MIXED[:3].overdue_days(0.75) + 1e-9)).all()


def test_a_chance_that_never_falls_reads_as_15_horizons():
    everlasting = customers([(3.0, 3.0, 4.0, 1e-9)])
    assert return_clock(everlasting, share=0.99, horizon_days=90)[0] == 15 * 90


def test_where_the_start_is_late_enough_the_start_is_the_answer():
    assert return_clock(MIXED[:1], share=0.5, horizon_days=90, start_days=4000.0)[0] == 4000


def test_nobody_gives_no_days():
    nobody = MIXED[np.array([], dtype=np.intp)]
    assert return_clock(nobody, share=0.5, horizon_days=90).shape == (0,)


def test_a_customers_clock_does_not_depend_on_the_others():
    together = return_clock(MIXED, share=0.5, horizon_days=90)
    alone = [return_clock(MIXED[row : row + 1], share=0.5, horizon_days=90)[0] for row in range(len(MIXED))]
    assert together.tolist() == alone
