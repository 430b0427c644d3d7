"""The sentence of a threshold reads as English and says the stored numbers."""

from dataclasses import replace
from datetime import date
from math import log

import numpy as np
import pandas as pd
import pytest

from winback.core.population import fit
from winback.core.rhythm import profiles_of
from winback.core.sentences import (
    answer_sentences,
    as_text,
    counted,
    finish,
    ordinal,
    plural,
    prior_sentences,
    rhythm_sentences,
)

EMPTY = fit(
    profiles_of([], np.array([], "datetime64[D]"), behaviour="purchase"), behaviour="purchase", as_of=date(2026, 1, 1)
)
SHOP = replace(
    EMPTY, mu0=log(36), stop=(0.5, 0.25, 0.15, 0.1, 0.05, 0.009, 0.004), customers=45, gaps=1, history_days=1
)


def told(rows, **changes):
    values = {"n": 8, "usual_gap_days": 26.3, "own_gap_days": 24.2, "overdue_days": 58.9, "threshold_1_days": 74}
    frame = pd.DataFrame([values | {"return_at_threshold": 0.0} | row for row in rows])
    options = {"fit": SHOP, "horizon_days": 90, "is_small": False} | changes
    return as_text(finish(rhythm_sentences(frame, **options), threshold_days=[1], model_days=[1])).tolist()


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"),
                         (21, "21st"), (22, "22nd"), (100, "100th"), (101, "101st"), (111, "111th"), (112, "112th")]
)  # fmt: skip
def test_ordinals(number, text):
    assert ordinal(number) == text


@pytest.mark.parametrize(
    ("one", "many"),
    [("purchase", "purchases"), ("visit", "visits"), ("loyalty scan", "loyalty scans"), ("reply", "replies"),
     ("survey", "surveys"), ("watch", "watches"), ("pass", "passes")],
)  # fmt: skip
def test_plurals(one, many):
    assert plural(one) == many


def test_counts_agree_with_their_noun():
    assert as_text(counted([1, 2, 0], "day", "days")).tolist() == ["1 day", "2 days", "0 days"]


def test_the_sentence_of_the_own_rhythm():
    assert told([{}])[0] == (
        "Threshold 74 days: behaviour purchase; frequency 8 purchases, usually every 26 days (yours 24, pulled "
        "towards the shop's 36); 25 % of your silences last over 59 days by chance; lifecycle: after the 8th purchase "
        "5 % stop; at 74 days fewer than half of customers like this return within 90 days."
    )


def test_one_purchase_has_no_rhythm_yet():
    assert told([{"n": 1, "own_gap_days": np.nan}])[0] == (
        "Threshold 74 days: behaviour purchase; frequency 1 purchase, so no rhythm of your own yet (the shop's is 36 "
        "days); 25 % of such silences last over 59 days by chance; lifecycle: after the 1st purchase 50 % stop; "
        "at 74 days fewer than half of customers like this return within 90 days."
    )


def test_one_purchase_is_told_how_long_others_took_to_the_second():
    shop = replace(SHOP, first_gaps=4321, first_gap_mean=log(40), first_gap_variance=0.3)
    row = {"n": 1, "own_gap_days": np.nan, "threshold_1_days": 59, "return_at_threshold": 0.12}
    assert told([row], fit=shop)[0] == (
        "Threshold 59 days: behaviour purchase; frequency 1 purchase, so no rhythm of your own yet; 25 % of the "
        "silences between a 1st and a 2nd purchase (of 4321 customers) last over 59 days by chance; lifecycle: after "
        "the 1st purchase 50 % stop; at 59 days fewer than half of customers like this return within 90 days."
    )


def test_small_numbers_and_a_chance_above_a_half():
    row = {"n": 21, "usual_gap_days": 1.2, "own_gap_days": 1.0, "threshold_1_days": 1, "return_at_threshold": 0.622}
    sentence = told([row], is_small=True)[0]
    assert sentence.startswith("Threshold 1 day: ")
    assert "usually every day (yours 1," in sentence
    assert "after the 21st purchase under 1 % stop; at 1 day 62 % of customers like this return" in sentence
    assert sentence.endswith("; only 45 customers to learn from, so read this with care.")


def test_every_row_has_its_own_words():
    first, second = told([{"n": 2}, {"n": 3}])
    assert "after the 2nd purchase 25 % stop" in first
    assert "after the 3rd purchase 15 % stop" in second


def test_a_floor_or_a_ceiling_is_named_with_what_it_changed():
    rows = pd.DataFrame({"threshold_1_days": [30, 30, 30]})
    open_ended = prior_sentences(rows, fit=SHOP, sends_per_month=None)
    ends = [
        text.rpartition("stands in")[2]
        for text in as_text(finish(open_ended, threshold_days=[30, 30, 30], model_days=[1, 30, 80]))
    ]
    assert ends == [
        "; raised to the policy's floor from 1 day.",
        ".",
        "; lowered to the policy's ceiling from 80 days.",
    ]


@pytest.mark.parametrize(
    ("sends_per_month", "end"),
    [(None, "so the policy's default_days stands in"), (8.0, "so the usual limit for 8 sends a month stands in")],
)
def test_too_little_data_is_said(sends_per_month, end):
    rows = pd.DataFrame({"threshold_1_days": [139]})
    assert as_text(prior_sentences(rows, fit=SHOP, sends_per_month=sends_per_month)).iloc[0] == (
        "Threshold 139 days: behaviour purchase; too little data to learn a rhythm from (45 customers, 1 gap, 1 day of "
        f"history), {end}"
    )


def test_sends_are_counted():
    rows = pd.DataFrame({"n": [12], "threshold_1_days": [173], "ignored_sends": [6.0], "ignored_days": [45.7]})
    assert as_text(answer_sentences(rows, behaviour="click", sends_per_month=4, limit_days=173.3)).iloc[0] == (
        "Threshold 173 days: behaviour click; frequency 12 clicks at 4 sends a month; an active reader like this "
        "ignores 6 sends in a row (46 days) less than 5 % of the time; and never before 173 days, the usual "
        "limit at this sending frequency"
    )
