"""A night's sources go in whole or not at all, once, and are held when they look strange."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import UTC, date, datetime, timedelta

import ledger_rows
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sync_world import CONTACTS, DAY, EVENTS, NOW, Shop, order

from winback.core import row_rules
from winback.errors import UsageError
from winback.ledger import diary, loads, people, signs_of_life, verdicts
from winback.ledger.signs_of_life import Sign
from winback.night.read_feeds import as_contacts
from winback.night.sync import sync

# The database makes no difference to what is read of a file.
ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"])


@pytest.fixture
def shop(tmp_path, ledger):
    root = tmp_path / "project"
    root.mkdir()
    return Shop(root, ledger)


def test_everything_goes_in_once_and_a_second_run_adds_nothing(shop):
    first, synced = shop.night()
    assert [(one.name, one.read, one.new, one.quarantined, one.held) for one in synced.sources] == [
        ("contacts", 20, 20, 0, None),
        ("consents", 20, 20, 0, None),
        ("orders", 100, 100, 0, None),
    ]
    assert first["orders"].max_occurred_at == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    assert not synced.held_behaviours
    assert not synced.holds_everything
    assert shop.events() == 100
    second, _ = shop.night()
    assert {name: (one.read, one.new) for name, one in second.items()} == {
        "contacts": (20, 0),
        "consents": (20, 0),
        "orders": (100, 0),
    }
    assert shop.events() == 100
    with shop.ledger.reading() as connection:
        stored = {load.source: load for load in loads.loads_on(connection, DAY)}
    assert {name: (load.read, load.new) for name, load in stored.items()} == {
        "contacts": (20, 20),
        "consents": (20, 20),
        "orders": (100, 100),
    }


@ON_SQLITE
def test_the_public_form_has_the_promised_keys(shop):
    _, synced = shop.night()
    told = json.loads(json.dumps(synced.to_json()))
    keys = {"name", "read", "new", "quarantined", "max_occurred_at", "held"}
    assert all(keys <= set(source) for source in told["sources"])
    assert told["sources"][2]["max_occurred_at"] == "2026-11-20T00:30:00+00:00"


def test_contacts_carry_addresses_in_normal_form_and_their_merge_fields(shop):
    rows = 'a,Ann@Shop.Example,06 12 34 56 78,fr,Ann,39\nb,nonsense,123,FR,Ben,\nc,,,,"C, ""the"" third",é/7\n'
    shop.write("contacts.csv", CONTACTS + rows)
    shop.night()
    found = shop.contacts()
    assert found.loc["a", ["email", "email_key", "phone", "country"]].tolist() == [
        "Ann@shop.example",
        "ann@shop.example",
        "+33612345678",
        "FR",
    ]
    assert found.loc["b", ["email_fault", "phone_fault"]].tolist() == ["email_invalid", "phone_invalid"]
    assert found.loc["c", ["email_fault", "phone_fault"]].tolist() == ["email_missing", "phone_missing"]
    assert json.loads(found.loc["a", "extra"]) == {"shoe_size": "39"}
    assert json.loads(found.loc["c", "extra"]) == {"shoe_size": "é/7"}
    assert found.loc["c", "first_name"] == 'C, "the" third'


def test_a_grown_file_gives_its_new_rows_only(shop):
    shop.night(DAY)
    shop.add("orders.csv", order(900, days_ago=-900) + order(901, days_ago=-901))
    found, _ = shop.night(DAY + timedelta(days=1))
    assert (found["orders"].read, found["orders"].new) == (102, 2)
    assert shop.events() == 102
    again, _ = shop.night(DAY + timedelta(days=1))
    assert (again["orders"].read, again["orders"].new) == (102, 0)


@ON_SQLITE
def test_a_grown_file_is_read_from_its_old_end(shop):
    shop.night(DAY)
    text = (shop.root / "orders.csv").read_text()
    shop.write("orders.csv", text + "nonsense\n")
    found, _ = shop.night(DAY + timedelta(days=1), accept=["stale:orders:2026-11-22"])
    bad = shop.quarantine("orders")
    assert bad[["row_number", "rule"]].to_numpy().tolist() == [[102, "ragged_row"]]
    assert found["orders"].counts.get("duplicates", 0) == 0  # nothing was read twice


@ON_SQLITE
@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_last_line_that_is_written_in_two_goes_becomes_whole(shop, ending):
    text = (shop.root / "orders.csv").read_text().rstrip("\n")
    shop.write("orders.csv", text + ending)
    shop.night(DAY)
    assert shop.events() == 100
    shop.write("orders.csv", text + "\n" + order(900, days_ago=-900))
    found, _ = shop.night(DAY + timedelta(days=1))
    assert (found["orders"].read, found["orders"].new) == (101, 1)


@ON_SQLITE
def test_a_replaced_file_is_read_whole(shop):
    shop.night(DAY)
    shop.write("orders.csv", EVENTS + "".join(order(n) for n in range(99, -1, -1)) + order(900, days_ago=-900))
    found, _ = shop.night(DAY + timedelta(days=1))
    assert (found["orders"].read, found["orders"].new, found["orders"].counts["duplicates"]) == (101, 1, 100)


def test_a_truncated_file_is_held_by_its_volume_and_loses_nothing(shop):
    shop.night(DAY)
    shop.write("orders.csv", EVENTS + "".join(order(n) for n in range(40)))
    found, synced = shop.night(DAY + timedelta(days=1))
    assert found["orders"].held == "volume"
    assert "--accept-volume orders:2026-11-22" in found["orders"].detail
    assert synced.held_behaviours == {"purchase"}
    assert shop.events() == 100


@ON_SQLITE
def test_a_strange_volume_does_not_become_usual_by_coming_again(shop):
    shop.night(DAY)
    shop.write("orders.csv", EVENTS + "".join(order(n, days_ago=n % 9 - 5) for n in range(300)))
    assert [shop.night(DAY + timedelta(days=days))[0]["orders"].held for days in (1, 2, 3)] == ["volume"] * 3


@ON_SQLITE
def test_a_gzipped_file_is_unpacked_by_name_and_not_read_again(shop):
    packed = shop.root / "orders.csv.gz"
    packed.write_bytes(gzip.compress((shop.root / "orders.csv").read_bytes()))
    shop.sources["events"][0]["path"] = "orders.csv.gz"
    assert shop.night()[0]["orders"].new == 100
    assert shop.night()[0]["orders"].counts.get("duplicates", 0) == 0
    packed.write_bytes(packed.read_bytes()[:-20])
    found, _ = shop.night(DAY + timedelta(days=1))
    assert found["orders"].held == "malformed"
    assert "gzip" in found["orders"].detail


@ON_SQLITE
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("orders.csv", "customer,occurred_at\nc1,2026-11-20T00:00:00Z\n", ["'customer_id'", "'customer'"]),
        ("orders.csv", "customer_id,occured_at\nc1,2026-11-20T00:00:00Z\n", ["'occurred_at'", "'occured_at'"]),
        ("orders.csv", "customer_id,occurred_at,amount,amount\nc1,2026-11-20T00:00:00Z,1,2\n", ["'amount'", "2 times"]),
        ("orders.csv", "customer_id,occurred_at\nc1,2026-11-20 10:00\n", ["row 2", "timezone"]),
        ("orders.csv", b"\xff\xfec\x00", ["UTF-16"]),
        ("orders.csv", b"PK\x03\x04rest", ["spreadsheet"]),
        ("contacts.csv", "id,email\nc1,a@shop.example\n", ["'customer_id'"]),
        ("consents.csv", "customer_id,chanel,status,recorded_at\n", ["'channel'", "'chanel'"]),
    ],
)
def test_a_malformed_source_is_held_before_anything_is_written(shop, name, text, words):
    shop.write(name, text)
    found, synced = shop.night()
    source = {"orders.csv": "orders"}.get(name, name.removesuffix(".csv"))
    assert found[source].held == "malformed"
    assert all(word in found[source].detail for word in words), found[source].detail
    assert [one.name for one in synced.held] == [source]
    assert found[source].new == 0
    if source == "orders":
        assert shop.events() == 0
        assert len(shop.contacts()) == 20  # the other sources go in
        assert synced.held_behaviours == {"purchase"}
        assert not synced.holds_everything
    else:
        assert shop.events() == 100
        assert synced.holds_everything


@ON_SQLITE
def test_a_mapping_to_a_column_that_is_not_there_is_malformed(shop):
    shop.sources["events"][0]["columns"] = {"customer_id": "kunde", "amount": "amonut"}
    shop.write("orders.csv", "kunde,occurred_at,amount\nc1,2026-11-20T00:00:00Z,1\n")
    assert "'amonut'" in shop.night()[0]["orders"].detail
    shop.sources["events"][0]["columns"] = {"customer_id": "kunde", "ammount": "amount"}
    assert "did you mean 'amount'" in shop.night()[0]["orders"].detail
    shop.sources["events"][0]["columns"] = {"customer_id": "kunde"}
    assert shop.night()[0]["orders"].new == 1


@ON_SQLITE
def test_a_source_that_is_not_there_is_unavailable_and_the_others_go_in(shop):
    (shop.root / "orders.csv").unlink()
    found, synced = shop.night()
    assert found["orders"].held == "unavailable"
    assert synced.held_behaviours == {"purchase"}
    assert found["contacts"].new == 20


def test_a_source_of_any_behaviour_holds_what_it_is_known_to_deliver_or_everything(shop):
    shop.sources["events"][0].pop("behaviour")
    shop.write(
        "orders.csv",
        "customer_id,occurred_at,behaviour\nc1,2026-11-20T00:00:00Z,visit\nc2,2026-11-20T00:00:00Z,click\n",
    )
    shop.night(DAY)
    (shop.root / "orders.csv").unlink()
    _, synced = shop.night(DAY + timedelta(days=1))
    assert synced.held_behaviours == {"visit", "click"}
    shop.sources["events"][0]["name"] = "unheard_of"
    _, synced = shop.night(DAY + timedelta(days=1))
    assert synced.holds_everything


@ON_SQLITE
def test_an_empty_feed_is_held(shop):
    for text in ("", EVENTS, "\n\n"):
        shop.write("orders.csv", text)
        found, _ = shop.night()
        assert found["orders"].held == "empty"
    shop.write("orders.csv", EVENTS + order(0))
    assert shop.night()[0]["orders"].new == 1


def test_a_stale_feed_goes_in_and_is_held(shop):
    shop.write("orders.csv", EVENTS + "".join(order(n, days_ago=3) for n in range(100)))
    found, synced = shop.night()
    assert (found["orders"].held, found["orders"].new) == ("stale", 100)
    assert synced.held_behaviours == {"purchase"}
    assert shop.events() == 100
    accepted, synced = shop.night(accept=[f"stale:orders:{DAY}"])
    assert accepted["orders"].held is None
    assert not synced.held_behaviours


@ON_SQLITE
def test_a_feed_that_did_not_change_is_stale_after_some_nights(shop):
    kinds = [shop.night(DAY + timedelta(days=days))[0]["orders"].held for days in range(4)]
    assert kinds == [None, "stale", "stale", "stale"]


@ON_SQLITE
def test_freshness_is_measured_from_the_date_and_not_from_the_clock(shop):
    shop.write(
        "orders.csv", EVENTS + "a,1998-06-29T12:00:00Z,1,1\na,1998-06-30T12:00:00Z,2,1\nb,1998-07-09T12:00:00Z,3,1\n"
    )
    assert shop.night(date(1998, 7, 1), now=NOW)[0]["orders"].held is None
    assert shop.night(date(1998, 7, 5), now=NOW)[0]["orders"].held == "stale"
    assert shop.night(date(1998, 7, 10), now=NOW)[0]["orders"].held is None
    assert shop.night(date(1998, 7, 1), now=NOW)[0]["orders"].held is None
    assert shop.night(date(1998, 6, 1), now=NOW)[0]["orders"].held == "stale"


def test_a_person_accepts_a_volume_for_one_night_and_that_is_audited(shop):
    shop.night(DAY)
    shop.write("orders.csv", EVENTS + "".join(order(n) for n in range(300)))
    day = DAY + timedelta(days=1)
    assert shop.night(day, accept=["stale:orders:2026-11-22"])[0]["orders"].held == "volume"
    found, _ = shop.night(day, accept=["volume:orders:2026-11-22", "stale:orders:2026-11-22"])
    assert (found["orders"].held, found["orders"].new) == (None, 200)
    with shop.ledger.reading() as connection:
        assert loads.overrides_on(connection, day)["orders"].by == "cli:tester"
        told = [json.loads(entry.after)["reason"] for entry in diary.read_entries(connection, subject="orders")]
    assert sorted(told) == ["--accept stale:orders:2026-11-22", "--accept volume:orders:2026-11-22"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ("volume:order:2026-11-21", "did you mean 'orders'"),
        ("size:orders:2026-11-21", "KIND"),
        ("volume:orders:2026-11-20", "2026-11-20"),
        ("volume:orders", "no date"),
        ("volume", "no source"),
        ("", "KIND"),
        ("malformed:orders:2026-11-21", "KIND"),
    ],
)
def test_an_acceptance_that_means_nothing_is_refused_before_anything_is_read(shop, accept, words):
    with pytest.raises(UsageError, match=words):
        shop.night(accept=[accept])
    assert shop.events() == 0


def test_bad_rows_are_kept_masked_and_the_good_ones_go_in(shop):
    shop.add("orders.csv", ",2026-11-20T00:00:00Z,x1,1\nc1,2026-11-20,x2\n")
    shop.add("contacts.csv", "c99,bob@shop.example,,Narnia,Bob,1\n")
    shop.sources["events"][0]["timezone"] = "Europe/Paris"
    found, _ = shop.night(accept=[f"quarantine:orders:{DAY}", f"quarantine:contacts:{DAY}"])
    assert (found["orders"].new, found["orders"].quarantined) == (100, 2)
    assert found["orders"].rules == {"customer_id_missing": 1, "ragged_row": 1}
    assert (found["contacts"].new, found["contacts"].quarantined) == (20, 1)
    kept = shop.quarantine()[["source", "row_number", "column", "rule", "masked_value"]]
    assert kept.astype(object).where(kept.notna(), "").to_numpy().tolist() == [
        ["contacts", 22, "country", "country_unknown", "Aaaaaa"],
        ["orders", 102, "customer_id", "customer_id_missing", ""],
        ["orders", 103, "", "ragged_row", "a9,9999-99-99,a9"],
    ]
    shop.night()
    assert len(shop.quarantine()) == 3


def test_a_feed_with_too_many_bad_rows_stores_nothing_but_their_account(shop):
    shop.add("orders.csv", "c1,soon,x1,1\nc1,later,x2,1\n")
    found, synced = shop.night()
    assert (found["orders"].held, found["orders"].quarantined, found["orders"].new) == ("quarantine", 2, 0)
    assert f"--accept quarantine:orders:{DAY}" in found["orders"].detail
    assert shop.events() == 0
    assert shop.quarantine("orders")["rule"].tolist() == ["timestamp_unparsable"] * 2
    assert synced.held_behaviours == {"purchase"}


def test_one_event_id_with_two_bodies_keeps_the_first_and_shows_the_other(shop):
    shop.add("orders.csv", "c7,2026-11-20T00:30:00+00:00,o0,99\n")
    found, _ = shop.night()
    assert (found["orders"].new, found["orders"].counts["conflicts"]) == (100, 1)
    assert shop.quarantine("orders")[["row_number", "column", "rule"]].to_numpy().tolist() == [
        [102, "event_id", "event_id_conflict"]
    ]


def test_a_feed_whose_ids_were_used_before_is_held(shop):
    shop.night(DAY)
    reused = [order(n).replace(f",o{n},", f",o{(n + 1) % 100},") for n in range(100)]
    shop.write("orders.csv", EVENTS + "".join(reused))
    found, _ = shop.night(DAY + timedelta(days=1), accept=["stale:orders:2026-11-22"])
    assert (found["orders"].held, found["orders"].new) == ("quarantine", 0)
    assert shop.events() == 100


def test_a_customer_in_the_feed_twice(shop):
    shop.write(
        "contacts.csv",
        CONTACTS + 2 * "a,a@shop.example,,FR,Ann,1\n" + "b,b@shop.example,,FR,B,1\nb,x@shop.example,,FR,B,1\n",
    )
    found, _ = shop.night(accept=[f"quarantine:contacts:{DAY}"])
    assert (found["contacts"].new, found["contacts"].counts["duplicates"]) == (2, 1)
    assert shop.quarantine("contacts")["rule"].tolist() == ["customer_id_conflict"]
    assert shop.contacts().loc["b", "email"] == "b@shop.example"


def test_a_contact_that_leaves_the_feed_is_removed_and_comes_back(shop):
    shop.night(DAY)
    text = (shop.root / "contacts.csv").read_text()
    shop.write("contacts.csv", text[: text.rindex("c19,")])
    found, _ = shop.night(DAY + timedelta(days=1))
    assert found["contacts"].counts["removed"] == 1
    assert "c19" not in shop.contacts(DAY + timedelta(days=1)).index
    shop.write("contacts.csv", text)
    found, _ = shop.night(DAY + timedelta(days=2))
    assert found["contacts"].counts["returned"] == 1


def test_a_withdrawal_of_unknown_time_is_heard(shop):
    shop.add("consents.csv", "c3,email,marketing,withdrawn,,whenever\n")
    found, _ = shop.night(accept=[f"quarantine:consents:{DAY}"])
    assert found["consents"].counts["unread_withdrawals"] == 1
    with shop.ledger.reading() as connection:
        status = people.read_consents(connection).set_index("customer_id").loc["c3", "status"]
    assert status == "withdrawn"
    assert shop.quarantine("consents")["rule"].tolist() == ["timestamp_unparsable"]


@ON_SQLITE
def test_a_crash_between_the_two_stores_does_no_harm(shop):
    before = shop.root.parent / "ledger_before.db"
    database = shop.ledger.engine.url.database
    shop.ledger.engine.dispose()
    shutil.copy(database, before)
    shop.night()
    shop.ledger.engine.dispose()
    for leftover in (f"{database}-wal", f"{database}-shm"):
        (shop.root / leftover).unlink(missing_ok=True)
    shutil.copy(before, database)  # the events are in, the ledger knows nothing of it
    found, _ = shop.night()
    assert found["orders"].counts["duplicates"] == 100
    assert (found["orders"].read, found["orders"].new) == (100, 0)
    assert (shop.events(), len(shop.contacts())) == (100, 20)


def write_parquet(path, numbers, **extra):
    rows = [order(n).strip().split(",") for n in numbers]
    table = pa.table(
        {
            "customer_id": [row[0] for row in rows],
            "occurred_at": pa.array([datetime.fromisoformat(row[1]) for row in rows], pa.timestamp("ms", "UTC")),
            "event_id": pa.array([int(row[2][1:]) for row in rows]),
            "amount": pa.array([10.5] * len(rows), pa.float32()),
            **extra,
        }
    )
    pq.write_table(table, path)


@ON_SQLITE
def test_parquet_files_are_read_one_by_one(shop):
    (shop.root / "visits").mkdir()
    shop.sources["events"] = [{"name": "visits", "kind": "parquet", "path": "visits/*.parquet", "behaviour": "visit"}]
    write_parquet(shop.root / "visits/1.parquet", range(50))
    write_parquet(shop.root / "visits/2.parquet", range(50, 100))
    assert (shop.night()[0]["visits"].read, shop.events()) == (100, 100)
    write_parquet(shop.root / "visits/3.parquet", range(100, 120))
    found, _ = shop.night()
    assert (found["visits"].read, found["visits"].new, found["visits"].counts["duplicates"]) == (120, 20, 0)
    write_parquet(shop.root / "visits/4.parquet", [200, 3], event_id=pa.array([200, 4]))
    found, _ = shop.night(accept=[f"quarantine:visits:{DAY}"])
    kept = shop.quarantine("visits")[["row_number", "column", "rule"]].to_numpy().tolist()
    assert kept == [[2, "event_id (4.parquet)", "event_id_conflict"]]
    write_parquet(shop.root / "visits/5.parquet", range(3), occurred_at=pa.array([1, 2, 3]))
    found, _ = shop.night()
    assert found["visits"].held == "malformed"
    assert "int64" in found["visits"].detail
    shop.write("visits/5.parquet", b"PAR1 and no more")
    assert shop.night()[0]["visits"].held == "malformed"
    shutil.rmtree(shop.root / "visits")
    assert shop.night()[0]["visits"].held == "unavailable"


def test_a_snapshot_is_the_whole_truth(shop):
    shop.sources["events"][0]["mode"] = "snapshot"
    shop.night()
    assert shop.night()[0]["orders"].new == 0
    text = (shop.root / "orders.csv").read_text().splitlines(keepends=True)
    text[1] = text[1].replace("10.5", "99")
    shop.write("orders.csv", "".join(text[:-1]))
    found, _ = shop.night()
    assert (found["orders"].counts["corrected"], found["orders"].counts["deleted"]) == (1, 1)
    assert shop.events() == 99


@ON_SQLITE
def test_a_semicolon_file_with_decimal_commas_and_a_bom(shop):
    shop.sources["events"][0] |= {
        "decimal": ",",
        "timezone": "Europe/Paris",
        "columns": {"customer_id": "Kunde", "occurred_at": "Datum"},
    }
    shop.write("orders.csv", "\ufeffKunde;Datum;amount\r\n0001;2026-11-20;1.234,50\r\n0002;2026-11-20;7\r\n")
    found, _ = shop.night()
    assert (found["orders"].new, found["orders"].quarantined) == (2, 0)
    profiles = shop.store.profiles(DAY)
    assert profiles["customer_id"].tolist() == ["0001", "0002"] or set(profiles["customer_id"]) == {"0001", "0002"}
    assert set(profiles["last_on"].dt.date) == {date(2026, 11, 20)}


@ON_SQLITE
def test_new_settings_have_the_file_read_again(shop):
    shop.write("orders.csv", "customer_id,occurred_at\nc1,2026-11-20T10:00:00Z\nc2,2026-11-20T11:00:00Z\n")
    shop.night()
    shop.sources["events"][0]["behaviour"] = "visit"
    shop.night()
    profiles = shop.store.profiles(DAY)
    assert sorted(profiles["behaviour"].unique()) == ["purchase", "visit"]


def test_orphans_are_kept_and_make_no_contact(shop):
    shop.add("orders.csv", "stranger,2026-11-20T10:00:00Z,s1,1\n")
    shop.night()
    assert "stranger" not in shop.contacts().index
    assert "stranger" in set(shop.store.profiles(DAY)["customer_id"])


@ON_SQLITE
def test_progress_is_told(shop):
    seen = []
    sync(
        shop.project,
        shop.ledger,
        shop.store,
        as_of=DAY,
        now=NOW,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("sync", 0, 3), ("sync", 1, 3), ("sync", 2, 3), ("sync", 3, 3)]


def test_a_frame_of_contacts_has_the_zones_of_each_number():
    rows = pd.DataFrame({"row_number": [2], "customer_id": ["a"], "phone": ["+33612345678"]})
    checked = row_rules.check_contacts(rows, zones={"Europe/Paris"})
    assert as_contacts(checked.rows)["phone_zones"].tolist() == ["Europe/Paris"]


def test_what_somebody_did_who_is_about_to_be_written_to_is_noticed(shop):
    shop.night()
    with shop.ledger.writing() as connection:
        verdicts.queue_messages(connection, ledger_rows.messages("c3"), pepper=ledger_rows.PEPPER)
    shop.add("orders.csv", "c3,2026-11-21T10:00:00Z,late-1,5\nc3,2026-11-21T11:00:00Z,late-2,5\n")
    shop.add("orders.csv", "c4,2026-11-21T11:00:00Z,late-3,5\n")
    later = datetime(2026, 11, 21, 12, tzinfo=UTC)
    shop.night(now=later)
    with shop.ledger.reading() as connection:
        signs = signs_of_life.read_signs(connection, ["c3", "c4"])
    assert signs == {"c3": [Sign("c3", "purchase", datetime(2026, 11, 21, 11, tzinfo=UTC), later)]}
