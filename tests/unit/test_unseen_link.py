"""The link that nobody sees: in every mail, in nothing else, and not to be told from the others by a program."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from test_rendering import FACTS, FILES, KEY, renderer

from winback.core.merge_fields import unknown_fields
from winback.core.message_links import coded_prefix, message_links, short_code, unseen_code, unseen_prefixes
from winback.errors import TemplateError

MAIL = replace(FACTS, channel="email")
HIDDEN = re.compile(r'<div style="display:none[^"]*" aria-hidden="true">\s*<a href="([^"]+)" tabindex="-1">&nbsp;</a>')


def test_it_stands_in_every_mail_hidden_from_eyes_readers_and_keys() -> None:
    out = renderer().render(MAIL)
    assert HIDDEN.findall(out.html) == [out.links["unseen"]]
    assert out.html.count(out.links["unseen"]) == 1
    assert out.links["unseen"] not in out.text


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_a_text_has_none_and_no_template_can_ask_for_it(channel: str) -> None:
    out = renderer().render(replace(FACTS, channel=channel))
    assert "unseen" not in out.text
    assert out.links["unseen"] not in out.text
    asking = {**FILES, f"a.{channel}.liquid": "{{ links.unseen }}"}
    made = renderer(asking)
    with pytest.raises(TemplateError, match="unseen"):
        made.render(replace(FACTS, channel=channel))


def test_it_is_no_field_of_a_template() -> None:
    template = renderer().templates.get("a", "email")
    assert ("links", "unseen") not in {use.path for use in template.fields}
    assert not unknown_fields(template.fields, [])


def test_it_has_the_shape_of_the_other_and_leads_back_to_its_message() -> None:
    links = message_links(FACTS.message_id, base_url="https://go.acme.example", key=KEY)
    seen, unseen = links["act"].rsplit("/", 1), links["unseen"].rsplit("/", 1)
    assert (seen[0], len(seen[1])) == (unseen[0], len(unseen[1]))
    assert seen[1] != unseen[1]
    assert unseen_prefixes(unseen[1], keys=[KEY]) == [FACTS.message_id[:16]]


def test_it_is_known_after_the_key_was_changed() -> None:
    old = unseen_code(FACTS.message_id, key=b"old")
    assert FACTS.message_id[:16] in unseen_prefixes(old, keys=[KEY, b"old"])
    assert FACTS.message_id[:16] not in unseen_prefixes(old, keys=[KEY])


def test_a_seen_code_is_no_unseen_one_and_the_other_way_round() -> None:
    assert coded_prefix(unseen_code(FACTS.message_id, key=KEY)) != FACTS.message_id[:16]
    assert unseen_prefixes(short_code(FACTS.message_id), keys=[KEY]) != [FACTS.message_id[:16]]
    assert unseen_prefixes("no code", keys=[KEY]) == []
