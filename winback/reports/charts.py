"""Charts of a season: the ladder, why contacts got no message, and what the messages did. Aggregates only.

In: plain counts and the results of :func:`winback.night.measure.measure`. Out: one SVG that reads well on light and
dark pages, asks nobody for anything and prints as vectors; or a PNG. Must never happen: a contact counted under two
reasons or none, a return rate without the arm it is compared with, a bar that points at fewer than five people.
"""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING, Any

import altair as alt
import vl_convert

from winback.core.outcomes import TOO_FEW, WRONG_RATIO
from winback.core.reasons import Action, Reason
from winback.reports.artifacts import HIDDEN, SMALLEST_CELL, conceal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Chart = alt.LayerChart | alt.VConcatChart
    Row = dict[str, Any]

# Okabe and Ito's colours, told apart by everybody; the dark page gets their lighter neighbours. Nothing is told by
# colour alone: shapes differ, and every mark carries its number.
PAPER, INK, SOFT, LINE = "#ffffff", "#1f2328", "#59636e", "#d8dee4"
MESSAGES, HELD_OUT, NEUTRAL, GOOD = "#0072b2", "#b35900", "#8c959f", "#00855f"
DARK = {
    PAPER: "#0d1117", INK: "#f0f3f6", SOFT: "#a9b4c0", LINE: "#3d444d",
    MESSAGES: "#56b4e9", HELD_OUT: "#e69f00", NEUTRAL: "#768390", GOOD: "#2fc48d",
}  # fmt: skip
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
WIDTH = 880
LABEL_WIDTH = 412
RATES_WIDTH = 270
MOST_REASONS = 10
MINUS = "\N{MINUS SIGN}"
REASONS = {reason.value: reason for reason in Reason}
OTHER = "another reason, or one of fewer than five contacts"


def waterfall(reasons: Mapping[str, int], *, contacts: int) -> list[Row]:
    """Return one row a bar: everybody in scope, then each reason taken away in turn, the largest first, then messages.

    Parameters
    ----------
    reasons : reason -> contacts, each contact under exactly one
    contacts : everybody in scope

    Returns
    -------
    label, kind (`scope|unsent|control|sent`), contacts, start, end, shown (the number as people may see it)

    Raises
    ------
    ValueError
        If the reasons do not add up to everybody: somebody has two, or none.
    """
    if sum(reasons.values()) != contacts:
        raise ValueError(f"{sum(reasons.values())} reasons for {contacts} contacts: each has exactly one")
    sent = reasons.get(Reason.DUE, 0)
    unsent = sorted(((count, name) for name, count in reasons.items() if name != Reason.DUE and count), reverse=True)
    named = [(count, name) for count, name in unsent[:MOST_REASONS] if count >= SMALLEST_CELL]
    other = sum(count for count, _ in unsent) - sum(count for count, _ in named)
    while 0 < other < SMALLEST_CELL and named:
        other += named.pop()[0]
    rows: list[Row] = [
        {"label": "contacts in scope", "kind": "scope", "contacts": contacts, "start": 0, "end": contacts}
    ]
    left = contacts
    for count, name in [*named, *([(other, "")] if other else [])]:
        held_out = bool(name) and REASONS[name].action == Action.HOLD_OUT
        label = REASONS[name].sentence if name else OTHER
        rows.append({"label": label, "kind": "control" if held_out else "unsent", "contacts": count})
        rows[-1] |= {"start": left - count, "end": left}
        left -= count
    rows.append({"label": "get a message", "kind": "sent", "contacts": sent, "start": 0, "end": left})
    shown = conceal({row["label"]: row["contacts"] for row in rows[1:]}) | {rows[0]["label"]: contacts}
    return [row | {"shown": _written(shown[row["label"]])} for row in rows]


def _written(count: int | str) -> str:
    return count if isinstance(count, str) else f"{count:,}"


def waterfall_chart(rows: Sequence[Row], *, as_of: str) -> alt.LayerChart:
    """Return the waterfall of one night."""
    order = [row["label"] for row in rows]
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(y=_rungs("label", order))
    colour = alt.Color("kind:N", legend=None).scale(
        domain=["scope", "unsent", "control", "sent"], range=[INK, NEUTRAL, HELD_OUT, MESSAGES]
    )
    top = rows[0]["contacts"]
    x = alt.X("start:Q", axis=None).scale(domain=[0, top * 1.12], nice=False)
    bars = base.mark_bar(height=15, cornerRadius=2).encode(x=x, x2="end:Q", color=colour)
    counts = base.mark_text(align="left", dx=6, color=INK, fontSize=12).encode(
        x=alt.X("end:Q", axis=None), text="shown:N"
    )
    heading = _heading("Why, or why not", f"The night of {as_of}: every contact in scope has exactly one reason")
    return _laid_out(bars + counts, rows, heading)


def ladder_chart(rows: Sequence[Row]) -> alt.LayerChart:
    """Return the ladder as bars.

    Parameters
    ----------
    rows : label, kind (`cycle|message|returned|sunset`), contacts; from the top of the ladder down
    """
    order = [row["label"] for row in rows]
    shown = [
        row | {"shown": _written(HIDDEN if 0 < row["contacts"] < SMALLEST_CELL else row["contacts"])} for row in rows
    ]
    base = alt.Chart(alt.InlineData(values=shown)).encode(y=_rungs("label", order))
    most = max((row["contacts"] for row in rows), default=1)
    x = alt.X("contacts:Q", axis=None).scale(domain=[0, max(most, 1) * 1.12], nice=False)
    colour = alt.Color("kind:N", legend=None).scale(
        domain=["cycle", "message", "returned", "sunset"], range=[INK, MESSAGES, GOOD, NEUTRAL]
    )
    bars = base.mark_bar(height=15, cornerRadius=2).encode(x=x, color=colour)
    counts = base.mark_text(align="left", dx=6, color=INK, fontSize=12).encode(x=x, text="shown:N")
    heading = _heading("The ladder", "People drawn for the messages, over the whole season")
    return _laid_out(bars + counts, rows, heading)


def returns_chart(results: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Return both arms' return rates with their 95 % intervals, a pair a programme, and the difference in words."""
    told, untold = _told(results)
    rows = [row for result in told for row in _arms(result)]
    order = [row["label"] for row in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=_rungs("label", order))
    most = math.ceil(10 * max((row["high"] for row in rows), default=1.0)) / 10
    x = alt.X("rate:Q").scale(domain=[0, most], range=[0, RATES_WIDTH])
    x = x.axis(
        format="%", tickCount=5, title=None, grid=True, gridColor=LINE, domain=False, ticks=False, labelColor=SOFT,
        labelFontSize=11, labelFlush=False,
    )  # fmt: skip
    arms = ["messages", "held out"]
    colour = alt.Color("arm:N", legend=None).scale(domain=arms, range=[MESSAGES, HELD_OUT])
    shape = alt.Shape("arm:N", legend=None).scale(domain=arms, range=["circle", "diamond"])
    spans = base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q"), x2="high:Q", color=colour)
    dots = base.mark_point(filled=True, size=100, opacity=1).encode(x=x, color=colour, shape=shape)
    words = base.mark_text(align="left", fontSize=12).encode(
        x=alt.value(RATES_WIDTH + 18), text="words:N", color=alt.Color("ink:N", scale=None)
    )
    below = ["Who came back within the same days, those drawn for the messages and those held out, with 95 % intervals"]
    below += [f"Days not over yet: {', '.join(untold)}"] if untold else []
    heading = _heading("Did it help?", below)
    return _laid_out(spans + dots + words, rows, heading)


def _laid_out(layers: alt.LayerChart, rows: Sequence[Row], heading: alt.TitleParams) -> alt.LayerChart:
    """Return a chart with a line for each row, under its heading."""
    chart: alt.LayerChart = layers.properties(width=WIDTH - LABEL_WIDTH, height=25 * len(rows), title=heading)
    return chart


def _told(results: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the results there are, the largest first, and the names of the programmes that have none to show yet."""
    shown = [
        result
        for result in results
        if min(result["treated"]["contacts"], result["control"]["contacts"]) >= SMALLEST_CELL
    ]
    shown.sort(key=lambda result: -result["treated"]["contacts"] - result["control"]["contacts"])
    return shown, [_plain_name(result) for result in results if result not in shown]


def _plain_name(result: Mapping[str, Any]) -> str:
    return str(result["programme"]).replace("_", " ")


def _arms(result: Mapping[str, Any]) -> list[Row]:
    """Return the two rows of one programme: the difference beside the one, what it is worth beside the other."""
    low, difference, high = (f"{100 * result[key]:+.0f}".replace("-", MINUS) for key in ("low", "difference", "high"))
    seen = result["treated"]["contacts"] + result["control"]["contacts"]
    worth = {
        TOO_FEW: f"too early: {seen:,} of {result['needed']:,} people",
        WRONG_RATIO: "the arms are not as they were drawn: do not read this",
    }
    words = {"treated": f"{difference} points ({low} to {high})", "control": worth.get(result["verdict"], "")}
    rows = []
    for arm, called, ink in (("treated", "messages", INK), ("control", "held out", SOFT)):
        of = result[arm]
        label = (
            f"{_plain_name(result)}, {result['window_days']} days, {called}: {of['returns']:,} of {of['contacts']:,}"
        )
        rows.append({"label": label, "arm": called, "words": words[arm], "ink": ink})
        rows[-1] |= {key: of[key] for key in ("rate", "low", "high")}
    return rows


def _rungs(field: str, order: Sequence[str]) -> alt.Y:
    """Return the axis of rows with their names, in the order given."""
    axis = alt.Axis(
        title=None, domain=False, ticks=False, labelLimit=LABEL_WIDTH - 10, labelPadding=8, labelColor=INK,
        labelFontSize=12, minExtent=LABEL_WIDTH, maxExtent=LABEL_WIDTH,
    )  # fmt: skip
    return alt.Y(f"{field}:N", sort=list(order), axis=axis)


def _heading(text: str, below: str | list[str]) -> alt.TitleParams:
    return alt.TitleParams(
        text, subtitle=below, anchor="start", frame="group", dx=-LABEL_WIDTH, offset=12, color=INK, fontSize=16,
        subtitleColor=SOFT, subtitleFontSize=12, subtitlePadding=4,
    )  # fmt: skip


def one_above_the_other(charts: Sequence[alt.LayerChart], *, heading: str, below: str) -> alt.VConcatChart:
    """Return charts as one picture under a heading."""
    title = alt.TitleParams(
        heading, subtitle=below, anchor="start", offset=22, color=INK, fontSize=20, subtitleColor=SOFT,
        subtitleFontSize=13, subtitlePadding=6,
    )  # fmt: skip
    whole = alt.vconcat(*charts, spacing=36, title=title).resolve_scale(
        x="independent", y="independent", color="independent"
    )
    page: alt.VConcatChart = whole.configure(font=FONT, background=PAPER, padding=20).configure_view(stroke=None)
    return page


def to_svg(chart: Chart, *, title: str, description: str) -> str:
    """Return a chart as one SVG for light and dark pages; a page that says nothing gets the light one.

    Parameters
    ----------
    title, description : for those who do not see it
    """
    svg: str = vl_convert.vegalite_to_svg(chart.to_json(), vl_version=_grammar())
    rules = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    names = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" \1>{names}{style}', svg, count=1)


def to_png(chart: Chart, *, scale: float = 2) -> bytes:
    """Return a chart as a PNG on white, for mail and for places that show no SVG."""
    png: bytes = vl_convert.vegalite_to_png(chart.to_json(), vl_version=_grammar(), scale=scale)
    return png


def _grammar() -> str:
    """Return the version of Vega-Lite that both libraries speak."""
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
