"""Feeds for the tests of the border: read and judge a file in one step, and ten thousand ways to spoil a row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

import pandas as pd

from winback.core import row_rules
from winback.sources import catalogue
from winback.sources.csv_files import read_csv
from winback.sources.feeds import Ask

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZONES = available_timezones()


def read(path: Path, wanted=catalogue.EVENTS, delimiter=None, **options):
    """Return one pass over a CSV file."""
    return read_csv(Ask(source="feed", wanted=wanted, **options), path, delimiter=delimiter)


def rows_of(reading) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all rows and all structural faults of a reading."""
    chunks = list(reading.chunks)
    return (
        pd.concat([chunk.rows for chunk in chunks], ignore_index=True),
        pd.concat([chunk.faults for chunk in chunks], ignore_index=True),
    )


def check_events(frame, **options):
    options = {
        "behaviour": "purchase",
        "behaviours": row_rules.STANDARD_BEHAVIOURS,
        "zone": None,
        "decimal": ".",
        "now": NOW,
        **options,
    }
    return row_rules.check_events(frame, **options)


def check_consents(frame, **options):
    return row_rules.check_consents(frame, **{"zone": None, "now": NOW, "unread_at": NOW, **options})


def check_contacts(frame):
    return row_rules.check_contacts(frame, zones=ZONES)


def judged(path: Path, kind: str = "events") -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the good rows of a CSV file, and the rule each bad line broke."""
    wanted, check = {
        "events": (catalogue.EVENTS, check_events),
        "contacts": (catalogue.CONTACTS, check_contacts),
        "consents": (catalogue.CONSENTS, check_consents),
    }[kind]
    good, bad = [], []
    for chunk in read(path, wanted).chunks:
        checked = check(chunk.rows)
        good.append(checked.rows)
        bad += [chunk.faults, checked.faults]
    faults = pd.concat(bad)
    assert faults["row_number"].is_unique
    return pd.concat(good, ignore_index=True), dict(zip(faults["row_number"], faults["rule"], strict=True))


BROKEN_EVENTS: dict[str, list[bytes]] = {
    "customer_id_missing": [b",2026-01-02T03:04:05Z,e{n},12.50,visit", b"  ,2026-01-02T03:04:05Z,e{n},12.50,visit"],
    "customer_id_placeholder": [b"NULL,2026-01-02T03:04:05Z,e{n},1,", b"\\N,2026-01-02T03:04:05Z,e{n},1,"],
    "customer_id_too_long": [b"x" * 300 + b",2026-01-02T03:04:05Z,e{n},1,"],
    "control_character": [b"c\x07{n},2026-01-02T03:04:05Z,e{n},1,", b"c\xe2\x80\xae{n},2026-01-02T03:04:05Z,e{n},1,"],
    "nul_character": [b"c\x00{n},2026-01-02T03:04:05Z,e{n},1,"],
    "bad_utf8": [b"c\xff{n},2026-01-02T03:04:05Z,e{n},1,", b"c{n},2026-01-02T03:04:05Z,\xc3\x28,1,"],
    "ragged_row": [b"c{n},2026-01-02T03:04:05Z", b"c{n},2026-01-02T03:04:05Z,e{n},1,visit,and,more", b"c{n}"],
    "unclosed_quote": [b'c{n},2026-01-02T03:04:05Z,"e{n},1,visit', b'"c{n},2026-01-02T03:04:05Z,e{n},1,visit'],
    "oversize_field": [b"c{n},2026-01-02T03:04:05Z," + b"e" * 70_000 + b",1,visit"],
    "event_id_too_long": [b"c{n},2026-01-02T03:04:05Z," + b"e" * 300 + b",1,visit"],
    "timestamp_missing": [b"c{n},,e{n},1,"],
    "timestamp_impossible": [b"c{n},2026-02-29T00:00:00Z,e{n},1,", b"c{n},2025-13-01T00:00:00Z,e{n},1,"],
    "timestamp_excel_serial": [b"c{n},46023,e{n},1,", b"c{n},46023.5,e{n},1,"],
    "timestamp_epoch": [b"c{n},1767322800,e{n},1,", b"c{n},1767322800000,e{n},1,"],
    "timestamp_unparsable": [b"c{n},02/01/2026 03:04,e{n},1,", b"c{n},soon,e{n},1,", b"c{n},20260102,e{n},1,"],
    "timestamp_future": [b"c{n},2026-11-21T12:06:00Z,e{n},1,", b"c{n},2062-01-02T03:04:05Z,e{n},1,"],
    "timestamp_ancient": [b"c{n},1970-01-01T00:00:00Z,e{n},1,", b"c{n},0001-01-01T00:00:00Z,e{n},1,"],
    "amount_unparsable": [b"c{n},2026-01-02T03:04:05Z,e{n},twelve,", b'c{n},2026-01-02T03:04:05Z,e{n},"1,234.50",'],
    "amount_decimal_comma": [b'c{n},2026-01-02T03:04:05Z,e{n},"12,50",'],
    "amount_not_finite": [b"c{n},2026-01-02T03:04:05Z,e{n},inf,", b"c{n},2026-01-02T03:04:05Z,e{n},NaN,"],
    "amount_out_of_range": [b"c{n},2026-01-02T03:04:05Z,e{n},1e15,"],
    "behaviour_malformed": [b"c{n},2026-01-02T03:04:05Z,e{n},1,big purchase", b"c{n},2026-01-02T03:04:05Z,e{n},1,7"],
    "behaviour_unknown": [b"c{n},2026-01-02T03:04:05Z,e{n},1,purchse"],
}
BROKEN_CONTACTS: dict[str, list[bytes]] = {
    "country_unknown": [b"k{n},FRA,fr-FR,Europe/Paris,Ann", b"k{n},Narnia,fr-FR,Europe/Paris,Ann"],
    "locale_unknown": [b"k{n},FR,french,Europe/Paris,Ann", b"k{n},FR,fr-ZZ,Europe/Paris,Ann", b"k{n},FR,qq,UTC,Ann"],
    "timezone_unknown": [b"k{n},FR,fr-FR,Europe/Pari,Ann", b"k{n},FR,fr-FR,GMT+1,Ann"],
    "name_too_long": [b"k{n},FR,fr-FR,Europe/Paris," + b"A" * 300],
    "control_character": [b'k{n},FR,fr-FR,Europe/Paris,"Ann\nBcc: all@shop.example"'],
}
BROKEN_CONSENTS: dict[str, list[bytes]] = {
    "channel_unknown": [b"k{n},fax,marketing,granted,express,2026-01-02T03:04:05Z"],
    "purpose_malformed": [b"k{n},email,all of it!,granted,express,2026-01-02T03:04:05Z"],
    "status_unknown": [b"k{n},email,marketing,maybe,express,2026-01-02T03:04:05Z", b"k{n},sms,,,,2026-01-02T03:04:05Z"],
    "basis_unknown": [b"k{n},email,marketing,granted,because,2026-01-02T03:04:05Z"],
    "timestamp_future": [b"k{n},email,marketing,granted,express,2027-01-02T03:04:05Z"],
    "timestamp_missing": [b"k{n},email,marketing,granted,express,"],
}
GOOD_ROWS = {
    "events": (
        b"customer_id,occurred_at,event_id,amount,behaviour",
        [
            b"g{n},2026-01-02T03:04:05Z,g{n},12.50,",
            b'"g{n}","2026-01-02 03:04:05+01","g{n}","1e2",visit',
            b"g{n},2024-02-29T23:59:59-05:00,g{n},-3,PURCHASE",
            b"g{n},1990-01-01T00:00:00Z,,,click",
            b'g{n} 5" pipe,2026-11-21T12:04:59Z,g{n},0,',
            b'"g{n}, ""the"" one",2026-01-02T03:04:05.123456Z,g{n},.5,open',
            b"\xc3\xa9{n},2026-01-02T03:04:05Z,g{n},12,",
        ],
    ),
    "contacts": (
        b"customer_id,country,locale,timezone,first_name",
        [
            b"g{n},FR,fr-FR,Europe/Paris,Ann",
            b"g{n},us,en_US,America/New_York,\xc3\x81nn",
            b"g{n},,,,",
            b"g{n},GB,en,UTC,A",
        ],
    ),
    "consents": (
        b"customer_id,channel,purpose,status,basis,recorded_at",
        [
            b"g{n},email,marketing,granted,express,2026-01-02T03:04:05Z",
            b"g{n},SMS,,Granted,,2026-01-02 03:04:05+00",
            b"g{n},whatsapp,marketing,withdrawn,,2026-01-02T03:04:05Z",
        ],
    ),
}
BROKEN_ROWS = {"events": BROKEN_EVENTS, "contacts": BROKEN_CONTACTS, "consents": BROKEN_CONSENTS}
