"""No secret is in the checkout, and none can slip in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def scan(*files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "detect_secrets.pre_commit_hook", "--baseline", ".secrets.baseline", "--json"]
    return subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_checkout_holds_no_secret():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nobody can tell its files from others")
    files = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file() and not name.endswith(".lock")]
    scanned = scan(*files)
    assert scanned.returncode == 0, scanned.stdout
    assert not json.loads(scanned.stdout or "{}").get("results")


def test_the_scan_finds_a_planted_one(tmp_path):
    planted = tmp_path / "leak.py"
    planted.write_text("key = '" + "AKIA" + "Z7Q4" * 4 + "'\n", encoding="utf-8")
    assert scan(str(planted)).returncode != 0
