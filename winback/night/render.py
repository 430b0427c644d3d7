"""A project's templates, read once, and the renderer made of them. Imports neither pandas nor Prefect.

In: the project directory. Out: a :class:`~winback.core.rendering.Renderer`. What core knows of a contact comes from a
row of the ledger; what it knows of the business from winback.yaml.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from winback.core.merge_fields import CONTACT_FIELDS, fields_used
from winback.core.rendering import Prices, Renderer
from winback.core.templates import Templates, parse_name
from winback.errors import Fault, TemplateError
from winback.ledger.people_tables import contacts
from winback.night.pepper import link_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from winback.configuration import Configuration
    from winback.core.policy import Programme, Step
    from winback.settings import Project

LARGEST_FILE_BYTES = 1_000_000
CONTACTS_LOOKED_AT = 1000


def read_templates(root: Path, config: Configuration) -> Templates:
    """Return the templates of a project directory; while no file changes, the same ones, compiled as far as they are.

    Raises
    ------
    TemplateError
        If the directory is missing, or with every file that cannot be read.
    """
    folder = root / "templates"
    if not folder.is_dir():
        raise TemplateError([Fault("templates", 0, "", "not found: a project needs templates/, see `winback init`")])
    files, faults = {}, []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        try:
            if file.stat().st_size > LARGEST_FILE_BYTES:
                faults.append(Fault(f"templates/{file.name}", 0, "", f"larger than {LARGEST_FILE_BYTES} bytes"))
                continue
            files[file.name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            faults.append(Fault(f"templates/{file.name}", 0, "", f"cannot be read: {problem}"))
    if faults:
        raise TemplateError(faults)
    business = config.business
    about = {
        "name": business.name,
        "timezone": business.timezone,
        "country": business.country,
        "postal_address": business.postal_address,
        "public_base_url": business.public_base_url,
    }
    return _templates_of(tuple(files.items()), tuple(about.items()))


@lru_cache(maxsize=2)
def _templates_of(files: tuple[tuple[str, str], ...], business: tuple[tuple[str, str], ...]) -> Templates:
    """Return the templates of these very texts: plan, queue and sender of one process compile each of them once."""
    return Templates(dict(files), business=dict(business))


def used_templates(programmes: Collection[Programme]) -> set[tuple[str, str]]:
    """Return every (template, channel) the programmes may send."""
    steps = [step for programme in programmes for step in programme.ladder.steps]
    return {(step.template, channel) for step in steps for channel in step.channels}


def make_renderer(
    project: Project, templates: Templates, *, key: bytes, merge_fields: Collection[str] = ()
) -> Renderer:
    """Return the renderer of a project.

    Parameters
    ----------
    key : the ledger's pepper, which signs links where ``WINBACK_SECRET_KEY`` names no key
    merge_fields : contacts' fields that may be empty; any other field a contact does not have is an error
    """
    channels = project.config.channels
    prices = Prices(
        per_sms_segment=channels.sms.price_per_segment if channels.sms else 0.0,
        per_whatsapp_message=channels.whatsapp.price_per_message if channels.whatsapp else 0.0,
    )
    return Renderer(templates, key=link_keys(project, key)[0], prices=prices, merge_fields=merge_fields)


def merge_fields_of(templates: Templates, *, used: Collection[tuple[str, str]]) -> set[str]:
    """Return every contact's field the used templates read.

    The plan has compared them with the contacts' columns, so one that a contact lacks is a value that is not there.
    """
    keys = {file: parse_name(file) for file in templates.files}
    wanted = [file for file, key in keys.items() if key is not None and (key.name, key.channel) in used]
    return {field for file in wanted for field in fields_used(templates.compiled(file).fields)}


def merge_fields_in(connection: Connection) -> set[str]:
    """Return the contacts' further columns, from the first contacts: they are the same for all."""
    rows = connection.scalars(select(contacts.c.extra).limit(CONTACTS_LOOKED_AT))
    return {name for row in rows for name in json.loads(row or "{}")}


def customer_fields(contact: Mapping[str, Any]) -> dict[str, object]:
    """Return what templates may know of a contact: the canonical columns and the merge fields of its row."""
    extra = json.loads(contact["extra"]) if contact["extra"] else {}
    return {**extra, **{name: contact[name] for name in CONTACT_FIELDS}}


def step_of(programmes: Mapping[str, Programme], programme: str, step: int) -> Step | None:
    """Return a rung of a programme's ladder, counted from 1, or None when the policy has it no more."""
    found = programmes.get(programme)
    if found is None or not 1 <= step <= len(found.ladder.steps):
        return None
    return found.ladder.steps[step - 1]
