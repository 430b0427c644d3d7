"""No secret is in the checkout, and none can slip in; what only looks like one is listed in `.secrets.baseline`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def suspects(root: Path, *files: str) -> set[tuple[str, str]]:
    """Return (file, hash of the suspected secret)."""
    command = [sys.executable, "-m", "detect_secrets", "scan", "--all-files", *files]
    scanned = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return listed(json.loads(scanned.stdout))


def listed(report: dict) -> set[tuple[str, str]]:
    return {(file, item["hashed_secret"]) for file, found in report["results"].items() for item in found}


def test_the_checkout_holds_no_secret():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout: nobody can tell its files from others")
    skipped = (".lock", ".secrets.baseline")  # hashes of packages, hashes of suspects
    files = [name for name in tracked.stdout.splitlines() if (ROOT / name).is_file() and not name.endswith(skipped)]
    known = listed(json.loads((ROOT / ".secrets.baseline").read_text("utf-8")))
    assert not suspects(ROOT, *files) - known, "a secret? If not: detect-secrets scan --baseline .secrets.baseline"


def test_the_scan_finds_a_planted_one(tmp_path):
    planted = tmp_path / "leak.py"
    planted.write_text("key = '" + "AKIA" + "Z7Q4" * 4 + "'\n", encoding="utf-8")
    assert suspects(tmp_path, planted.name)
