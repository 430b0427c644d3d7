"""`winback doctor` names each thing a night would stumble over, and what to do about it."""

from datetime import timedelta

import pytest
from night_world import DAY, Shop, moment
from sqlalchemy import update

from winback.ledger.message_tables import messages
from winback.night.diagnose import diagnose


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("made") / "shop", customers=30)
    shop.night()
    return shop


@pytest.fixture
def shop(made, tmp_path, monkeypatch) -> Shop:
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made.copy(tmp_path / "shop")


def amiss(shop, day=DAY) -> dict[str, str]:
    return {one.name: one.detail for one in diagnose(shop.root, now=moment(day)) if not one.ok}


def test_a_sound_project_has_nothing_amiss(shop):
    assert amiss(shop) == {}
    assert amiss(shop, DAY + timedelta(days=1)) == {}


def open_to_all(shop):
    (shop.root / "var").chmod(0o755)


def lose_source(shop):
    (shop.root / "orders.csv").unlink()


def press(shop):
    shop.do("stop", "--reason", "a test")


def lose_track(shop):
    with shop.open_ledger() as (ledger, _), ledger.writing() as connection:
        connection.execute(update(messages).values(state="unknown"))


def forget_channels(shop):
    shop.policies(winback={})
    shop.configure(channels={})


def ask_a_database(shop):
    shop.config["sources"]["events"][0] = {
        "name": "orders",
        "kind": "sql",
        "url_env": "NO_SUCH_URL",
        "query": "select 1",
        "behaviour": "purchase",
    }
    shop.configure()


@pytest.mark.parametrize(
    ("harm", "name", "said"),
    [
        (open_to_all, "state directory", "chmod 700"),
        (lose_source, "sources", "orders: no file orders.csv"),
        (press, "red button", "winback resume"),
        (lose_track, "unknown messages", "winback messages --state unknown"),
        (forget_channels, "channels", "no channel is set up"),
        (ask_a_database, "sources", "NO_SUCH_URL is not set"),
    ],
)
def test_what_is_amiss_is_named_with_what_to_do(shop, harm, name, said):
    harm(shop)
    assert said in amiss(shop)[name]


def test_a_schedule_that_stopped_is_noticed(shop):
    found = amiss(shop, DAY + timedelta(days=2))
    assert found == {"last night": f"the last night was {DAY}, 2 days ago: is the schedule running?"}


def test_a_configuration_at_fault_is_the_only_thing_worth_saying(shop):
    shop.write("winback.yaml", "version: 2\n")
    assert list(amiss(shop)) == ["configuration"]
    assert shop.do("--json", "doctor", code=2).data["ok"] is False
