"""A plan is agreed to in the operator pages by its hash; whatever carries it out honours that, and no more."""

import json
from datetime import timedelta

import operator_world
import pytest
from night_world import DAY, READERS, Shop, moment
from operator_world import words

from tasks.asking import ask_approval
from winback.ledger import diary, stored_plans
from winback.night.pepper import open_project_ledger

LATER = DAY + timedelta(days=11)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Shop:
    """A shop whose policies want a person to agree to every message, with a plan in plan.json that was refused so."""
    shop = Shop(tmp_path_factory.mktemp("asked") / "shop")
    shop.policies(winback={"approve_over": 0}, readers={**READERS, "approve_over": 0})
    shop.do("sync", "--as-of", DAY)
    shop.do("plan", "--as-of", DAY, "--out", shop.root / "plan.json")
    apply(shop, code=3)
    return shop


@pytest.fixture
def shop(prepared, tmp_path) -> Shop:
    return prepared.copy(tmp_path / "shop")


@pytest.fixture
def pages(shop):
    with open_project_ledger(shop.project) as ledger:
        yield operator_world.OperatorPages(shop.project, ledger, clock=operator_world.Clock(moment(DAY, 9)))


def plan_of(shop) -> dict:
    return json.loads((shop.root / "plan.json").read_text())


def apply(shop, code=0):
    return shop.do("--json", "apply", shop.root / "plan.json", "--allow-backdated", code=code).data


def approvals(pages) -> list[tuple[str, str]]:
    with pages.ledger.reading() as connection:
        lines = diary.read_entries(connection)
    return [(line.actor, line.subject) for line in lines if line.action == "approve"]


def agree(asking, plan: dict, count: object = None):
    sends = plan["decisions"]["send"] if count is None else count
    return asking.post(f"/plans/{plan['plan_hash']}/approve", {"confirm_count": sends})


def test_a_plan_is_found_and_says_what_it_would_do(shop, pages):
    asking, plan = pages.operator(), plan_of(shop)
    listed = asking.get("/plans").text
    assert f'href="/plans/{plan["plan_hash"]}"' in listed
    said = words(asking.get(f"/plans/{plan['plan_hash']}").text)
    assert "It is not carried out unasked: readers, winback." in said
    assert "Against no night before it" in said
    for group in ("decisions", "reasons", "channels"):
        for name, count in plan[group].items():
            assert f"{name.replace('_', ' ')} {count:,}" in said
    assert f"cost {plan['cost']:,}" in said
    assert asking.get("/plans/0000000000000000").status_code == 404


def test_an_agreed_plan_is_carried_out_by_its_hash(shop, pages):
    asking, plan = pages.operator(), plan_of(shop)
    assert plan["plan_hash"] in apply(shop, code=3)["error"]
    assert agree(asking, plan).status_code == 303
    assert approvals(pages) == [("operator:Ada", plan["plan_hash"])]
    assert "operator:Ada agreed to this plan on 2026-03-10 10:00" in words(
        asking.get(f"/plans/{plan['plan_hash']}").text
    )
    assert agree(pages.operator("Bob"), plan).status_code == 303
    assert approvals(pages) == [("operator:Ada", plan["plan_hash"])]
    assert apply(shop)["new_messages"] == plan["decisions"]["send"] > 0
    assert "Carried out" in words(asking.get(f"/plans/{plan['plan_hash']}").text)


def test_nobody_agrees_to_another_number_of_messages(shop, pages):
    asking, plan = pages.operator(), plan_of(shop)
    for count in ("", "0", "-1", "many", "9" * 20, "²"):
        assert agree(asking, plan, count).status_code == 422, count
    assert approvals(pages) == []
    apply(shop, code=3)


def test_nobody_agrees_by_a_link_or_from_another_site(shop, pages):
    asking, plan = pages.operator(), plan_of(shop)
    path, fields = f"/plans/{plan['plan_hash']}/approve", {"confirm_count": plan["decisions"]["send"]}
    assert asking.get(path, params=fields).status_code == 405
    assert asking.send(path, fields).status_code == 403
    assert asking.post(path, fields, origin="https://evil.example").status_code == 403
    assert pages.stranger().send(path, fields).status_code == 403
    assert approvals(pages) == []


def test_what_was_agreed_to_is_not_what_it_drifted_to(shop, pages):
    asking, plan = pages.operator(), plan_of(shop)
    agree(asking, plan)
    shop.add("orders.csv", f"c001,{DAY - timedelta(days=1)}T20:00:00Z,late,20")
    shop.do("sync", "--as-of", DAY)
    assert "changed since plan" in apply(shop, code=4)["error"]
    error = shop.night(code=3)["error"]
    assert plan["plan_hash"] not in error
    assert shop.messages() == []
    with pages.ledger.reading() as connection:
        made = {one.plan_hash for one in stored_plans.read_plans(connection, as_of=DAY)}
    (drifted,) = made - {plan["plan_hash"]}
    assert drifted in error
    assert f'href="/plans/{drifted}"' in asking.get("/plans").text


def test_a_whole_night_waits_for_the_agreement_and_then_goes(shop, pages):
    plan = plan_of(shop)
    assert f"Look at plan {plan['plan_hash']} in the operator pages" in shop.night(code=3)["error"]
    agree(pages.operator(), plan)
    assert shop.night()["new_messages"] == plan["decisions"]["send"]
    shop.freshen(LATER)
    later = shop.night(LATER, code=3)["error"]
    assert plan["plan_hash"] not in later


def test_a_plan_stands_beside_the_night_before_it(shop, pages):
    agree(pages.operator(), plan_of(shop))
    first = shop.night()
    shop.freshen(LATER)
    shop.do("sync", "--as-of", LATER)
    second = shop.do("--json", "plan", "--as-of", LATER, "--out", shop.root / "plan.json").data
    apply(shop, code=3)
    said = words(pages.operator().get(f"/plans/{second['plan_hash']}").text)
    assert f"Against the night of {DAY}" in said
    before, now = first["decisions"].get("send", 0), second["decisions"].get("send", 0)
    change = f"{now - before:+,}" if now != before else "0"
    assert f"send {before:,} {now:,} {change} " in said


def test_a_flow_asks_nobody_whose_answer_is_in_the_ledger(shop, pages, monkeypatch):
    monkeypatch.setenv("WINBACK_PEPPER", shop.environment["WINBACK_PEPPER"])
    plan = plan_of(shop)
    asked = {"plan_hash": plan["plan_hash"], "sends": plan["decisions"]["send"]}
    with pytest.raises(RuntimeError, match="flow run"):  # suspended, if this were one
        ask_approval(str(shop.root), **asked)
    agree(pages.operator(), plan)
    approval = ask_approval(str(shop.root), **asked)
    assert (approval.approved_by, approval.confirm_count) == ("operator:Ada", asked["sends"])
