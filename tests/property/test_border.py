"""Whatever stands in a feed: no exception but SourceError, and no good row lost."""

from __future__ import annotations

import csv
import io
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import feeds
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winback.core import row_rules
from winback.core.sieve import mask
from winback.errors import SourceError, SourceMalformed
from winback.sources.csv_rows import _Careful, read_block
from winback.sources.feeds import Layout
from winback.sources.sql_queries import _as_chunk

GOOD = {
    "events": {
        "customer_id": "good",
        "occurred_at": "2026-01-02T03:04:05Z",
        "event_id": "g1",
        "amount": "12.5",
        "behaviour": "visit",
    },
    "contacts": {
        "customer_id": "good",
        "email": "ann@shop.example",
        "phone": "+33612345678",
        "first_name": "Ann",
        "last_name": "Lee",
        "locale": "fr-FR",
        "timezone": "Europe/Paris",
        "country": "FR",
        "region": "IDF",
        "category": "grocery",
        "anything": "else",
    },
    "consents": {
        "customer_id": "good",
        "channel": "email",
        "purpose": "marketing",
        "status": "granted",
        "basis": "express",
        "recorded_at": "2026-01-02T03:04:05Z",
        "source": "shop",
        "wording": "2026-01",
    },
}
# What breaks programs more often than chance does.
NASTY = st.sampled_from(
    [
        "",
        " ",
        '"',
        '""',
        '"\n',
        "\n",
        "\r",
        "\r\n",
        ",",
        ";",
        "\0",
        "\ufeff",
        "\u2028",
        "\u202e",
        "\x85",
        "NaN",
        "nan",
        "inf",
        "-0",
        "1e309",
        "0x10",
        "١٢",
        "NaT",
        "now",
        "2026-01-02T03:04:05+99:99",
        "2026-01-02T03:04:05Z\n",
        "0000-00-00",
        "+999999",
        "+" * 300,
        "0" * 300,
        "a@" + "b" * 300,
        "a@b@c",
        "@",
        "xn--a@xn--.example",
        "=1+1",
        "\\N",
        "<long>",
    ]
)
TEXT = st.one_of(NASTY, st.text(max_size=40), st.lists(NASTY, max_size=4).map("".join))


def as_csv(rows, names):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[row[name].replace("<long>", "é" * 40_000) for name in names] for row in rows])
    return stream.getvalue().encode()


def judged(content: bytes, kind: str):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.csv"
        path.write_bytes(content)
        return feeds.judged(path, kind)


def assert_nothing_is_lost(kind, strange):
    """Put a good row before and after each strange one; each row is either good or has its rule."""
    good = GOOD[kind]
    names = [f"good {number}" for number in range(len(strange) + 1)]
    rows = [{**good, "customer_id": names[0]}]
    for row, name in zip(strange, names[1:], strict=True):
        rows += [row, {**good, "customer_id": name}]
    kept, rules = judged(as_csv(rows, list(good)), kind)
    assert set(names) <= set(kept["customer_id"])
    assert len({*kept["row_number"], *rules}) == len(rows)


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=50)
@given(text=TEXT)
def test_any_text_in_any_field_loses_no_good_row(kind, text):
    assert_nothing_is_lost(kind, [{**GOOD[kind], name: text} for name in GOOD[kind]])


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=30)
@given(data=st.data())
def test_any_row_of_any_text_loses_no_good_row(kind, data):
    row = st.fixed_dictionaries(dict.fromkeys(GOOD[kind], TEXT))
    assert_nothing_is_lost(kind, data.draw(st.lists(row, min_size=1, max_size=3)))


LINE = st.one_of(
    st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")),
    st.lists(st.sampled_from([b'"', b",", b"a", b" ", b"\r", b"\0", b"\xff", b'""', b"\xc3\xa9"]), max_size=12).map(
        b"".join
    ),
)


@settings(max_examples=150)
@given(lines=st.lists(LINE, max_size=6))
@example(lines=[b'"'])
@example(lines=[b'x,"', b'"'])
def test_any_bytes_between_good_lines_lose_none_of_them(lines):
    header = b"customer_id,occurred_at,event_id,amount,behaviour"
    good = b"good%d,2026-01-02T03:04:05Z,e%d,1,"
    content = [header, good % (0, 0)]
    for number, line in enumerate(lines, start=1):
        content += [line, good % (number, number)]
    kept, _ = judged(b"\n".join(content) + b"\n", "events")
    found = set(kept["customer_id"])
    # An open quote may run on over lines, as quoted fields do, when what it swallows is a proper row: that needs a
    # second quote in a later strange line. Where there is none, nothing is swallowed.
    if sum(b'"' in line for line in lines) <= 1:
        assert {f"good{number}" for number in range(len(lines) + 1)} <= found


@settings(max_examples=150)
@given(lines=st.lists(LINE, max_size=6), is_last=st.booleans())
def test_the_fast_reader_and_the_careful_one_agree(lines, is_last):
    data = b"".join(line + b"\n" for line in lines)
    layout = Layout(((0, "a"), (2, "c")), 3)
    if not data:
        return
    one = read_block(data, first_line=7, layout=layout, delimiter=",", is_last=is_last)
    other = _Careful(data, 7, layout, ",").read(is_last=is_last)
    assert one.rows.to_dict("records") == other.rows.to_dict("records")
    assert one.faults[["row_number", "rule"]].to_dict("records") == other.faults[["row_number", "rule"]].to_dict(
        "records"
    )
    assert (one.consumed, one.lines) == (other.consumed, other.lines)


@settings(max_examples=60)
@given(
    numbers=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    cut=st.integers(0, 2000),
    quoted=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_a_file_read_in_two_goes_gives_what_it_gives_in_one(numbers, cut, quoted, ends):
    header = f"customer_id,occurred_at,event_id,behaviour{ends}"
    name = '"c,{}"' if quoted else "c{}"
    content = header + "".join(
        f"{name.format(n)},2026-01-0{n % 9 + 1}T00:00:00Z,e{i},{ends}" for i, n in enumerate(numbers)
    )
    content = content.encode()
    cut = len(header) + cut % (len(content) - len(header) + 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.csv"
        path.write_bytes(content)
        whole = feeds.read(path)
        rows, _ = feeds.rows_of(whole)
        path.write_bytes(content[:cut])
        first = feeds.read(path)
        early = list(first.chunks)
        path.write_bytes(content)
        second = feeds.read(path, mark=first.mark)
        late = list(second.chunks)
        assert second.mark["total"] == whole.mark["total"]
        assert second.mark["digest"] == whole.mark["digest"]
        found = pd.concat([chunk.rows for chunk in [*early, *late]], ignore_index=True)
        known = set(map(tuple, found.to_numpy().tolist()))
        assert set(map(tuple, rows.to_numpy().tolist())) <= known


@settings(max_examples=150)
@given(
    header=st.lists(
        st.one_of(st.sampled_from(["customer_id", "occurred_at", "amount", ""]), st.text(max_size=8)), max_size=8
    ),
    columns=st.dictionaries(st.sampled_from(["customer_id", "amount", "x"]), st.text(max_size=8), max_size=2),
    body=st.binary(max_size=100),
    delimiter=st.sampled_from([None, ",", ";", "\t", "|", "x", "é", '"', "\n", "\0", " "]),
)
def test_any_header_is_read_or_refused(header, columns, body, delimiter):
    content = ",".join(header).encode() + b"\n" + body
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.csv"
        path.write_bytes(content)
        with suppress(SourceMalformed):
            for chunk in feeds.read(path, columns=columns, delimiter=delimiter).chunks:
                feeds.check_events(chunk.rows)


TYPED = st.one_of(
    st.none(), st.integers(), st.floats(), st.booleans(), st.text(max_size=20), st.datetimes(), st.dates()
)


@settings(max_examples=150)
@given(values=st.lists(st.tuples(TYPED, TYPED, TYPED), min_size=1, max_size=5))
def test_any_values_of_a_database_are_judged(values):
    places = [(0, "customer_id"), (1, "occurred_at"), (2, "amount")]
    try:
        chunk = _as_chunk("erp", values, places, 1)
    except SourceError:
        return
    checked = feeds.check_events(chunk.rows)
    assert len(checked.rows) + len(checked.faults) + len(chunk.faults) == len(values)


@given(text=st.text(max_size=100))
def test_a_masked_value_tells_nothing(text):
    shown = mask(text)
    assert not any(character.isalpha() and character not in "aA" for character in shown.partition(" (and")[0])
    assert not any(character.isdigit() and character != "9" for character in shown.partition(" (and")[0])


@settings(max_examples=100)
@given(ids=st.lists(st.sampled_from("abc"), max_size=8), names=st.lists(st.sampled_from("xy"), min_size=8, max_size=8))
def test_every_row_of_a_contacts_feed_is_kept_counted_or_a_fault(ids, names):
    rows = pd.DataFrame(
        {"row_number": range(len(ids)), "customer_id": pd.Series(ids, dtype="str"), "name": names[: len(ids)]}
    )
    settled = row_rules.settle_duplicate_contacts(rows)
    assert len(settled.rows) + len(settled.faults) + settled.counts["duplicates"] == len(rows)
    assert settled.rows["customer_id"].tolist() == list(dict.fromkeys(ids))


@given(moment=st.datetimes(datetime.fromisoformat("1990-01-02"), datetime.fromisoformat("2026-11-20")))
def test_any_instant_written_in_full_is_read_back(moment):
    text = moment.replace(tzinfo=UTC).isoformat()
    frame = pd.DataFrame({"row_number": [1], "customer_id": ["a"], "occurred_at": [text]})
    assert feeds.check_events(frame).rows["occurred_at"].iloc[0].isoformat() == pd.Timestamp(text).isoformat()
