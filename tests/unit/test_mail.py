"""MJML with Liquid in it: what comes out, where each fault stands, and that nothing is fetched from elsewhere."""

import pytest

from winback.core.liquid_parts import Part, Tag, joined, whole, with_constants
from winback.core.mail import compile_mail, tidy_text
from winback.core.mail_safety import header_fault
from winback.errors import TemplateError

HEAD = "<mj-head><mj-title>Hello</mj-title><mj-preview>Short</mj-preview></mj-head>"


def mjml(body: str, head: str = HEAD) -> str:
    return f"<mjml>{head}<mj-body><mj-section><mj-column>\n{body}\n</mj-column></mj-section></mj-body></mjml>"


def compiled(body: str, head: str = HEAD, fragments: dict | None = None, language: str = "fr"):
    return compile_mail(mjml(body, head), file="a.mjml", language=language, fragments=fragments or {})


def faults(body: str, head: str = HEAD, fragments: dict | None = None) -> list[str]:
    with pytest.raises(TemplateError) as caught:
        compiled(body, head, fragments)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    "liquid",
    [
        "{{ customer.first_name | default: 'you' }}",
        '{{ customer.first_name | default: "you" }}',
        "{% if step.day < 40 and step.day > 20 %}now{% endif %}",
        "{% for i in (1..3) %}<p>{{ i }}</p>{% endfor %}",
        "{{ '<b>' }}",
        "{{ customer.first_name\n   | upcase }}",
    ],
)
def test_liquid_comes_through_untouched(liquid: str) -> None:
    parts = compiled(f"<mj-text>{liquid}</mj-text>")
    assert liquid in parts.html.text


def test_liquid_in_attributes_comes_through_untouched() -> None:
    parts = compiled("""<mj-button href="{{ links.act }}">Go</mj-button><mj-text>x</mj-text>""")
    assert 'href="{{ links.act }}"' in parts.html.text


def test_subject_and_preheader_are_one_line_with_entities_read() -> None:
    title = "<mj-title>\n Tea &amp;\n  {{ customer.first_name }} </mj-title>"
    head = f"<mj-head>{title}<mj-preview> A\nB </mj-preview></mj-head>"
    parts = compiled("<mj-text>x</mj-text>", head)
    assert parts.subject.text == "Tea & {{ customer.first_name }}"
    assert parts.preheader.text == "A B"


def test_language_is_set_unless_the_file_sets_it() -> None:
    assert '<html lang="fr" dir="auto"' in compiled("<mj-text>x</mj-text>").html.text
    own = compile_mail(
        mjml("<mj-text>x</mj-text>").replace("<mjml>", '<mjml lang="it">'), file="a", language="fr", fragments={}
    )
    assert '<html lang="it"' in own.html.text


def test_plain_text_keeps_links_and_paragraphs_and_leaves_out_the_invisible() -> None:
    body = """<mj-text>Dear {{ customer.first_name }},<br />how &amp; why</mj-text>
    <mj-raw>{% if terms_url %}</mj-raw><mj-text><a href="{{ terms_url }}">Rules</a></mj-text>
    <mj-raw>{% endif %}</mj-raw>
    <mj-button href="{{ links.act }}">Go on</mj-button><mj-text><ul><li>one</li><li>two</li></ul></mj-text>"""
    text = compiled(body).text.text
    assert text == (
        "Dear {{ customer.first_name }},\nhow & why\n\n{% if terms_url %}\n\nRules: {{ terms_url }}\n\n{% endif %}"
        "\n\nGo on: {{ links.act }}\n\n- one\n- two"
    )


def test_no_font_is_linked() -> None:
    html = compiled("<mj-text>x</mj-text><mj-button href='{{ links.act }}'>y</mj-button>").html.text
    assert "fonts.googleapis" not in html
    assert "<link" not in html


def test_comments_are_left_out_and_lines_still_count() -> None:
    found = faults("<!-- {{ lost }}\n\n -->\n<mj-txt>x</mj-txt>")
    assert any(fault.startswith("a.mjml:5: <mj-txt> may not be used here (did you mean 'mj-text'?)") for fault in found)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("<mj-text>x", "a.mjml:2: <mj-text> is never closed"),
        ("<mj-text>x</mj-button></mj-text>", "a.mjml:2: </mj-button> closes nothing"),
        (
            "<mj-text>x</mj-text>\n<mj-spacer>{{ terms_url }}</mj-spacer>",
            "a.mjml:3: column 12: {{ terms_url }} stands where MJML takes no text",
        ),
        ('<mj-text colour="{{ step.day }}">x</mj-text>', "a.mjml:2: column 18: {{ step.day }} stands where MJML takes"),
        ('<mj-image src="https://cdn.example/a.png" />', "a.mjml:2: src: https://cdn.example/a.png is fetched from"),
        (
            '<mj-text css-class="a" background-url="x"><img src="//cdn.example/a.png" /></mj-text>',
            "fetched from elsewhere",
        ),
        (
            '<mj-text><a href="https://evil.example/x">x</a></mj-text>',
            "a.mjml:2: href: https://evil.example/x leads to",
        ),
        ('<mj-text><a href="http://shop.example/x">x</a></mj-text>', "leads to a host nobody declared"),
        ('<mj-text><a href="{{ customer.site }}">x</a></mj-text>', "leads to a host nobody declared"),
        ('<mj-text><a href="{{ links.act }}.evil.example">x</a></mj-text>', "leads to a host nobody declared"),
        ('<mj-text><a href="javascript:alert(1)">x</a></mj-text>', "leads to a host nobody declared"),
        ('<mj-text><a href="">x</a></mj-text>', "an empty link leads to"),
        ("<mj-text><script>x</script></mj-text>", "<script loads or runs something"),
        ("<mj-text><div style=\"background:url('https://cdn.example/a.png')\">x</div></mj-text>", "url()"),
    ],
)
def test_faults_name_the_line(body: str, wanted: str) -> None:
    assert any(wanted in fault for fault in faults(body)), faults(body)


@pytest.mark.parametrize("name", ["mj-font", "mj-social", "mj-carousel"])
def test_components_that_load_from_other_hosts_are_refused(name: str) -> None:
    assert any(f"<{name}> may not be used here" in fault for fault in faults(f"<{name}></{name}>"))


def test_a_style_sheet_may_not_import() -> None:
    head = "<mj-head><mj-title>x</mj-title><mj-style>@import 'https://cdn.example/a.css';</mj-style></mj-head>"
    assert any("@import loads or runs something" in fault for fault in faults("<mj-text>x</mj-text>", head))


@pytest.mark.parametrize(
    "body",
    [
        '<mj-text>{% # links to: a.example, b.example %}<a href="https://b.example/tea?x=1">x</a></mj-text>',
        '<mj-text><a href="mailto:us@shop.example">x</a> <a href="tel:+33100000000">y</a></mj-text>',
        '<mj-text><a href="{{ links.act }}?a=b">x</a><a href="{{ business.public_base_url }}/c">y</a></mj-text>',
        '<mj-image src="data:image/png;base64,AAAA" alt="A cup of tea" />',
    ],
)
def test_own_links_declared_hosts_and_embedded_pictures_are_fine(body: str) -> None:
    assert compiled(body).html.text


def test_a_mail_needs_a_subject() -> None:
    found = faults("<mj-text>x</mj-text>", "<mj-head><mj-title> </mj-title></mj-head>")
    assert found == ["a.mjml:1: mj-title: a mail needs a subject: write it into <mj-title> in <mj-head>"]


@pytest.mark.parametrize(
    "source", ["", "hello", "<mjml></mjml>", "<p>hello</p>", "<mjml><mj-head><mj-title>x</mj-title></mj-head>"]
)
def test_what_is_no_mjml_is_a_clear_fault(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_mail(source, file="a.mjml", language="en", fragments={})
    assert str(caught.value).startswith("a.mjml:1:")


def test_fragments_are_put_in_and_their_faults_name_their_own_file() -> None:
    fragments = {"_foot.mjml": ("_foot.fr.mjml", "<mj-text>\n{{ business.name }}</mj-text>")}
    parts = compiled('<mj-include path="_foot.mjml" />', fragments=fragments)
    index = parts.html.text.index("{{ business.name }}")
    assert parts.html.origin(index + 3) == ("_foot.fr.mjml", 2, 4)
    broken = {"_foot.mjml": ("_foot.fr.mjml", "\n<mj-txt>x</mj-txt>")}
    assert faults('<mj-include path="_foot.mjml" />', fragments=broken)[0].startswith("_foot.fr.mjml:2: <mj-txt>")


def test_origin_counts_lines_and_columns_from_one() -> None:
    part = whole("ab\ncd {{ x }}", file="f")
    assert [part.origin(index) for index in (0, 1, 3, 6)] == [("f", 1, 1), ("f", 1, 2), ("f", 2, 1), ("f", 2, 4)]
    moved = Part("....{{ a\n b }}..", ((4, Tag("{{ a\n b }}", "g", 7, 5)),))
    assert [moved.origin(index) for index in (4, 7, 10)] == [("g", 7, 5), ("g", 7, 8), ("g", 8, 2)]


def test_tidy_text() -> None:
    assert tidy_text("  a  \n \n\n\n  b\n") == "a\n\nb"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("fine", None),
        ("a" * 998, None),
        ("a" * 999, "999 characters"),
        ("a\r\nBcc: x@y.example", "line break"),
        ("a\nb", "line break"),
        ("a\rb", "line break"),
        ("a\0b", "NUL"),
    ],
)
def test_header_values(value: str, wanted: str | None) -> None:
    fault = header_fault("subject", value)
    assert fault is None if wanted is None else wanted in str(fault)


def test_parts_put_together_still_know_where_they_came_from() -> None:
    part = joined([whole("{{ a }}", file="f"), whole("x\n{{ b }}", file="g")], "|")
    assert part.text == "{{ a }}|x\n{{ b }}"
    assert part.origin(3) == ("f", 1, 4)
    assert part.origin(part.text.index("b")) == ("g", 2, 4)


def test_what_is_the_same_for_everybody_is_written_out_unless_it_looks_like_liquid() -> None:
    tags = [
        Tag("{{ business.name }}", "f", 1, 1),
        Tag("{{customer.x}}", "f", 1, 30),
        Tag("{{business.country}}", "f", 2, 1),
    ]
    text, places = "", []
    for tag in tags:
        places.append((len(text), tag))
        text += tag.text + "-"
    part = with_constants(Part(text, tuple(places)), {"business.name": "Acme", "business.country": "{{ oh }}"})
    assert part.text == "Acme-{{customer.x}}-{{business.country}}-"
    assert part.origin(part.text.index("customer")) == ("f", 1, 32)
    assert part.origin(part.text.index("country")) == ("f", 2, 12)
