"""Templates: their names, the fields they need, and an end to everything a template could try."""

import time

import pytest
from liquid.exceptions import LiquidError

from winback.core.liquid_rules import FILTERS, TAGS, environment
from winback.core.merge_fields import fields_used, unknown_fields
from winback.core.templates import Key, Templates, fall_back, misnamed, parse_name
from winback.errors import TemplateError

CONTEXT: dict = {
    "customer": {"first_name": "Anna", "city": None, "since": "2024-03-09", "credit": 12.5, "shout": "<b>Bob"},
    "locale": "fr",
}


def sms(text: str, **more: str) -> Templates:
    return Templates({"a.sms.liquid": text, **more}, business={})


def rendered(text: str, context: dict | None = None) -> str:
    return sms(text).get("a", "sms").plain.render(context or CONTEXT)


def fault(text: str, context: dict | None = None) -> str:
    with pytest.raises(TemplateError) as caught:
        rendered(text, context)
    return str(caught.value)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("survey.email.mjml", Key("survey", "email", "")),
        ("survey.email.fr.mjml", Key("survey", "email", "fr")),
        ("survey.sms.pt-BR.liquid", Key("survey", "sms", "pt-br")),
        ("big_coupon-2.whatsapp.pt_BR.liquid", Key("big_coupon-2", "whatsapp", "pt-br")),
        ("survey.sms.mjml", None),
        ("survey.email.liquid", None),
        ("survey.fax.liquid", None),
        ("survey.liquid", None),
        ("Survey.sms.liquid", None),
        ("survey.sms.french.liquid", None),
        ("_foot.mjml", None),
    ],
)
def test_file_names(file: str, key: Key | None) -> None:
    assert parse_name(file) == key


def test_misnamed_files_are_faults_and_fragments_are_not() -> None:
    found = misnamed(["survey.email.mjml", "_foot.mjml", "_foot.pt-BR.mjml", "notes.txt", "survey.mjml"])
    assert [item.file for item in found] == ["templates/notes.txt", "templates/survey.mjml"]


@pytest.mark.parametrize(
    ("locale", "wanted"),
    [
        ("fr-CH", "a.sms.fr.liquid"),
        ("fr", "a.sms.fr.liquid"),
        ("pt_BR", "a.sms.pt-BR.liquid"),
        ("pt", "a.sms.liquid"),
        ("xx", "a.sms.liquid"),
        (None, "a.sms.liquid"),
        ("", "a.sms.liquid"),
    ],
)
def test_the_nearest_locale_speaks(locale: str | None, wanted: str) -> None:
    templates = Templates(dict.fromkeys(("a.sms.liquid", "a.sms.fr.liquid", "a.sms.pt-BR.liquid"), "x"), business={})
    assert templates.file_for("a", "sms", locale) == wanted


def test_fall_back_tries_the_locale_then_its_language_then_the_default() -> None:
    assert fall_back("de_CH") == ["de-ch", "de", ""]


def test_a_template_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(TemplateError, match=r"templates/coupn.sms: no such template \(did you mean 'coupon.sms'"):
        Templates({"coupon.sms.liquid": "x"}, business={}).get("coupn", "sms", "fr")


def test_a_template_is_compiled_once() -> None:
    templates = sms("x {{ customer.first_name }}", **{"a.sms.fr.liquid": "y"})
    for _ in range(5):
        templates.get("a", "sms", "fr-FR")
        templates.get("a", "sms", "de")
        templates.template_hash("a", "sms", "en")
    assert templates.compilations == 2


def test_hash_changes_with_the_text_and_with_a_fragment_it_uses() -> None:
    mail = '<mjml><mj-head><mj-title>x</mj-title></mj-head><mj-body><mj-include path="_f.mjml" /></mj-body></mjml>'
    fragment = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
    hashes = {
        Templates(
            {"a.email.mjml": text, "_f.mjml": fragment.format(word), "_g.mjml": other}, business={}
        ).template_hash("a", "email")
        for text, word, other in [
            (mail, "one", "g"),
            (mail, "one", "h"),
            (mail, "two", "g"),
            (mail.replace("<mj-title>x", "<mj-title>y"), "one", "g"),
        ]
    }
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hi {{ customer.fist_name }}", "templates/a.sms.liquid:1: column 7: customer.fist_name is undefined"),
        ("\n\n  {{ customer.fist_name | default: 'x' }}", "templates/a.sms.liquid:3: column 6"),
        ("{% if customer.nope %}x{% endif %}", "customer.nope is undefined"),
        ("{% unless customer.nope == 'x' %}x{% endunless %}", "customer.nope is undefined"),
        ("{% for i in customer.nope %}x{% endfor %}", "customer.nope is undefined"),
        ("{{ nope }}", "'nope' is undefined"),
        ("{{ customer.first_name.__class__ }}", "is undefined"),
        ("{{ customer.__class__.__mro__ }}", "is undefined"),
        ("{{ customer.keys }}", "is undefined"),
        ("{{ a.b ", "templates/a.sms.liquid:1"),
        ("line\n{% if %}", "templates/a.sms.liquid:2: column 4: missing expression"),
        ("{% nope %}", "unexpected tag 'nope'"),
        ("{% include 'b' %}", "unexpected tag 'include'"),
        ("{% render 'b' %}", "unexpected tag 'render'"),
        ("{{ 'x' | nope }}", "unknown filter 'nope'"),
        ("{{ customer.first_name | safe }}", "unknown filter 'safe'"),
        ("{{ 1 | divided_by: 0 }}", "can't divide by 0"),
        ("{{ 'soon' | date }}", "the value is no date like 2026-01-31"),
        ("{{ 5 | money: 'XXL' }}", "'XXL' is no currency"),
        ("{{ 'many' | number }}", "the value is no number"),
    ],
)
def test_faults_name_file_line_and_column(text: str, wanted: str) -> None:
    assert wanted in fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..100000000) reversed %}x{% endfor %}",
        "{% for i in (1..100000000) offset: 99999999 %}x{% endfor %}",
        "{{ (1..100000000) | join: 'x' }}",
        "{% assign n = 100000000 %}{% for i in (1..n) %}x{% endfor %}",
        "{% for i in (1..1000) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}",
        "{% assign x = 'xxxxxxxxxx' %}{% for i in (1..1000) %}{% assign x = x | append: x %}{% endfor %}",
        "{{ 'xxxxxxxxxx'" + " | replace: 'x', 'xxxxxxxxxx'" * 12 + " }}",
        "{% assign x = '" + "x" * 1000 + "' | split: '' %}{{ x | join: '" + "x" * 1000 + "' }}",
        "{% for i in (1..1000) %}" + "x" * 1000 + "{% endfor %}",
        "{% capture x %}{% for i in (1..1000) %}" + "x" * 1000 + "{% endfor %}{% endcapture %}",
        "{% if 1 %}" * 40 + "{% endif %}" * 40,
        "{{ 1" + " | times: 99999999999999999999" * 400 + " }}",
        "x" * 300_000,
    ],
)
def test_a_runaway_template_stops_within_a_second(text: str) -> None:
    started = time.thread_time()  # of the processor: a busy machine makes nobody slow
    assert "templates/a.sms.liquid" in fault(text)
    assert time.thread_time() - started < 1


def test_long_values_end_too() -> None:
    context = {**CONTEXT, "customer": {"note": "x" * 64_000}}
    assert "longer than any message" in fault("{{ customer.note }}" * 4, context)
    assert len(rendered("{{ customer.note }}" * 3, context)) == 192_000


def test_small_loops_and_ranges_work() -> None:
    assert rendered("{% for i in (1..3) reversed %}{{ i }}{% endfor %}") == "321"
    assert rendered("{{ 'a,b' | split: ',' | join: '+' }} {{ 'aXa' | replace: 'X', '-' }}") == "a+b a-a"


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_no_filter_lets_markup_through(name: str) -> None:
    """Whatever is done to a name on the way, it comes out as text."""
    html = environment(escapes=True)
    for arguments in ("", ": '<i>'", ": 3", ": '<i>', '<u>'", ": 'EUR'"):
        try:
            out = html.from_string(f"{{{{ customer.shout | {name}{arguments} }}}}").render(CONTEXT)
        except LiquidError:  # a filter may refuse these arguments; it may not pass markup on
            continue
        assert "<b>" not in out, out


def test_only_the_tags_we_name_exist() -> None:
    assert set(environment(escapes=False).tags) == set(TAGS)
    assert set(environment(escapes=False).filters) == set(FILTERS)


@pytest.mark.parametrize(
    ("text", "locale", "wanted"),
    [
        ("{{ customer.since | date }}", "fr", "9 mars 2024"),
        ("{{ customer.since | date: 'short' }}", "de-CH", "09.03.24"),
        ("{{ customer.since | date: 'd MMMM' }}", "it_IT", "9 marzo"),
        ("{{ customer.since | date: 'medium' }}", "en-GB", "9 Mar 2024"),
        ("{{ customer.since | date: 'long' }}", "tlh", "March 9, 2024"),
        ("{{ customer.city | date }}", "fr", ""),
        ("{{ customer.credit | money: 'EUR' }}", "fr", "12,50\N{NO-BREAK SPACE}€"),
        ("{{ customer.credit | money: 'EUR' }}", "en", "€12.50"),
        ("{{ '1234.5' | money: 'JPY' }}", "en", "¥1,234"),
        ("{{ customer.city | money: 'EUR' }}", "fr", ""),
        ("{{ 1234567.5 | number }}", "de", "1.234.567,5"),
        ("{{ customer.city | number }}", "de", ""),
        ("{{ customer.city | default: 'your town' }}", "en", "your town"),
    ],
)
def test_dates_and_money_by_locale(text: str, locale: str, wanted: str) -> None:
    assert rendered(text, {**CONTEXT, "locale": locale}) == wanted


def test_fields_are_found_wherever_they_stand() -> None:
    text = """{{ customer.first_name | default: customer.nick }}
    {% assign own = 1 %}{{ own }}{% for i in (1..2) %}{{ forloop.index }}{{ i }}{% endfor %}
    {% if customer.city == business.country %}{{ customer['loyalty points'] }}{% endif %}
    {{ links.act }}{{ terms_url }}"""
    template = sms(text).get("a", "sms")
    assert fields_used(template.fields) == ["city", "first_name", "loyalty points", "nick"]
    assert unknown_fields(template.fields, ["nick", "city", "loyalty points"]) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ customer.nick }}", "customer.nick is not known"),
        (
            "\n{{ customer.frist_name }}",
            ":2: column 4: customer.frist_name is not known (did you mean 'customer.first_name'?)",
        ),
        ("{{ customer.citty }}", "did you mean 'customer.city'?"),
        ("{{ custmer.city }}", "did you mean 'customer.city'?"),
        ("{{ customer }}", "customer holds several fields: name one"),
        ("{{ customer[locale] }}", "customer.[…] is not known"),
        ("{{ customer.city.size }}", "customer.city.size is not known"),
        ("{{ links.buy }}", "links.buy is not known"),
        ("{% if terms_ur %}x{% endif %}", "did you mean 'terms_url'?"),
    ],
)
def test_unknown_fields_are_named_with_the_nearest(text: str, wanted: str) -> None:
    found = unknown_fields(sms(text).get("a", "sms").fields, ["city"])
    assert len(found) == 1
    assert wanted in str(found[0])


def test_fragments_follow_the_locale_and_must_exist() -> None:
    mail = '<mjml><mj-head><mj-title>x</mj-title></mj-head><mj-body><mj-include path="_f.mjml" /></mj-body></mjml>'
    part = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
    files = {
        "a.email.mjml": mail,
        "a.email.fr-CA.mjml": mail,
        "_f.mjml": part.format("hi"),
        "_f.fr.mjml": part.format("salut"),
    }
    templates = Templates(files, business={})
    assert "salut" in templates.get("a", "email", "fr-CA").plain.render(CONTEXT)
    assert "hi" in templates.get("a", "email", "de").plain.render(CONTEXT)
    with pytest.raises(
        TemplateError, match=r"templates/a.email.mjml: _f.mjml: no such fragment \(did you mean '_g.mjml'"
    ):
        Templates({"a.email.mjml": mail, "_g.mjml": ""}, business={}).get("a", "email")
    nested = {"a.email.mjml": mail, "_f.mjml": '<mj-include path="_g.mjml" />', "_g.mjml": ""}
    with pytest.raises(TemplateError, match="a fragment may not include others"):
        Templates(nested, business={}).get("a", "email")


def test_faults_in_a_mail_point_into_the_mjml() -> None:
    mail = """<mjml><mj-head><mj-title>x</mj-title></mj-head><mj-body><mj-section><mj-column>
      <mj-text>fine {{ customer.first_name }}</mj-text>
      <mj-text>Hi {{ customer.nope }}</mj-text>
    </mj-column></mj-section></mj-body></mjml>"""
    template = Templates({"a.email.mjml": mail}, business={}).get("a", "email")
    assert template.html is not None
    for text in (template.html, template.plain):
        with pytest.raises(TemplateError, match=r"templates/a.email.mjml:3: column 22: customer.nope is undefined"):
            text.render(CONTEXT)
    with pytest.raises(TemplateError, match=r"templates/a.email.mjml:3: column 22: expected"):
        Templates({"a.email.mjml": mail.replace("customer.nope", "== 3")}, business={}).get("a", "email")
