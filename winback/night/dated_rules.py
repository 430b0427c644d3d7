"""The dated rules a project goes by: its own ``rules/`` where it has them, else those winback ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.core.country_rules import CountryRules, load_country_rules
from winback.core.send_hours import SendHours, load_send_hours
from winback.settings import data_directory

if TYPE_CHECKING:
    from winback.settings import Project


def read_rules(project: Project) -> tuple[SendHours, CountryRules]:
    """Return the allowed hours and the country rules.

    Raises
    ------
    ConfigError
        With every fault in a file of the project's own.
    """

    def text(name: str) -> tuple[str, str]:
        own = project.root / "rules" / name
        file = own if own.is_file() else data_directory() / "rules" / name
        return file.read_text(encoding="utf-8"), f"rules/{name}"

    hours_text, hours_file = text("quiet_hours.yaml")
    countries_text, countries_file = text("countries.yaml")
    return load_send_hours(hours_text, file=hours_file), load_country_rules(countries_text, file=countries_file)
