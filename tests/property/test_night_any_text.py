"""Whatever stands in the fields of the feeds, a sync ends with an answer and a night decides about everybody."""

import csv
import io
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from night_world import CONSENTS, CONTACTS, DAY, EVENTS, Shop, event

HEADERS = {"contacts.csv": CONTACTS, "consents.csv": CONSENTS, "orders.csv": EVENTS}
ANSWERS = {0, 4}  # done, or held by a guard that says so
# No lone surrogates: a file cannot hold them as UTF-8; files of wrong bytes have tests of their own.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["", "c001", "NULL", "=1+1", "granted", "email", "2026-03-09T08:00:00Z", "1e309", "-0", "\x00", "é\u202e", "'; --"]
)


def rows_of(header: str) -> st.SearchStrategy:
    width = header.count(",") + 1
    return st.lists(st.lists(TEXT, min_size=width, max_size=width), min_size=1, max_size=4)


def as_lines(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({name: rows_of(header) for name, header in HEADERS.items()}))
def test_any_text_in_any_field_is_taken_in_or_put_aside(rows):
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", customers=6)
        shop.configure(guards={"volume": [0.02, 50.0], "max_quarantined_share": 1})
        for name, lines in rows.items():
            shop.add(name, as_lines(lines).removesuffix("\n"))
        told = shop.do("--json", "sync", "--as-of", DAY, code=None)
        assert told.code in ANSWERS, told.err
        assert "unexpected" not in told.err
        sources = {one["name"]: one for one in told.data["sources"]}
        # The good rows are in, whatever stands beside them.
        assert sources["contacts"]["held"] is None
        assert sources["contacts"]["read"] >= 6
        report = shop.do("--json", "run", "--as-of", DAY, "--allow-backdated", code=None)
        assert report.code in ANSWERS, report.err
        assert report.data["contacts"] >= 6
        decided = shop.decided()
        assert len(decided) == report.data["contacts"]
        assert {f"c{n:03d}" for n in range(6)} <= decided.keys()
        assert event("c000", 1, 900).split(",")[0] in decided
