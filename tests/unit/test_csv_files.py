"""CSV files as people have them, and how far each was read."""

from __future__ import annotations

import gzip
import os

import feeds
import pytest

from winback.errors import SourceMalformed, SourceUnavailable

HEADER = b"customer_id,occurred_at\n"
DAY = "2026-11-20T00:00:00Z"


def wrote(path, *parts: bytes):
    path.write_bytes(b"".join(parts))
    return path


def ids(reading) -> list[str]:
    return [one for chunk in reading.chunks for one in chunk.rows["customer_id"]]


def row(name: str) -> bytes:
    return f"{name},{DAY}\n".encode()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "feed.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"customer_id,occurred_at\na,t\nb,t\n",
        b"customer_id,occurred_at\r\na,t\r\nb,t\r\n",
        b"\xef\xbb\xbfcustomer_id,occurred_at\na,t\nb,t",
        b"customer_id;occurred_at\na;t\nb;t\n",
        b"customer_id\toccurred_at\na\tt\nb\tt\n",
        b"customer_id|occurred_at\na|t\nb|t\n",
        b"occurred_at,,customer_id,\nt,,a,\nt,x,b,\n",
        b'"customer_id" , "occurred_at"\n'.replace(b" ", b"") + b'"a","t"\n"b","t"\n',
        b" customer_id , occurred_at \na,t\nb,t\n",
        b"customer_id,occurred_at\n\na,t\n\n\nb,t\n\n",
    ],
)
def test_the_usual_dialects_are_read(file, content):
    assert ids(feeds.read(wrote(file, content))) == ["a", "b"]


@pytest.mark.parametrize("delimiter", ["é", '"', "\n", "\0"])
def test_a_delimiter_that_cannot_be_one_is_refused(file, delimiter):
    with pytest.raises(SourceMalformed, match="delimiter"):
        feeds.read(wrote(file, HEADER, row("a")), delimiter=delimiter)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PAR1rest", "parquet"),
        (b"\x1f\x8b\x08rest", "gz"),
        (b"customer_id,occurred_at\ra,t\r", "LF"),
        (b'"customer_id,occurred_at\na,t\n', "header"),
        (b"customer_id,\xff\na,t\n", "header"),
        (b"x" * 200_000, "first line"),
        (b"customer_id,customer_id,occurred_at\n", "2 times"),
    ],
)
def test_what_is_no_csv_file_is_refused(file, content, words):
    with pytest.raises(SourceMalformed, match=words):
        feeds.read(wrote(file, content))


def test_a_file_that_is_not_there_and_a_directory_are_unavailable(tmp_path):
    with pytest.raises(SourceUnavailable, match="there is no file"):
        feeds.read(tmp_path / "nothing.csv")
    with pytest.raises(SourceUnavailable, match="is a directory"):
        feeds.read(tmp_path)


def test_the_row_number_is_the_line_the_row_begins_on(file):
    content = [
        HEADER,
        row("a"),
        b"\n",
        b'"b\nb",x\n',
        row("c"),
        b'"d,x\n',
        row("e"),
        b"f\n",
        b'g,"x\ny\nz"\n',
        row("h"),
    ]
    rows, faults = feeds.rows_of(feeds.read(wrote(file, *content)))
    assert dict(zip(rows["customer_id"], rows["row_number"], strict=True)) == {
        "a": 2,
        "b\nb": 4,
        "c": 6,
        "e": 8,
        "g": 10,
        "h": 13,
    }
    assert dict(zip(faults["row_number"], faults["rule"], strict=True)) == {7: "unclosed_quote", 9: "ragged_row"}


def test_an_open_quote_swallows_nothing_that_lies_far_behind_it(file, monkeypatch):
    monkeypatch.setattr("winback.sources.csv_files.BLOCK_BYTES", 64 * 1024)
    monkeypatch.setattr("winback.sources.csv_files.MAX_LINE_BYTES", 400 * 1024)  # nor is it all kept in memory
    between = [row(f"c{number}") for number in range(20_000)]
    rows, faults = feeds.rows_of(feeds.read(wrote(file, HEADER, b'"open,x\n', *between, b'closed",x\n', row("z"))))
    assert len(rows) == 20_002  # the line that closes nothing is an ordinary row with a quote in it
    assert faults["rule"].tolist() == ["unclosed_quote"]


def test_a_row_with_a_field_of_any_length_and_one_of_several_lines_is_told_of_once(file):
    bad = b"x" * 400_000 + b',"over\nthree\nlines"\n'
    rows, faults = feeds.rows_of(feeds.read(wrote(file, HEADER, row("a"), bad, row("z"))))
    assert rows["row_number"].tolist() == [2, 6]
    assert faults[["row_number", "rule"]].values.tolist() == [[3, "oversize_field"]]


def test_a_row_across_the_border_of_two_blocks_is_whole(file, monkeypatch):
    monkeypatch.setattr("winback.sources.csv_files.BLOCK_BYTES", 64)
    content = b"".join(b'c%d,"a\nlong\nfield %d"\n' % (number, number) for number in range(50))
    rows, faults = feeds.rows_of(feeds.read(wrote(file, HEADER, content)))
    assert rows["occurred_at"].tolist() == [f"a\nlong\nfield {number}" for number in range(50)]
    assert rows["row_number"].tolist() == [2 + 3 * number for number in range(50)]
    assert faults.empty


def test_a_line_without_end_is_no_csv_file(file, monkeypatch):
    monkeypatch.setattr("winback.sources.csv_files.BLOCK_BYTES", 1024)
    monkeypatch.setattr("winback.sources.csv_files.MAX_LINE_BYTES", 4096)
    with pytest.raises(SourceMalformed, match="line 3"):
        ids(feeds.read(wrote(file, HEADER, row("a"), b"x" * 10_000)))


def test_an_unchanged_file_is_not_read_and_a_touched_one_neither(file):
    first = feeds.read(wrote(file, HEADER, row("a"), row("b")))
    assert ids(first) == ["a", "b"]
    second = feeds.read(file, mark=first.mark)
    assert (ids(second), second.rows_before, second.is_whole) == ([], 2, False)
    os.utime(file, (1, 1))
    touched = feeds.read(file, mark=first.mark)
    assert (ids(touched), touched.mark["total"]) == ([], 2)
    assert touched.mark["mtime_ns"] == 1_000_000_000


def test_a_last_line_without_its_end_is_read_each_night_until_it_has_one(file):
    first = feeds.read(wrote(file, HEADER, row("a"), b"b,20"))
    assert ids(first) == ["a", "b"]
    assert (first.mark["rows"], first.mark["total"]) == (1, 2)
    os.utime(file, (1, 1))
    assert ids(feeds.read(file, mark=first.mark)) == ["b"]
    second = feeds.read(wrote(file, HEADER, row("a"), row("b"), row("c")), mark=first.mark)
    assert ids(second) == ["b", "c"]
    assert (second.mark["rows"], second.mark["total"], second.mark["lines"]) == (3, 3, 4)


def test_a_file_that_was_empty_has_a_header_the_next_night(file):
    first = feeds.read(wrote(file))
    assert ids(first) == []
    assert first.mark["total"] == 0
    assert ids(feeds.read(wrote(file, HEADER, row("a")), mark=first.mark)) == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + row("x") + row("b") + row("c"),
        HEADER + row("a"),
        b"occurred_at,customer_id\nt,a\nt,b\nt,c\n",
    ],
)
def test_a_file_that_did_not_only_grow_is_read_whole(file, content):
    first = feeds.read(wrote(file, HEADER, row("a"), row("b")))
    ids(first)
    second = feeds.read(wrote(file, content), mark=first.mark)
    assert second.is_whole
    assert second.rows_before == 0
    assert len(ids(second)) == content.count(b"\n") - 1


def test_a_feed_that_is_the_whole_truth_is_read_whole_when_it_grew(file):
    first = feeds.read(wrote(file, HEADER, row("a")), may_resume=False)
    ids(first)
    second = feeds.read(wrote(file, HEADER, row("a"), row("b")), mark=first.mark, may_resume=False)
    assert (ids(second), second.is_whole) == (["a", "b"], True)


def test_line_numbers_go_on_where_the_last_night_ended(file):
    first = feeds.read(wrote(file, HEADER, row("a"), b'"b\nb",x\n'))
    ids(first)
    second = feeds.read(wrote(file, HEADER, row("a"), b'"b\nb",x\n', row("c")), mark=first.mark)
    rows, _ = feeds.rows_of(second)
    assert rows["row_number"].tolist() == [5]


def test_a_gzipped_file_is_read_whole_when_it_changed(tmp_path):
    file = tmp_path / "feed.csv.gz"
    first = feeds.read(wrote(file, gzip.compress(HEADER + row("a"))))
    assert ids(first) == ["a"]
    assert ids(feeds.read(file, mark=first.mark)) == []
    second = feeds.read(wrote(file, gzip.compress(HEADER + row("a") + row("b"))), mark=first.mark)
    assert ids(second) == ["a", "b"]
    with pytest.raises(SourceMalformed, match="gzip"):
        ids(feeds.read(wrote(file, gzip.compress(HEADER + row("a") * 1000)[:-30])))


def test_what_is_written_while_the_file_is_read_is_left_for_the_next_night(file):
    reading = feeds.read(wrote(file, HEADER, row("a")))
    with file.open("ab") as stream:
        stream.write(row("b"))
    assert ids(reading) == ["a"]
    assert ids(feeds.read(file, mark=reading.mark)) == ["b"]
