"""The guide to one's own data explains every rule, every hold and every column."""

from __future__ import annotations

import ast
from pathlib import Path

from winback.core.feed_guards import ACCEPTABLE
from winback.core.row_rules import CONSENT_COLUMNS, CONTACT_COLUMNS, EVENT_COLUMNS
from winback.core.rule_names import RULES

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/how-to/connect-your-data.md").read_text(encoding="utf-8")
FILES = [
    *(ROOT / "winback/core").glob("*.py"),
    *(ROOT / "winback/sources").glob("*.py"),
    ROOT / "winback/night/sync.py",
]
PREFIXES = ("timestamp_", "amount_", "behaviour_", "customer_id_", "event_id_")


def rules_in_the_code() -> set[str]:
    """Every rule a call charges a row with, and every text that looks like one."""
    found = set()
    for file in FILES:
        if file.stem == "rule_names":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            is_charge = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {
                "flag",
                "_fault",
                "faults_frame",
            }
            if is_charge:
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and text in RULES}
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PREFIXES):
                found.add(node.value)
    return found - set(EVENT_COLUMNS)


def test_the_code_uses_the_named_rules_and_no_others():
    assert rules_in_the_code() == set(RULES)


def test_every_rule_is_explained_in_its_own_words():
    assert not [rule for rule, meaning in RULES.items() if f"| `{rule}` | {meaning} |" not in GUIDE]


def test_every_hold_a_person_can_accept_is_explained():
    assert all(f"| `{kind}` |" in GUIDE for kind in (*ACCEPTABLE, "unavailable", "malformed"))


def test_every_column_is_named():
    columns = {*CONTACT_COLUMNS, *CONSENT_COLUMNS, *EVENT_COLUMNS}
    assert not [column for column in columns if f"`{column}`" not in GUIDE]
