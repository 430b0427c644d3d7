"""What Segment tells: signed or not, one call or many, and only what was asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_world import AT, SHARED, sign, track

from winback.channels.segment_calls import LONGEST_FIELD, Tracked, signature_holds, told_by

BEHAVIOURS = {"Order Completed": "purchase", "Product Viewed": "visit"}


def read(*calls: object):
    return told_by(json.dumps(list(calls)).encode(), behaviours=BEHAVIOURS)


def test_only_the_whole_body_can_be_signed():
    first = json.dumps(track()).encode()
    batch = b"[" + first + b"," + first + b"]"
    assert signature_holds(first, signature=sign(first), secret=SHARED)
    assert signature_holds(first, signature=f" {sign(first).upper()} ", secret=SHARED)
    assert signature_holds(batch, signature=sign(batch), secret=SHARED)
    # As Segment itself signs a batch: the rest of it could be anybody's.
    assert not signature_holds(batch, signature=sign(first), secret=SHARED)
    for signature in (None, "", "é", sign(first, "another"), sign(first)[:-1], sign(first) + "0", "\ud800"[:0]):
        assert not signature_holds(first, signature=signature, secret=SHARED)
    assert not signature_holds(first, signature=sign(first, ""), secret="")


def test_an_event_is_read_under_the_behaviour_it_was_declared_to_be():
    told = read(track(properties={"revenue": 12.5, "total": 15}))
    assert told.events == [Tracked("m1", "c1", "purchase", AT, "12.5")]
    assert (told.refusing, told.skipped, told.garbage) == ([], 0, 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"userId": 77}, ("m1", "77", "purchase", AT, "")),
        ({"event": "Product Viewed"}, ("m1", "c1", "visit", AT, "")),
        ({"properties": {"total": "9,90"}}, ("m1", "c1", "purchase", AT, "9,90")),
        ({"properties": {"value": True}}, ("m1", "c1", "purchase", AT, "true")),
        ({"properties": [1]}, ("m1", "c1", "purchase", AT, "")),
        ({"timestamp": None, "receivedAt": "then"}, ("m1", "c1", "purchase", "then", "")),
        ({"timestamp": {"a": 1}}, ("m1", "c1", "purchase", "", "")),
        ({"messageId": "m" * 9999}, ("m" * LONGEST_FIELD, "c1", "purchase", AT, "")),
    ],
)
def test_what_is_odd_is_kept_for_the_rules_of_the_border(changes, expected):
    assert tuple(*read(track(**changes)).events) == expected


def test_an_event_without_an_id_is_known_by_what_it_says():
    one, same, other = read(track(messageId=None), track(messageId=""), track(messageId=None, userId="c2")).events
    assert one == same
    assert one.event_id != other.event_id
    assert len(one.event_id) == 64


@pytest.mark.parametrize(
    "call",
    [
        track(userId=None),
        track(userId="", anonymousId="a"),
        track(event="Signed Up"),
        track(event=["Order Completed"]),
        track(type="page"),
        track(type="identify", traits={"email": "c1@example.com"}),
        track(type="identify", traits={"unsubscribed": False}),
        track(type="identify", traits={"unsubscribed": "no", "subscribed": True, "consent": "granted"}),
        track(type="identify", traits="unsubscribed"),
        track(type="identify", userId=None, traits={"unsubscribed": True}),
    ],
)
def test_what_nobody_asked_for_is_left_out(call):
    told = read(call)
    assert (told.events, told.refusing, told.skipped, told.garbage) == ([], [], 1, 0)


@pytest.mark.parametrize("yes", [True, "true", "TRUE", 1, "1", "yes"])
def test_a_trait_may_say_no_and_never_yes(yes):
    assert read(track(type="identify", traits={"unsubscribed": yes})).refusing == ["c1"]


def test_one_call_a_list_and_a_batch_say_the_same():
    one = track()
    bodies = [one, [one], {"batch": [one]}]
    assert len({tuple(told_by(json.dumps(body).encode(), behaviours=BEHAVIOURS).events) for body in bodies}) == 1
    assert told_by(json.dumps([one] * 7).encode(), behaviours=BEHAVIOURS).size == 7


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"7", b'"x"', b'{"batch": 1}', b"[" * 9999, b'["\\ud800"]', b"[1e999, NaN]", b"null"]
)
def test_what_cannot_be_read_is_counted(body):
    told = told_by(body, behaviours=BEHAVIOURS)
    assert (told.events, told.refusing, told.garbage) == ([], [], 1)


@pytest.mark.parametrize("call", [7, None, [], {}, {"type": 3}, track(userId="a\0b"), track(timestamp="\0")])
def test_a_part_that_cannot_be_read_spoils_no_other(call):
    told = read(call, track())
    assert (len(told.events), told.garbage) == (1, 1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*track(), "properties", "traits", "batch"])


@given(st.lists(st.dictionaries(names, anything, max_size=7) | anything, max_size=4))
def test_no_json_breaks_the_reading(calls):
    told = read(*calls)
    assert told.size in {len(calls), 1}
    assert all("\0" not in part and len(part) <= LONGEST_FIELD for event in told.events for part in event)


@given(st.binary(max_size=200), st.text(max_size=50))
def test_no_bytes_break_the_reading(body, signature):
    told_by(body, behaviours=BEHAVIOURS)
    assert not signature_holds(body, signature=signature, secret=SHARED)
