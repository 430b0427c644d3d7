"""A message's id is what the keyed hash of its JSON says, whatever customers and programmes are called."""

from __future__ import annotations

import hmac
import json

from hypothesis import given
from hypothesis import strategies as st

from winback.ledger.keys import message_id, message_ids

names = st.one_of(
    st.sampled_from(["a", "winback", 'say "no"', "back\\slash", "é", "\x7f", "tab\t", "\u2028", "🙂", ""]), st.text()
)
steps = st.tuples(names, names, st.integers(1, 10**6), st.integers(1, 12))
# SHA-256 takes 64 bytes at once; a longer secret is hashed before it is a key.
peppers = st.one_of(st.just(b"secret" * 6), st.binary(min_size=1, max_size=130))


@given(peppers, st.lists(steps, max_size=5))
def test_an_id_is_the_hash_of_what_it_stands_for(pepper: bytes, several: list[tuple[str, str, int, int]]) -> None:
    written = ["message" + json.dumps(step) for step in several]
    expected = [hmac.new(pepper, one.encode(), "sha256").hexdigest()[:32] for one in written]
    assert message_ids(pepper, several) == expected


@given(steps)
def test_a_message_has_the_same_id_alone_as_among_others(step: tuple[str, str, int, int]) -> None:
    pepper, (programme, customer_id, cycle, number) = b"secret" * 6, step
    alone = message_id(pepper, programme=programme, customer_id=customer_id, cycle=cycle, step=number)
    assert [alone] == message_ids(pepper, [step])
