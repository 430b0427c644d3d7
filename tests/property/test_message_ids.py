"""A message's id is what the keyed hash of its JSON says, whatever customers and programmes are called."""

from __future__ import annotations

import hmac
import json

from hypothesis import given
from hypothesis import strategies as st

from winback.ledger.keys import message_id

PEPPER = b"secret" * 6
names = st.one_of(
    st.sampled_from(["a", "winback", 'say "no"', "back\\slash", "é", "\x7f", "tab\t", "\u2028", "🙂", ""]), st.text()
)


@given(names, names, st.integers(1, 10**6), st.integers(1, 12))
def test_an_id_is_the_hash_of_what_it_stands_for(programme: str, customer_id: str, cycle: int, step: int) -> None:
    written = "message" + json.dumps([programme, customer_id, cycle, step])
    expected = hmac.new(PEPPER, written.encode(), "sha256").hexdigest()[:32]
    assert message_id(PEPPER, programme=programme, customer_id=customer_id, cycle=cycle, step=step) == expected
