"""What is installed is what was locked, from wherever the machine is told to look."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-uv.lock")


def locked(name: str = "requirements.lock") -> dict[str, Requirement]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [Requirement(line.removesuffix("\\").strip()) for line in lines if re.match(r"[A-Za-z0-9]", line)]
    return {canonicalize_name(pin.name): pin for pin in pins}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [item for group in project["optional-dependencies"].values() for item in group]
    return [Requirement(item) for item in [*project["dependencies"], *extras]]


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_an_index(name):
    text = (ROOT / name).read_text("utf-8")
    assert not re.findall(
        r"https?://\S+|^\s*-{1,2}(?:index|extra-index|find-links|trusted)\S*|@ file:", text, re.MULTILINE
    )


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_its_hashes(name):
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text("utf-8").strip())
    assert not [block.split()[0] for block in blocks if "--hash=sha256:" not in block]


def test_the_lock_satisfies_every_requirement():
    pins = locked()
    unmet = [
        str(wanted)
        for wanted in declared()
        if (pin := pins.get(canonicalize_name(wanted.name))) is None
        or not wanted.specifier.contains(next(iter(pin.specifier)).version, prereleases=True)
    ]
    assert not unmet, "write the lock again (CONTRIBUTING.md)"


def test_the_environment_is_the_locked_one():
    other = {}
    for name, pin in locked().items():
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "missing"
        if not pin.specifier.contains(installed, prereleases=True):
            other[str(pin)] = installed
    assert not other, "run ./do, which installs the lock"


@pytest.mark.parametrize(
    ("name", "refused", "taken"),
    [
        ("fastapi", "0.151", "0.150.0"),
        ("sqlalchemy", "2.1.0", "2.0.58"),
        ("prefect", "3.10.0", "3.8.8"),
        ("duckdb", "2.0.0", "1.5.5"),
    ],
)
def test_the_pins_that_keep_nights_running(name, refused, taken):
    window = next(item for item in declared() if item.name == name).specifier
    assert window.contains(taken)
    assert not window.contains(refused)
