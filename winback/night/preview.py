"""One message for one customer, without sending it: what it says, how long it is, what it costs.

In: a template's name and a customer. Out: the rendered message as plain values. Nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from winback import documents
from winback.core.merge_fields import unknown_fields
from winback.core.rendering import MessageFacts
from winback.errors import TemplateError, UsageError
from winback.ledger.people_tables import contacts
from winback.night.check import read_programmes
from winback.night.pepper import open_project_ledger
from winback.night.render import customer_fields, make_renderer, merge_fields_in, read_templates

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from winback.core.rendering import Rendered
    from winback.settings import Project

NO_MESSAGE = "0" * 32
CONTACTS_LOOKED_AT = 1000


def preview(
    project: Project, template: str, *, customer: str, channel: str = "email", locale: str | None = None
) -> dict[str, Any]:
    """Return one message as it would leave.

    Parameters
    ----------
    template : its name, as a policy's step gives it
    customer : a customer's id
    locale : another one than the customer's

    Returns
    -------
    ``template, channel, locale, customer_id, subject, preheader, text, html, characters, encoding, segments, price,
    offending`` (the characters that made the text expensive) and ``faults`` (what would keep it from being sent)

    Raises
    ------
    UsageError
        If nobody has that id.
    TemplateError
        If the template does not exist or cannot be rendered.
    """
    templates = read_templates(project.root, project.config)
    templates.get(template, channel, locale)  # a wrong name is told before the ledger is opened
    with open_project_ledger(project) as ledger, ledger.reading() as connection:
        contact = _contact(connection, customer)
        columns = merge_fields_in(connection)
        renderer = make_renderer(project, templates, key=ledger.pepper, merge_fields=columns)
    locale = locale or contact["locale"]
    faults = unknown_fields(templates.get(template, channel, locale).fields, columns)
    if faults:
        raise TemplateError(faults)
    rendered = renderer.render(
        MessageFacts(
            message_id=NO_MESSAGE,
            template=template,
            channel=channel,
            locale=locale,
            customer=customer_fields(contact),
            **_step(project.root, template),
        )
    )
    told = {"template": rendered.file, "channel": channel, "locale": locale, "customer_id": customer}
    return told | _as_values(rendered) | {"faults": renderer.faults_of(rendered)}


def _as_values(rendered: Rendered) -> dict[str, Any]:
    """Return a message as plain values."""
    size = rendered.size
    return {
        "subject": rendered.subject,
        "preheader": rendered.preheader,
        "text": rendered.text,
        "html": rendered.html,
        "characters": len(rendered.text),
        "encoding": size.encoding if size else "UTF-8",
        "segments": size.segments if size else 0,
        "price": rendered.price,
        "offending": list(size.offending) if size else [],
    }


def _contact(connection: Connection, customer: str) -> dict[str, Any]:
    """Return a customer's row."""
    query = select(contacts).where(contacts.c.customer_id == customer, contacts.c.removed_on.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        known = list(connection.scalars(select(contacts.c.customer_id).limit(CONTACTS_LOOKED_AT)))
        what = "no contact was read yet: run `winback sync` first" if not known else "look it up in the contacts feed"
        raise UsageError(f"unknown customer {customer!r}{documents.nearest(customer, known)}: {what}")
    return dict(row)


def _step(root: Path, template: str) -> dict[str, Any]:
    """Return the first step that sends a template; where none does, something harmless."""
    found, _ = read_programmes(root)
    for _, programme in found:
        for number, step in enumerate(programme.ladder.steps, start=1):
            if step.template == template:
                facts = {"programme": programme.programme, "step": number, "day": step.day, "kind": step.kind}
                return {**facts, "terms_url": step.terms_url}
    return {"programme": "preview", "step": 1, "day": 30, "kind": "message"}
