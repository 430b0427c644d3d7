"""`winback plan`, then `winback apply`: the plan that was looked at is the plan that is carried out, or nothing is."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from night_world import DAY, Shop, moment, policy, tree
from outbox_world import SMS

from winback.errors import GuardRefused
from winback.night.run import apply_plan, make_plan, run, sync_sources
from winback.settings import data_directory


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Shop:
    """A shop whose sources are read and whose night is planned."""
    shop = Shop(tmp_path_factory.mktemp("prepared") / "shop")
    shop.do("sync", "--as-of", DAY)
    shop.do("plan", "--as-of", DAY, "--out", shop.root / "plan.json")
    return shop


@pytest.fixture
def planned(prepared, tmp_path) -> Shop:
    return prepared.copy(tmp_path / "shop")


def plan_of(shop) -> dict:
    return json.loads((shop.root / "plan.json").read_text())


def apply(shop, *arguments, code=0):
    return shop.do("--json", "apply", shop.root / "plan.json", "--allow-backdated", *arguments, code=code).data


def sync(shop):
    shop.do("sync", "--as-of", DAY)


def change_policy(shop):
    shop.write("policies/winback.yaml", yaml.safe_dump(policy(value=2)))


def change_settings(shop):
    shop.configure(limits={"max_sends_per_night": 40_000})


def change_template(shop):
    shop.write("templates/survey.sms.liquid", SMS + " Bye.")


def change_rule(shop):
    shop.write("rules/quiet_hours.yaml", (data_directory() / "rules" / "quiet_hours.yaml").read_text() + "# ours\n")


def withdraw_consent(shop):
    shop.add("consents.csv", f"c000,email,marketing,withdrawn,,{DAY - timedelta(days=1)}T10:00:00Z,form,v1")
    sync(shop)


def give_consent(shop):
    shop.add("consents.csv", f"c005,email,marketing,granted,express,{DAY - timedelta(days=1)}T10:00:00Z,form,v1")
    sync(shop)


def suppress(shop):
    shop.do("suppress", "person1@mail.example", "--channel", "email")


def change_contact(shop):
    shop.drop("contacts.csv", "c001,")
    shop.add("contacts.csv", "c001,other@mail.example,,Ann,Lee,fr,FR,,shop1")
    sync(shop)


def lose_contact(shop):
    shop.drop("contacts.csv", "c001,")
    sync(shop)


def buy(shop):
    shop.add("orders.csv", f"c001,{DAY - timedelta(days=1)}T20:00:00Z,late,20")
    sync(shop)


def press_stop(shop):
    shop.do("stop", "--reason", "a test")


def hold_source(shop):
    shop.write("visits.csv", "customer_id,occurred_at,event_id,amount\n")
    shop.do("sync", "--as-of", DAY, code=4)


CHANGES = [
    (change_policy, "a policy"),
    (change_settings, "the settings"),
    (change_template, "a template"),
    (change_rule, "a rule"),
    (withdraw_consent, "a consent"),
    (give_consent, "a consent"),
    (suppress, "a suppression"),
    (change_contact, "a contact"),
    (lose_contact, "a contact"),
    (buy, "activity"),
    (press_stop, "the red button"),
    (hold_source, "held sources"),
]


@pytest.mark.parametrize(("change", "named"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_plan_is_refused_when_what_it_was_made_of_changed(planned, change, named):
    change(planned)
    before = tree(planned.root / "var" / "activity")
    refused = apply(planned, code=4)
    changed, _, rest = refused["error"].partition(" changed since plan")
    assert rest
    assert named in changed.split(", ")
    assert f"winback plan --as-of {DAY}" in refused["error"]
    assert planned.messages() == []
    assert not (planned.root / "var" / "outbox").exists()
    assert tree(planned.root / "var" / "activity") == before


def test_an_unchanged_plan_is_carried_out_as_it_was_shown_and_once(planned):
    plan = plan_of(planned)
    report = apply(planned)
    assert report["plan_hash"] == plan["plan_hash"]
    for key in ("decisions", "reasons", "steps", "channels", "cost", "contacts"):
        assert report[key] == plan[key]
    assert report["new_messages"] == plan["decisions"]["send"] == len(planned.messages())
    decisions = planned.decisions()

    again = apply(planned)
    night = planned.night()

    assert again["new_messages"] == night["new_messages"] == 0
    assert night["plan_hash"] == plan["plan_hash"]
    assert planned.decisions() == decisions


def test_a_wrong_count_asks_a_person_and_the_right_one_is_noted_with_the_name(planned):
    sends = plan_of(planned)["decisions"]["send"]
    refused = apply(planned, "--confirm-count", sends + 1, code=3)
    assert f"sends {sends} messages, not the {sends + 1} you expected" in refused["error"]
    assert planned.messages() == []
    apply(planned, "--confirm-count", sends)
    with planned.open_ledger() as (_, diary):
        assert [(one.action, one.subject) for one in diary if one.action == "approve"] == [
            ("approve", plan_of(planned)["plan_hash"])
        ]
        assert all(one.actor.startswith("cli:") for one in diary)


def test_a_policy_can_want_a_person_to_agree(planned):
    planned.policies(winback={"approve_over": 5})
    wanted = planned.night(code=3)
    plan = planned.do("--json", "plan", "--as-of", DAY, "--out", planned.root / "plan.json").data
    sends = plan["decisions"]["send"]
    assert "wants a person to agree over 5" in wanted["error"]
    assert f"winback run --as-of {DAY} --confirm-count {sends}" in wanted["error"]
    assert apply(planned, code=3)["error"].startswith("programme winback would send")
    assert planned.messages() == []
    assert planned.night(DAY, "--confirm-count", sends)["new_messages"] == sends
    # Who has agreed to a plan is not asked again about the same one.
    assert planned.night()["new_messages"] == 0
    assert apply(planned)["new_messages"] == 0


def test_a_past_day_is_planned_only_unless_it_is_meant(planned):
    for command in (["run", "--as-of", DAY], ["run", "--as-of", DAY, "--confirm-count", 0]):
        report = planned.do("--json", *command).data
        assert report["notes"] == [f"{DAY} is more than a day ago: planned only. Carry it out with --allow-backdated."]
        assert (report["new_messages"], report["messages"]) == (0, {})
        assert planned.messages() == []
    refused = planned.do("--json", "apply", planned.root / "plan.json", code=4).data
    assert "--allow-backdated" in refused["error"]
    assert planned.messages() == []


@pytest.mark.parametrize("command", ["run", "plan", "sync", "decisions", "messages", "explain c001"])
def test_a_day_to_come_is_refused(planned, command):
    tomorrow = datetime.now(tz=UTC).date() + timedelta(days=2)
    before = tree(planned.root)
    refused = planned.do("--json", *command.split(), "--as-of", tomorrow, code=2).data
    assert f"{tomorrow} is in the future" in refused["error"]
    assert tree(planned.root) == before


@pytest.mark.parametrize(
    ("now", "may_run"),
    [
        (moment(DAY), True),
        (moment(DAY + timedelta(days=1), 22), True),  # 23:00 in Paris, still the day after
        (moment(DAY + timedelta(days=1), 23), False),  # midnight in Paris
        (moment(DAY - timedelta(days=1), 23), True),  # midnight in Paris: the day has just begun
    ],
)
def test_the_day_is_the_one_of_the_business(planned, now, may_run):
    report = run(planned.project, as_of=DAY, now=now)
    assert bool(report["notes"]) is not may_run
    assert bool(report["new_messages"]) is may_run


def test_a_plan_does_not_outlive_its_messages(planned):
    """A night fills 24 hours; a plan that old would send nothing, and says so."""
    out = planned.root / "plan.json"
    made = moment(DAY, 4)
    make_plan(planned.project, as_of=DAY, now=made, out=out)
    with pytest.raises(GuardRefused, match="older than 24 hours"):
        apply_plan(planned.project, out, now=made + timedelta(hours=24))
    report = apply_plan(planned.project, out, now=made + timedelta(hours=23, minutes=59))
    assert report["new_messages"] == report["decisions"]["send"]
    # Mails go out at any hour; the hours of a text were over by then, and that is a state with a name.
    assert report["messages"].keys() <= {"accepted", "expired"}
    assert report["messages"]["accepted"] > report["messages"].get("expired", 0)
    assert sum(report["messages"].values()) == report["new_messages"]


def test_a_plan_is_carried_out_as_of_the_hour_it_was_made(planned):
    """Quiet hours are counted from the plan on: what it said about texts at night still holds in the morning."""
    planned.policies(winback={"ladder": {"steps": [policy()["ladder"]["steps"][1] | {"day": 30}]}})
    out, night = planned.root / "plan.json", datetime(2026, 3, 10, 3, 30, tzinfo=UTC)
    plan = make_plan(planned.project, as_of=DAY, now=night, out=out)
    report = apply_plan(planned.project, out, now=night + timedelta(hours=14))
    assert report["reasons"] == plan["reasons"]
    assert report["messages"].get("accepted", 0) > 0
    assert {datetime.fromisoformat(one["planned_at"]) for one in planned.messages()} == {night}


def test_a_plan_of_a_day_whose_sources_nobody_read_holds_everything(planned):
    """A feed that was not read for this day is no quiet feed."""
    next_day = DAY + timedelta(days=1)
    plan = make_plan(planned.project, as_of=next_day, now=moment(next_day))
    assert {held["kind"] for held in plan["held"]} == {"unread"}
    assert f"winback sync --as-of {next_day}" in plan["held"][0]["detail"]
    assert plan["decisions"].get("send", 0) == 0
    sync_sources(planned.project, as_of=next_day, now=moment(next_day))
    kinds = {held["kind"] for held in make_plan(planned.project, as_of=next_day, now=moment(next_day))["held"]}
    assert kinds <= {"stale"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "no plan",
        '{"as_of": "2026-03-10"}',
        b"\xff\xfe",
        json.dumps(
            {"as_of": "soon", "plan_hash": "", "digests": {}, "programmes": [], "begins_at": "x", "accepted": []}
        ),
        json.dumps(
            {
                "as_of": "2026-03-10",
                "plan_hash": "",
                "digests": {},
                "programmes": [],
                "begins_at": "2026-03-10T04:30:00",
                "accepted": [],
            }
        ),
    ],
)
def test_a_file_that_is_no_plan_is_refused(planned, content):
    planned.write("plan.json", content)
    before = tree(planned.root)
    refused = apply(planned, code=2)
    assert "not a plan that `winback plan --out` wrote" in refused["error"]
    assert tree(planned.root) == before


def test_a_plan_that_was_written_by_hand_is_refused(planned):
    plan = plan_of(planned) | {"programmes": ["winback"], "plan_hash": "0" * 16}
    planned.write("plan.json", json.dumps(plan))
    assert "changed since plan" in apply(planned, code=4)["error"]
    planned.write("plan.json", json.dumps(plan | {"programmes": ["nothing"]}))
    assert "no programme nothing" in apply(planned, code=2)["error"]
    (planned.root / "plan.json").unlink()
    assert "winback plan --out" in apply(planned, code=2)["error"]


def test_where_the_plan_goes_must_be_a_file_that_can_be_made(planned):
    for out in (planned.root / "nowhere" / "plan.json", planned.root / "templates", "/", "."):
        refused = planned.do("--json", "plan", "--as-of", DAY, "--out", out, code=2).data
        assert "--out" in refused["error"]
    assert not list(planned.root.rglob("*.partial"))
