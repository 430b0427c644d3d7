"""When a night holds back: strange sources, far more sends than usual, too many sunsets, a backlog of old silences."""

from collections import Counter
from datetime import timedelta

import pytest
from night_world import CONSENTS, CONTACTS, DAY, EVENTS, Shop, event, policy

from winback.ledger.message_tables import messages

WINBACK, READERS_ONLY = {"winback"}, {"readers"}
NEXT, LATER = DAY + timedelta(days=1), DAY + timedelta(days=11)


@pytest.fixture(scope="module")
def first_night(tmp_path_factory) -> Shop:
    """A shop after its first night, with feeds that are fresh enough for a night on which second steps are due."""
    shop = Shop(tmp_path_factory.mktemp("first") / "shop")
    shop.night()
    shop.freshen(LATER)
    for number in range(5):
        one = f"v{number}"
        shop.add("contacts.csv", f"{one},{one}@mail.example,,Vic,Lee,fr,FR,,shop")
        shop.add("consents.csv", f"{one},email,marketing,granted,express,2024-01-05T10:00:00Z,form,v1")
        shop.add("visits.csv", *(event(one, 60 + 6 * k, k, day=LATER) for k in range(8)))
    return shop


@pytest.fixture
def shop(first_night, tmp_path) -> Shop:
    return first_night.copy(tmp_path / "shop")


def programmes(decided: dict[str, dict], reason: str) -> set[str]:
    return {one["programme"] for one in decided.values() if one["reason"] == reason}


def stop_feed(shop):
    """Nobody orders any more after the first night."""
    lines = (shop.root / "orders.csv").read_text().splitlines(keepends=True)
    shop.write("orders.csv", "".join(line for line in lines if f"fresh-{LATER}" not in line))


def empty_feed(shop):
    shop.write("orders.csv", EVENTS)


def cut_feed(shop):
    shop.write("orders.csv", EVENTS + event("c000", 1, 777, day=LATER))


def double_feed(shop):
    lines = [event(f"x{number}", 2 + number % 300, number) for number in range(3000)]
    shop.add("orders.csv", *lines)


def spoil_rows(shop):
    shop.add("orders.csv", *(f"c000,never,bad{number},1" for number in range(60)))


HELD = [
    (stop_feed, "stale"),
    (empty_feed, "empty"),
    (cut_feed, "volume"),
    (double_feed, "volume"),
    (spoil_rows, "quarantine"),
]


@pytest.mark.parametrize(("spoil", "kind"), HELD, ids=[f"{spoil.__name__}" for spoil, _ in HELD])
def test_a_strange_source_holds_what_depends_on_it_and_nothing_else(shop, spoil, kind):
    spoil(shop)
    report = shop.night(LATER, code=4)
    assert [(held["name"], held["kind"]) for held in report["held"]] == [("orders", kind)]
    decided = shop.decided(LATER)
    assert programmes(decided, "source_held") == WINBACK
    assert programmes(decided, "due") == READERS_ONLY
    assert not {one["programme"] for one in shop.messages("--as-of", LATER)} & WINBACK
    sync = shop.do("--json", "sync", "--as-of", LATER, code=4).data
    assert [source["name"] for source in sync["sources"] if source["held"]] == ["orders"]

    # The line that the message prints is the line that works, and it is remembered who said so.
    detail = report["held"][0]["detail"]
    option = detail[detail.index("--accept") :].split()
    assert shop.do("--json", "run", "--as-of", LATER, "--allow-backdated", *option).data["held"] == []
    with shop.open_ledger() as (_, diary):
        lines = [line for line in diary if line.action == "override"]
    assert [(line.subject, line.actor.startswith("cli:")) for line in lines] == [("orders", True)]
    assert f"{kind}:orders:{LATER}" in lines[0].after
    assert "source_held" not in {one["reason"] for one in shop.decided(LATER).values()}
    # Once said, it holds for the rest of that night without saying it again.
    assert shop.night(LATER)["held"] == []


def rename_column(shop):
    shop.write("orders.csv", (shop.root / "orders.csv").read_text().replace("occurred_at", "ocurred_at", 1))


def lose_file(shop):
    (shop.root / "orders.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [(rename_column, "malformed", "occurred_at"), (lose_file, "unavailable", "orders.csv")],
)
def test_a_source_that_cannot_be_read_holds_and_cannot_be_waved_through(shop, spoil, kind, said):
    spoil(shop)
    report = shop.night(LATER, code=4)
    assert [(held["name"], held["kind"]) for held in report["held"]] == [("orders", kind)]
    assert said in report["held"][0]["detail"]
    assert "--accept" not in report["held"][0]["detail"]
    refused = shop.do("--json", "run", "--as-of", LATER, "--accept", f"{kind}:orders:{LATER}", code=2).data
    assert "expected" in refused["error"]
    assert programmes(shop.decided(LATER), "source_held") == WINBACK


def test_two_words_are_both_remembered_for_the_night(shop):
    stop_feed(shop)
    double_feed(shop)
    assert shop.night(LATER, code=4)["held"][0]["kind"] == "volume"
    words = ["--accept-volume", f"orders:{LATER}"]
    assert shop.night(LATER, *words, code=4)["held"][0]["kind"] == "stale"
    assert shop.night(LATER, "--accept", f"stale:orders:{LATER}")["held"] == []
    assert shop.night(LATER)["held"] == []


@pytest.mark.parametrize("name", ["contacts.csv", "consents.csv"])
def test_without_people_or_consents_nobody_is_written_to(shop, name):
    shop.write(name, {"contacts.csv": CONTACTS, "consents.csv": CONSENTS}[name])
    report = shop.night(LATER, code=4)
    assert report["held"][0]["kind"] == "empty"
    assert report["decisions"].get("send", 0) == 0
    assert report["contacts"] == {"contacts.csv": 90, "consents.csv": 95}[name]


@pytest.mark.parametrize(
    "word",
    [
        "volume:orders:2026-03-09",
        "volume:order:{day}",
        "volumes:orders:{day}",
        "volume",
        "growth:2026-03-09",
        "growth",
        "",
    ],
)
def test_what_is_accepted_must_name_tonight_and_a_source(shop, word):
    refused = shop.do("--json", "run", "--as-of", LATER, "--accept", word.format(day=LATER), code=2).data
    assert "--accept" in refused["error"]
    with shop.open_ledger() as (_, diary):
        assert not [line for line in diary if line.action == "override"]


def crowd(root, *, gone: int, days_ago: int = 60, **changes) -> Shop:
    """A shop in which some have stopped coming at the same time, and some have not."""
    shop = Shop(root, customers=1)
    contacts = [f"g{n:03d},g{n}@mail.example,,Gus,Lee,fr,FR,,shop" for n in range(gone)]
    orders = [event(f"g{n:03d}", days_ago + 6 * k, k) for n in range(gone) for k in range(8)]
    contacts += [f"r{n:03d},r{n}@mail.example,,Rae,Lee,fr,FR,,shop" for n in range(20)]
    orders += [event(f"r{n:03d}", 1 + 6 * k, k) for n in range(20) for k in range(8)]
    ids = [line.split(",")[0] for line in contacts]
    shop.write("contacts.csv", CONTACTS + "\n".join(contacts) + "\n")
    consents = (f"{one},email,marketing,granted,express,2024-01-05T10:00:00Z,form,v1" for one in ids)
    shop.write("consents.csv", CONSENTS + "\n".join(consents) + "\n")
    shop.write("orders.csv", EVENTS + "\n".join([*orders, event("r000", 730, 99)]) + "\n")
    shop.write("visits.csv", EVENTS)
    shop.configure(
        hold_out={"global_share": 0},
        sources=shop.config["sources"] | {"events": [shop.config["sources"]["events"][0]]},
    )
    shop.policies(winback={"hold_out": {"share": 0}, **changes})
    return shop


def test_old_silences_are_let_in_slowly_and_the_latest_first(tmp_path):
    shop = crowd(tmp_path / "shop", gone=40, backlog={"first_night": 12, "per_night": 7, "oldest_days": 365})
    shop.add("orders.csv", *(event(f"g{n:03d}", 50, 50) for n in range(5)))
    first = shop.night()
    assert first["decisions"]["send"] == 12
    assert first["reasons"]["backlog_ramp"] == 28
    let_in = {one["customer_id"] for one in shop.messages()}
    assert {f"g{n:03d}" for n in range(5)} <= let_in
    for night in range(1, 6):
        day = DAY + timedelta(days=night)
        shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh-{night},1")
        report = shop.night(day)
        expected = min(7, 40 - len(let_in))
        assert report["steps"].get("winback 1", 0) == expected
        let_in |= {one["customer_id"] for one in shop.messages("--as-of", day) if one["step"] == 1}
    assert len(let_in) == 40


def test_a_first_night_may_let_in_nobody(tmp_path):
    shop = crowd(tmp_path / "shop", gone=10, backlog={"first_night": 0, "per_night": 0, "oldest_days": 365})
    assert shop.night()["decisions"].get("send", 0) == 0


def test_far_more_sends_than_usual_wait_for_a_person(tmp_path):
    shop = crowd(tmp_path / "shop", gone=0)
    for night in range(3):
        day = DAY + timedelta(days=night)
        shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh-{night},1")
        assert shop.night(day)["decisions"].get("send", 0) == 0
    day = DAY + timedelta(days=3)
    more = [f"n{n:03d},n{n}@mail.example,,Nan,Lee,fr,FR,,shop" for n in range(120)]
    shop.add("contacts.csv", *more)
    shop.add(
        "consents.csv", *(f"n{n:03d},email,marketing,granted,express,2024-01-05T10:00:00Z,form,v1" for n in range(120))
    )
    shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh-3,1")
    shop.add("orders.csv", *(event(f"n{n:03d}", 60 + 6 * k, k) for n in range(120) for k in range(8)))
    shop.configure(guards={"volume": [0.02, 50.0]})

    report = shop.night(day, code=4)
    assert report["reasons"]["segment_growth"] == 120
    assert report["decisions"].get("send", 0) == 0
    assert shop.messages() == []
    detail = report["held"][0]["detail"]
    assert "120 new ladders, but the last 3 nights had a median of 0" in detail
    option = detail[detail.index("--accept") :].split()
    assert shop.do("--json", "run", "--as-of", day, "--allow-backdated", *option).data["new_messages"] == 120
    with shop.open_ledger() as (_, diary):
        assert [line.subject for line in diary if line.action == "override"] == [f"growth:{day}"]
    # Run again without the word, the night is held once more, and what was sent stays sent once.
    assert shop.night(day, code=4)["new_messages"] == 0
    assert len(shop.messages()) == 120


def test_the_first_crowd_may_take_its_later_steps_together(tmp_path):
    shop = crowd(tmp_path / "shop", gone=130)
    first = shop.night()["steps"]["winback 1"]
    assert first > 100
    for days in (1, 2, 10):
        day = DAY + timedelta(days=days)
        shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh-{days},1")
        report = shop.night(day)
    assert report["steps"]["winback 2"] == first


def test_a_plan_may_be_accepted_and_then_applied(tmp_path):
    shop = crowd(tmp_path / "shop", gone=130)
    for night in range(3, 0, -1):
        shop.policies(winback={"hold_out": {"share": 0}, "backlog": {"first_night": 0, "per_night": 0}})
        shop.night(DAY - timedelta(days=night), code=None)
    shop.policies(winback={"hold_out": {"share": 0}})
    shop.do("sync", "--as-of", DAY)
    out = shop.root / "plan.json"
    held = shop.do("--json", "plan", "--as-of", DAY, "--out", out).data
    assert held["guards"][0]["ok"] is False
    apply = ["--json", "apply", out, "--allow-backdated"]
    assert shop.do(*apply, code=4).data["new_messages"] == 0
    shop.do("plan", "--as-of", DAY, "--out", out, "--accept", f"growth:{DAY}")
    assert shop.do(*apply).data["new_messages"] == 130


def test_too_many_sunsets_wait_for_a_person(tmp_path):
    one_step = policy()["ladder"] | {"steps": policy()["ladder"]["steps"][:1], "answer_days": 5}
    shop = crowd(tmp_path / "shop", gone=30, ladder=one_step)
    assert shop.night()["decisions"]["send"] == 30
    day = DAY + timedelta(days=6)
    shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh,1")
    report = shop.night(day, code=4)
    assert report["reasons"]["sunset_share"] == 30
    assert "30 of 50 contacts would be sunset, at most 20 a night" in report["held"][0]["detail"]
    option = report["held"][0]["detail"].split("--accept ")[1]
    accepted = shop.night(day, "--accept", option)
    assert accepted["decisions"]["sunset"] == 30
    assert Counter(one["reason"] for one in shop.decided(day).values())["ladder_ended"] == 30
    later = DAY + timedelta(days=7)
    shop.add("orders.csv", f"r000,{later - timedelta(days=1)}T08:00:00Z,fresh-7,1")
    again = shop.night(later)
    assert again["decisions"].get("sunset", 0) == 0
    assert {one["segment"] for one in shop.decided(later).values() if one["customer_id"][0] == "g"} == {"sunset"}


def test_who_got_no_message_is_not_sunset(tmp_path):
    """Bounced, expired, in doubt to the end: nobody has ignored what did not arrive. The others are sunset."""
    one_step = policy()["ladder"] | {"steps": policy()["ladder"]["steps"][:1], "answer_days": 5}
    shop = crowd(tmp_path / "shop", gone=10, ladder=one_step)
    shop.night()
    states = {"g000": "bounced", "g001": "expired", "g002": "abandoned", "g003": "delivered"}
    with shop.open_ledger() as (ledger, _), ledger.writing() as connection:
        for one, state in states.items():
            connection.execute(messages.update().where(messages.c.customer_id == one).values(state=state))
    day = DAY + timedelta(days=6)
    shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh,1")
    for _again in range(2):
        shop.night(day)
        decided = {one: (row["action"], row["reason"]) for one, row in shop.decided(day).items()}
        assert {one: decided[one] for one in states} == {
            **dict.fromkeys(("g000", "g001", "g002"), ("wait", "cycle_ended")),
            "g003": ("sunset", "ladder_ended"),
        }
    told = shop.do("--json", "explain", "g000", "--as-of", day).data
    assert told["steps"][-1]["rule"] == "no message of the ladder arrived"


def test_limits_of_the_night_defer_and_never_skip_a_step(tmp_path):
    shop = crowd(tmp_path / "shop", gone=30)
    shop.configure(limits={"max_sends_per_night": 8})
    first = shop.night()
    assert (first["decisions"]["send"], first["reasons"]["night_limit"]) == (8, 22)
    shop.add("orders.csv", f"r000,{DAY}T08:00:00Z,fresh-1,1")
    second = shop.night(NEXT)
    assert second["steps"] == {"winback 1": 8}
    assert len({one["customer_id"] for one in shop.messages()}) == 16


def test_money_of_the_night_is_not_overspent(tmp_path):
    steps = [policy()["ladder"]["steps"][1] | {"day": 30, "channels": ["sms"]}]
    shop = crowd(tmp_path / "shop", gone=20, ladder={"steps": steps})
    contacts = [f"g{n:03d},,+3361234{n:04d},Gus,Lee,fr,FR,,shop" for n in range(20)]
    shop.write("contacts.csv", CONTACTS + "\n".join(contacts) + "\n")
    shop.write(
        "consents.csv",
        CONSENTS
        + "\n".join(f"g{n:03d},sms,marketing,granted,express,2024-01-05T10:00:00Z,form,v1" for n in range(20))
        + "\n",
    )
    shop.configure(limits={"max_cost_per_night": 0.5})
    report = shop.night()
    assert (report["decisions"]["send"], report["reasons"]["cost_limit"]) == (7, 13)
    assert report["cost"] == pytest.approx(0.49)


def test_after_an_outage_one_step_a_night_and_only_the_present_one(tmp_path):
    """Nights are missed for seven weeks: who was on step 1 gets one message, the one that is due now."""
    shop = crowd(tmp_path / "shop", gone=10)
    assert shop.night()["steps"] == {"winback 1": 10}
    back = DAY + timedelta(days=21)
    for day in range(0, 22, 3):
        seen = DAY + timedelta(days=day)
        shop.add("orders.csv", *(f"r{n:03d},{seen}T08:00:00Z,fresh-{n}-{day},1" for n in range(20)))
    shop.configure(guards={"volume": [0.02, 50.0]})
    shop.night(back)
    shop.night(back + timedelta(days=1))
    sent = Counter((one["as_of"], one["step"]) for one in shop.decided(back).values() if one["action"] == "send")
    assert sum(sent.values()) <= 10
    steps = Counter((one["customer_id"], one["step"]) for one in shop.messages())
    assert max(steps.values()) == 1
    for customer in {one for one, _ in steps}:
        taken = [step for one, step in steps if one == customer]
        assert len(taken) <= 2
    assert not shop.messages("--as-of", back + timedelta(days=1))


def test_the_control_group_stays_the_control_group(tmp_path):
    shop = crowd(tmp_path / "shop", gone=60)
    shop.policies(winback={"hold_out": {"share": 0.5, "salt": "1"}})
    shop.night()
    arms = {one: row["arm"] for one, row in shop.decided().items() if row["arm"]}
    assert set(arms.values()) == {"treated", "control"}
    # Another salt would draw another group; who is on the ladder already keeps the arm.
    shop.policies(winback={"hold_out": {"share": 0.5, "salt": "2"}})
    day = DAY + timedelta(days=10)
    shop.add("orders.csv", f"r000,{day - timedelta(days=1)}T08:00:00Z,fresh,1")
    shop.night(day)
    later = {one: row for one, row in shop.decided(day).items() if one in arms}
    assert {one: row["arm"] for one, row in later.items()} == arms
    assert {row["action"] for one, row in later.items() if arms[one] == "control"} == {"hold_out"}
    assert not {one["customer_id"] for one in shop.messages()} & {one for one, arm in arms.items() if arm == "control"}


def test_shared_addresses_get_one_message_a_night(tmp_path):
    shop = crowd(tmp_path / "shop", gone=10)
    text = (shop.root / "contacts.csv").read_text()
    shop.write(
        "contacts.csv", text.replace("g1@mail.example", "G0@Mail.Example").replace("g2@mail.example", "g0@mail.example")
    )
    report = shop.night()
    assert (report["decisions"]["send"], report["reasons"]["frequency_cap"]) == (8, 2)
