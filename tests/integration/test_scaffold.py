"""`winback init` makes a project that is sound from the start, and never overwrites anything."""

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import yaml

from winback.errors import UsageError
from winback.night.check import check
from winback.night.run import make_plan
from winback.sample.made_project import made_project
from winback.sample.scaffold import scaffold
from winback.settings import load_configuration, load_project

ENDS_ON = date(2026, 11, 20)


def everything_in(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("customers", [0, 1, 200])
def test_a_new_project_has_no_fault(tmp_path: Path, customers: int) -> None:
    files = scaffold(tmp_path / "project", customers=customers, ends_on=ENDS_ON)
    assert check(tmp_path / "project") == []
    assert sorted(map(str, files)) == sorted(everything_in(tmp_path / "project"))


@pytest.mark.parametrize("customers", [0, 50])
def test_a_new_project_can_be_planned_before_anything_was_read(tmp_path: Path, customers: int) -> None:
    """The README's third step, on a ledger without a row."""
    scaffold(tmp_path / "project", customers=customers, ends_on=ENDS_ON)
    now = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
    plan = make_plan(load_project(tmp_path / "project", {"WINBACK_PEPPER": "made up"}), as_of=now.date(), now=now)
    assert (plan["contacts"], plan["decisions"]) == (0, {})
    assert {held["kind"] for held in plan["held"]} == {"unread"}


@pytest.mark.parametrize("customers", [0, 50])
def test_every_source_has_its_columns_under_the_names_the_project_gives(tmp_path: Path, customers: int) -> None:
    root = tmp_path / "project"
    scaffold(root, customers=customers, ends_on=ENDS_ON)
    sources = load_configuration(root).sources
    wanted = {"contacts": ["customer_id"], "consents": ["customer_id", "channel", "status", "recorded_at"]}
    for name, source in [("contacts", sources.contacts), ("consents", sources.consents)] + [
        (source.name, source) for source in sources.events
    ]:
        if source.kind == "csv" and source.path is not None:
            header = (root / source.path).read_text(encoding="utf-8").splitlines()[0].split(source.delimiter or ",")
            for column in wanted.get(name, ["customer_id", "occurred_at"]):
                assert source.columns.get(column, column) in header, (name, column)
            assert set(source.columns.values()) <= set(header)


@pytest.mark.parametrize("customers", [0, 20])
def test_editors_find_the_schema_each_file_names(tmp_path: Path, customers: int) -> None:
    root = tmp_path / "project"
    scaffold(root, customers=customers, ends_on=ENDS_ON)
    files = [root / "winback.yaml", *root.rglob("policies/**/*.yaml")]
    assert len(files) >= 6
    for file in files:
        first = file.read_text(encoding="utf-8").splitlines()[0]
        assert (file.parent / first.split("$schema=")[1]).is_file(), file


def test_a_project_is_never_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "project"
    scaffold(root, customers=0, ends_on=ENDS_ON)
    (root / "winback.yaml").write_text("mine\n", encoding="utf-8")
    before = everything_in(root)
    for customers in (0, 20):
        with pytest.raises(UsageError, match="holds a project already"):
            scaffold(root, customers=customers, ends_on=ENDS_ON)
    assert everything_in(root) == before


@pytest.mark.parametrize("name", ["orders.csv", "policies", "README.txt", "var"])
def test_a_file_in_the_way_stops_everything(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=f"has {name} already: nothing was changed"):
        scaffold(tmp_path, customers=20, ends_on=ENDS_ON)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_other_files_in_the_directory_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    scaffold(tmp_path, customers=0, ends_on=ENDS_ON)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "winback.yaml").is_file()


def test_a_file_is_no_directory_and_a_shop_has_no_negative_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file"):
        scaffold(tmp_path / "file", customers=0, ends_on=ENDS_ON)
    with pytest.raises(UsageError, match="a shop of -1 customers"):
        scaffold(tmp_path / "new", customers=-1, ends_on=ENDS_ON)
    with pytest.raises(UsageError, match="cannot be written"):
        scaffold(tmp_path / "file" / "below", customers=0, ends_on=ENDS_ON)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_history_of_a_sample_ends_on_the_day_asked_for(tmp_path: Path) -> None:
    scaffold(tmp_path / "project", customers=300, ends_on=ENDS_ON)
    with (tmp_path / "project" / "orders.csv").open(encoding="utf-8", newline="") as file:
        days = sorted({row["ordered_at"][:10] for row in csv.DictReader(file) if row["ordered_at"][:2] == "20"})
    days = [day for day in days if day < "2030"]  # a broken row may lie in the future
    assert days[-1] == str(ENDS_ON)
    assert days[0] < str(ENDS_ON - timedelta(days=730))
    assert str(ENDS_ON + timedelta(days=1)) in (tmp_path / "project" / "README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("customers", "volume"), [(200, [0.02, 50.0]), (500, [0.5, 2.0])])
def test_a_small_shop_has_wide_bounds_on_its_volume(tmp_path: Path, customers: int, volume: list[float]) -> None:
    scaffold(tmp_path / "project", customers=customers, ends_on=ENDS_ON, history_days=5)
    config = yaml.safe_load((tmp_path / "project" / "winback.yaml").read_text(encoding="utf-8"))
    assert config["guards"]["volume"] == volume
    assert config["live"] is False
    assert {channel["provider"] for channel in config["channels"].values()} == {"outbox"}


@pytest.mark.parametrize("events_per_customer", [5, 20, 40])
def test_a_bench_gets_about_as_many_events_as_it_asks_for(tmp_path: Path, events_per_customer: int) -> None:
    as_of = made_project(tmp_path / "project", customers=2000, events_per_customer=events_per_customer)
    assert as_of == date(2026, 3, 2)
    rows = sum(
        len((tmp_path / "project" / f"{name}.csv").read_text(encoding="utf-8").splitlines()) - 1
        for name in ("orders", "scans", "engagement", "machine_opens")
    )
    rows += len(pd.read_parquet(tmp_path / "project" / "visits"))
    assert rows / 2000 == pytest.approx(events_per_customer, rel=0.12)
