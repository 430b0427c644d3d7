"""A form filled in says what Liquid would have written, whoever was written to before; and few forms serve many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from winback.core.forms import MARK, MOST_FORMS, Forms
from winback.core.liquid_rules import environment, parse
from winback.core.templates import clean

TEXTS = (
    "Hi {{ customer.name }}, see {{ links.act }}",
    "{% if customer.name %}{{ customer.name }}: {% else %}you: {% endif %}{{ links.act }}",
    "{% unless customer.name %}nobody{% elsif customer.city %}{{ customer.city }}{% else %}x{% endunless %}",
    "{% if customer.name and customer.city or terms_url %}{{ customer.city }}{{ terms_url }}{% endif %}",
    '{% if customer.name == "Anna" %}it is her{% endif %} {{ customer.name }}',
    "{% if customer.name contains 'a' %}{{ customer.city }}{% endif %}",
    "{{ customer.name | upcase }} of {{ customer.city }}",
    "{{ customer.name | default: customer.city }}",
    "{{ customer.name | append: customer.city | size }} {{ customer.name }}",
    "{% assign who = customer.name %}{{ who }} {{ who | size }}",
    "{% capture who %}{{ customer.name }}{% endcapture %}{{ who | upcase }} {{ who | size }}",
    "{% for part in customer.many %}{{ part }},{% endfor %}{{ customer.name }}",
    "{% case customer.name %}{% when 'Anna' %}her{% else %}{{ customer.name }}{% endcase %}",
    "{% for number in (1..3) %}{% ifchanged %}{{ customer.name }}{% endifchanged %}{% endfor %}",
    "{{ customer.points }} {{ customer.points | number }} {{ customer.name }}",
    "{{ customer['name'] }} {{ customer[customer.city] }}",
    "{{ customer.name.size }} {{ customer.name }}",
    "{{ customer.missing }}{{ customer.name }}",
    "{# nobody sees this #}{% comment %}{{ customer.name }}{% endcomment %}{{ locale }}",
    f"a template with {MARK}0{MARK} in it: {{{{ customer.name }}}}",
    "no field at all",
)
words = st.one_of(
    st.sampled_from(["Anna", "<b>", "&amp;", "a\n\n b", "0", "{{ x }}", "name", "é🙂", "quo\"te's"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
values = st.one_of(st.none(), words, words, st.sampled_from([0, 1, 1.0, True, False, 2.5]), st.lists(words, max_size=2))


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, object]]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        own = {name: draw(values) for name in ("name", "city", "points", "many")}
        known = {name: clean(value) or None if isinstance(value, str) else value for name, value in own.items()}
        links = {"act": "https://a.example/?x=1&y=" + clean(draw(words))}
        terms = draw(st.sampled_from([None, "https://t.example"]))
        found.append(
            {"customer": known, "links": links, "terms_url": terms, "locale": draw(st.sampled_from(["de", "en"]))}
        )
    return found


def said(render, facts) -> str:
    try:
        return render(facts)
    except LiquidError as problem:
        return f"{type(problem).__name__}: {problem.args[0]}"


@pytest.mark.parametrize("escapes", [True, False])
@given(st.sampled_from(TEXTS), people())
def test_a_form_says_what_liquid_would_write(escapes: bool, text: str, everybody) -> None:
    template = parse(text, environment(escapes=escapes))
    forms = Forms(template, escapes=escapes)
    for facts in everybody:
        assert said(forms.render, facts) == said(template.render, facts)


class Counted:
    """A template that counts how often it is rendered."""

    def __init__(self, text: str) -> None:
        self._template = parse(text, environment(escapes=True))
        self.rendered = 0

    def __getattr__(self, name: str):
        return getattr(self._template, name)

    def render(self, facts) -> str:
        self.rendered += 1
        return self._template.render(facts)


def facts_of(**customer) -> dict[str, object]:
    return {"customer": customer, "links": {"act": f"https://a.example/{customer}"}, "terms_url": None, "locale": "en"}


@pytest.mark.parametrize(
    ("text", "renderings"),
    [
        (TEXTS[0], 1),
        (TEXTS[1], 2),  # with a name, and without
        ("{{ customer.name | upcase }}", 101),
        ("{{ customer.city | upcase }} {{ customer.name }}", 2),
    ],
)
def test_people_who_differ_in_what_is_printed_share_a_form(text: str, renderings: int) -> None:
    template = Counted(text)
    forms = Forms(template, escapes=True)
    everybody = [facts_of(name=f"<{number}>", city="Rome") for number in range(100)] + [facts_of(name=None, city=None)]
    if renderings == 1:
        everybody.pop()
    for facts in everybody:
        assert forms.render(facts) == str(template._template.render(facts))
    assert template.rendered == renderings


def test_forms_that_nobody_shares_are_not_kept_for_ever() -> None:
    forms = Forms(parse("{{ customer.name | upcase }}", environment(escapes=False)), escapes=False)
    for number in range(3 * MOST_FORMS):
        assert forms.render(facts_of(name=f"n{number}")) == f"N{number}"
        assert len(forms._known) <= MOST_FORMS


@pytest.mark.parametrize(
    ("text", "everybody", "wanted"),
    [
        ("{{ customer.n }}", [facts_of(n=1), facts_of(n=True), facts_of(n=1.0)], ["1", "true", "1.0"]),
        ("{{ customer[customer.field] }}", [facts_of(field="a", a=1), facts_of(field="a", a=2)], ["1", "2"]),
        ("{{ 1234.5 | number }}", [facts_of(), facts_of() | {"locale": "de"}], ["1,234.5", "1.234,5"]),
        ("{{ customer.tags | join }}", [facts_of(tags=["a"]), facts_of(tags=["b"])], ["a", "b"]),
    ],
)
def test_what_makes_a_difference_is_another_form(text: str, everybody, wanted: list[str]) -> None:
    forms = Forms(parse(text, environment(escapes=False)), escapes=False)
    assert [forms.render(facts) for facts in everybody] == wanted
