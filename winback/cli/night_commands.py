"""Commands about one night: sync, plan, apply, run, deliver, settle."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from winback.cli.console import Answer, counts_table, plain, progress, session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cyclopts import App

# There are 1,024 buckets, so this is the finest split there is.
Shards = Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=1024))]


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    for command in (sync, plan, apply, run, deliver, settle):
        app.command(command)


def _accepted(accept_volume: Sequence[str], accept: Sequence[str]) -> tuple[str, ...]:
    return tuple(accept) + tuple(f"volume:{item}" for item in accept_volume)


def sync(
    *, as_of: date | None = None, accept_volume: list[str] | None = None, accept: list[str] | None = None
) -> Answer:
    """Read the sources; nothing is decided and nothing is sent.

    Parameters
    ----------
    as_of
        The business day, default today.
    accept_volume
        SOURCE:DATE whose unusual volume a person has looked at (written to the audit log).
    accept
        KIND:SOURCE:DATE for the other guards (empty, stale, quarantine).
    """
    from winback.night.run import sync_sources

    project = session().project()
    day = session().day(project, as_of)
    accepted = _accepted(accept_volume or (), accept or ())
    with progress() as step:
        synced = sync_sources(
            project, as_of=day, now=session().started_at, accept=accepted, actor=session().actor, progress=step
        )
    held = [source["name"] for source in synced["sources"] if source["held"]]
    columns = ["source", "read", "new", "quarantined", "newest event", "held"]
    keys = ["name", "read", "new", "quarantined", "max_occurred_at", "held"]
    rows = [[source[key] for key in keys] for source in synced["sources"]]
    details = [f"[bold]{item['name']}[/bold]: {plain(item['detail'])}" for item in synced["sources"] if item["detail"]]
    return Answer(
        data=synced, words="\n".join(details), tables=[("Sources", columns, rows)], exit_code=4 if held else 0
    )


def plan(
    *,
    as_of: date | None = None,
    out: Path | None = None,
    accept: list[str] | None = None,
    shards: Shards = None,
) -> Answer:
    """Work out what a night would do, and write nothing but the plan.

    Parameters
    ----------
    as_of
        The business day, default today.
    out
        Where to write the plan (JSON) for `winback apply`.
    accept
        growth:DATE or sunsets:DATE, once a person has looked at why the guard refused.
    shards
        Into how many parts the customers are split; changes memory and speed, never a decision.
    """
    from winback.night.run import make_plan

    project = session().project()
    day = session().day(project, as_of)
    with progress() as step:
        summary = make_plan(
            project,
            as_of=day,
            now=session().started_at,
            shards=shards,
            out=out,
            accept=accept or (),
            progress=step,
        )
    words = [f"Plan [bold]{summary['plan_hash']}[/bold] for {day}: {summary['contacts']:,} contacts."]
    words += _held_words(summary)
    if out is not None:
        words.append(plain(f"Written to {out}. Next: winback apply {out}"))
    return Answer(data=summary, words="\n".join(words), tables=_decision_tables(summary))


def _decision_tables(summary: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[object]]]]:
    return [counts_table("Decisions", summary["decisions"]), counts_table("Reasons", summary["reasons"])]


def _held_words(summary: Mapping[str, Any]) -> list[str]:
    return [f"[bold]{held['name']}[/bold] held: {plain(held['detail'])}" for held in summary["held"]]


def apply(plan_file: Path, *, confirm_count: int | None = None, allow_backdated: bool = False) -> Answer:
    """Queue and deliver a plan; refused when data, policy or consent changed since.

    Parameters
    ----------
    plan_file
        The JSON that `winback plan --out` wrote.
    confirm_count
        How many messages you expect to be sent; needed when the plan wants approval.
    allow_backdated
        Carry out the plan of a day before yesterday, too.
    """
    from winback.night.run import apply_plan

    project = session().project()
    with progress() as step:
        report = apply_plan(
            project,
            plan_file,
            now=session().started_at,
            allow_backdated=allow_backdated,
            confirm_count=confirm_count,
            actor=session().actor,
            progress=step,
        )
    return _report_answer(report)


def run(
    *,
    as_of: date | None = None,
    allow_backdated: bool = False,
    confirm_count: int | None = None,
    accept_volume: list[str] | None = None,
    accept: list[str] | None = None,
    shards: Shards = None,
) -> Answer:
    """Do the whole night: sync, assess, plan, guards, deliver, settle.

    Running the same day again adds nothing.

    Parameters
    ----------
    as_of
        The business day, default today. One before yesterday is planned only.
    allow_backdated
        Queue and deliver an older day too.
    confirm_count
        How many messages you expect to be sent; needed when the plan wants approval.
    accept_volume
        SOURCE:DATE whose unusual volume a person has looked at (written to the audit log).
    accept
        KIND:SOURCE:DATE for the other guards (empty, stale, quarantine), or growth:DATE, sunsets:DATE.
    shards
        Into how many parts the customers are split; changes memory and speed, never a decision.
    """
    from winback.night.run import run as run_night

    project = session().project()
    day = session().day(project, as_of)
    with progress() as step:
        report = run_night(
            project,
            as_of=day,
            now=session().started_at,
            allow_backdated=allow_backdated,
            confirm_count=confirm_count,
            accept=_accepted(accept_volume or (), accept or ()),
            shards=shards,
            actor=session().actor,
            progress=step,
        )
    return _report_answer(report)


def _report_answer(report: Mapping[str, Any]) -> Answer:
    words = [f"Night of [bold]{report['as_of']}[/bold], plan {report['plan_hash']}: {report['contacts']:,} contacts."]
    words += _held_words(report)
    words += [plain(note) for note in report["notes"]]
    states = ", ".join(f"{state} {count:,}" for state, count in sorted(report["messages"].items())) or "none"
    words.append(f"Messages: {states}. New tonight: {report['new_messages']:,}. {report['seconds']:.1f} s.")
    return Answer(data=report, words="\n".join(words), tables=_decision_tables(report), exit_code=report["exit_code"])


def deliver() -> Answer:
    """Drain what is due in the outbox now. Safe to run many at once.

    SIGTERM and Ctrl-C end it: calls in flight are finished and recorded, nothing else is begun.
    """
    from winback.cli.leaving import leaving_on_signal
    from winback.night.deliver import deliver as drain
    from winback.night.pepper import open_project_ledger

    project = session().project()
    with open_project_ledger(project) as ledger, leaving_on_signal() as leaving:
        counts = drain(project, ledger, now=session().started_at, leaving=leaving)
    words = ", ".join(f"{state} {count:,}" for state, count in counts.items()) or "nothing was due"
    if leaving.is_set():
        words += "; asked to leave, the rest stays planned"
    return Answer(data={"messages": counts}, words=words)


def settle() -> Answer:
    """Apply receipts, look for evidence, settle or give up what is in doubt, and count the messages by state.

    Texts that were never heard of are asked about; where mail goes out by a vendor that keeps lists of refusals, both
    sides are told what the other knows. Who followed links is judged: people, programs, or not to be told. Who answered
    or came back has their cycle closed, and the tools that winback.yaml names under `hooks` are told what happened.
    """
    from winback.night.evidence import seek_evidence
    from winback.night.exchange_lists import exchange
    from winback.night.judge_visits import judge_visits
    from winback.night.pepper import open_project_ledger
    from winback.night.poll_texts import poll
    from winback.night.settle import settle as settle_messages
    from winback.night.tell_listeners import tell_listeners
    from winback.night.terms import returning_of

    project, now = session().project(), session().started_at
    with open_project_ledger(project) as ledger:
        proven = seek_evidence(project, ledger, now=now)
        polled = poll(project, ledger, now=now)
        lists = exchange(project, ledger, now=now)
        visits = judge_visits(project, ledger, now=now)
        settled = settle_messages(ledger, now=now, today=project.business_date(now), returning=returning_of(project))
        hooks = tell_listeners(project, ledger, now=now)
    found = settled._asdict()
    states = found.pop("states")
    words = ", ".join(f"{state} {count:,}" for state, count in states.items()) or "no messages yet"
    doubts = {
        "came back since their messages: their cycles are closed": settled.returned,
        "accepted more than 24 hours ago without any event": settled.accepted_without_event,
        "events about messages that are not in this ledger": settled.events_without_row,
        "unknown": sum(settled.unknown_by_age.values()),
        "suppressed because the vendor's lists say so": lists.suppressed,
        "addresses the vendor was told not to write to": lists.told,
        "visits judged to be a person's": visits["human"],
        "visits judged to be a program's": visits["machine"],
        "visits that cannot be told apart": visits["unknown"],
        "people who came back by following a link": visits["returned"],
        "events other tools were told of": hooks.delivered,
        "events other tools are still to be told of": hooks.waiting,
    }
    lines = [words, *(f"{count:,} {what}" for what, count in doubts.items() if count)]
    lines += [f"{step} is held: {plain(why)}; winback resume --step" for step, why in settled.held_steps.items()]
    lines += [f"warning: {plain(warning)}" for warning in (*polled.warnings, *lists.warnings, *hooks.warnings)]
    told = {"polled": polled._asdict(), "lists": lists._asdict(), "visits": visits, "hooks": hooks._asdict()}
    data = {"messages": states, "proven": proven, **told, **found}
    return Answer(data=data, words="\n".join(lines))
