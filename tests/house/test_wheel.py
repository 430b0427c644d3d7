"""The wheel holds `winback` and its command, and nothing whose name another distribution owns."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_it_has_one_top_level_name(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"winback"}


def test_it_has_the_command_and_the_licence(wheel):
    names = wheel.namelist()
    entry_points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "winback = winback.cli:main" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_holds_every_file_of_the_package(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "winback", "data"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to compare the wheel with")
    files = {name for name in listed.stdout.split() if (ROOT / name).exists()}
    assert {f"winback/{name}" if name.startswith("data/") else name for name in files} <= set(wheel.namelist())


def test_no_state_is_shipped(wheel):
    assert not [name for name in wheel.namelist() if name.endswith((".db", ".pyc")) or "/var/" in name]
