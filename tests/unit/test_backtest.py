"""What the back-test reads, refuses and returns."""

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winback.core.population import fit, rhythm_of
from winback.core.rhythm import profiles_of
from winback.core.thresholds import own_thresholds
from winback.errors import SourceMalformed, SourceUnavailable, UsageError
from winback.night.backtest import COLUMNS, backtest

D = date(2026, 5, 1)
SMALL = "customer_id,timestamp\n007,2026-01-01\n007,2026-02-01\n8,2026-04-30\n9,2026-05-02\n"


def written(folder: Path, text: str, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_customer_known_by_the_day_has_one_row(tmp_path):
    found = backtest(written(tmp_path, SMALL), horizon_days=30, as_of=[D, date(2026, 5, 2)])
    assert tuple(found.columns) == COLUMNS
    assert found["customer_id"].tolist() == ["007", "8", "007", "8", "9"]
    assert found["as_of"].tolist() == ["2026-05-01"] * 2 + ["2026-05-02"] * 3
    assert found["score"].between(0, 1).all()
    assert found["inactive"].isin([0, 1]).all()


def test_scores_and_thresholds_are_the_models(tmp_path):
    found = backtest(written(tmp_path, SMALL), horizon_days=30, as_of=[D])
    days = np.array(["2026-01-01", "2026-02-01", "2026-04-30"], dtype="datetime64[D]")
    profiles = profiles_of(["007", "007", "8"], days, behaviour="purchase")
    shop = fit(profiles, behaviour="purchase", as_of=D)
    rhythm = rhythm_of(profiles, fit=shop)
    none = 1 - rhythm.return_probability(np.array([89, 1]), horizon_days=30)
    _, thresholds = own_thresholds(rhythm, profiles["n"].to_numpy(), fit=shop, horizon_days=30)
    assert found["score"].tolist() == pytest.approx(none.tolist())
    assert found["threshold_days"].tolist() == pytest.approx(thresholds[0].tolist())
    assert found["inactive"].tolist() == [int(thresholds[0][0] < 89), int(thresholds[0][1] < 1)]


def test_gzip_and_a_day_asked_twice(tmp_path):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(SMALL.encode()))
    plain = backtest(written(tmp_path, SMALL), horizon_days=30, as_of=[D])
    assert backtest(path, horizon_days=30, as_of=[D, D]).equals(plain)


def test_days_are_counted_in_utc_whatever_the_zone_of_the_time(tmp_path):
    text = "customer_id,timestamp\na,2026-05-02T01:30:00+02:00\nb,2026-05-01T23:30:00-01:00\nc,2026-05-01 23:59:59Z\n"
    assert backtest(written(tmp_path, text), horizon_days=30, as_of=[D])["customer_id"].tolist() == ["a", "c"]


def test_several_events_of_a_day_count_once(tmp_path):
    twice = SMALL + "007,2026-01-01T10:00:00\n007,2026-02-01T23:00\n"
    plain = backtest(written(tmp_path, SMALL), horizon_days=30, as_of=[D])
    assert backtest(written(tmp_path, twice, "b.csv"), horizon_days=30, as_of=[D]).equals(plain)


def test_events_after_the_day_have_no_part_in_it(tmp_path):
    cut = "".join(line for line in SMALL.splitlines(keepends=True) if "2026-05" not in line)
    whole = backtest(written(tmp_path, SMALL), horizon_days=30, as_of=[D])
    assert backtest(written(tmp_path, cut, "cut.csv"), horizon_days=30, as_of=[D]).equals(whole)


def test_behaviour_and_category_choose_rows(tmp_path):
    text = (
        "customer_id,timestamp,behaviour,category\n"
        "a,2026-01-01,purchase,food\na,2026-02-01,visit,food\nb,2026-03-01,visit,toys\nc,2026-03-01,purchase,toys\n"
    )
    path = written(tmp_path, text)
    assert backtest(path, horizon_days=30, as_of=[D])["customer_id"].tolist() == ["a", "c"]
    found = backtest(path, horizon_days=30, as_of=[D], behaviour="visit", category="food")
    assert found["customer_id"].tolist() == ["a"]
    plain = backtest(written(tmp_path, SMALL, "plain.csv"), horizon_days=30, as_of=[D])
    named = backtest(written(tmp_path, SMALL, "plain.csv"), horizon_days=30, as_of=[D], behaviour="visit")
    assert named.equals(plain)  # a file without the column is all of one behaviour


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        (
            "customer_id,time_stamp\na,2026-01-01\n",
            {},
            SourceMalformed,
            "no column 'timestamp' (did you mean 'time_stamp'?)",
        ),
        ("customer,when\na,2026-01-01\n", {}, SourceMalformed, "no column 'customer_id'"),
        ("", {}, SourceMalformed, "no CSV with a header line"),
        ("customer_id,timestamp\na,2026-01-01\nb,31/12/2025\nc,soon\n", {}, SourceMalformed, "line 3: '31/12/2025'"),
        ("customer_id,timestamp\na,2026-01-01\nb,\n", {}, SourceMalformed, "1 timestamps are no ISO times"),
        ("customer_id,timestamp\na,2026-01-01\n,2026-01-02\n", {}, SourceMalformed, "line 3: customer_id is empty"),
        ("customer_id,timestamp\na,2026-01-01,1,2\nb,2026-01-02\nc,1,2,3,4,5,6,7\n", {}, SourceMalformed, "no CSV"),
        ("customer_id,timestamp\na,2026-06-01\n", {}, UsageError, "no event up to that day in"),
        ("customer_id,timestamp\n", {}, UsageError, "no event up to that day in"),
        (SMALL, {"horizon_days": 0}, UsageError, "--horizon 0: expected at least 1 day"),
        (SMALL, {"as_of": []}, UsageError, "give --as-of"),
        (SMALL, {"category": "food"}, SourceMalformed, "no column 'category'"),
        ("customer_id,timestamp,behaviour\na,2026-01-01,purchse\n", {}, UsageError, "did you mean 'purchse'?"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(tmp_path, text, options, error, words):
    with pytest.raises(error) as caught:
        backtest(written(tmp_path, text), **({"horizon_days": 30, "as_of": [D]} | options))
    assert words in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(SourceUnavailable, match=r"cannot be read"):
        backtest(tmp_path / "nothing.csv", horizon_days=30, as_of=[D])
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"customer_id,timestamp\n\xff\xfe,2026-01-01\n")
    with pytest.raises(SourceMalformed):
        backtest(broken, horizon_days=30, as_of=[D])
    (tmp_path / "no.csv.gz").write_bytes(b"customer_id,timestamp\n")
    with pytest.raises(SourceUnavailable):
        backtest(tmp_path / "no.csv.gz", horizon_days=30, as_of=[D])


def test_the_second_layer_is_on_where_its_conditions_hold(tmp_path):
    random = np.random.default_rng(2)
    ids = np.repeat([f"{customer:04d}" for customer in range(1000)], 6)
    days = np.datetime64("2025-06-01") + random.integers(0, 330, 6000)
    path = tmp_path / "shop.csv"
    pd.DataFrame({"customer_id": ids, "timestamp": days}).to_csv(path, index=False)
    profiles = profiles_of(ids[days <= np.datetime64(D)], days[days <= np.datetime64(D)], behaviour="purchase")
    rhythm = rhythm_of(profiles, fit=fit(profiles, behaviour="purchase", as_of=D))
    silent = (np.datetime64(D) - profiles["last_on"].to_numpy().astype("datetime64[D]")).astype(int)

    def is_plain(horizon_days):
        found = backtest(path, horizon_days=horizon_days, as_of=[D])
        return np.allclose(found["score"], 1 - rhythm.return_probability(silent, horizon_days=horizon_days))

    assert not is_plain(60)
    assert is_plain(200)  # less than two horizons of history
