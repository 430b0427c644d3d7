"""Ten thousand malformed rows of more than 25 kinds: each under the right rule, and no good row lost."""

from __future__ import annotations

import random

import feeds
import pytest

BAD_ROWS = 10_000
GOOD_ROWS = 20_000


def written(path, kind, bad_count, good_count, seed):
    """Write a feed of good rows with bad ones between them; return how many good there are and the rules by line."""
    header, good = feeds.GOOD_ROWS[kind]
    broken = [(rule, row) for rule, rows in feeds.BROKEN_ROWS[kind].items() for row in rows]
    draw = random.Random(seed)
    order = [True] * good_count + [False] * bad_count
    draw.shuffle(order)
    lines, expected, line = [header], {}, 2
    for number, is_good in enumerate(order):
        rule, row = ("", good[number % len(good)]) if is_good else broken[number % len(broken)]
        row = row.replace(b"{n}", str(number).encode())
        if not is_good:
            expected[line] = rule
        lines.append(row)
        line += 1 + row.count(b"\n")
    path.write_bytes(b"\n".join(lines) + b"\n")
    return good_count, expected


def test_there_are_at_least_25_kinds():
    kinds = {(kind, rule) for kind, broken in feeds.BROKEN_ROWS.items() for rule in broken}
    assert len(kinds) >= 25


@pytest.mark.parametrize("block_bytes", [4 * 1024, 300 * 1024, 8 * 1024 * 1024])
def test_events(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr("winback.sources.csv_files.BLOCK_BYTES", block_bytes)
    rows, good = (BAD_ROWS, GOOD_ROWS) if block_bytes > 1024 * 1024 else (500, 1000)
    good, expected = written(tmp_path / "events.csv", "events", rows, good, seed=1)
    kept, rules = feeds.judged(tmp_path / "events.csv")
    assert rules == expected
    assert len(kept) == good
    assert kept["row_number"].is_unique
    assert set(kept["row_number"]).isdisjoint(expected)


@pytest.mark.parametrize("kind", ["contacts", "consents"])
def test_people(tmp_path, kind):
    good, expected = written(tmp_path / "people.csv", kind, 2000, 4000, seed=2)
    kept, rules = feeds.judged(tmp_path / "people.csv", kind)
    assert rules == expected
    assert len(kept) == good


def test_a_good_row_is_read_the_same_beside_bad_ones(tmp_path):
    header, good = feeds.GOOD_ROWS["events"]
    rows = [good[number % len(good)].replace(b"{n}", str(number).encode()) for number in range(200)]
    (tmp_path / "clean.csv").write_bytes(b"\n".join([header, *rows]) + b"\n")
    broken = [row for rows_ in feeds.BROKEN_EVENTS.values() for row in rows_]
    mixed = [line for number, row in enumerate(rows) for line in (row, broken[number % len(broken)])]
    (tmp_path / "mixed.csv").write_bytes(b"\n".join([header, *mixed]) + b"\n")
    clean, _ = feeds.judged(tmp_path / "clean.csv")
    kept, rules = feeds.judged(tmp_path / "mixed.csv")
    assert len(rules) == 200
    assert kept.drop(columns="row_number").equals(clean.drop(columns="row_number"))
