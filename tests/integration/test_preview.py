"""`winback preview`: one message for one customer, without sending anything."""

import json
from pathlib import Path

import ledger_rows as rows
import pytest
from outbox_world import FILES, make_project
from sqlalchemy import update

from winback.errors import TemplateError, UsageError
from winback.ledger import people
from winback.ledger.engine import open_ledger
from winback.ledger.people_tables import contacts
from winback.night.pepper import read_pepper
from winback.night.preview import preview
from winback.settings import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {**FILES, "survey.sms.fr.liquid": FILES["survey.sms.liquid"].replace("hi", "salut")}
    project = make_project(tmp_path / "project", files)
    with (
        open_ledger(project.database_url, pepper=read_pepper(project), create=True) as ledger,
        ledger.writing() as connection,
    ):
        frame = rows.contacts("anna", "bert", locale=["fr-CA", None])
        people.replace_contacts(connection, frame, pepper=read_pepper(project), as_of=rows.NIGHT)
        extra = update(contacts).where(contacts.c.customer_id == "anna").values(extra=json.dumps({"shop": "Lyon"}))
        connection.execute(extra)
    return project


def test_a_mail(project: Project) -> None:
    out = preview(project, "survey", customer="anna")
    assert out["subject"] == "First anna, hi"
    assert "of Lyon" in out["text"]
    assert "of Lyon" in out["html"]
    assert (out["encoding"], out["segments"], out["price"], out["faults"]) == ("UTF-8", 0, 0.0, [])


def test_a_text_in_the_customers_language_or_another(project: Project) -> None:
    out = preview(project, "survey", customer="anna", channel="sms")
    assert "salut First anna" in out["text"]
    assert (out["characters"], out["encoding"], out["segments"], out["price"]) == (len(out["text"]), "GSM-7", 1, 0.07)
    other = preview(project, "survey", customer="anna", channel="sms", locale="de")
    assert "hi First anna" in other["text"]


def test_a_dear_character_is_named(project: Project) -> None:
    file = project.root / "templates" / "survey.sms.liquid"
    file.write_text(file.read_text() + " \N{LATIN SMALL LETTER E WITH CIRCUMFLEX}")
    out = preview(project, "survey", customer="bert", channel="sms")
    assert out["offending"] == ["\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}"]


def test_what_would_keep_it_from_being_sent_is_listed(project: Project) -> None:
    (project.root / "templates" / "survey.sms.liquid").write_text("hello")
    out = preview(project, "survey", customer="bert", channel="sms")
    assert len(out["faults"]) == 2


def test_a_field_another_customer_has_is_empty_and_an_unknown_one_is_an_error(project: Project) -> None:
    assert "of nowhere" in preview(project, "survey", customer="bert")["text"]
    file = project.root / "templates" / "survey.email.mjml"
    file.write_text(file.read_text().replace("customer.shop", "customer.shopp"))
    with pytest.raises(TemplateError, match=r"survey.email.mjml:3: .*did you mean 'customer.shop'"):
        preview(project, "survey", customer="bert")


def test_wrong_names_say_what_was_meant(project: Project) -> None:
    with pytest.raises(UsageError, match=r"unknown customer 'ana' \(did you mean 'anna'\?\)"):
        preview(project, "survey", customer="ana")
    with pytest.raises(TemplateError, match=r"no such template \(did you mean 'survey.email'\?\)"):
        preview(project, "survy", customer="anna")


def test_an_empty_project_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="winback sync"):
        preview(make_project(tmp_path / "new"), "survey", customer="anna")


def test_a_project_without_templates_says_so(project: Project) -> None:
    for file in (project.root / "templates").iterdir():
        file.unlink()
    (project.root / "templates").rmdir()
    with pytest.raises(TemplateError, match="templates: not found"):
        preview(project, "survey", customer="anna")


def test_a_template_that_is_no_text_says_so(project: Project) -> None:
    (project.root / "templates" / "survey.email.mjml").write_bytes(b"\xff\xfe\x00bad")
    (project.root / "templates" / "huge.sms.liquid").write_text("x" * 1_000_001)
    with pytest.raises(TemplateError) as caught:
        preview(project, "survey", customer="anna")
    files = [fault.file for fault in caught.value.faults]
    assert files == ["templates/huge.sms.liquid", "templates/survey.email.mjml"]
