"""The fields a template may read, and which ones it does.

In: a parsed template. Out: every field it reads with its place, and a fault for each that nobody has. This is looked at
while a night is planned, over every template it uses, so that no message fails on a misspelt name later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from winback import documents
from winback.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from liquid import BoundTemplate

    from winback.core.liquid_parts import Part

CONTACT_FIELDS = (
    *("customer_id", "email", "phone", "first_name", "last_name"),
    *("locale", "timezone", "country", "region", "category"),
)
OTHER_FIELDS: Mapping[str, Collection[str]] = {
    "business": ("name", "timezone", "country", "postal_address", "public_base_url"),
    "programme": ("name",),
    "step": ("number", "day", "kind"),
    "links": ("act", "unsubscribe", "preferences"),
}
PLAIN_FIELDS = ("terms_url", "locale")
_PUT_IN_BY_US = ("links", "unseen")
"""Stands in every compiled mail, and is no field for authors."""


class FieldUse(NamedTuple):
    """A field a template reads, and where."""

    path: tuple[str, ...]
    file: str
    line: int
    column: int


def field_uses(template: BoundTemplate, part: Part) -> tuple[FieldUse, ...]:
    """Return every field a text reads that it does not set itself, in the order of the file, each use once."""
    uses = set()
    for variables in template.analyze().globals.values():
        for variable in variables:
            path = tuple("[…]" if isinstance(step, list) else str(step) for step in variable.segments)
            if path != _PUT_IN_BY_US:
                uses.add(FieldUse(path, *part.origin(variable.span.index)))
    return tuple(sorted(uses, key=lambda use: (use.file, use.line, use.column)))


def fields_used(uses: Iterable[FieldUse]) -> list[str]:
    """Return the contacts' fields that are read, sorted."""
    return sorted({use.path[1] for use in uses if use.path[0] == "customer" and len(use.path) > 1})


def unknown_fields(uses: Iterable[FieldUse], columns: Collection[str]) -> list[Fault]:
    """Return a fault for each field read that no contact has.

    Parameters
    ----------
    uses : of one template
    columns : the merge fields the contacts' feed has beside the canonical columns
    """
    known = {"customer": {*CONTACT_FIELDS, *columns}, **{name: set(fields) for name, fields in OTHER_FIELDS.items()}}
    paths = {f"{root}.{name}" for root, names in known.items() for name in names} | set(PLAIN_FIELDS)
    faults = []
    for use in uses:
        shown = ".".join(use.path)
        if shown in paths:
            continue
        if shown in known:
            message = f"{shown} holds several fields: name one, such as {shown}.{min(known[shown])}"
        else:
            message = f"{shown} is not known{documents.nearest(shown, sorted(paths))}"
        faults.append(Fault(use.file, use.line, f"column {use.column}", message))
    return faults
