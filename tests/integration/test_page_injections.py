"""What people type comes back as what they typed: no template reads it, no header carries it, no browser runs it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import web_world
from markupsafe import escape

PAYLOADS = [
    "{{ 7 * 191 }}",
    "{{7*191}}",
    "${7*191}",
    "#{7*191}",
    "<%= 7*191 %>",
    "{% if 7*191 %}1337{% endif %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ config.__class__.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ request.application }}",
    "{{ site.keys }}",
    "{business}{date}{channel}",
    "{0.__class__}",
    "%(business)s %s %n",
    "<script>alert(1337)</script>",
    "</textarea><script>alert(1337)</script>",
    '"><img src=x onerror=alert(1337)>',
    "' onfocus=alert(1337) autofocus='",
    "<svg/onload=alert(1337)>",
    "javascript:alert(1337)",
    "&lt;script&gt;",
    "x\r\nSet-Cookie: a=1337",
    "x\r\n\r\n<html>1337",
    "x\u2028\u2029y",
]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    made = web_world.make_pages(tmp_path_factory.mktemp("injections"), "c1")
    yield made
    made.ledger.close()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_form_that_lacks_something_shows_what_was_typed_and_nothing_else(pages, payload):
    """The one page that repeats what somebody typed."""
    visitor = pages.visitor(f"192.0.2.{PAYLOADS.index(payload) + 2}")
    pages.clock.now += timedelta(minutes=1)
    answer = visitor.post(pages.link("c1", "l"), data={"comment": payload})
    assert answer.status_code == 422
    typed = payload.replace("\r", "")  # a control character; the line feed is what a person types
    shown = str(escape(typed))
    assert f">{shown}</textarea>" in answer.text
    assert "1337" not in answer.text.replace(shown, "")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_language_or_field_of_a_choice_is_more_than_a_word(pages, payload):
    pages.clock.now += timedelta(minutes=1)
    visitor = pages.visitor(
        **{"accept-language": payload.encode("ascii", "replace").decode().translate({13: 32, 10: 32})}
    )
    answer = visitor.post(
        pages.link("c1", "p"), data={"language": payload, "pause": payload, "offered": payload, "chosen": payload}
    )
    assert answer.status_code == 200
    assert "1337" not in answer.text
    assert payload not in answer.text
    assert "set-cookie" not in answer.headers
