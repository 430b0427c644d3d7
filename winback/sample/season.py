"""What a season of the simulated shop came to: in counts for whoever watches the demo, and as its picture.

In: a project that has lived through some nights (:mod:`winback.sample.nights`). Out: plain counts, an SVG and a PNG,
aggregates only. ``python -m winback.sample.season DIR [PICTURE.svg]`` prints the counts as JSON and draws the picture,
with a PNG beside it; the picture in the README is made by exactly this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from winback.activity.store import ActivityStore
from winback.core.message_links import short_code
from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import contact_rows, cycles
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import decisions
from winback.ledger.people_tables import suppressions
from winback.ledger.public_tables import engagements
from winback.ledger.queue import MessageState
from winback.ledger.refusals import STOP_WORD
from winback.night.check import load_programmes
from winback.night.measure import measure
from winback.night.pepper import open_project_ledger
from winback.night.unsubscribe import SOURCE
from winback.sample.nights import story
from winback.sample.shop_memory import read_truth
from winback.settings import load_project

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from sqlalchemy import Connection, Select

    from winback.settings import Project


STANDINGS = {
    "active": (Reason.ACTIVE,),
    "reactivated": (Reason.RETURNED,),
    "sunset": (Reason.LADDER_ENDED, Reason.SUNSETTED),
    "suppressed": (Reason.OPTED_OUT, Reason.COMPLAINED, Reason.INVALID_ADDRESS, Reason.CONSENT_WITHDRAWN),
}
"""Where the silence of a contact has led, by the reasons of a night's decisions."""


def tell(project: Project) -> dict[str, Any]:
    """Return what happened until the last night.

    Returns
    -------
    what :func:`winback.sample.nights.story` says; first_on, as_of (first and last night), nights, contacts (in scope),
    reasons (of the last night: reason -> contacts), examples (one made-up customer by action, for `winback explain`),
    standings (of the last night: :data:`STANDINGS` -> contacts, an example with its reason and sentence, whoever was on
    a page first), answers (on the pages, by kind), said_stop (messages answered with a stop), steps (number -> kind,
    where all programmes agree), links (of tonight: kind of step -> a short code), results (one a programme,
    :func:`winback.night.measure.measure`)

    Raises
    ------
    UsageError
        If no night has been carried out yet.
    """
    with open_project_ledger(project) as ledger:
        with ledger.reading() as connection:
            last = cycles.last_night(connection)
            if last is None:
                raise UsageError(f"{project.root}: no night was carried out yet: winback --project {project.root} run")
            before = cycles.nights_before(connection, last.as_of)
            tonight = decisions.c.as_of == last.as_of
            reasons = _pairs(connection, select(decisions.c.reason, func.count()).where(tonight))
            examples = _pairs(connection, select(decisions.c.action, func.min(decisions.c.customer_id)).where(tonight))
            standings = {name: _standing(connection, last.as_of, those) for name, those in STANDINGS.items()}
            answers = _pairs(connection, select(engagements.c.kind, func.count()).where(engagements.c.is_qualified))
            on_our_pages = suppressions.c.source.in_((SOURCE, STOP_WORD)), suppressions.c.kind == "customer"
            said_stop = connection.scalar(select(func.count()).where(*on_our_pages)) or 0
            contacts = contact_rows.count_contacts(connection)["present"]
            newest = messages.c.as_of == last.as_of, messages.c.state == MessageState.ACCEPTED.value
            by_step = _pairs(connection, select(messages.c.step, func.min(messages.c.message_id)).where(*newest))
        store = ActivityStore.open(project.activity, zone=project.zone)
        results = measure(project, ledger, store, as_of=last.as_of)
    return story(project) | {
        "first_on": str(before[0].as_of if before else last.as_of),
        "as_of": str(last.as_of),
        "nights": len(before) + 1,
        "contacts": contacts,
        "reasons": reasons,
        "examples": examples,
        "standings": standings,
        "answers": answers,
        "said_stop": said_stop + int(read_truth(project.root).reactions["opted_out"].sum()),
        "steps": (kinds := _kinds(project)),
        "links": {kinds.get(int(step), f"step {step}"): short_code(one) for step, one in by_step.items()},
        "results": results,
    }


def _pairs(connection: Connection, query: Select[Any]) -> dict[str, Any]:
    """Return the rows of a query as key -> value, one a group of the first column."""
    found = connection.execute(query.group_by(query.selected_columns[0]).order_by(query.selected_columns[0]))
    return {row[0]: row[1] for row in found}


def _standing(connection: Connection, as_of: date, reasons: Collection[Reason]) -> dict[str, Any]:
    """Return how many contacts a night decided about for some reasons, and one of them, whoever was on a page first."""
    those = decisions.c.as_of == as_of, decisions.c.reason.in_(reasons)
    was_there = decisions.c.customer_id.in_(select(engagements.c.customer_id))
    one = select(decisions.c.customer_id, decisions.c.reason).where(*those)
    found = connection.execute(one.order_by(was_there.desc(), decisions.c.customer_id).limit(1)).one_or_none()
    count = connection.scalar(select(func.count()).select_from(decisions).where(*those)) or 0
    sentences = {reason.value: reason.sentence for reason in reasons}
    example = {"customer_id": found[0], "reason": found[1], "sentence": sentences[found[1]]} if found else None
    return {"contacts": count, "example": example}


def _kinds(project: Project) -> dict[int, str]:
    """Return what each step of the ladder is, by its number; "message" where the programmes differ."""
    kinds: dict[int, set[str]] = {}
    for programme in load_programmes(project.root):
        for number, step in enumerate(programme.ladder.steps, start=1):
            kinds.setdefault(number, set()).add(step.kind)
    return {number: kind.pop() if len(kind) == 1 else "message" for number, kind in kinds.items()}


def ladder_rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the ladder's chart: silences, messages by step, returns, ends."""
    treated = told["cycles"].get("treated", {"opened": 0, "returned": 0})
    rows = [{"label": "fell silent, drawn for the messages", "kind": "cycle", "contacts": treated["opened"]}]
    rows += [
        {"label": f"step {step}, {told['steps'].get(step, 'message')}", "kind": "message", "contacts": count}
        for step, count in told["messages"].items()
    ]
    rows.append(
        {
            "label": "came back, by themselves or because of a message",
            "kind": "returned",
            "contacts": treated["returned"],
        }
    )
    rows.append({"label": "left in peace, at the end of the ladder", "kind": "sunset", "contacts": told["sunset"]})
    return rows


def draw(told: dict[str, Any], picture: Path) -> list[Path]:
    """Draw a season as SVG, and as PNG beside it; return both files.

    Parameters
    ----------
    told : from :func:`tell`
    picture : the SVG; its directory is made
    """
    from winback.reports import charts  # noqa: PLC0415  a CPU second that the counts alone can do without

    night = charts.waterfall(told["reasons"], contacts=told["contacts"])
    whole = charts.one_above_the_other(
        [
            charts.ladder_chart(ladder_rows(told)),
            charts.returns_chart(told["results"]),
            charts.waterfall_chart(night, as_of=told["as_of"]),
        ],
        heading="A season of a made-up shop",
        below=f"{told['contacts']:,} customers, {told['nights']} nights from {told['first_on']} to {told['as_of']}; "
        "nothing left the machine",
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    sentences = " ".join(f"{result['programme']}: {result['sentence']}" for result in told["results"])
    svg = charts.to_svg(whole, title="A season of a made-up shop", description=sentences)
    picture.write_text(svg, encoding="utf-8")
    beside = picture.with_suffix(".png")
    beside.write_bytes(charts.to_png(whole))
    return [picture, beside]


def main(arguments: Sequence[str]) -> int:
    """Tell, and draw where a picture is named: DIR [PICTURE.svg]."""
    told = tell(load_project(Path(arguments[0])))
    if len(arguments) > 1:
        draw(told, Path(arguments[1]))
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
