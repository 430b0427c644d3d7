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


@given(batches(), st.integers(1, 5))
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
