"""Whatever stands in people's mails: putting the substitutions back gives each their own, and nobody else's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox_world import outgoing

from winback.channels import Prepared
from winback.channels.mail_batches import LONGEST_SUBSTITUTIONS_BYTES, mail_requests
from winback.channels.request_bodies import mail_body
from winback.core.forms import Form, Letter

# What people are called, and what would break a clumsy way of marking the gaps.
words = st.one_of(
    st.sampled_from(["Anna", "[[w0.0]]", "[[w0.", "[[w1.2]]", "]]", "[", "\\1", "$1", "%s", "{0}", "", " ", "é", "🙂"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)
lines = st.lists(words, min_size=1, max_size=5)


@st.composite
def batches(draw: st.DrawFn) -> list[Prepared]:
    made = []
    for number in range(draw(st.integers(1, 7))):
        text = "\n".join(["shared", *draw(lines), "end"])
        html = "<p>".join(["<b>shared</b>", *draw(lines), "</b>"])
        file = draw(st.sampled_from(["a.email.mjml", "a.email.mjml", "b.email.mjml"]))
        message = outgoing(number, name=draw(words).strip(), text={"text": text, "html": html, "file": file})
        subject = draw(words).strip() or "subject"
        message = replace(message, rendered=replace(message.rendered, subject=subject))
        made.append(Prepared(message=message, request=mail_body(message)))
    return made


# Words around a blank and values in it that together could be a tag.
edges = st.one_of(
    words, st.sampled_from(["[[", "[[w", "[[w0", "[w0.0]]", "w0.0]]", "0.1]]", ".0]]", "]", "[[w0.1]", "\n"])
)


@st.composite
def form_letters(draw: st.DrawFn) -> list[Prepared]:
    forms = []
    for _ in range(draw(st.integers(1, 2))):
        blanks = draw(st.lists(st.integers(0, 2), max_size=4))
        pieces = ["<b>shared</b>", *(draw(edges) if number % 2 else "" for number in range(2 * len(blanks)))]
        forms.append(Form(pieces, blanks, sorted(set(blanks)), is_unicode=True))
    made = []
    for number in range(draw(st.integers(8, 24))):
        form = draw(st.sampled_from(forms))
        html = Letter.of(form, [draw(edges) for _ in form.different])
        text = draw(st.sampled_from(["the same", f"own\n{number}"]))
        message = outgoing(number, name=draw(words).strip(), text={"text": text, "html": html})
        made.append(Prepared(message=message, request=mail_body(message)))
    return made


def put_back(text: str, substitutions: dict[str, str]) -> str:
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text


def read_back(requests) -> dict[str, tuple[str, str, str]]:
    """Return (subject, text, html) of each person, as the vendor would put them together."""
    found: dict[str, tuple[str, str, str]] = {}
    for request in requests:
        for person, prepared in zip(request.body["personalizations"], request.people, strict=True):
            message_id = person["custom_args"]["message_id"]
            assert message_id == prepared.message.message_id
            assert person["to"][0]["email"] == prepared.message.address
            assert message_id not in found
            values = person.get("substitutions", {})
            text, html = (put_back(part["value"], values) for part in request.body["content"])
            backwards = dict(reversed(values.items()))
            assert (text, html) == tuple(put_back(part["value"], backwards) for part in request.body["content"])
            found[message_id] = put_back(person["subject"], values), text, html
    return found


@given(st.one_of(batches(), form_letters()), st.integers(1, 5))
def test_everybody_gets_exactly_their_own_mail(batch: list[Prepared], most: int) -> None:
    requests = mail_requests(batch, most_people=most)
    wanted = {
        each.message.message_id: (
            each.message.rendered.subject,
            each.message.rendered.text,
            each.message.rendered.html,
        )
        for each in batch
    }
    assert read_back(requests) == wanted
    assert max(len(request.people) for request in requests) <= most


def mails(count: int, **text) -> list[Prepared]:
    made = []
    for number in range(count):
        values = {name: value(number) for name, value in text.items()}
        message = outgoing(number, text=values)
        made.append(Prepared(message=message, request=mail_body(message)))
    return made


def test_mails_of_one_template_are_one_request_with_one_content() -> None:
    batch = mails(100, text=lambda number: f"Hi {number}\nbye", html=lambda number: f"<p>Hi {number}</p><p>bye</p>")
    [request] = mail_requests(batch)
    assert request.body["content"] == [
        {"type": "text/plain", "value": "[[w0.0]]\nbye"},
        {"type": "text/html", "value": "<p>[[w0.1]]><p>bye</p>"},
    ]
    assert request.body["personalizations"][7]["substitutions"] == {"[[w0.0]]": "Hi 7", "[[w0.1]]": "Hi 7</p"}


def test_the_blanks_of_a_form_are_the_tags() -> None:
    form = Form(["<p>Hi ", "", ", ", "", "!</p><p>", "", "</p>"], [3, 1, 3], [1, 3], is_unicode=True)
    letters = [Letter.of(form, [f"bye {number}", f"Ann {number}"]) for number in range(10)]
    [request] = mail_requests(mails(10, text=lambda _: "same", html=letters.__getitem__))
    assert request.body["content"][1]["value"] == "<p>Hi [[w0.1]], [[w0.0]]!</p><p>[[w0.1]]</p>"
    assert request.body["personalizations"][2]["substitutions"] == {"[[w0.0]]": "bye 2", "[[w0.1]]": "Ann 2"}


def test_forms_that_hardly_anybody_shares_are_compared_and_make_one_request() -> None:
    forms = [Form([f"<p>HI {number}</p><p>", "", "</p>"], [0], [0], is_unicode=True) for number in range(12)]
    batch = mails(12, text=lambda _: "same", html=[Letter.of(form, ["bye"]) for form in forms].__getitem__)
    [request] = mail_requests(batch)
    assert request.body["content"][1]["value"] == "<p>[[w0.0]]><p>bye</p>"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("<p>|w0.1]], |</p>", "[["),
        ("<p>[[|, |</p>", "w0.1]]"),
        ("<p>[[w|, |</p>", "0.1]]"),
        ("<p>[|, |</p>", "[w0.1]]"),
    ],
)
def test_what_would_be_a_tag_with_the_words_around_it_is_put_into_no_form(words: str, name: str) -> None:
    first, second, third = words.split("|")
    form = Form([first, "", second, "", third], [0, 1], [0, 1], is_unicode=True)
    letters = [Letter.of(form, [f"Ann {number}", "bye"]) for number in range(12)]
    letters[1] = Letter.of(form, [name, "so long"])
    for order in (letters, letters[1:], letters[::-1]):
        batch = mails(len(order), text=lambda _: "same", html=order.__getitem__)
        found = {message_id: html for message_id, (_, _, html) in read_back(mail_requests(batch)).items()}
        assert found == {each.message.message_id: each.message.rendered.html for each in batch}


def test_the_same_piece_twice_is_one_tag() -> None:
    batch = mails(3, text=lambda number: f"{number}\nand\n{number}", html=lambda _: "<p>same</p>")
    [request] = mail_requests(batch)
    assert request.body["content"][0]["value"] == "[[w0.0]]\nand\n[[w0.0]]"


def test_mails_all_the_same_need_no_substitutions() -> None:
    [request] = mail_requests(mails(3, text=lambda _: "same", html=lambda _: "<p>same</p>"))
    assert not any("substitutions" in person for person in request.body["personalizations"])


def test_other_numbers_of_lines_are_another_request() -> None:
    batch = mails(4, text=lambda number: "Hi\n" * (1 + number % 2) + str(number), html=lambda _: "<p>same</p>")
    assert sorted(len(request.people) for request in mail_requests(batch)) == [2, 2]


def test_somebody_with_too_much_of_their_own_goes_alone() -> None:
    batch = mails(
        5, text=lambda number: "long " * (5000 if number == 2 else 1) + str(number), html=lambda _: "<p>same</p>"
    )
    requests = mail_requests(batch)
    assert sorted(len(request.people) for request in requests) == [1, 4]
    [alone] = [request for request in requests if len(request.people) == 1]
    assert alone.body == batch[2].request


def test_one_who_shares_nothing_does_not_part_the_others() -> None:
    long = "\n".join(f"line {number} " + "x" * 100 for number in range(200))
    batch = mails(
        9,
        text=lambda number: long.replace("line", "row") if number == 4 else f"{long}{number}",
        html=lambda _: "<p>same</p>",
    )
    requests = mail_requests(batch)
    assert max(len(request.people) for request in requests) >= 4
    assert len(requests) <= 4


@pytest.mark.parametrize("letter", ["x", "é", "🙂", '"'])
def test_no_substitutions_and_no_request_pass_the_vendors_limits(letter: str) -> None:
    batch = mails(1000, text=lambda number: f"{number}" + letter * 700, html=lambda _: "<p>same</p>")
    requests = mail_requests(batch)
    for request in requests:
        assert len(json.dumps(request.body)) <= 30_000_000
        for person in request.body["personalizations"]:
            assert len(json.dumps(person.get("substitutions", {}))) <= LONGEST_SUBSTITUTIONS_BYTES
    assert sum(len(request.people) for request in requests) == 1000


def test_requests_stay_under_thirty_megabytes() -> None:
    batch = mails(40, text=lambda number: f"Hi {number}\nbye", html=lambda _: "<p>" + "x" * 29_990_000 + "</p>")
    requests = mail_requests(batch)
    assert len(requests) > 1
    assert all(len(json.dumps(request.body)) <= 30_000_000 for request in requests)


def test_a_tag_is_none_that_stands_in_a_name() -> None:
    batch = mails(3, text=lambda number: f"[[w0.{number}", html=lambda _: "<p>[[w1.</p>")
    [request] = mail_requests(batch)
    assert request.body["content"][0]["value"] == "[[w2.0]]"
