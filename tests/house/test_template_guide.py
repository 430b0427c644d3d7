"""docs/how-to/write-a-template.md: what it shows works, and its tables name what there is."""

import re
from pathlib import Path

from winback.core import liquid_rules
from winback.core.merge_fields import CONTACT_FIELDS, OTHER_FIELDS, PLAIN_FIELDS
from winback.core.rendering import check
from winback.core.templates import Templates, misnamed

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-template.md").read_text(encoding="utf-8")
BUSINESS = {
    "name": "Acme",
    "timezone": "Europe/Paris",
    "country": "FR",
    "postal_address": "1 rue X, Paris",
    "public_base_url": "https://go.acme.example",
}


def test_the_templates_it_shows_are_sound() -> None:
    files = dict(re.findall(r"`templates/([^`]+)`\n\n```[a-z]+\n(.*?)```", GUIDE, re.DOTALL))
    assert len(files) == 3
    assert check(Templates(files, business=BUSINESS), []) == []


def test_the_file_names_it_shows_are_read() -> None:
    table = GUIDE.split("| file | read as |")[1].split("\n\n")[0]
    names = re.findall(r"`([^`]+\.(?:mjml|liquid))`", table)
    assert len(names) == 6
    assert misnamed(names) == []


def test_every_field_is_named() -> None:
    table = GUIDE.split("| field | what it is |")[1].split("\n\n")[0]
    named = {part.split(".")[-1] for part in re.findall(r"`([^`]+)`", table)}
    assert {*CONTACT_FIELDS, *PLAIN_FIELDS, *(name for names in OTHER_FIELDS.values() for name in names)} <= named | {
        "locale",
    }


def test_the_limits_it_states_are_the_limits() -> None:
    stated = {int(number.replace(",", "")) for number in re.findall(r"at most ([\d,]+)", GUIDE)}
    limits = liquid_rules.environment(escapes=False)
    assert stated == {limits.loop_iteration_limit, liquid_rules.LONGEST_RANGE, liquid_rules.LONGEST_TEXT}
