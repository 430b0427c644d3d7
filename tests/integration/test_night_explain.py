"""Every contact of a night can ask why, and gets the answer the night gave."""

from datetime import timedelta

import pytest
from night_world import DAY, Shop

from winback.core import explanation
from winback.core.reasons import Reason
from winback.ledger import verdicts

LATER = DAY + timedelta(days=11)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    """A shop with two nights behind it."""
    shop = Shop(tmp_path_factory.mktemp("explained") / "shop")
    shop.night()
    shop.freshen(LATER)
    shop.night(LATER)
    return shop


@pytest.mark.parametrize("day", [DAY, LATER])
def test_the_explanation_of_every_contact_is_the_decision(shop, day):
    decided = shop.decided(day)
    assert len(decided) == 90
    for customer, row in decided.items():
        story = shop.do("--json", "explain", customer, "--as-of", day).data
        assert {name: story[name] for name in ("customer_id", "as_of", "action", "reason")} == {
            name: row[name] for name in ("customer_id", "as_of", "action", "reason")
        }
        assert Reason(row["reason"]).sentence in story["sentence"]
        outcomes = [step["outcome"] for step in story["steps"]]
        if row["reason"] != "no_programme":
            assert outcomes == ["does not apply"] * (len(outcomes) - 1) + ["decides"]
        assert story["history"][0]["as_of"] == str(day)
        assert all(one["as_of"] <= str(day) for one in story["history"] + story["messages"])


def test_the_stored_facts_alone_lead_to_the_same_decision(shop):
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        for day in (DAY, LATER):
            rows = verdicts.read_decisions(connection, day)
            assert len(rows) == 90
            for row in rows[rows["reason"] != "no_programme"].to_dict("records"):
                told = explanation.explain(explanation.read_facts(row["facts"]))
                assert (told.action, told.reason) == (row["action"], row["reason"])


def test_a_person_sees_the_deciding_rule_first_and_only_what_is_known(shop):
    sent = next(one for one, row in shop.decided().items() if row["action"] == "send")
    lines = shop.do("explain", sent, "--as-of", DAY).err.splitlines()
    lines = [line.rstrip() for line in lines]
    assert lines[0] == f"{sent} on {DAY}: send (due)"
    decided, asked = (
        lines.index("Decided by"),
        next(n for n, line in enumerate(lines) if line.startswith("Asked before")),
    )
    assert decided < asked
    assert lines[decided + 2].split() == ["due", "step", "due", "yes"]
    text = "\n".join(lines)
    for noise in ("None", "nan", "True", "False", "_on ", ".0,", ".0 "):
        assert noise not in text[text.index("Decided by") :]
    assert shop.do("explain", sent).out == b""
    assert shop.do("--quiet", "explain", sent).err == ""


def test_without_a_day_the_newest_night_is_explained(shop):
    assert shop.do("--json", "explain", "c001").data["as_of"] == str(LATER)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "unknown customer 'nobody'"),
        (["c01"], "did you mean"),
        (["c001", "--as-of", "2026-03-11"], "no decision about 'c001' on 2026-03-11"),
        ([""], "unknown customer ''"),
        (["[bold]c001"], "unknown customer"),
    ],
)
def test_a_question_about_nobody_says_whom_one_could_ask_about(shop, arguments, said):
    assert said in shop.do("--json", "explain", *arguments, code=2).data["error"]


def test_tables_come_as_csv_or_json(shop):
    rows = shop.decisions().decode().splitlines()
    assert rows[0] == (
        "customer_id,as_of,programme,segment,behaviour,silence_days,threshold_days,return_probability,step,channel,"
        "arm,action,reason,policy_hash"
    )
    assert len(rows) == 91
    assert [row.split(",")[0] for row in rows[1:]] == sorted(row.split(",")[0] for row in rows[1:])
    assert list(shop.messages()[0]) == [
        *("message_id", "customer_id", "programme", "cycle", "step", "channel", "state", "attempts"),
        *("provider", "provider_id", "planned_at", "accepted_at", "last_error", "reason", "not_before_at"),
    ]
    assert shop.messages("--state", "rejected") == []
    assert shop.do("messages", "--state", "rejected").out.decode().startswith("message_id,")
    assert "did you mean" in shop.do("--json", "messages", "--state", "acepted", code=2).data["error"]
    assert "the latest nights are" in shop.do("--json", "decisions", "--as-of", "2026-03-11", code=2).data["error"]
