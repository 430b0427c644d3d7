"""No means no, at once and for good: opt-outs between plan and delivery, the red button, the right to be forgotten."""

from datetime import UTC, datetime, timedelta

import databases
import pyarrow.parquet as pq
import pytest
from night_world import DAY, Shop, event, policy
from sqlalchemy import select

from winback.ledger.control_tables import audit
from winback.ledger.message_tables import messages
from winback.night.deliver import deliver
from winback.night.run import run

BEFORE_DAWN = datetime(2026, 3, 10, 3, 30, tzinfo=UTC)  # 04:30 in Paris: nobody gets a text now
NOON = BEFORE_DAWN + timedelta(hours=8)
TEXTS = policy()["ladder"]["steps"][1] | {"day": 30, "channels": ["sms"]}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory) -> Shop:
    """A shop whose night is planned before dawn; its texts wait for the morning."""
    shop = Shop(tmp_path_factory.mktemp("waiting") / "shop")
    threshold = policy()["threshold"] | {"ceiling_days": 40}
    shop.policies(winback={"ladder": {"steps": [TEXTS]}, "hold_out": {"share": 0}, "threshold": threshold})
    shop.configure(hold_out={"global_share": 0})
    report = run(shop.project, as_of=DAY, now=BEFORE_DAWN)
    assert report["messages"]["planned"] > 6
    assert "accepted" not in report["messages"]
    return shop


@pytest.fixture
def shop(waiting, tmp_path) -> Shop:
    return waiting.copy(tmp_path / "shop")


def due(shop, now=NOON) -> dict[str, int]:
    with shop.open_ledger() as (ledger, _):
        return deliver(shop.project, ledger, now=now)


def states(shop) -> dict[str, str]:
    return {one["customer_id"]: one["state"] for one in shop.messages()}


def phone_of(shop, customer: str) -> str:
    lines = (shop.root / "contacts.csv").read_text().splitlines()
    return next(line.split(",")[2] for line in lines if line.startswith(f"{customer},"))


def test_what_waits_for_the_morning_is_sent_in_the_morning(shop):
    planned = states(shop)
    assert due(shop, BEFORE_DAWN + timedelta(hours=1)) == {}
    assert due(shop) == {"accepted": len(planned)}
    assert set(states(shop).values()) == {"accepted"}


def test_who_says_stop_between_plan_and_delivery_gets_nothing(shop):
    by_id, by_phone, by_consent, other_channel, *rest = states(shop)
    shop.do("suppress", by_id)
    shop.do("suppress", phone_of(shop, by_phone), "--channel", "sms")
    shop.do("suppress", other_channel, "--channel", "email", "--reason", "complained")
    shop.add("consents.csv", f"{by_consent},sms,marketing,withdrawn,,{DAY}T05:00:00Z,form,v1")
    shop.do("sync", "--as-of", DAY)
    counts = due(shop)
    after = states(shop)
    assert {after[one] for one in (by_id, by_phone, by_consent)} == {"suppressed"}
    assert {after[one] for one in (other_channel, *rest)} == {"accepted"}
    assert counts == {"refused": 3, "accepted": len(rest) + 1}
    # They stay out on the nights to come, whatever else is due.
    later = DAY + timedelta(days=100)
    shop.freshen(later)
    shop.add("orders.csv", *(event(one, 50, 500, day=later) for one in (by_id, by_phone, by_consent)))
    shop.night(later, code=None)
    decided = shop.decided(later)
    assert [decided[one]["reason"] for one in (by_id, by_phone, by_consent)] == ["returned"] * 3
    last = later + timedelta(days=1)
    shop.freshen(last)
    shop.night(last, code=None)
    decided = shop.decided(last)
    assert [decided[one]["reason"] for one in (by_id, by_phone, by_consent)] == [
        "opted_out",
        "opted_out",
        "consent_withdrawn",
    ]


def test_an_opt_out_says_whether_it_was_new_and_never_who(shop):
    person = next(iter(states(shop)))
    first = shop.do("--json", "suppress", person).data
    again = shop.do("--json", "suppress", person)
    assert first["new"] > 0
    assert again.data["new"] == 0
    assert "already" in shop.do("suppress", person).err
    with shop.open_ledger() as (ledger, diary), ledger.reading() as connection:
        told = " ".join(map(str, connection.execute(select(audit)).all()))
        assert person not in told
        assert phone_of(shop, person) not in told
    assert [line.action for line in diary].count("suppress") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "unknown customer 'nobody'"),
        (["c01"], "did you mean"),
        (["no body@mail.example"], "no e-mail address"),
        (["@"], "no e-mail address"),
        (["+33"], "no phone number"),
        (["+999999999999999999999"], "no phone number"),
        ([""], "customer"),
        (["c001", "--reason", "opted_otu"], "did you mean 'opted_out'"),
        (["c001", "--channel", "pigeon"], "--channel"),
    ],
)
def test_an_opt_out_of_nobody_is_a_mistake(shop, arguments, said):
    refused = shop.do("--json", "suppress", *arguments, code=2).data
    assert said in refused["error"]
    assert states(shop) == dict.fromkeys(states(shop), "planned")


def test_the_red_button_stops_and_releasing_it_lets_the_night_go_on(shop):
    planned = len(states(shop))
    assert shop.do("--json", "stop", "--reason", "a test").data == {"stopped": True, "changed": True}
    assert shop.do("--json", "stop").data["changed"] is False
    refused = shop.do("--json", "deliver", code=4).data
    assert "winback resume" in refused["error"]
    assert set(states(shop).values()) == {"planned"}
    assert "red button" in [one["name"] for one in shop.do("--json", "doctor", code=1).data["checks"] if not one["ok"]]
    with shop.open_ledger() as (_, diary):
        assert [(line.action, "a test" in (line.after or "")) for line in diary] == [("stop", True)]
    assert shop.do("--json", "resume", "--reason", "it was a test").data == {"stopped": False, "changed": True}
    assert due(shop) == {"accepted": planned}


def test_a_night_under_the_red_button_is_caught_up_when_it_is_released(tmp_path):
    """The button is no input a plan may forget: the same night, run again without it, is another plan."""
    shop = Shop(tmp_path / "shop")
    shop.do("stop")
    stopped = shop.night(code=4)
    assert stopped["new_messages"] == 0
    assert stopped["reasons"]["stopped"] > 10
    assert [held["name"] for held in stopped["held"]] == ["stop"]
    shop.do("resume", "--reason", "over")
    released = shop.night()
    assert released["new_messages"] == released["decisions"]["send"] > 10
    assert "stopped" not in released["reasons"]
    assert {one["reason"] for one in shop.decided().values()} == set(released["reasons"])


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_nothing_of_a_forgotten_person_is_left_and_nothing_comes_back(tmp_path, backend, request):
    environment = {}
    if backend == "postgresql":
        environment["WINBACK_DATABASE_URL"] = url = request.getfixturevalue("postgres_shared")
        databases.empty(url)
    shop = Shop(tmp_path / "shop", environment=environment)
    plant(shop)
    shop.night()
    assert shop.decided()["planted-id"]["action"] == "send"
    assert found(shop) == set(STRINGS)

    gone = shop.do("--json", "forget", "planted-id").data["erased"]

    assert (gone["contacts"], gone["consents"], gone["outbox"]) == (1, 1, 1)
    assert gone["events"] == 9
    assert found(shop) == set()
    assert shop.do("--json", "explain", "planted-id", code=2)
    again = shop.do("--json", "forget", "planted-id").data["erased"]
    assert not any(again.values())
    assert "unknown customer" in shop.do("--json", "forget", "nobody-ever", code=2).data["error"]

    # The feeds still hold the person. Another night, and one that has to read everything anew, let nothing in.
    later = DAY + timedelta(days=10)
    shop.freshen(later)
    shop.night(later)
    shop.config["sources"]["events"][0]["columns"] = {"amount": "amount"}
    shop.configure()
    shop.add("contacts.csv", "planted-twin,Planted@Mail.example,,Planted Name,Lee,fr,FR,,planted shop")
    shop.add("consents.csv", "planted-twin,email,marketing,granted,express,2026-01-05T10:00:00Z,form,v1")
    shop.add("orders.csv", *(event("planted-twin", 60 + 6 * k, k) for k in range(8)))
    shop.night(later)
    assert "planted-id" not in shop.decided(later)
    assert shop.decided(later)["planted-twin"]["reason"] == "erased"
    assert found(shop) <= {b"planted-twin", b"planted@mail.example", b"planted name", b"planted shop"}
    assert b"planted-id" not in found(shop)


STRINGS = (
    b"planted-id",
    b"planted@mail.example",
    b"planted name",
    b"planted shop",
    b"612340666",
    b"planted wording",
    b"planted-order",
)


def plant(shop) -> None:
    shop.add("contacts.csv", "planted-id,Planted@Mail.example,+33612340666,Planted Name,Lee,fr,FR,,planted shop")
    shop.add("consents.csv", "planted-id,email,marketing,granted,express,2024-01-05T10:00:00Z,form,planted wording")
    orders = [event("planted-id", 60 + 6 * k, k).replace("planted-id-", "planted-order-") for k in range(9)]
    shop.add("orders.csv", *orders, "planted-id,never,planted-order-bad,1")
    shop.policies(winback={"hold_out": {"share": 0}})
    shop.configure(hold_out={"global_share": 0})


def found(shop) -> set[bytes]:
    """Return which planted strings are anywhere in the project's state, compressed or not."""
    texts = [file.read_bytes() for file in (shop.root / "var").rglob("*") if file.is_file()]
    with shop.open_ledger() as (opened, _), opened.reading() as connection:
        tables = messages.metadata.sorted_tables
        texts += [repr(connection.execute(select(table)).all()).encode() for table in tables]
    texts += [str(file).encode() for file in (shop.root / "var").rglob("*")]
    texts += columns_in(shop)
    return {string for string in STRINGS if any(string in text.lower() for text in texts)}


def columns_in(shop) -> list[bytes]:
    """Return the content of every Parquet file, which hides its texts by compressing them."""
    found = [pq.read_table(file).to_pylist() for file in (shop.root / "var").rglob("*.parquet")]
    return [repr(rows).encode() for rows in found]


def test_forgetting_waits_for_a_night_that_is_running(shop):
    person = next(iter(states(shop)))
    with shop.open_ledger() as (ledger, _), ledger.lock("night"):
        refused = shop.do("--json", "forget", person, code=1).data
    assert "another winback" in refused["error"]
    assert states(shop)[person] == "planned"


def test_a_forgotten_persons_waiting_message_is_not_sent(shop):
    person, *rest = states(shop)
    shop.do("forget", person)
    assert due(shop) == {"accepted": len(rest)}
    assert person not in states(shop)
