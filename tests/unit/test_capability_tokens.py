"""Links that cannot be guessed, forged or used for something else; keys that change."""

from __future__ import annotations

import random
import string

import pytest

from winback.core.message_links import capability, coded_prefix, held_prefix, short_code

KEY, OLD = b"a secret", b"an older secret"
MESSAGE = bytes(range(16)).hex()
LETTERS = string.ascii_letters + string.digits + "-_"
TOKEN = capability(MESSAGE, "unsubscribe", key=KEY)


def test_a_token_says_which_message_it_is_about():
    assert held_prefix(TOKEN, "unsubscribe", keys=[KEY]) == MESSAGE[:22]
    assert coded_prefix(short_code(MESSAGE)) == MESSAGE[:16]


def test_a_token_is_32_letters_and_a_code_11():
    assert (len(TOKEN), len(short_code(MESSAGE))) == (32, 11)


def test_a_token_of_one_purpose_is_worthless_for_another():
    assert held_prefix(TOKEN, "preferences", keys=[KEY]) is None


def test_old_links_work_after_the_key_was_changed():
    old = capability(MESSAGE, "unsubscribe", key=OLD)
    assert held_prefix(old, "unsubscribe", keys=[KEY, OLD]) == MESSAGE[:22]
    assert held_prefix(old, "unsubscribe", keys=[KEY]) is None


def test_a_hundred_thousand_mutated_tokens_and_none_is_accepted():
    dice = random.Random(20261122)
    accepted = []
    for _ in range(100_000):
        place, count = dice.randrange(32), dice.choice([1, 1, 1, 2, 5])
        letters = list(TOKEN)
        for at in range(place, min(32, place + count)):
            letters[at] = dice.choice(LETTERS)
        mutated = "".join(letters)
        if mutated != TOKEN and held_prefix(mutated, "unsubscribe", keys=[KEY, OLD]) is not None:
            accepted.append(mutated)
    assert not accepted


def test_no_one_bit_flip_is_accepted():
    values = [ord(letter) for letter in TOKEN]
    flips = [
        "".join(map(chr, [*values[:at], values[at] ^ (1 << bit), *values[at + 1 :]]))
        for at in range(32)
        for bit in range(8)
    ]
    assert not [flip for flip in flips if held_prefix(flip, "unsubscribe", keys=[KEY]) is not None]


@pytest.mark.parametrize(
    "text", ["", "a", TOKEN[:-1], TOKEN + "A", TOKEN + "=", " " * 32, "é" * 32, "+/" * 16, "\0" * 32]
)
def test_what_is_no_token_is_none(text):
    assert held_prefix(text, "unsubscribe", keys=[KEY]) is None
    assert coded_prefix(text) is None


def test_a_code_is_written_in_one_way_only():
    """The last letter of eleven holds two bits too many: four spellings would open one page."""
    code = short_code(MESSAGE)
    others = [code[:-1] + letter for letter in LETTERS if letter != code[-1]]
    assert MESSAGE[:16] not in [coded_prefix(other) for other in others]
