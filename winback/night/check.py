"""Check what people wrote: winback.yaml, the policies and the templates, every fault at once.

In: a project directory. Out: programmes, or faults. Nothing is written and no data is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import select

from winback.core import rendering
from winback.core.policy import Programme, load_programme
from winback.core.templates import Templates, parse_name
from winback.documents import Path, dotted, nearest, parse
from winback.errors import ConfigError, Fault, PolicyError, TemplateError
from winback.ledger.people_tables import contacts
from winback.night.page_texts import FALLBACK, PageTexts
from winback.night.page_theme import theme_css
from winback.night.render import merge_fields_in, read_templates, used_templates
from winback.settings import load_configuration

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path as FilePath

    from sqlalchemy import Connection

    from winback.configuration import Configuration
    from winback.core.merge_fields import FieldUse


def read_programmes(root: FilePath) -> tuple[list[tuple[str, Programme]], list[Fault]]:
    """Return (file, programme) of every policy that is valid, and the faults of those that are not."""
    folder = root / "policies"
    files = sorted(folder.glob("*.y*ml"))
    if not files:
        return [], [Fault("policies", 0, "", "no policy found: a programme is a file policies/NAME.yaml")]
    found: list[tuple[str, Programme]] = []
    faults: list[Fault] = []
    for file in files:
        name = f"policies/{file.name}"
        try:
            found.append((name, load_programme(file.read_text(encoding="utf-8"), file=name)))
        except ConfigError as problem:
            faults += problem.faults
        except (OSError, UnicodeDecodeError) as problem:
            faults.append(Fault(name, 0, "", f"cannot be read: {problem}"))
    first: dict[str, str] = {}
    for name, programme in found:
        other = first.setdefault(programme.programme, name)
        if other != name:
            what = f"programme {programme.programme!r} is already described in {other}"
            faults.append(Fault(name, 0, "programme", what))
    return found, faults


def load_programmes(root: FilePath) -> tuple[Programme, ...]:
    """Return the programmes of a project, in the order of their names.

    Raises
    ------
    PolicyError
        With every fault of every policy file.
    """
    found, faults = read_programmes(root)
    if faults:
        raise PolicyError(faults)
    return tuple(sorted((programme for _, programme in found), key=lambda programme: programme.programme))


def fit_together(file: str, programme: Programme, config: Configuration, *, lines: Mapping[Path, int]) -> list[Fault]:
    """Return what a policy asks for that winback.yaml does not give: channels and behaviours.

    Parameters
    ----------
    lines : the line of every path in the policy's file
    """
    faults = []
    for position, step in enumerate(programme.ladder.steps):
        path: Path = ("ladder", "steps", position, "channels")
        faults += [
            Fault(file, lines.get(path, 1), dotted(path), f"channel {channel!r} is not set up in winback.yaml")
            for channel in step.channels
            if getattr(config.channels, channel) is None
        ]
    delivers = [source.delivers for source in config.sources.events]
    delivered = frozenset[str]().union(*delivers)
    counted = programme.trigger.behaviours
    # A source without a fixed behaviour names it in each row and may deliver any.
    if all(delivers) and not delivered & set(counted):
        path = ("trigger", "behaviours")
        what = f"no source delivers {', '.join(map(repr, counted))}, so this programme would never see anybody"
        faults.append(Fault(file, lines.get(path, 1), dotted(path), what + nearest(counted[0], sorted(delivered))))
    return faults


def check(root: FilePath) -> list[Fault]:
    """Return every fault in winback.yaml, the policies and the templates of a project directory."""
    faults: list[Fault] = []
    config = None
    try:
        config = load_configuration(root)
    except ConfigError as problem:
        faults += problem.faults
    found, policy_faults = read_programmes(root)
    faults += policy_faults
    if config is None:
        return faults
    for file, programme in found:
        _, lines = parse((root / file).read_text(encoding="utf-8"), file=file)
        faults += fit_together(file, programme, config, lines=lines)
    faults += _check_pages(root, config, found)
    return faults + _check_templates(root, config, [programme for _, programme in found])


def require_sound(root: FilePath) -> None:
    """Ask of a project what `winback check` asks, before a night touches any data.

    Raises
    ------
    ConfigError
        With every fault in winback.yaml, the policies and the templates.
    """
    faults = check(root)
    if faults:
        raise ConfigError(faults)


def _check_pages(root: FilePath, config: Configuration, found: Collection[tuple[str, Programme]]) -> list[Fault]:
    """Return what is wrong with the public pages: their texts, their colours, and what steps want of them."""
    faults: list[Fault] = []
    try:
        theme_css(root)
    except ConfigError as problem:
        faults += problem.faults
    try:
        texts = PageTexts(root, business=config.business.name)
    except ConfigError as problem:
        return [*faults, *problem.faults]
    sections = sorted(texts.languages[FALLBACK].texts)
    for file, programme in found:
        for number, step in enumerate(programme.ladder.steps):
            if step.page and step.page not in sections:
                what = f"pages/texts.{FALLBACK}.yaml has no section {step.page!r}{nearest(step.page, sections)}"
                faults.append(Fault(file, 0, f"ladder.steps.{number}.page", what))
            if step.url and urlsplit(step.url).hostname not in config.web.link_hosts:
                what = "its host does not stand in web.link_hosts of winback.yaml, so nobody would be led there"
                faults.append(Fault(file, 0, f"ladder.steps.{number}.url", what))
    return faults


def _check_templates(root: FilePath, config: Configuration, programmes: list[Programme]) -> list[Fault]:
    """Return what is wrong with the templates by themselves; a night also compares them with the contacts' columns."""
    try:
        templates = read_templates(root, config)
    except TemplateError as problem:
        return list(problem.faults)
    fields = {use.path[-1] for file in templates.files if parse_name(file) for use in _fields(templates, file)}
    return rendering.check(templates, fields, used=used_templates(programmes))


def _fields(templates: Templates, file: str) -> tuple[FieldUse, ...]:
    try:
        return templates.compiled(file).fields
    except TemplateError:
        return ()  # its faults are told by the check itself


def check_merge_fields(connection: Connection, templates: Templates, programmes: Collection[Programme]) -> None:
    """Compare every template the programmes may send with the contacts' columns; without contacts there are none.

    Raises
    ------
    TemplateError
        With every fault, before anything is queued.
    """
    if connection.execute(select(contacts.c.customer_id).limit(1)).first() is None:
        return
    faults = rendering.check(templates, merge_fields_in(connection), used=used_templates(programmes))
    if faults:
        raise TemplateError(faults)
