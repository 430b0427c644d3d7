"""When a message may arrive: boundaries, holidays, clock changes, and places with more than one zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from decision_world import HOURS, RULES

from winback.core import send_hours, send_window, slots
from winback.errors import ConfigError

MONDAY = date(2026, 11, 23)
PLACE = {"channel": "sms", "country": "FR", "region": None, "timezone": None, "phone_zones": None}


def night(day: date, zone: str = "Europe/Paris") -> datetime:
    """Return 04:30 at the business's place."""
    return datetime.combine(day, time(4, 30), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def window(day: date = MONDAY, *, business_zone: str = "Europe/Paris", **place: Any) -> tuple[str, ...]:
    """Return what the window is, and its ends in the contact's first zone or in UTC."""
    show = ZoneInfo(place.pop("show", "UTC"))
    contacts = pd.DataFrame([{**PLACE, **place}])
    found = send_window.windows(
        contacts, hours=HOURS, from_at=night(day, business_zone), business_zone=business_zone
    ).iloc[0]
    if found["window"]:
        assert pd.isna(found["not_before_at"])
        return (found["window"],)
    ends = (found["not_before_at"], found["expires_at"])
    return tuple(f"{end.astimezone(show):%m-%d %H:%M}" for end in ends)


PARIS, NEW_YORK = "Europe/Paris", "America/New_York"
FLORIDA = {"country": "US", "region": "FL", "show": NEW_YORK}
TABLE = [
    ("France on a Monday", MONDAY, {"show": PARIS}, ("11-23 10:00", "11-23 20:00")),
    ("France on 1 May", date(2026, 5, 1), {}, ("quiet_hours",)),
    ("France on a Sunday", date(2026, 11, 22), {}, ("quiet_hours",)),
    ("France on Christmas, by WhatsApp", date(2026, 12, 25), {"channel": "whatsapp"}, ("quiet_hours",)),
    ("an e-mail on 1 May", date(2026, 5, 1), {"channel": "email", "show": PARIS}, ("05-01 04:30", "05-02 04:30")),
    ("an e-mail on a Sunday", date(2026, 11, 22), {"channel": "email", "show": PARIS}, ("11-22 04:30", "11-23 04:30")),
    ("Florida", MONDAY, {**FLORIDA, "timezone": NEW_YORK}, ("11-23 08:00", "11-23 20:00")),
    ("Florida of an unknown half", MONDAY, FLORIDA, ("11-23 09:00", "11-23 20:00")),
    (
        "Florida as US-FL in small letters", MONDAY,
        {**FLORIDA, "country": "us", "region": "us-fl", "timezone": NEW_YORK},
        ("11-23 08:00", "11-23 20:00"),
    ),
    (
        "Texas on a Sunday", date(2026, 11, 22),
        {"country": "US", "region": "TX", "timezone": "America/Chicago", "show": "America/Chicago"},
        ("11-22 12:00", "11-22 21:00"),
    ),
    (
        "Arizona keeps no summer time, the Navajo Nation does", date(2026, 7, 1),
        {"country": "US", "region": "AZ", "show": "America/Phoenix"},
        ("07-01 08:00", "07-01 20:00"),
    ),
    (
        "Arizona in winter is one", MONDAY,
        {"country": "US", "region": "AZ", "show": "America/Phoenix"},
        ("11-23 08:00", "11-23 21:00"),
    ),
    (
        "Indiana is in two zones", MONDAY,
        {"country": "US", "region": "IN", "show": "America/Indiana/Indianapolis"},
        ("11-23 09:00", "11-23 21:00"),
    ),
    ("Hawaii", MONDAY, {"country": "US", "region": "HI", "show": "Pacific/Honolulu"}, ("11-23 08:00", "11-23 21:00")),
    (
        "an unknown state is the intersection", MONDAY,
        {"country": "US", "timezone": NEW_YORK, "show": NEW_YORK},
        ("11-23 10:00", "11-23 18:00"),
    ),
    (
        "an unknown state on a Saturday", date(2026, 11, 21),
        {"country": "US", "timezone": NEW_YORK, "show": NEW_YORK},
        ("11-21 10:00", "11-21 17:00"),
    ),
    (
        "an unknown state on a Sunday", date(2026, 11, 22),
        {"country": "US", "timezone": NEW_YORK, "show": NEW_YORK},
        ("11-22 12:00", "11-22 17:00"),
    ),
    ("anywhere in America", MONDAY, {"country": "US", "show": NEW_YORK}, ("11-23 15:00", "11-23 18:00")),
    ("anywhere in America on a Sunday", date(2026, 11, 22), {"country": "US"}, ("quiet_hours",)),
    (
        "a New Yorker with a number from Los Angeles", MONDAY,
        {"country": "US", "region": "NY", "timezone": NEW_YORK, "phone_zones": "America/Los_Angeles", "show": NEW_YORK},
        ("11-23 11:00", "11-23 21:00"),
    ),
    (
        "a Parisian with a number from Los Angeles", MONDAY,
        {"timezone": PARIS, "phone_zones": "America/Los_Angeles", "show": PARIS},
        ("11-23 10:00", "11-23 20:00"),
    ),
    (
        "a number that tells the zone", MONDAY,
        {"country": "US", "region": "??", "phone_zones": NEW_YORK, "show": NEW_YORK},
        ("11-23 08:00", "11-23 21:00"),
    ),
    ("nobody knows where", MONDAY, {"country": None}, ("no_timezone",)),
    ("a number of nowhere", MONDAY, {"country": None, "phone_zones": "Etc/Unknown"}, ("no_timezone",)),
    (
        "an e-mail to nobody knows where", MONDAY,
        {"country": None, "channel": "email", "show": PARIS},
        ("11-23 04:30", "11-24 04:30"),
    ),
    ("a zone that is none", MONDAY, {"timezone": "Mars/Olympus", "show": PARIS}, ("11-23 10:00", "11-23 20:00")),
    (
        "a country without a row of its own", MONDAY,
        {"country": "PL", "show": "Europe/Warsaw"},
        ("11-23 10:00", "11-23 18:00"),
    ),
    ("a country without a row on its own holiday", date(2026, 11, 11), {"country": "PL"}, ("quiet_hours",)),
    ("Paris on the spring night", date(2026, 3, 30), {"show": PARIS}, ("03-30 10:00", "03-30 20:00")),
    ("Paris, the day after the autumn night", date(2026, 10, 26), {"show": PARIS}, ("10-26 10:00", "10-26 20:00")),
    (
        "New York on the spring day", date(2026, 3, 8),
        {"country": "US", "region": "NY", "show": NEW_YORK},
        ("03-08 08:00", "03-08 21:00"),
    ),
    (
        "New York on the autumn day", date(2026, 11, 1),
        {"country": "US", "region": "NY", "show": NEW_YORK},
        ("11-01 08:00", "11-01 21:00"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("who", "day", "place", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_the_window_of_a_night(who, day, place, expected):
    home = NEW_YORK if (place.get("country") or "").upper() == "US" else PARIS
    assert window(day, business_zone=home, **place) == expected, who


def test_a_night_that_starts_in_the_recipients_evening_takes_what_is_left_of_it():
    place = {"country": "US", "region": "HI", "show": "Pacific/Honolulu"}
    assert window(MONDAY, business_zone=PARIS, **place) == ("11-22 17:30", "11-22 21:00")


def test_clock_changes_move_the_instant_and_not_the_wall_clock():
    starts = [
        send_window.windows(
            pd.DataFrame([{**PLACE, "country": "US", "region": "NY"}]),
            hours=HOURS, from_at=night(day, NEW_YORK), business_zone=NEW_YORK,
        )["not_before_at"].iloc[0]
        for day in (date(2026, 3, 7), date(2026, 3, 8), date(2026, 10, 31), date(2026, 11, 1))
    ]  # fmt: skip
    assert [f"{start:%H:%M}" for start in starts] == ["13:00", "12:00", "12:00", "13:00"]


@pytest.mark.parametrize(
    ("clock", "allowed"),
    [("07:59:59", False), ("08:00:00", True), ("20:59:59", True), ("21:00:00", False), ("21:00:01", False)],
)
def test_at_nine_in_the_evening_sharp_it_is_too_late(clock, allowed):
    at = datetime.fromisoformat(f"2026-11-23T{clock}").replace(tzinfo=ZoneInfo(NEW_YORK))
    assert slots.is_allowed(at, zones=[NEW_YORK], hours=HOURS, place=("US", "NY", "sms")) is allowed


def test_every_candidate_zone_must_allow_it():
    at = datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo(NEW_YORK))
    both = ["America/Los_Angeles", NEW_YORK]
    assert slots.is_allowed(at, zones=[NEW_YORK], hours=HOURS, place=("US", "NY", "sms"))
    assert not slots.is_allowed(at, zones=both, hours=HOURS, place=("US", "NY", "sms"))
    assert not slots.is_allowed(at, zones=[], hours=HOURS, place=("US", "NY", "sms"))


def test_a_slot_shorter_than_an_hour_is_not_started():
    contacts = pd.DataFrame([PLACE])
    for minutes, expected in ((60, "11-23 18:00"), (59, "11-24 09:00")):
        start = datetime(2026, 11, 23, 19, 0, tzinfo=UTC) - timedelta(minutes=minutes)
        found = send_window.windows(contacts, hours=HOURS, from_at=start, business_zone=PARIS)
        assert f"{found['not_before_at'].iloc[0]:%m-%d %H:%M}" == expected


def test_a_contact_without_a_channel_has_no_window():
    found = send_window.windows(
        pd.DataFrame([{**PLACE, "channel": ""}]), hours=HOURS, from_at=night(MONDAY), business_zone=PARIS
    ).iloc[0]
    assert found["window"] == ""
    assert pd.isna(found["not_before_at"])


def test_each_row_gets_its_own_place_back():
    rows = [{**PLACE, "country": country} for country in ("FR", "GB", None, "FR", "GB")]
    contacts = pd.DataFrame(rows, index=[9, 4, 7, 1, 3])
    found = send_window.windows(contacts, hours=HOURS, from_at=night(MONDAY), business_zone=PARIS)
    assert list(found.index) == [9, 4, 7, 1, 3]
    assert list(found["window"]) == ["", "", "no_timezone", "", ""]
    assert found["not_before_at"].dt.strftime("%H:%M").fillna("").to_list() == ["09:00", "09:00", "", "09:00", "09:00"]
    assert found["expires_at"].dt.strftime("%H:%M").fillna("").to_list() == ["19:00", "20:00", "", "19:00", "20:00"]


class TestHours:
    @pytest.mark.parametrize(
        ("day", "expected"),
        [(date(2026, 11, 20), [(600, 1080)]), (date(2026, 11, 21), [(600, 1020)]), (date(2026, 11, 22), [(720, 1020)])],
    )
    def test_what_all_states_allow_together_is_the_published_default(self, day, expected):
        assert HOURS.allowed("US", "*", "sms", day=day, is_holiday=False) == expected

    def test_the_default_for_everywhere_lies_inside_every_row(self):
        for day in (MONDAY + timedelta(days=n) for n in range(7)):
            default = HOURS.allowed("XX", "*", "sms", day=day, is_holiday=False)
            for country in ("FR", "GB", "US"):
                assert (
                    send_hours.overlaps(default, HOURS.allowed(country, "*", "sms", day=day, is_holiday=False))
                    == default
                )

    def test_every_row_names_its_source_and_every_zone_exists(self):
        assert all(row.source and row.valid_from for row in HOURS.hours)
        for row in HOURS.zones:
            assert [str(ZoneInfo(zone)) for zone in row.zones] == row.zones

    def test_a_newer_row_replaces_the_older_ones_of_its_place(self):
        new = HOURS.rows("GB", "*", "sms", MONDAY)[0].model_copy(update={"opens": "12:00", "valid_from": MONDAY})
        hours = HOURS.model_copy(update={"hours": [*HOURS.hours, new]})
        allowed = [
            hours.allowed("GB", "*", "sms", day=day, is_holiday=False)
            for day in (date(1998, 1, 5), MONDAY - timedelta(days=7), MONDAY)
        ]
        assert allowed == [[(540, 1200)], [(540, 1200)], [(720, 1200)]]

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ('to: "21:00"', 'to: "08:00"', "from .08:00. is not before to"),
            ('to: "21:00"', 'to: "25:00"', "String should match pattern"),
            ("[sat, sun]", "[sat, sunday]", r"quiet_hours.yaml:[0-9]+: hours.*days"),
            ("valid_from: 2026-01-01", "valid_fron: 2026-01-01", "did you mean 'valid_from'"),
        ],
    )
    def test_a_broken_file_is_refused_with_its_line(self, before, after, message):
        text = (RULES / "quiet_hours.yaml").read_text(encoding="utf-8")
        assert before in text
        with pytest.raises(ConfigError, match=message):
            send_hours.load_send_hours(text.replace(before, after, 1), file="quiet_hours.yaml")
