"""One message for one person: what a name may do, what a message must hold, and that templates are compiled once."""

from dataclasses import replace

import pytest

from winback.core.message_links import capability, message_links, short_code
from winback.core.rendering import MessageFacts, Prices, Rendered, Renderer, check
from winback.core.templates import Templates
from winback.errors import TemplateError

BUSINESS = {
    "name": "Tom & Acme",
    "timezone": "Europe/Paris",
    "country": "FR",
    "postal_address": "1 rue <X>, Paris",
    "public_base_url": "https://go.acme.example/",
}
MAIL = """<mjml><mj-head><mj-title>{{ customer.first_name }}, hello</mj-title><mj-preview>From us</mj-preview></mj-head>
<mj-body><mj-section><mj-column>
<mj-text>Hi {{ customer.first_name }}</mj-text>
<mj-text>{{ business.postal_address }} <a href="{{ links.unsubscribe }}">no more</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
SMS = "{{ business.name }}: hi {{ customer.first_name | default: 'you' }} {{ links.act }} STOP"
FILES = {"a.email.mjml": MAIL, "a.sms.liquid": SMS, "a.sms.fr.liquid": SMS + " au revoir", "a.whatsapp.liquid": SMS}
KEY = b"secret"
FACTS = MessageFacts(
    message_id="0123456789abcdef" * 2,
    template="a",
    channel="sms",
    locale="en",
    programme="grocery",
    step=2,
    day=60,
    kind="contest",
    customer={"customer_id": "c-1", "first_name": "Anna"},
)


def renderer(files: dict | None = None, **options) -> Renderer:
    return Renderer(Templates(files or FILES, business=BUSINESS), key=KEY, **options)


def test_an_sms_is_measured_and_priced() -> None:
    out = renderer(prices=Prices(per_sms_segment=0.07)).render(FACTS)
    assert out.text == "Tom & Acme: hi Anna https://go.acme.example/s/ASNFZ4mrze8 STOP"
    assert out.size is not None
    assert (out.size.segments, out.price, out.subject, out.html) == (1, 0.07, "", "")
    longer = replace(FACTS, customer={"first_name": "A\N{LATIN SMALL LETTER C WITH CEDILLA}" * 100})
    assert renderer(prices=Prices(per_sms_segment=0.07)).render(longer).price == pytest.approx(0.28)


def test_whatsapp_is_priced_by_message_and_a_mail_costs_nothing() -> None:
    prices = Prices(per_sms_segment=0.07, per_whatsapp_message=0.05)
    assert renderer(prices=prices).render(replace(FACTS, channel="whatsapp")).price == 0.05
    assert renderer(prices=prices).render(replace(FACTS, channel="email")).price == 0


def test_a_name_is_text_in_html_and_stays_itself_elsewhere() -> None:
    out = renderer().render(replace(FACTS, channel="email", customer={"first_name": '<b>Bob & "Co"'}))
    assert "<b>Bob" not in out.html
    assert "1 rue &lt;X&gt;, Paris" in out.html
    assert "1 rue <X>, Paris" in out.text
    assert "Hi &lt;b&gt;Bob &amp; &#34;Co&#34;" in out.html
    assert out.subject == '<b>Bob & "Co", hello'
    assert 'Hi <b>Bob & "Co"' in out.text


def test_a_name_that_looks_like_liquid_is_text() -> None:
    out = renderer().render(replace(FACTS, customer={"first_name": "{{ business.country }}{% if %}"}))
    assert "{{ business.country }}{% if %}" in out.text


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\0", "\x1b", "\x7f", "\x08", "\ud83d"]
)
def test_invisible_control_characters_are_left_out(hidden: str) -> None:
    out = renderer().render(replace(FACTS, channel="email", customer={"first_name": f"An{hidden}na"}))
    assert out.subject == "Anna, hello"
    assert hidden not in out.html + out.text


@pytest.mark.parametrize("name", ["Anna\r\nBcc: all@example.org", "Anna\nX: y", "a" * 1000])
def test_a_name_that_would_write_headers_is_a_fault_of_the_message(name: str) -> None:
    this = renderer()
    out = this.render(replace(FACTS, channel="email", customer={"first_name": name}))
    assert any("subject" in fault for fault in this.faults_of(out))


def test_each_template_is_compiled_once_however_many_people_it_goes_to() -> None:
    this = renderer()
    for number in range(200):
        for channel in ("email", "sms"):
            this.render(replace(FACTS, channel=channel, message_id=f"{number:032x}", locale=("en", "fr")[number % 2]))
    assert this.templates.compilations == 3


def test_the_same_facts_give_the_same_bytes() -> None:
    facts = replace(FACTS, channel="email")
    assert renderer().render(facts) == renderer().render(facts)


def test_canonical_and_merge_fields_without_a_value_are_empty_and_others_are_errors() -> None:
    facts = replace(FACTS, customer={"customer_id": "c-1"})
    assert "hi you" in renderer().render(facts).text
    files = {"a.sms.liquid": "{{ customer.shop | default: 'near you' }}"}
    assert renderer(files, merge_fields=["shop"]).render(facts).text == "near you"
    with pytest.raises(TemplateError, match=r"customer.shop is undefined"):
        renderer(files).render(facts)


@pytest.mark.parametrize(
    ("locale", "wanted"),
    [("fr-CH", "fr-CH"), ("fr_CH", "fr-CH"), ("de", "en"), ("en-GB", "en-GB"), (None, "en")],
)
def test_dates_follow_the_language_of_the_words_around_them(locale: str | None, wanted: str) -> None:
    files = {"a.sms.liquid": "{{ locale }}", "a.sms.fr.liquid": "{{ locale }}"}
    assert renderer(files).render(replace(FACTS, locale=locale)).text == wanted


def test_a_template_knows_the_step_the_programme_and_the_terms() -> None:
    files = {"a.sms.liquid": "{{ step.number }} {{ step.day }} {{ step.kind }} {{ programme.name }} {{ terms_url }}."}
    assert renderer(files).render(FACTS).text == "2 60 contest grocery ."
    terms = replace(FACTS, terms_url="https://acme.example/t")
    assert renderer(files).render(terms).text == "2 60 contest grocery https://acme.example/t."


def test_links_hold_nothing_about_the_person_and_acting_ones_are_bound_to_their_purpose() -> None:
    links = message_links(FACTS.message_id, base_url="https://go.acme.example/", key=b"k")
    assert links["act"] == "https://go.acme.example/s/ASNFZ4mrze8"
    stop, preferences = links["unsubscribe"].split("/u/")[1], links["preferences"].split("/p/")[1]
    assert len(stop) == len(preferences) == 32
    assert stop[:16] == preferences[:16]  # the key id and the head of the message id
    assert stop[16:] != preferences[16:]
    assert capability(FACTS.message_id, "unsubscribe", key=b"other") != stop
    assert len(short_code(FACTS.message_id)) == 11


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, []),
        ({"text": "no address"}, ["postal address"]),
        ({"html": "<p>no way out</p>"}, ["no way out"]),
        ({"subject": ""}, ["subject is empty"]),
        ({"subject": "a\nb"}, ["line break"]),
    ],
)
def test_what_a_mail_must_hold(change: dict, wanted: list[str]) -> None:
    this = renderer()
    found = this.faults_of(replace(this.render(replace(FACTS, channel="email")), **change))
    assert len(found) == len(wanted)
    assert all(part in fault for part, fault in zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    ("channel", "text", "wanted"),
    [
        ("sms", "Tom & Acme hello STOP", []),
        ("sms", "Tom & Acme hello", ["how to end it"]),
        ("sms", "hello STOP", ["name the sender"]),
        ("whatsapp", "Tom & Acme hello", []),
        ("whatsapp", "", ["empty", "name the sender"]),
    ],
)
def test_what_a_text_must_hold(channel: str, text: str, wanted: list[str]) -> None:
    this = renderer()
    out: Rendered = replace(this.render(replace(FACTS, channel=channel)), text=text)
    found = this.faults_of(out)
    assert len(found) == len(wanted)
    assert all(part in fault for part, fault in zip(wanted, found, strict=True))


def checked(files: dict[str, str], **options) -> list[str]:
    return [str(fault) for fault in check(Templates(files, business=BUSINESS), ["city"], **options)]


def test_sound_templates_have_no_faults() -> None:
    assert checked(FILES) == []


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"a.sms.fr.liquid": SMS + "{{ customer.ctiy }}"}, "a.sms.fr.liquid:1: column"),
        ({"a.sms.liquid": SMS + "{{ customer.ctiy }}"}, "did you mean 'customer.city'"),
        ({"a.sms.liquid": "{{ business.name }}"}, "templates/a.sms.liquid: the text does not say how to end it"),
        ({"a.email.mjml": MAIL.replace("{{ business.postal_address }}", "")}, "does not show the postal address"),
        ({"a.email.mjml": MAIL.replace("links.unsubscribe", "links.preferences")}, "the mail has no way out"),
        ({"a.email.mjml": MAIL.replace("</mj-column>", "")}, "templates/a.email.mjml:"),
        ({"a.sms.liquid": SMS + "{{ customer.first_name | divided_by: 0 }}"}, "can't divide by 0"),
        (
            {"a.sms.liquid": SMS + " {{ customer.city | append: 'x' }}", "b.sms.txt": ""},
            "templates/b.sms.txt: expected",
        ),
        ({"b.sms.it.liquid": SMS}, "templates/b.sms: there are only b.sms.it.liquid: contacts of other languages"),
    ],
)
def test_every_locale_of_every_template_is_checked(files: dict[str, str], wanted: str) -> None:
    found = checked({**FILES, **files})
    assert len(found) == 1
    assert wanted in found[0]


def test_only_what_programmes_send_is_checked_and_it_must_exist() -> None:
    broken = {**FILES, "b.sms.liquid": "{{"}
    assert checked(broken, used=[("a", "sms"), ("a", "email")]) == []
    assert checked(broken, used=[("zz", "sms")]) == [
        "templates/zz.sms: a programme sends this template, but it does not exist"
    ]
    near = checked({"coupon.sms.liquid": SMS}, used=[("coupn", "sms")])
    assert near == [
        "templates/coupn.sms: a programme sends this template, but it does not exist (did you mean 'coupon'?)"
    ]
