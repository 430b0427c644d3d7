"""Charts: sums that add up, no arm alone, nobody pointed at, and one picture for light and dark pages."""

from __future__ import annotations

import json
import re

import pytest

from winback.core.reasons import Reason
from winback.reports import charts

REASONS = {"active": 600, "dormant": 300, "control": 23, "no_consent_record": 48, "quiet_hours": 1, "due": 28}


def result(programme="grocery", *, treated=(87, 27), control=(88, 6), difference=0.24, verdict="not_enough_data"):
    def arm(contacts, returns):
        rate = returns / contacts if contacts else None
        return {"contacts": contacts, "returns": returns, "rate": rate, "low": rate, "high": rate}

    return {
        "programme": programme, "window_days": 74, "treated": arm(*treated), "control": arm(*control),
        "difference": difference, "low": 0.13, "high": 0.35, "verdict": verdict, "needed": 1151,
    }  # fmt: skip


def drawn(chart):
    """The rows a chart draws."""
    [rows] = chart.to_dict()["datasets"].values()
    return rows


def whole(*parts):
    return charts.one_above_the_other(parts or [every_part()[0]], heading="A season", below="of a shop")


def every_part():
    ladder = [
        {"label": "fell silent", "kind": "cycle", "contacts": 291},
        {"label": "step 1", "kind": "message", "contacts": 281},
        {"label": "came back", "kind": "returned", "contacts": 72},
        {"label": "left in peace", "kind": "sunset", "contacts": 3},
    ]
    night = charts.waterfall(REASONS, contacts=1000)
    return [
        charts.ladder_chart(ladder),
        charts.returns_chart([result()]),
        charts.waterfall_chart(night, as_of="2026-03-01"),
    ]


def test_a_waterfall_goes_from_everybody_to_the_messages_without_a_gap():
    rows = charts.waterfall(REASONS, contacts=1000)
    assert [row["contacts"] for row in rows] == [1000, 600, 300, 48, 24, 28]
    assert [(row["start"], row["end"]) for row in rows] == [
        (0, 1000), (400, 1000), (100, 400), (52, 100), (28, 52), (0, 28),
    ]  # fmt: skip
    assert rows[1]["label"] == Reason.ACTIVE.sentence
    assert (rows[0]["kind"], rows[-1]["kind"]) == ("scope", "sent")


@pytest.mark.parametrize("contacts", [999, 1001])
def test_a_contact_with_two_reasons_or_none_is_an_error(contacts):
    with pytest.raises(ValueError, match="each has exactly one"):
        charts.waterfall(REASONS, contacts=contacts)


def test_who_is_held_out_is_told_apart_from_who_may_not_be_written_to():
    rows = charts.waterfall({"active": 50, "control": 20, "global_control": 10, "due": 20}, contacts=100)
    assert [row["kind"] for row in rows] == ["scope", "unsent", "control", "control", "sent"]


@pytest.mark.parametrize(
    ("reasons", "shown"),
    [
        ({"active": 90, "quiet_hours": 4, "due": 6}, ["100", "94", "6"]),
        ({"active": 90, "dormant": 5, "quiet_hours": 4, "due": 1}, ["100", "90", "hidden", "<5"]),
        ({"active": 97, "due": 3}, ["100", "hidden", "<5"]),
        ({"active": 100, "due": 0}, ["100", "100", "0"]),
    ],
)
def test_no_bar_points_at_fewer_than_five(reasons, shown):
    assert [row["shown"] for row in charts.waterfall(reasons, contacts=100)] == shown


def test_many_reasons_share_one_bar_at_the_end():
    reasons = {reason.value: 5 + place for place, reason in enumerate(Reason)}
    rows = charts.waterfall(reasons, contacts=sum(reasons.values()))
    assert len(rows) == charts.MOST_REASONS + 3
    assert rows[-2]["label"] == charts.OTHER


def test_both_arms_stand_side_by_side_with_their_difference():
    rows = drawn(charts.returns_chart([result()]))
    assert [(row["arm"], row["label"]) for row in rows] == [
        ("messages", "grocery, 74 days, messages: 27 of 87"),
        ("held out", "grocery, 74 days, held out: 6 of 88"),
    ]
    assert rows[0]["words"] == "+24 points (+13 to +35)"
    assert rows[1]["words"] == "too early: 175 of 1,151 people"


@pytest.mark.parametrize(
    "untold",
    [
        result("car_dealer", treated=(40, 3), control=(0, 0), difference=None),
        result("car_dealer", treated=(4, 3), control=(40, 1)),
    ],
)
def test_a_rate_without_the_other_arm_is_not_shown_but_named(untold):
    chart = charts.returns_chart([untold, result()])
    assert {row["label"].split(",")[0] for row in drawn(chart)} == {"grocery"}
    assert chart.to_dict()["title"]["subtitle"][1] == "Days not over yet: car dealer"


def test_arms_that_were_not_drawn_as_planned_are_not_to_be_read():
    rows = drawn(charts.returns_chart([result(verdict="sample_ratio")]))
    assert "do not read" in rows[1]["words"]


def test_the_largest_programme_comes_first():
    found = drawn(charts.returns_chart([result("small", treated=(9, 1), control=(9, 1)), result("large")]))
    assert [row["label"].split(",")[0] for row in found] == ["large", "large", "small", "small"]


def test_the_ladder_hides_a_handful():
    rows = drawn(every_part()[0])
    assert [row["shown"] for row in rows] == ["291", "281", "72", "<5"]


def test_every_colour_has_its_dark_neighbour_and_nothing_comes_from_outside():
    svg = charts.to_svg(whole(*every_part()), title="A & B", description="<script>")
    style, picture = re.search(r"(<style>.*</style>)(.*)", svg, flags=re.DOTALL).groups()
    colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{3,6})"', picture))
    assert colours
    assert not {colour for colour in colours if f'[fill="{colour}"]' not in style}
    assert not set(re.findall(r'(?:fill|stroke)="([a-z]+)"', picture)) - {"none", "transparent"}
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"]
    assert "<title>A &amp; B</title><desc>&lt;script&gt;</desc>" in svg


def test_a_png_for_places_that_show_no_svg():
    png = charts.to_png(whole(), scale=1)
    assert png.startswith(b"\x89PNG")


def test_a_picture_without_any_result_yet_can_be_drawn():
    empty = [
        charts.ladder_chart([]),
        charts.returns_chart([]),
        charts.waterfall_chart(charts.waterfall({}, contacts=0), as_of="2026-03-01"),
    ]
    assert charts.to_svg(whole(*empty), title="", description="").startswith("<svg")
    json.dumps(charts.waterfall({}, contacts=0), allow_nan=False)
