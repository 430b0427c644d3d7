"""The dated rules a project goes by: its own ``rules/`` where it has them, else those winback ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.core.answer_words import AnswerWords, load_answer_words
from winback.core.country_rules import CountryRules, load_country_rules
from winback.core.send_hours import SendHours, load_send_hours
from winback.core.visitor_agents import VisitorAgents, load_visitor_agents
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
    hours_text, hours_file = _text(project, "quiet_hours.yaml")
    countries_text, countries_file = _text(project, "countries.yaml")
    return load_send_hours(hours_text, file=hours_file), load_country_rules(countries_text, file=countries_file)


def read_answer_words(project: Project) -> AnswerWords:
    """Return the words that mean stop, start or help.

    Raises
    ------
    ConfigError
        With every fault in a file of the project's own.
    """
    text, file = _text(project, "answer_words.yaml")
    return load_answer_words(text, file=file)


def read_visitor_agents(project: Project) -> VisitorAgents:
    """Return the table of programs that follow links.

    Raises
    ------
    ConfigError
        With every fault in a file of the project's own.
    """
    text, file = _text(project, "visitor_agents.yaml")
    return load_visitor_agents(text, file=file)


def _text(project: Project, name: str) -> tuple[str, str]:
    """Return the text of a file of rules, and what it is called."""
    own = project.root / "rules" / name
    file = own if own.is_file() else data_directory() / "rules" / name
    return file.read_text(encoding="utf-8"), f"rules/{name}"
