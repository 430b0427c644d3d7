"""Faults planted in the gate, the claims and their results: the tests named for them see every one.

`./do bench mutations` does the same with those of the receipts, the refusals, the limits and the sender, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWITCHES, TEST = "winback/ledger/switches.py", "tests/contract/test_ledger_records.py::test_one_switch_is_not_another"


def tried(mutations: str) -> subprocess.CompletedProcess[str]:
    """Try mutations in a process of its own, which has imported nothing of ours yet."""
    program = (
        "import json; from bench.mutations import judged; from bench.planting.nursery import Mutation, read_mutations; "
        f"print(json.dumps(judged({mutations})))"
    )
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_planted_mutation_is_caught():
    done = tried("[one for one in read_mutations() if one.is_for_every_day]")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["planted"] >= 25
    none = {key: [] for key in ("survived", "hung", "broken", "left_out")}
    assert found == {"case": "mutations", "planted": found["planted"], "caught": found["planted"], **none}


def test_what_changes_nothing_survives_and_what_does_not_start_proves_nothing():
    planted = [
        ("the same in other words", SWITCHES, 'STOP = "stop"', 'STOP = "st" + "op"', TEST),
        ("no Python", SWITCHES, 'STOP = "stop"', 'STOP = "stop', TEST),
        ("released for ever", SWITCHES, "return bool(done)", "return not done", f"{TEST.partition('::')[0]}"),
    ]
    done = tried(f"[Mutation(*one) for one in {planted}]")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["planted"], found["caught"]) == (3, 1)
    assert (found["survived"], found["broken"]) == ([planted[0][0]], [planted[1][0]])


def test_a_test_that_is_not_there_proves_nothing():
    done = tried(f"[Mutation('x', {SWITCHES!r}, 'STOP = ', 'STOP = 1 or ', {TEST + '_at_all'!r})]")
    assert done.returncode != 0
    assert "fail without any mutation" in done.stderr


@pytest.mark.parametrize("original", ["nothing of that kind", "connection"])
def test_code_that_has_changed_asks_for_another_mutation(original):
    done = tried(f"[Mutation('x', {SWITCHES!r}, {original!r}, 'y', {TEST!r})]")
    assert done.returncode != 0
    assert f"ValueError: x: {original!r} stands" in done.stderr


def test_each_mutation_still_changes_what_it_is_about():
    program = "from bench.planting.nursery import mutated, read_mutations; [mutated(one) for one in read_mutations()]"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
