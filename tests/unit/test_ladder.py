"""The four ladder modes on days worked out by hand, and customers with several behaviours."""

from dataclasses import replace
from datetime import date
from math import log

import numpy as np
import pandas as pd
import pytest

from winback.core.ladder import SCHEDULE_COLUMNS, schedule, share_returning_alone
from winback.core.policy import Ladder, Silence, Threshold
from winback.core.population import fit, rhythm_of
from winback.core.rhythm import profiles_of
from winback.core.thresholds import assess

AS_OF = date(2026, 11, 1)

# Who, by which behaviour, with which three thresholds (worked out in test_thresholds.py and rounded here).
GROCERY = ("purchase", (18, 31, 55))
CAR = ("purchase", (1600, 1750, 1900))
DAILY = ("click", (91, 137, 182))
MONTHLY = ("click", (270, 405, 540))


def ladder(mode, days=(30, 60, 90), least=7, **changes):
    steps = [{"day": day, "kind": "message", "channels": ["email"], "template": "hello"} for day in days]
    return Ladder.model_validate({"mode": mode, "steps": steps, "min_days_between": least} | changes)


def rhythm(customer, behaviour, thresholds, *, last_on="2026-10-22", first_on="2026-01-01", **changes):
    row = {
        "customer_id": customer,
        "behaviour": behaviour,
        "is_weak": False,
        "n": 8,
        "first_on": pd.Timestamp(first_on),
        "last_on": pd.Timestamp(last_on),
        "silence_days": (pd.Timestamp(AS_OF) - pd.Timestamp(last_on)).days,
        "usual_gap_days": 26.0,
        "own_gap_days": 24.0,
        "population_gap_days": 36.0,
        "stop_probability": 0.05,
        "overdue_days": thresholds[0] - 1.5,
        "nudge_days": np.nan,
        "return_probability": 0.4,
        "basis": "return_clock",
        "fit_id": "0123456789abcdef",
        "sentence": f"Threshold {thresholds[0]} days: {behaviour}.",
    }
    return row | {f"threshold_{step}_days": days for step, days in enumerate(thresholds, start=1)} | changes


def due(rows, mode, *, behaviours=("purchase", "click"), weak=(), **options):
    trigger = Silence(behaviours=list(behaviours), weak=list(weak))
    return schedule(pd.DataFrame(rows), ladder=ladder(mode, **options), trigger=trigger, as_of=AS_OF)


@pytest.mark.parametrize(
    ("mode", "who", "days"),
    [
        ("anchored", GROCERY, (18, 48, 78)),
        ("anchored", CAR, (1600, 1630, 1660)),
        ("anchored", DAILY, (91, 121, 151)),
        ("anchored", MONTHLY, (270, 300, 330)),
        ("calendar", GROCERY, (30, 60, 90)),
        ("calendar", CAR, (30, 60, 90)),
        ("calendar", DAILY, (30, 60, 90)),
        ("calendar", MONTHLY, (30, 60, 90)),
        ("multiple", GROCERY, (18, 36, 54)),
        ("multiple", CAR, (1600, 3200, 4800)),
        ("multiple", DAILY, (91, 182, 273)),
        ("multiple", MONTHLY, (270, 540, 810)),
        ("probability", GROCERY, (18, 31, 55)),
        ("probability", CAR, (1600, 1750, 1900)),
        ("probability", DAILY, (91, 137, 182)),
        ("probability", MONTHLY, (270, 405, 540)),
    ],
)
def test_days_at_which_steps_are_due(mode, who, days):
    row = due([rhythm("a", *who)], mode).iloc[0]
    assert (row["due_1_days"], row["due_2_days"], row["due_3_days"]) == days
    first = 30 if mode == "calendar" else who[1][0]
    assert row["threshold_days"] == first
    assert row["lapsed_on"] == pd.Timestamp("2026-10-22") + pd.Timedelta(days=first)


def test_the_columns_are_the_contract():
    assert tuple(due([rhythm("a", *GROCERY)], "anchored").columns) == (
        *SCHEDULE_COLUMNS,
        "due_1_days",
        "due_2_days",
        "due_3_days",
    )


def test_multiples_of_uneven_days_are_rounded_up_to_whole_days():
    row = due([rhythm("a", "purchase", (19, 40, 50))], "multiple", days=(30, 45, 100)).iloc[0]
    assert [row["due_1_days"], row["due_2_days"], row["due_3_days"]] == [19, 29, 64]  # 28.5 and 63.3


@pytest.mark.parametrize(("mode", "thresholds"), [("multiple", (4, 9, 9)), ("probability", (4, 5, 6))])
def test_steps_never_bunch(mode, thresholds):
    row = due([rhythm("a", "purchase", thresholds)], mode).iloc[0]
    assert [row["due_1_days"], row["due_2_days"], row["due_3_days"]] == [4, 11, 18]
    row = due([rhythm("a", "purchase", thresholds)], mode, least=10).iloc[0]
    assert [row["due_1_days"], row["due_2_days"], row["due_3_days"]] == [4, 14, 24]


def test_a_ladder_has_as_many_days_as_steps():
    columns = due([rhythm("a", *GROCERY)], "anchored", days=(30, 60, 90, 150)).columns
    assert [name for name in columns if name.startswith("due_")] == [f"due_{step}_days" for step in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("days", "thresholds"), [((30, 60, 90), (30, 60, 90)), ((30,), (30, 45, 60)), ((31, 40), (31, 40, 62))]
)
def test_a_calendar_ladders_days_stand_in_for_the_thresholds(days, thresholds):
    row = due([rhythm("a", *CAR)], "calendar", days=days).iloc[0]
    assert (row["threshold_days"], row["threshold_2_days"], row["threshold_3_days"]) == thresholds
    assert row["basis"] == "calendar"
    assert row["sentence"].startswith("Calendar ladder, from ")
    assert row["sentence"].endswith("Threshold 1600 days: purchase.")


def test_the_last_behaviour_to_pass_its_threshold_decides():
    rows = [
        rhythm("a", "purchase", (100, 150, 200), last_on="2026-08-01", first_on="2025-05-01", return_probability=0.3),
        rhythm("a", "click", (20, 30, 40), last_on="2026-10-20", first_on="2025-06-01", return_probability=0.6, n=3),
    ]
    row = due(rows, "anchored").iloc[0]
    # Purchases lapse on 9 November (1 August + 100), clicks on 9 November too (20 October + 20): the first named.
    assert (row["behaviour"], row["lapsed_on"]) == ("purchase", pd.Timestamp("2026-11-09"))
    assert (row["last_on"], row["silence_days"]) == (pd.Timestamp("2026-10-20"), 12)
    assert (row["threshold_days"], row["threshold_2_days"], row["threshold_3_days"]) == (20, 70, 120)
    assert (row["due_1_days"], row["due_2_days"]) == (20, 50)
    assert (row["first_on"], row["n"], row["return_probability"]) == (pd.Timestamp("2025-05-01"), 8, 0.6)
    assert row["overdue_days"] == 98.5 - 80
    assert row["sentence"].endswith(
        "It counts from this behaviour's own last day, 80 days earlier than the latest sign of life."
    )


def test_multiples_count_from_the_deciding_behaviours_own_last_day():
    rows = [
        rhythm("a", "purchase", (100, 150, 200), last_on="2026-08-10"),
        rhythm("a", "click", (20, 30, 40), last_on="2026-10-19"),
    ]
    row = due(rows, "multiple").iloc[0]
    assert [row[f"due_{step}_days"] for step in (1, 2, 3)] == [100 - 70, 200 - 70, 300 - 70]


def test_moving_from_shop_to_app_is_no_lapse():
    rows = [
        rhythm("a", "purchase", (30, 60, 90), last_on="2026-05-01"),
        rhythm("a", "click", (20, 30, 40), last_on="2026-10-31"),
    ]
    row = due(rows, "anchored").iloc[0]
    assert row["lapsed_on"] == pd.Timestamp("2026-11-20")
    assert row["silence_days"] == 1


def test_a_weak_behaviour_only_delays():
    purchase = rhythm("a", "purchase", (30, 60, 90), last_on="2026-09-01", first_on="2025-01-01")
    opened = rhythm("a", "open", (40, 60, 80), last_on="2026-10-30", first_on="2024-01-01", return_probability=0.9)
    row = due([purchase, opened], "anchored", behaviours=["purchase"], weak=["open"]).iloc[0]
    assert (row["behaviour"], row["lapsed_on"]) == ("open", pd.Timestamp("2026-12-09"))
    assert (row["last_on"], row["last_strong_on"]) == (pd.Timestamp("2026-10-30"), pd.Timestamp("2026-09-01"))
    assert (row["first_on"], row["return_probability"]) == (pd.Timestamp("2025-01-01"), 0.4)
    early = dict(opened, last_on=pd.Timestamp("2026-08-01"))
    row = due([early, purchase], "anchored", behaviours=["purchase"], weak=["open"]).iloc[0]
    assert (row["behaviour"], row["lapsed_on"]) == ("purchase", pd.Timestamp("2026-10-01"))


def test_a_weak_behaviour_alone_starts_nothing():
    rows = [rhythm("a", "open", (40, 60, 80)), rhythm("b", *GROCERY), rhythm("b", "open", (5, 6, 7))]
    assert due(rows, "anchored", behaviours=["purchase"], weak=["open"])["customer_id"].tolist() == ["b"]


def test_other_behaviours_are_ignored():
    rows = [rhythm("a", "visit", (400, 500, 600)), rhythm("a", *GROCERY)]
    assert due(rows, "anchored", behaviours=["purchase"]).iloc[0]["behaviour"] == "purchase"


ONCE = {"n": 1, "basis": "one_off"}


@pytest.mark.parametrize("mode", ["anchored", "calendar", "multiple", "probability"])
def test_who_came_once_gets_the_first_step_and_no_other(mode):
    rows = [rhythm("once", *CAR, **ONCE), rhythm("often", *CAR)]
    once, often = (row for _, row in due(rows, mode).iterrows())
    assert (once["is_touched_once"], often["is_touched_once"]) == (True, False)
    assert once["due_1_days"] == often["due_1_days"] == once["threshold_days"]
    assert once[["due_2_days", "due_3_days"]].isna().all()
    assert often[["due_2_days", "due_3_days"]].notna().all()
    whole = due(rows, mode, one_offs="ladder").iloc[0]
    assert not whole["is_touched_once"]
    assert whole["due_3_days"] == often["due_3_days"]


@pytest.mark.parametrize(
    ("purchases", "clicks", "opens", "is_once"),
    [(1, 1, 30, True), (20, 1, 1, False), (1, 20, 1, False)],
    ids=["opens prove no second time", "a first click of an old customer", "a first purchase of an old reader"],
)
def test_only_who_came_once_in_every_counted_behaviour_came_once(purchases, clicks, opens, is_once):
    rows = [
        rhythm("a", "purchase", (100, 150, 200), last_on="2026-08-10", n=purchases),
        rhythm("a", "click", (20, 30, 40), last_on="2026-10-19", n=clicks),
        rhythm("a", "open", (5, 6, 7), n=opens),
    ]
    assert due(rows, "anchored", weak=["open"])["is_touched_once"].tolist() == [is_once]


def test_nobody_gives_an_empty_schedule():
    empty = pd.DataFrame([rhythm("a", *GROCERY)])[:0]
    for mode in ("anchored", "calendar", "multiple", "probability"):
        found = schedule(empty, ladder=ladder(mode), trigger=Silence(behaviours=["purchase"]), as_of=AS_OF)
        assert found.empty
        assert tuple(found.columns[: len(SCHEDULE_COLUMNS)]) == SCHEDULE_COLUMNS


def shop(behaviour="purchase"):
    ids = ["a"] * 6 + ["b"] * 2 + ["c"]
    ago = [107, 97, 80, 72, 60, 50, 140, 100, 200]
    days = np.datetime64(AS_OF) - np.array(ago)
    profiles = profiles_of(ids, days, behaviour=behaviour)
    base = fit(profiles, behaviour=behaviour, as_of=AS_OF)
    return profiles, replace(base, mu0=log(30), sigma2=0.6, tau2=0.4, customers=500, gaps=900, history_days=500)


def test_thresholds_flow_into_the_schedule():
    profiles, base = shop()
    trigger = Silence(behaviours=["purchase"])
    found = assess(profiles, fits={"purchase": base}, threshold=Threshold(), trigger=trigger, as_of=AS_OF)
    told = schedule(found, ladder=ladder("probability"), trigger=trigger, as_of=AS_OF)
    assert told["customer_id"].tolist() == ["a", "b", "c"]
    assert told["due_1_days"].tolist() == told["threshold_days"].tolist() == found["threshold_1_days"].tolist()
    assert told["lapsed_on"].tolist() == [
        last + pd.Timedelta(days=days) for last, days in zip(found["last_on"], found["threshold_1_days"], strict=True)
    ]


def test_the_share_that_would_return_alone_weighs_by_who_gets_that_far():
    profiles, base = shop()
    trigger = Silence(behaviours=["purchase"])
    told = share_returning_alone(profiles, fits={"purchase": base}, trigger=trigger, days=[30, 60, 90], horizon_days=60)
    everyone = rhythm_of(profiles, fit=base)
    for share, day in zip(told, (30, 60, 90), strict=True):
        weights = everyone.stop + (1 - everyone.stop) * everyone.survival(day)
        chances = everyone.return_probability(day, horizon_days=60)
        assert share == pytest.approx((weights * chances).sum() / weights.sum())
    assert told[0] > told[1] > told[2]


def test_the_share_counts_a_customer_once_with_the_liveliest_behaviour():
    profiles, base = shop()
    visits, visit_fit = shop("visit")
    both = Silence(behaviours=["purchase", "visit"])
    fits = {"purchase": base, "visit": replace(visit_fit, stop=(0.001,) * 7)}
    ask = {"trigger": both, "days": [30], "horizon_days": 60}
    together = share_returning_alone(pd.concat([profiles, visits]), fits=fits, **ask)
    alone = share_returning_alone(profiles, fits=fits, **ask)
    assert together[0] > alone[0]


def test_the_share_of_nobody_is_unknown():
    profiles, _ = shop()
    trigger = Silence(behaviours=["visit"])
    told = share_returning_alone(profiles, fits={}, trigger=trigger, days=[30, 60], horizon_days=60)
    assert len(told) == 2
    assert np.isnan(told).all()
