"""Whatever stands in a contact's fields, a message is rendered, is text where it is shown, or is refused by name."""

from dataclasses import replace
from html.parser import HTMLParser

import orjson
from hypothesis import given
from hypothesis import strategies as st
from outbox_world import RENDERER, outgoing

from winback.channels.request_bodies import mail_body, text_body
from winback.core.merge_fields import CONTACT_FIELDS
from winback.core.rendering import MessageFacts
from winback.core.sms import CAPACITY, GSM_7, measure
from winback.core.templates import fall_back
from winback.errors import SendRefused

TEXTS = st.text(max_size=300) | st.sampled_from(
    ["{{ x }}", "{% if %}", "<b>Bob", "\r\nBcc: a@b.c", "\0", "\u202egnp", "'\"><script>", "\ud83d", "a" * 2000]
)
FIELDS = st.fixed_dictionaries({name: TEXTS | st.none() for name in (*CONTACT_FIELDS, "shop")})


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append(f"{tag} {sorted(name for name, _ in attrs)}")


def facts(channel: str, customer: dict, locale: str | None = None) -> MessageFacts:
    return MessageFacts(
        message_id="ab" * 16,
        template="survey",
        channel=channel,
        locale=locale,
        programme="winback",
        step=1,
        day=30,
        kind="survey",
        customer=customer,
    )


PLAIN = Tags(RENDERER.render(facts("email", {"first_name": "Anna"})).html).found


@given(FIELDS, TEXTS | st.none())
def test_any_text_is_text_in_a_mail(customer: dict, locale: str | None) -> None:
    out = RENDERER.render(facts("email", customer, locale))
    assert Tags(out.html).found == PLAIN
    assert not set("\0\u202e\u2066\x1e") & set(out.html + out.text + out.subject)


@given(FIELDS, TEXTS)
def test_any_text_is_sent_as_it_is_or_refused_by_name(customer: dict, address: str) -> None:
    for channel, body in (("email", mail_body), ("sms", text_body)):
        rendered = RENDERER.render(facts(channel, customer))
        message = replace(
            outgoing(channel=channel), rendered=rendered, address=address, name=customer["first_name"] or ""
        )
        try:
            request = body(message)
        except SendRefused:
            continue
        to = request["personalizations"][0]["to"][0]["email"] if channel == "email" else request["To"]
        assert to == address
        assert orjson.dumps(request)
        if channel == "email":
            assert not set("\r\n\0") & set(request["personalizations"][0]["subject"])


@given(st.text(max_size=1000) | st.text(alphabet="aé€ \U0001f600ç", max_size=400))
def test_segments_hold_what_they_are_charged_for(text: str) -> None:
    size = measure(text)
    assert (size.encoding == "GSM-7") == (set(text) <= GSM_7) == (not size.offending)
    alone, part = CAPACITY[size.encoding]
    if size.segments <= 1:
        assert size.units <= alone
    else:
        # A part may stay short of one unit, when the next character needs two.
        assert (size.segments - 1) * (part - 1) < size.units <= size.segments * part
    if size.encoding == "UCS-2":
        assert size.units == len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(TEXTS | st.none())
def test_any_locale_falls_back_to_the_default(locale: str | None) -> None:
    assert fall_back(locale)[-1] == ""
