"""What the public pages say and look like: complete in every language, readable, and told where a project errs."""

from __future__ import annotations

import outbox_world
import pytest
import yaml

from winback.errors import SettingsError
from winback.night.check import check
from winback.night.page_texts import PageTexts
from winback.night.page_theme import contrast, theme_css
from winback.settings import data_directory

LANGUAGES = ("de", "en", "es", "fr", "it")


def _texts(code: str) -> dict:
    return yaml.safe_load((data_directory() / "pages" / f"texts.{code}.yaml").read_text("utf-8"))


def _shape(value: object) -> object:
    """The keys of some texts, how many a list has, and the names in braces."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return len(value)
    return sorted(part.split("}")[0] for part in str(value).split("{")[1:])


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_says_everything(code):
    assert _shape(_texts(code)) == _shape(_texts("en"))


def test_there_is_a_language_for_each_that_templates_have():
    assert sorted(file.name for file in (data_directory() / "pages").iterdir()) == [
        f"texts.{one}.yaml" for one in LANGUAGES
    ]


@pytest.mark.parametrize("kind", ["survey", "contest", "coupon"])
def test_a_project_says_it_otherwise(tmp_path, kind):
    (tmp_path / "pages").mkdir()
    said = yaml.safe_dump({kind: {"title": "Bonjour {business}"}, "mine": {"lead": "Ici"}})
    (tmp_path / "pages" / "texts.fr.yaml").write_text(said)
    french = PageTexts(tmp_path, business="Acme").choose(["fr-CA"])
    assert french.texts[kind]["title"] == "Bonjour Acme"
    assert french.texts[kind]["done_title"] == _texts("fr")[kind]["done_title"]
    assert french.texts["mine"] == {"lead": "Ici"}


def test_a_language_of_the_project_s_own_runs_its_own_way(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "texts.ar.yaml").write_text("common: {language: العربية}\n")
    arabic = PageTexts(tmp_path, business="Acme").choose(["ar"])
    assert (arabic.code, arabic.direction) == ("ar", "rtl")
    assert arabic.texts["survey"]["title"] == _texts("en")["survey"]["title"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("survey: {tilte: Hello}", "texts.en.yaml:1: survey.tilte: no page shows such a text (did you mean 'title'?)"),
        ("\nmine: {wrong: Hello}", "texts.en.yaml:2: mine.wrong: no page shows such a text"),
        ("survey: Hello", "expected texts by name"),
        ("- survey", "expected sections with texts in them"),
        ("survey: {title: [", "texts.en.yaml:"),
    ],
)
def test_a_text_that_no_page_shows_is_a_fault_with_its_line(tmp_path, text, fault):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "texts.en.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        PageTexts(tmp_path, business="Acme")
    assert fault in str(caught.value)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_our_own_colours_can_be_read(tmp_path):
    assert "--accent: #9a3c1a" in theme_css(tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("light: {accent: '#ffcc00'}", "light.accent: on ground it has a contrast of"),
        ("dark: {ink: '#333333'}", "dark.ink: on ground it has a contrast of"),
        ("light: {acent: '#000000'}", "did you mean 'accent'?"),
        ("light: {accent: 'red; } body { display: none'}", "light.accent"),
    ],
)
def test_colours_that_cannot_be_read_are_a_fault(tmp_path, text, fault):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "theme.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        theme_css(tmp_path)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (
            "kind: survey, page: surwey",
            "ladder.steps.0.page: pages/texts.en.yaml has no section 'surwey' (did you",
        ),
        (
            "kind: message, url: 'https://evil.example/'",
            "steps.0.url: its host does not stand in web.link_hosts",
        ),
        ("kind: message, url: 'http://www.acme.example/'", "url"),
        ("kind: survey, url: 'https://www.acme.example/'", "a survey has a page of its own"),
        ("kind: survey, pool: thanks", "a survey gives out no codes"),
    ],
)
def test_what_a_step_wants_of_the_pages_is_checked(tmp_path, step, fault):
    project = outbox_world.make_project(tmp_path)
    policy = project.root / "policies" / "winback.yaml"
    policy.write_text(policy.read_text().replace("kind: survey", step))
    assert fault in "\n".join(map(str, check(project.root)))


def test_a_sound_project_has_no_fault(tmp_path):
    assert not check(outbox_world.make_project(tmp_path).root)
