"""The simulated shop on disk, day after day: feeds only grow, and the same days give the same files."""

import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winback.errors import UsageError
from winback.sample import planted
from winback.sample.scaffold import scaffold
from winback.sample.shop import play
from winback.sample.shop_feeds import EVENT_FEEDS
from winback.sample.shop_memory import FOLDER, UNFINISHED, read_truth

ENDS_ON = date(2026, 11, 20)
CSV_FEEDS = ("contacts", "consents", "orders", "scans", "engagement", "machine_opens")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shop") / "project"
    scaffold(root, customers=1500, ends_on=ENDS_ON, seed=7)
    return root


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def day(number: int) -> date:
    return ENDS_ON + timedelta(days=number)


def feeds(root: Path) -> dict[str, bytes]:
    files = [*(root / f"{name}.csv" for name in CSV_FEEDS), *sorted((root / "visits").glob("*.parquet"))]
    return {file.name: file.read_bytes() for file in files}


def digest(root: Path) -> str:
    memory = {str(file.relative_to(root)): file.read_bytes() for file in sorted((root / FOLDER).rglob("*.*"))}
    together = sorted({**feeds(root), **memory}.items())
    return hashlib.sha256(b"".join(name.encode() + content for name, content in together)).hexdigest()


def everybody_stopped(root: Path, *, step: int, on: date, programme: str = "grocery") -> list[tuple[object, ...]]:
    lives = read_truth(root).lives
    gone = lives[lives["stopped_on"].notna() & (lives["programme"] == programme)]
    return [(name, step, "email", on, programme) for name in gone["customer_id"]]


def purchases(root: Path) -> pd.DataFrame:
    orders = pd.read_csv(root / "orders.csv", on_bad_lines="skip", dtype="str")
    orders["day"] = pd.to_datetime(orders["ordered_at"], errors="coerce", utc=True, format="mixed").dt.tz_convert(None)
    return orders.dropna(subset=["day", "customer"]).assign(day=lambda rows: rows["day"].dt.normalize())


def test_feeds_only_grow(shop: Path) -> None:
    before = feeds(shop)
    played = play(shop, day=day(3))
    after = feeds(shop)
    assert played.day == day(3)
    assert played.events > 0
    assert all(after[name].startswith(content) for name, content in before.items())
    assert {f"{day(number)}.parquet" for number in (1, 2, 3)} <= set(after)


def test_days_one_by_one_or_at_once_are_the_same(shop: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    messages = [*everybody_stopped(shop, step=1, on=day(1)), *everybody_stopped(shop, step=3, on=day(4))]
    for number in range(1, 7):
        play(shop, day=day(number), messages=messages)
    play(other, day=day(6), messages=messages[::-1])
    assert digest(shop) == digest(other)


def test_the_same_seed_makes_the_same_shop_and_another_another(shop: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 7), ("other", 8)):
        scaffold(tmp_path / name, customers=1500, ends_on=ENDS_ON, seed=seed)
    assert digest(tmp_path / "same") == digest(shop)
    assert digest(tmp_path / "other") != digest(shop)


def test_a_day_that_was_played_is_not_played_again(shop: Path) -> None:
    play(shop, day=day(2))
    before = digest(shop)
    again = play(shop, day=day(2), messages=everybody_stopped(shop, step=3, on=day(2)))
    assert digest(shop) == before
    assert (again.day, again.events, again.messages) == (day(2), 0, 0)
    assert play(shop, day=day(1)).day == day(2)


def test_a_play_that_was_cut_short_is_undone_by_the_next(shop: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(shop, tmp_path / "whole"))
    play(whole, day=day(2))
    # What a killed play leaves: its note, longer feeds, a new file, and half a memory.
    sizes = {file: len(content) for file, content in feeds(shop).items()}
    sizes = {(f"visits/{name}" if name.endswith("parquet") else name): size for name, size in sizes.items()}
    (shop / FOLDER / UNFINISHED).write_text(json.dumps({"day": str(ENDS_ON), "sizes": sizes}), encoding="utf-8")
    with (shop / "orders.csv").open("a", encoding="utf-8") as orders:
        orders.write("half a li")
    (shop / "visits" / f"{day(1)}.parquet").write_bytes(b"half")
    play(shop, day=day(2))
    assert digest(shop) == digest(whole)


def test_a_play_killed_after_its_memory_was_stored_counts_as_played(shop: Path, tmp_path: Path) -> None:
    before = {name: len(content) for name, content in feeds(shop).items() if name.endswith("csv")}
    play(shop, day=day(1))
    whole = Path(shutil.copytree(shop, tmp_path / "whole"))
    (shop / FOLDER / UNFINISHED).write_text(json.dumps({"day": str(ENDS_ON), "sizes": before}), encoding="utf-8")
    play(shop, day=day(1))
    assert digest(shop) == digest(whole)


def test_without_messages_nobody_returns_who_has_stopped(shop: Path) -> None:
    gone = {name for name, *_ in everybody_stopped(shop, step=1, on=day(1))}
    play(shop, day=day(40))
    orders = purchases(shop)
    # A broken row may lie years ahead.
    is_later = orders["day"].between(pd.Timestamp(day(1)), pd.Timestamp(day(40)))
    later = orders[is_later & (orders["kind"] == "purchase")]
    assert len(later) > 300
    assert not gone & set(later["customer"])


def test_messages_bring_back_the_planted_share_and_the_truth_says_whom(shop: Path) -> None:
    messages = everybody_stopped(shop, step=3, on=day(1))
    played = play(shop, day=day(1), messages=messages)
    expected = planted.RETURN_BY_STEP[2]
    spread = (expected * (1 - expected) / len(messages)) ** 0.5
    assert played.messages == len(messages)
    assert played.brought_back / played.messages == pytest.approx(expected, abs=4 * spread)
    play(shop, day=day(1 + planted.RETURN_WITHIN_DAYS), messages=messages)
    truth = read_truth(shop)
    returns = truth.reactions.dropna(subset="returns_on")
    assert len(truth.reactions) == len(messages)
    assert len(returns) == played.brought_back
    orders = purchases(shop)
    seen = set(zip(orders["customer"], orders["day"], strict=True))
    assert {(row.customer_id, row.returns_on) for row in returns.itertuples()} <= seen
    assert truth.reactions["planted_probability"].sum() == pytest.approx(expected * len(messages))


def test_messages_of_days_played_before_are_left_out(shop: Path) -> None:
    messages = everybody_stopped(shop, step=3, on=day(1))
    play(shop, day=day(1), messages=messages)
    assert play(shop, day=day(3), messages=messages).messages == 0
    assert play(shop, day=day(4), messages=[(messages[0][0], 3, "email", day(9), "grocery")]).messages == 0


def test_who_says_stop_is_found_in_the_consents(shop: Path) -> None:
    lives = read_truth(shop).lives["customer_id"].drop_duplicates()
    play(shop, day=day(1), messages=[(name, 1, "sms", day(1), "grocery") for name in lives])
    reactions = read_truth(shop).reactions
    out = set(reactions.loc[reactions["opted_out"], "customer_id"])
    consents = pd.read_csv(shop / "consents.csv", on_bad_lines="skip", dtype="str")
    fresh = consents[consents["recorded_at"].str.startswith(str(day(1))) & (consents["status"] == "withdrawn")]
    assert 5 < len(out) < 40
    assert out == set(fresh["customer_id"])
    assert set(fresh["channel"]) == {"sms"}


def test_mails_are_opened_by_machines_in_a_feed_nobody_counts(shop: Path) -> None:
    messages = everybody_stopped(shop, step=1, on=day(1), programme="marketplace")
    play(shop, day=day(1), messages=messages)
    opens = pd.read_csv(shop / "machine_opens.csv", on_bad_lines="skip", dtype="str")
    today = opens[opens["at"].str.startswith(str(day(1)))]
    opened = read_truth(shop).reactions["machine_opened"]
    assert set(read_truth(shop).reactions.loc[opened, "customer_id"]) <= set(today["customer_id"])
    assert 0.3 < opened.mean() < 0.5


def test_newcomers_have_contacts_and_come_on_their_first_day(shop: Path) -> None:
    played = play(shop, day=day(10))
    contacts = pd.read_csv(shop / "contacts.csv", on_bad_lines="skip", dtype="str")
    numbers = contacts["id"].dropna().str[1:].astype(int)
    assert 5 < played.newcomers < 40
    assert numbers.max() == 1500 + played.newcomers
    lives = read_truth(shop).lives
    assert (lives["joined_on"] > pd.Timestamp(ENDS_ON)).sum() >= played.newcomers


@pytest.mark.parametrize("customers", [1, 40])
def test_no_feed_of_a_small_shop_goes_stale(tmp_path: Path, customers: int) -> None:
    root = tmp_path / "small"
    scaffold(root, customers=customers, ends_on=ENDS_ON)
    play(root, day=day(2))
    days = {str(day(number)) for number in range(3)}
    for feed in EVENT_FEEDS:
        if feed == "visits":
            stored = pd.read_parquet(root / "visits")["occurred_at"].astype("str").str[:10]
        else:
            text = (root / f"{feed}.csv").read_text(encoding="utf-8")
            stored = pd.Series(text.splitlines()).str.extract(r"(\d{4}-\d\d-\d\d)")[0]
        assert days <= set(stored.dropna()), feed


def test_times_fall_on_the_business_day_in_summer_and_winter(shop: Path) -> None:
    visits = pd.read_parquet(shop / "visits")["occurred_at"].dt.tz_localize("UTC").dt.tz_convert("Europe/Paris")
    assert visits.dt.hour.between(7, 21).all()
    assert np.isin([1, 7], visits.dt.month.unique()).all()


@pytest.mark.parametrize("make", [lambda root: scaffold(root, customers=0, ends_on=ENDS_ON), lambda root: root.mkdir()])
def test_a_directory_without_a_shop_cannot_be_played(tmp_path: Path, make) -> None:
    make(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no simulated shop"):
        play(tmp_path / "none", day=day(1))
