"""The policies that ship are sound, walk the ladder of the three messages, and show all four ways of timing it."""

from datetime import date
from pathlib import Path

import pytest

from winback.core.policy import Programme, load_programme
from winback.sample.planted import KNOWN_BEHAVIOURS, line_names
from winback.sample.scaffold import scaffold
from winback.settings import data_directory

SHIPPED = sorted(data_directory().glob("policies/*.yaml"))
OF_THE_SHOP = sorted(data_directory().glob("sample/policies/*.yaml"))


def read(file: Path) -> Programme:
    return load_programme(file.read_text(encoding="utf-8"), file=file.name)


def name_of(file: Path) -> str:
    return f"{file.parent.parent.name}-{file.stem}"


def test_five_kinds_of_business_are_there() -> None:
    names = ["car_dealer", "daily_newsletter", "grocery", "marketplace", "monthly_newsletter"]
    assert [file.stem for file in SHIPPED] == names
    assert [file.stem for file in OF_THE_SHOP] == names == sorted(line_names())


@pytest.mark.parametrize("files", [SHIPPED, OF_THE_SHOP], ids=["shipped", "simulated shop"])
def test_all_four_modes_of_the_ladder_are_shown(files: list[Path]) -> None:
    assert {read(file).ladder.mode for file in files} == {"anchored", "calendar", "multiple", "probability"}


@pytest.mark.parametrize("file", [*SHIPPED, *OF_THE_SHOP], ids=name_of)
def test_a_policy_walks_from_survey_to_contest_to_coupon_to_sunset(file: Path) -> None:
    programme = read(file)
    assert programme.programme == file.stem
    assert [(step.day, step.kind) for step in programme.ladder.steps] == [
        (30, "survey"),
        (60, "contest"),
        (90, "coupon"),
    ]
    assert programme.ladder.steps[1].countries == ["FR", "DE", "GB", "US", "CA"]
    assert programme.end == "sunset"
    assert programme.hold_out.share == "auto"


@pytest.mark.parametrize("file", [*SHIPPED, *OF_THE_SHOP], ids=name_of)
def test_an_open_only_ever_delays(file: Path) -> None:
    programme = read(file)
    strong = {*programme.trigger.behaviours, *programme.return_behaviours}
    assert not {name for name in strong if "open" in name}


@pytest.mark.parametrize("file", SHIPPED, ids=name_of)
def test_a_shipped_policy_tells_editors_its_schema_and_readers_its_reasons(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../schemas/policy.schema.json"
    assert sum("#" in line for line in lines) >= 8


def test_the_floors_follow_the_length_of_the_life() -> None:
    floors = {file.stem: read(file).threshold.floor_days for file in SHIPPED}
    assert floors["grocery"] < floors["marketplace"] < floors["monthly_newsletter"] < floors["car_dealer"]


@pytest.mark.parametrize("file", OF_THE_SHOP, ids=name_of)
def test_the_simulated_shop_has_the_behaviours_its_policies_count(file: Path) -> None:
    trigger = read(file).trigger
    assert {*trigger.behaviours, *trigger.weak} <= set(KNOWN_BEHAVIOURS)


def test_the_templates_a_policy_names_are_there(tmp_path: Path) -> None:
    root = tmp_path / "project"
    scaffold(root, customers=0, ends_on=date(2026, 11, 20))
    for file in root.rglob("policies/**/*.yaml"):
        for step in read(file).ladder.steps:
            for channel in step.channels:
                assert list(root.glob(f"templates/{step.template}.{channel}.*")), (file.name, step.template, channel)
