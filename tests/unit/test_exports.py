"""What leaves as CSV cannot run in a spreadsheet; what leaves as JSON can be read by a program."""

import json
from pathlib import Path

import pandas as pd
import pytest

from winback.reports.exports import to_csv, to_records, write_csv


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(start: str) -> None:
    frame = pd.DataFrame({"customer_id": [f"{start}1+1", "plain"], "silence_days": [-3, 4]})
    lines = to_csv(frame).decode()
    assert f"'{start}1+1" in lines
    assert ",-3" in lines, "numbers stay numbers"
    assert "'plain" not in lines


def test_missing_text_stays_empty() -> None:
    frame = pd.DataFrame({"step": pd.array([1, None], dtype="Int64"), "channel": ["sms", None]})
    assert to_csv(frame).decode() == "step,channel\n1,sms\n,\n"


def test_a_table_writes_instants_in_utc_to_the_second() -> None:
    frame = pd.DataFrame(
        {"planned_at": pd.to_datetime(["2026-11-20T04:30:00.098Z"]), "as_of": pd.to_datetime(["2026-11-20"])}
    )
    assert to_csv(frame).decode() == "planned_at,as_of\n2026-11-20T04:30:00Z,2026-11-20\n"


def test_records_write_dates_and_instants_as_iso() -> None:
    frame = pd.DataFrame(
        {
            "as_of": pd.to_datetime(["2026-11-20"]),
            "planned_at": pd.to_datetime(["2026-11-20T04:30:00Z"]),
            "accepted_at": pd.to_datetime([None], utc=True),
            "customer_id": ["0001"],
        }
    )
    assert json.loads(to_records(frame)) == [
        {"as_of": "2026-11-20", "planned_at": "2026-11-20T04:30:00Z", "accepted_at": None, "customer_id": "0001"}
    ]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "decisions.csv"
    with pytest.raises(FileNotFoundError):
        write_csv(pd.DataFrame({"a": [1]}), target)
    target = tmp_path / "decisions.csv"
    write_csv(pd.DataFrame({"customer_id": ["-7"]}), target)
    assert target.read_text() == "customer_id\n-7\n", "a program reads the id as it is"
    assert list(tmp_path.iterdir()) == [target]
