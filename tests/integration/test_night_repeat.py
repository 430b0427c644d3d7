"""A night run again, in other pieces, in another order, on another database: the same decisions, no second message."""

from datetime import timedelta

import databases
import pytest
from night_world import DAY, Shop, tree

LATER = DAY + timedelta(days=11)


@pytest.fixture
def shop(backend, request, tmp_path) -> Shop:
    """A shop on each of the two databases."""
    environment = {}
    if backend == "postgresql":
        environment["WINBACK_DATABASE_URL"] = request.getfixturevalue("postgres_shared")
        databases.empty(environment["WINBACK_DATABASE_URL"])
    return Shop(tmp_path / "shop", environment=environment)


def test_a_second_run_adds_no_message_and_names_the_same_plan(shop):
    first = shop.night()
    decisions, messages = shop.decisions(), shop.messages()
    assert first["new_messages"] == first["decisions"]["send"] == len(messages) > 10
    assert {message["state"] for message in messages} == {"accepted"}

    second = shop.night()

    assert second["new_messages"] == 0
    assert second["plan_hash"] == first["plan_hash"]
    assert second["messages"] == first["messages"] == {"accepted": len(messages)}
    assert shop.decisions() == decisions
    assert shop.messages() == messages
    assert shop.do("--json", "deliver").data == {"messages": {}}


def test_every_contact_gets_one_decision_and_every_send_one_message(shop):
    two_nights(shop)
    for day in (DAY, LATER):
        decided = shop.decided(day)
        assert len(decided) == 90
        sent = {
            (one["customer_id"], one["programme"], one["step"], one["channel"])
            for one in decided.values()
            if one["action"] == "send"
        }
        queued = [
            (one["customer_id"], one["programme"], one["step"], one["channel"]) for one in shop.messages("--as-of", day)
        ]
        assert len(queued) == len(set(queued)) == len(sent)
        assert set(queued) == sent
    steps = {(one["customer_id"], one["programme"], one["cycle"], one["step"]) for one in shop.messages()}
    assert len(steps) == len(shop.messages())
    assert {one["step"] for one in shop.messages("--as-of", LATER)} >= {1, 2}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict:
    """What two nights in one piece decide, on SQLite."""
    shop = Shop(tmp_path_factory.mktemp("undisturbed") / "shop")
    return told(shop, two_nights(shop))


def two_nights(shop, shards=1, later_shards=1) -> list[dict]:
    first = shop.night(DAY, "--shards", shards)
    shop.freshen(LATER)
    return [first, shop.night(LATER, "--shards", later_shards)]


def told(shop, reports) -> dict:
    """Return everything of some nights that must not depend on how they were run."""
    return {
        "plans": [report["plan_hash"] for report in reports],
        "decisions": [shop.decisions(day) for day in (DAY, LATER)],
        "messages": [{name: one[name] for name in one if name != "accepted_at"} for one in shop.messages()],
    }


@pytest.mark.parametrize(("shards", "later_shards", "seed"), [(3, 8, 1), (8, 1, 2)])
def test_shards_and_the_order_of_the_feeds_change_nothing(tmp_path, undisturbed, shards, later_shards, seed):
    shop = Shop(tmp_path / "shop")
    shop.shuffle_feeds(seed)
    assert told(shop, two_nights(shop, shards, later_shards)) == undisturbed


@pytest.mark.postgres
@pytest.mark.parametrize(("shards", "later_shards"), [(1, 1), (7, 4)])
def test_postgresql_decides_like_sqlite_to_the_byte(tmp_path, undisturbed, postgres_shared, shards, later_shards):
    """Its shards are written side by side."""
    databases.empty(postgres_shared)
    shop = Shop(tmp_path / "shop", environment={"WINBACK_DATABASE_URL": postgres_shared})
    assert told(shop, two_nights(shop, shards, later_shards)) == undisturbed


def test_a_plan_writes_nothing_but_its_file(shop):
    shop.do("sync", "--as-of", DAY)
    before = tree(shop.root)
    plan = shop.do("--json", "plan", "--as-of", DAY, "--out", shop.root / "plan.json").data
    after = tree(shop.root)
    assert after.pop("plan.json")
    # The sidecars of an open SQLite database come and go; the database itself stays as it is.
    assert without_sidecars(after) == without_sidecars(before)
    assert shop.messages() == []
    assert shop.do("decisions", "--as-of", DAY, code=2)
    assert plan["decisions"]["send"] > 10
    assert shop.night()["plan_hash"] == plan["plan_hash"]


def without_sidecars(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if not name.endswith(("-wal", "-shm"))}


def test_people_come_back_and_their_cycle_ends(tmp_path):
    shop = Shop(tmp_path / "shop")
    shop.night()
    written_to = sorted(one["customer_id"] for one in shop.messages() if one["programme"] == "winback")
    shop.add("orders.csv", f"{written_to[0]},{LATER - timedelta(days=3)}T08:00:00Z,back,20")
    shop.freshen(LATER)
    shop.night(LATER)
    decided = shop.decided(LATER)
    assert decided[written_to[0]]["reason"] == "returned"
    # Whoever came only once has had the one message there is; everybody else is on the second rung.
    walking = [one for one in written_to[1:] if decided[one]["reason"] != "ladder_done"]
    assert len(walking) > len(written_to) / 2
    assert {decided[one]["step"] for one in walking} == {2}
