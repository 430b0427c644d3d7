"""Landing pages before anybody has one: every step in every language, in a frame that carries nothing out."""

import re

import operator_world
import pytest
from night_world import Shop

from winback.night.pepper import open_project_ledger


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return Shop(tmp_path_factory.mktemp("previewed") / "shop")


@pytest.fixture(scope="module")
def pages(shop):
    with open_project_ledger(shop.project) as ledger:
        yield operator_world.OperatorPages(shop.project, ledger)


def test_every_step_is_listed_and_shown_in_every_language(pages) -> None:
    operator = pages.operator()
    listed = re.findall(r'href="(/pages/[^"]+)"', operator.get("/pages").text)
    assert len(listed) == 4
    for path in listed:
        around = operator.get(path).text
        languages = re.findall(r'\?language=([a-z]+)"', around)
        assert {"de", "en", "es", "fr", "it"} <= set(languages)
        for language in languages:
            shown = operator.get(f"{path}/{language}")
            assert shown.status_code == 200, path
            assert f'<html lang="{language}"' in shown.text


def test_a_text_that_is_being_written_is_shown_as_it_is(pages, shop) -> None:
    operator = pages.operator()
    file = shop.root / "pages" / "texts.fr.yaml"
    kept = file.read_text() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    path = next(one for one in re.findall(r'href="(/pages/[^"]+)"', operator.get("/pages").text) if "/1" in one)
    try:
        file.write_text("survey: {title: 'Une question <toute> neuve'}\n")
        assert "Une question &lt;toute&gt; neuve" in operator.get(f"{path}/fr").text
    finally:
        file.write_text(kept) if kept is not None else file.unlink()
    assert "toute" not in operator.get(f"{path}/fr").text


def test_a_preview_may_be_framed_by_these_pages_only_and_its_form_leads_nowhere(pages) -> None:
    operator = pages.operator()
    path = re.findall(r'href="(/pages/[^"]+)"', operator.get("/pages").text)[0]
    around, framed = operator.get(path), operator.get(f"{path}/fr")
    assert "frame-src 'self'" in around.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in around.headers["content-security-policy"]
    frames = re.findall(r"<iframe[^>]+>", around.text)
    assert len(frames) == 2
    assert all(re.search(r"\ssandbox[\s>]", frame) for frame in frames)
    policy = framed.headers["content-security-policy"]
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert f"style-src {operator_world.ADDRESS}/" in policy
    assert framed.headers["x-frame-options"] == "SAMEORIGIN"
    assert "script" not in policy.replace("default-src 'none'", "")


def test_the_look_of_a_framed_page_needs_no_log_in(pages) -> None:
    """A frame without an origin of its own sends no cookie; without its look a page is no preview."""
    path = re.findall(r'href="(/pages/[^"]+)"', pages.operator().get("/pages").text)[0]
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', pages.operator().get(f"{path}/fr").text)
    assert sheets
    for sheet in sheets:
        answer = pages.stranger().get(sheet)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css")


def test_what_has_no_page_is_not_there(pages) -> None:
    operator = pages.operator()
    path = re.findall(r'href="(/pages/[^"]+)"', operator.get("/pages").text)[0]
    for wrong in (f"{path}/xx", "/pages/nobody/1", path.rpartition("/")[0] + "/99", f"{path}/../fr"):
        assert operator.get(wrong).status_code == 404
    assert pages.stranger().get(path).status_code in {303, 401, 403}
