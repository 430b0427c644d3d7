"""Commands that only look: decisions, messages, explain, measure, backtest, preview."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from winback.cli.console import Answer, plain, session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from cyclopts import App

Format = Literal["csv", "json"]
Style = Annotated[Format | None, Parameter(name="--format")]


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    for command in (decisions, messages, explain, measure, backtest, preview):
        app.command(command)


def _rows_answer(frame: pd.DataFrame, style: Format | None) -> Answer:
    from winback.reports.exports import to_csv, to_records

    as_csv = style == "csv" or (style is None and not session().as_json)
    if as_csv:
        return Answer(raw=to_csv(frame))
    return Answer(raw=to_records(frame))


def decisions(*, as_of: date | None = None, style: Style = None) -> Answer:
    """List one row per contact in scope: what was decided, and why.

    Parameters
    ----------
    as_of
        The business day, default today.
    style
        csv (default) or json, on standard output.
    """
    from winback.night.tabulate import list_decisions

    project = session().project()
    return _rows_answer(list_decisions(project, as_of=session().day(project, as_of)), style)


def messages(
    *,
    state: str | None = None,
    as_of: date | None = None,
    style: Style = None,
) -> Answer:
    """List one row per message.

    Parameters
    ----------
    state
        Only messages in this state.
    as_of
        Only messages planned for this business day.
    style
        csv (default) or json, on standard output.
    """
    from winback.night.tabulate import list_messages

    project = session().project()
    day = session().day(project, as_of) if as_of is not None else None
    return _rows_answer(list_messages(project, state=state, as_of=day), style)


def explain(customer: str, *, as_of: date | None = None) -> Answer:
    """Say why a customer was, or was not, written to: every rule in order, with its numbers.

    Parameters
    ----------
    customer
        The customer's id.
    as_of
        The business day; default the newest night that has a decision.
    """
    from winback.night.explain import explain as explain_customer

    project = session().project()
    day = session().day(project, as_of) if as_of is not None else None
    story = explain_customer(project, customer, as_of=day)
    words = [
        f"[bold]{plain(customer)}[/bold] on {story['as_of']}: [bold]{story['action']}[/bold] ({story['reason']})",
        plain(story["sentence"]),
        *(f"What would change it: {plain(line)}." for line in story["would_have_to_change"]),
    ]
    return Answer(data=story, words="\n".join(words), tables=_rule_tables(story["steps"]))


def _rule_tables(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], list[list[object]]]]:
    """Return the rule that decided, then those that were asked before it, in their order."""
    if not steps:
        return []
    from winback.core.explanation import facts_in_words

    *passed, decided = [[plain(step["rule"]), plain(facts_in_words(step["inputs"]))] for step in steps]
    tables: list[tuple[str, list[str], list[list[object]]]] = [("Decided by", ["rule", "it saw"], [list(decided)])]
    if passed:
        title = f"Asked before, in this order; none of these {len(passed)} applied"
        tables.append((title, ["rule", "it saw"], [list(row) for row in passed]))
    return tables


def measure(*, as_of: date | None = None) -> Answer:
    """Say whether it helped: who came back among those drawn for the messages, and among those held out.

    Parameters
    ----------
    as_of
        What happened before this business day is known; default today.
    """
    from winback.night.measure import measure_project

    project = session().project()
    day = session().day(project, as_of)
    results = measure_project(project, as_of=day)
    words = [f"[bold]{plain(one['programme'])}[/bold]: {plain(one['sentence'])}" for one in results]
    return Answer(data={"as_of": str(day), "results": results}, words="\n".join(words) or "There is no programme.")


def backtest(
    events: Path,
    *,
    horizon: int,
    as_of: Annotated[list[date], Parameter(negative=())],
    out: Path,
    behaviour: str = "purchase",
    category: str | None = None,
) -> Answer:
    """Score every customer known on past days, using only the events up to each day.

    Parameters
    ----------
    events
        CSV (or .csv.gz) with customer_id,timestamp[,amount].
    horizon
        Days after each date in which an event would disprove a lapse.
    as_of
        A day to score; repeat the option for more.
    out
        Where to write customer_id, as_of, score, inactive, threshold_days.
    behaviour
        What the events are; opens and clicks follow other rules than purchases.
    category
        Category whose floor and ceiling apply.
    """
    from winback.errors import UsageError
    from winback.night.backtest import backtest as score
    from winback.reports.exports import write_csv

    today = session().started_at.date()
    if max(as_of) > today:
        raise UsageError(f"--as-of {max(as_of)} is in the future: today is {today}. Name days that have come.")
    if not out.name or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a file in a folder that exists")
    rows = score(events, horizon_days=horizon, as_of=as_of, behaviour=behaviour, category=category)
    try:
        write_csv(rows, out)
    except OSError as problem:
        raise UsageError(f"--out {out}: cannot be written: {problem.strerror}") from problem
    flagged = float(rows["inactive"].mean())
    summary = {"rows": len(rows), "out": str(out), "as_of": [str(day) for day in as_of], "inactive_share": flagged}
    return Answer(data=summary, words=f"{len(rows):,} decisions written to {out}; {flagged:.1%} called inactive.")


def preview(
    template: str, *, customer: str, channel: Literal["email", "sms", "whatsapp"] = "email", locale: str | None = None
) -> Answer:
    """Render one message for one customer, and say how long it is and what it costs.

    Parameters
    ----------
    template
        The template's name, as a policy's step names it.
    customer
        The customer's id.
    channel
        email, sms or whatsapp.
    locale
        Another locale than the customer's.
    """
    from winback.night.preview import preview as render

    result = render(session().project(), template, customer=customer, channel=channel, locale=locale)
    facts = ", ".join(f"{name} {result[name]}" for name in ("characters", "encoding", "segments", "price"))
    words = [f"[bold]{plain(result['subject'])}[/bold]"] if result.get("subject") else []
    return Answer(data=result, words="\n".join([*words, plain(result["text"]), facts]))
