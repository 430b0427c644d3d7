"""Parquet files: types, globs, and which of several files is read again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import feeds
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winback.errors import SourceMalformed, SourceUnavailable
from winback.sources import catalogue
from winback.sources.feeds import Ask
from winback.sources.parquet_files import read_parquet

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(pattern, wanted=catalogue.EVENTS, **options):
    return read_parquet(Ask(source="feed", wanted=wanted, **options), pattern)


def wrote(path, **columns):
    columns = {"customer_id": ["a"], "occurred_at": [NOON], **columns}
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_of_many_types_arrive_as_what_their_names_promise(tmp_path):
    file = wrote(
        tmp_path / "f.parquet",
        customer_id=pa.array([7, 8], pa.int32()),
        occurred_at=pa.array([date(2026, 11, 20), date(2026, 11, 19)]),
        event_id=pa.array(["x", "y"]).dictionary_encode(),
        amount=pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        ignored=pa.array([[1], [2]]),
    )
    rows, faults = feeds.rows_of(read(file))
    assert faults.empty
    assert rows["row_number"].tolist() == [1, 2]
    assert rows["customer_id"].tolist() == ["7", "8"]
    assert rows["event_id"].tolist() == ["x", "y"]
    assert rows["amount"].tolist()[0] == 1.5
    assert rows["amount"].isna().tolist() == [False, True]
    assert rows["occurred_at"].dt.strftime("%Y-%m-%d").tolist() == ["2026-11-20", "2026-11-19"]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("customer_id", [1.5], "double"),
        ("customer_id", [True], "bool"),
        ("customer_id", [["a"]], "list"),
        ("occurred_at", [45_000], "int64"),
        ("occurred_at", [1.0], "double"),
        ("amount", [True], "bool"),
        ("amount", [NOON], "timestamp"),
        ("event_id", [b"\x00"], "binary"),
    ],
)
def test_a_column_that_drifted_to_another_type_stops_the_source(tmp_path, name, values, kind):
    with pytest.raises(SourceMalformed, match=rf"'{name}' is of type {kind}"):
        read(wrote(tmp_path / "f.parquet", **{name: values}))


def test_merge_fields_of_any_plain_type_become_texts(tmp_path):
    file = wrote(tmp_path / "f.parquet", vip=[True], points=[3], rate=[0.5], since=[date(2020, 2, 29)], none=[None])
    rows, _ = feeds.rows_of(read(file, catalogue.CONTACTS, columns={}))
    found = rows[["vip", "points", "rate", "since"]].iloc[0].tolist()
    assert found == ["true", "3", "0.5", "2020-02-29"]


def test_broken_text_costs_its_own_row_only(tmp_path):
    broken = pa.Array.from_buffers(
        pa.string(),
        3,
        [None, pa.array([0, 1, 3, 4], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff\xfeb")],
    )
    file = wrote(tmp_path / "f.parquet", customer_id=broken, occurred_at=[NOON] * 3)
    rows, faults = feeds.rows_of(read(file))
    assert rows["customer_id"].tolist() == ["a", "b"]
    assert faults[["row_number", "column", "rule"]].to_numpy().tolist() == [[2, "customer_id", "bad_utf8"]]


def test_only_new_and_changed_files_are_read_unless_the_feed_is_the_whole_truth(tmp_path):
    for number in (1, 2):
        wrote(tmp_path / f"{number}.parquet", customer_id=[f"c{number}"])
    pattern = tmp_path / "*.parquet"
    first = read(pattern)
    assert feeds.rows_of(first)[0]["customer_id"].tolist() == ["c1", "c2"]
    unchanged = read(pattern, mark=first.mark, may_resume=False)
    assert (list(unchanged.chunks), unchanged.is_whole, unchanged.mark["total"]) == ([], False, 2)
    wrote(tmp_path / "2.parquet", customer_id=["c2", "c3"], occurred_at=[NOON] * 2)
    second = read(pattern, mark=first.mark)
    assert feeds.rows_of(second)[0]["customer_id"].tolist() == ["c2", "c3"]
    assert (second.is_whole, second.mark["total"]) == (False, 3)
    truth = read(pattern, mark=first.mark, may_resume=False)
    assert feeds.rows_of(truth)[0]["customer_id"].tolist() == ["c1", "c2", "c3"]
    assert truth.is_whole
    (tmp_path / "1.parquet").unlink()
    fewer = read(pattern, mark=truth.mark, may_resume=False)
    assert feeds.rows_of(fewer)[0]["customer_id"].tolist() == ["c2", "c3"]
    assert fewer.is_whole


def test_each_row_names_its_file_where_there_are_several(tmp_path):
    for number in (1, 2):
        wrote(tmp_path / f"{number}.parquet")
    chunks = list(read(tmp_path / "*.parquet").chunks)
    assert [(chunk.place, chunk.rows["row_number"].tolist()) for chunk in chunks] == [
        ("1.parquet", [1]),
        ("2.parquet", [1]),
    ]


def test_a_file_that_lacks_a_column_stops_all_of_them_before_a_row_is_read(tmp_path):
    wrote(tmp_path / "1.parquet")
    pq.write_table(pa.table({"customer": ["a"], "occurred_at": [NOON]}), tmp_path / "2.parquet")
    with pytest.raises(SourceMalformed, match="did you mean 'customer'"):
        read(tmp_path / "*.parquet")


def test_no_file_at_all_is_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable, match="no file matches"):
        read(tmp_path / "*.parquet")
    with pytest.raises(SourceUnavailable, match="there is no file"):
        read(tmp_path / "one.parquet")
