"""Reading a project's templates: compiled once in a process, and never an old text."""

from __future__ import annotations

from datetime import date

import pytest

from winback.night.render import read_templates
from winback.sample.scaffold import scaffold
from winback.settings import load_project


@pytest.fixture
def project(tmp_path):
    scaffold(tmp_path / "project", customers=0, ends_on=date(2026, 3, 1))
    return load_project(tmp_path / "project", {})


def test_a_second_reader_finds_what_the_first_one_compiled(project):
    first = read_templates(project.root, project.config)
    compiled = first.get("survey", "sms")
    assert read_templates(project.root, project.config).get("survey", "sms") is compiled


def test_a_changed_text_is_never_the_old_one(project):
    before = read_templates(project.root, project.config).template_hash("survey", "sms")
    (project.root / "templates" / "survey.sms.liquid").write_text("Other words. {{ stop_words }}", encoding="utf-8")
    assert read_templates(project.root, project.config).template_hash("survey", "sms") != before


def test_another_business_is_another_text(project):
    before = read_templates(project.root, project.config)
    business = project.config.business.model_copy(update={"name": "Other"})
    after = read_templates(project.root, project.config.model_copy(update={"business": business}))
    assert (before.business["name"], after.business["name"]) == (project.config.business.name, "Other")
