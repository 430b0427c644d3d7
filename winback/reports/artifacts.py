"""What a night publishes about itself: tables and a few lines of Markdown, aggregates only.

In: the plain dictionaries of counts that `winback plan` and `winback run` return. Out: rows for tables, Markdown.
Must never happen: a person's data, or a cell so small that it points at somebody. A cell under five is written
``<5``, and where a table's total would give a single such cell away, the next smallest is hidden with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from winback.core.reasons import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SMALLEST_CELL = 5
HIDDEN = f"<{SMALLEST_CELL}"
ALSO_HIDDEN = "hidden"

Row = dict[str, Any]


def conceal(counts: Mapping[str, int]) -> dict[str, int | str]:
    """Return counts fit to be shown: small ones are hidden, in a way the total does not undo.

    Parameters
    ----------
    counts : cell name -> count (>= 0)

    Returns
    -------
    the same keys in the same order; a count, ``<5``, or ``hidden``
    """
    small = {name for name, count in counts.items() if 0 < count < SMALLEST_CELL}
    large = sorted((count, name) for name, count in counts.items() if count >= SMALLEST_CELL)
    also = large[0][1] if len(small) == 1 and large else None
    return {name: HIDDEN if name in small else ALSO_HIDDEN if name == also else count for name, count in counts.items()}


def counts_table(counts: Mapping[str, int], *, label: str) -> list[Row]:
    """Return one row a cell, the largest first; ``label`` names the first column."""
    ordered = dict(sorted(counts.items(), key=lambda cell: (-cell[1], cell[0])))
    return [{label: name, "contacts": count} for name, count in conceal(ordered).items()]


def why_not_table(reasons: Mapping[str, int]) -> list[Row]:
    """Return why contacts did not get a message: action, reason, its sentence, how many; the commonest first."""
    unsent = {name: count for name, count in reasons.items() if name != Reason.DUE}
    shown = conceal(dict(sorted(unsent.items(), key=lambda cell: (-cell[1], cell[0]))))
    known = {reason.value: reason for reason in Reason}
    return [
        {"action": str(known[name].action), "reason": name, "means": known[name].sentence, "contacts": count}
        for name, count in shown.items()
    ]


def ladder_table(steps: Mapping[str, int]) -> list[Row]:
    """Return the ladder's funnel: how many contacts stand at each step tonight, in the ladder's order."""
    return [{"step": name, "contacts": count} for name, count in conceal(dict(sorted(steps.items()))).items()]


def sources_table(sources: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return what every source delivered and whether it is held; row counts point at nobody and stay as they are."""
    columns = ("name", "read", "new", "quarantined", "max_occurred_at", "held")
    return [{column: _plain(source.get(column)) for column in columns} for source in sources]


def thresholds_table(groups: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the thresholds by behaviour, frequency and lifecycle; a group under five customers shows no figures.

    Parameters
    ----------
    groups : behaviour, frequency, lifecycle, customers and the figures of each group
    """
    keys = ("behaviour", "frequency", "lifecycle", "customers")
    rows = []
    for group in groups:
        is_small = group["customers"] < SMALLEST_CELL
        figures = {name: "" if is_small else _plain(value) for name, value in group.items() if name not in keys}
        rows.append({**{name: group[name] for name in keys[:3]}, "customers": group["customers"], **figures})
        if is_small:
            rows[-1]["customers"] = HIDDEN
    return rows


def night_words(summary: Mapping[str, Any], *, held: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the head of a night in Markdown: the day, the plan, what it sends and costs, what stands against it.

    The number of messages is never hidden: it is what a person agrees to.
    """
    lines = [
        f"## Night of {summary['as_of']}",
        "",
        f"Plan `{summary['plan_hash']}`: {summary['contacts']:,} contacts in scope.",
        f"Messages: {summary['decisions'].get(Action.SEND, 0)}. Cost: {float(summary.get('cost') or 0):.2f}.",
    ]
    against = [guard for guard in summary.get("guards", ()) if not guard["ok"]]
    lines += [f"- guard **{guard['name']}**: {guard['detail']}" for guard in against]
    lines += [f"- **{item['name']}** is held: {item['detail']}" for item in held]
    if not against and not held:
        lines.append("Every guard is content and no source is held.")
    return "\n".join(lines)


def _plain(value: object) -> object:
    """Return a value a table can show."""
    if value is None:
        return ""
    return round(value, 2) if isinstance(value, float) else value if isinstance(value, int | str | bool) else str(value)
