"""Names are looked up within a time of ours, whatever the system's own look-up does."""

from __future__ import annotations

import threading

from winback.night.resolve import unresolved


def test_a_name_that_is_found_is_no_fault_and_one_that_is_not_says_so():
    def look_up(host, _port):
        if host == "lost.example":
            raise OSError("no such name")

    assert unresolved(["here.example", "lost.example"], look_up=look_up) == {
        "lost.example": "cannot be found (OSError)"
    }
    assert unresolved([], look_up=look_up) == {}


def test_a_look_up_that_never_ends_is_not_waited_for():
    never = threading.Event()

    def look_up(host, _port):
        if host == "slow.example":
            never.wait()

    found = unresolved(["here.example", "slow.example"], longest_seconds=0.2, look_up=look_up)
    never.set()
    assert found == {"slow.example": "was not found within 0.2 s"}
