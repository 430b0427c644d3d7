"""The reference pages say what the models say."""

from pathlib import Path

import pytest

from winback.configuration import Configuration
from winback.core.policy import Programme
from winback.reports.policy_reference import PAGES, reference_pages

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_reference_page_is_fresh(name: str) -> None:
    stale = f"docs/reference/{name} is stale: python -m winback.reports.policy_reference docs/reference"
    assert (DOCS / name).read_text(encoding="utf-8") == reference_pages()[name], stale


@pytest.mark.parametrize("model", [Programme, Configuration])
def test_every_key_of_every_model_is_explained(model: type) -> None:
    definitions = model.model_json_schema()
    models = [definitions, *definitions.get("$defs", {}).values()]
    unexplained = [
        f"{one.get('title')}.{key}"
        for one in models
        for key, field in one.get("properties", {}).items()
        if not field.get("description")
    ]
    assert not unexplained
