"""The templates we ship: sound in every language, one segment as SMS, and quiet towards every other host."""

import re
from pathlib import Path

import pytest

from winback.core.mail_safety import host_faults
from winback.core.rendering import MessageFacts, Rendered, Renderer, check
from winback.core.templates import Templates, parse_name

FOLDER = Path(__file__).parents[2] / "data" / "templates"
FILES = {file.name: file.read_text(encoding="utf-8") for file in sorted(FOLDER.iterdir())}
KEYS = [key for key in map(parse_name, FILES) if key]
BUSINESS = {
    "name": "Acme",
    "timezone": "Europe/Paris",
    "country": "FR",
    "postal_address": "1 rue X, 75001 Paris",
    "public_base_url": "https://go.acme.example",
}
TEMPLATES = Templates(FILES, business=BUSINESS)
RENDERER = Renderer(TEMPLATES, key=b"k")


def render(key, **customer: str) -> Rendered:
    return RENDERER.render(
        MessageFacts(
            message_id="ab" * 16,
            template=key.name,
            channel=key.channel,
            locale=key.locale or "en",
            programme="grocery",
            step=1,
            day=30,
            kind="survey",
            terms_url="https://acme.example/terms",
            customer=customer,
        )
    )


def test_every_kind_is_there_in_every_language_on_every_channel() -> None:
    languages = ("", "de", "es", "fr", "it")
    wanted = {
        (kind, channel, language)
        for kind in ("survey", "contest", "coupon")
        for channel in ("email", "sms", "whatsapp")
        for language in languages
    }
    assert set(KEYS) == wanted


def test_all_are_sound() -> None:
    assert check(TEMPLATES, []) == []


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.channel == "sms"], ids=lambda key: f"{key.name}-{key.locale}"
)
@pytest.mark.parametrize("name", ["", "Maximiliane"])
def test_an_sms_fits_into_one_segment(key, name: str) -> None:
    size = render(key, first_name=name).size
    assert size is not None
    assert (size.encoding, size.segments, size.offending) == ("GSM-7", 1, ())


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.channel == "email"], ids=lambda key: f"{key.name}-{key.locale}"
)
def test_a_mail_names_no_other_host(key) -> None:
    out = render(key, first_name="Anna")
    hosts = set(re.findall(r"//([^/\"'\s<>)]+)", re.sub(r'xmlns(:[a-z])?="[^"]*"', "", out.html)))
    assert hosts <= {"go.acme.example", "acme.example"}
    assert not re.search(r"@import|<link|<script|<img|url\(", out.html)
    assert host_faults(out.html.replace("https://", "tel:"), source="", file="x") == []


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.channel == "email"], ids=lambda key: f"{key.name}-{key.locale}"
)
def test_a_mail_speaks_its_language_and_stays_under_what_mailboxes_cut(key) -> None:
    out = render(key, first_name="Anna")
    assert f'<html lang="{key.locale or "en"}"' in out.html
    assert len(out.html.encode()) < 102_000
    assert "Anna" in out.subject
    assert "{{" not in out.html + out.text + out.subject + out.preheader
    assert "{%" not in out.html + out.text + out.subject + out.preheader


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.name}-{key.channel}-{key.locale}")
@pytest.mark.parametrize("name", ["", "Anna"])
def test_a_missing_name_leaves_no_gap(key, name: str) -> None:
    out = render(key, first_name=name)
    assert not re.search(r"  | ,|,,|^,|: ,", out.text + "\n" + out.subject, re.MULTILINE)
