"""Results against the control group: what the command says, the page shows, worked out by another process."""

from datetime import timedelta

import operator_world
import pytest
from night_world import DAY, Shop, moment
from operator_world import words

from winback.night.pepper import open_project_ledger
from winback.web.measuring import Measuring

TODAY = DAY + timedelta(days=120)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("compared") / "shop")
    shop.night()
    return shop


@pytest.fixture
def pages(shop):
    with open_project_ledger(shop.project) as ledger:
        yield operator_world.OperatorPages(shop.project, ledger, clock=operator_world.Clock(moment(TODAY)))


def test_the_page_shows_what_the_command_says(shop, pages):
    told = shop.do("--json", "measure", "--as-of", TODAY).data
    assert told["as_of"] == str(TODAY)
    assert [one["programme"] for one in told["results"]] == ["readers", "winback"]
    assert sum(one["treated"]["contacts"] + one["control"]["contacts"] for one in told["results"]) > 20
    said = words(pages.operator().get("/experiments").text)
    for one in told["results"]:
        assert " ".join(one["sentence"].split()) in said
        for arm, title in (("treated", "Drawn for the messages"), ("control", "Held out by the programme")):
            assert f"{title} {one[arm]['contacts']} {one[arm]['returns']} {100 * one[arm]['rate']:.1f} % " in said
    assert "readers" in shop.do("measure", "--as-of", TODAY).err


def test_nothing_to_compare_says_so(tmp_path):
    shop = Shop(tmp_path / "new", customers=3)
    with open_project_ledger(shop.project) as ledger:
        page = operator_world.OperatorPages(shop.project, ledger).operator().get("/experiments").text
    assert "No night was carried out yet" in words(page)


def test_it_is_measured_once_for_each_state_and_waited_for_a_little(shop):
    measuring = Measuring(shop.project, wait_seconds=0)
    assert measuring.results("a", as_of=TODAY) is None  # under way
    measuring.wait_seconds = 60
    first = measuring.results("a", as_of=TODAY)
    assert first.results
    assert not first.fault
    assert measuring.results("a", as_of=TODAY) is first
    assert measuring.results("b", as_of=TODAY) is not first


def test_a_measurement_that_fails_says_why_and_is_tried_again(shop, tmp_path):
    broken = shop.copy(tmp_path / "broken")
    broken.write("policies/winback.yaml", "version: 2\n")
    measuring = Measuring(broken.project, wait_seconds=60)
    first = measuring.results("a", as_of=TODAY)
    assert "policies/winback.yaml" in first.fault
    assert measuring.results("a", as_of=TODAY) is not first
