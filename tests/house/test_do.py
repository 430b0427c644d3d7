"""The one script: what it refuses, what it hands to uv, when it sets up again."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("demo", "test", "check", "up", "bench")


@pytest.fixture
def do(tmp_path):
    """The script, loaded from a copy so that its paths lie in an empty checkout."""
    for name in ("do", "requirements.lock", "requirements-uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    loader = SourceFileLoader("do_script", str(tmp_path / "do"))
    spec = importlib.util.spec_from_loader("do_script", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def call(*arguments: str, script: Path = ROOT / "do", **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings}
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_alone_it_prints_every_command(arguments):
    said = call(*arguments)
    assert said.returncode == 0
    assert all(re.search(rf"^  {name}\b", said.stdout, re.MULTILINE) for name in COMMANDS)


def test_an_unknown_command_is_wrong_usage_and_sets_nothing_up(tmp_path):
    shutil.copy(ROOT / "do", tmp_path / "do")
    said = call("dmeo", script=tmp_path / "do")
    assert said.returncode == 2
    assert "unknown command 'dmeo'" in said.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_torn_checkout_is_one_line(tmp_path):
    shutil.copy(ROOT / "do", tmp_path / "do")
    said = call("test", script=tmp_path / "do")
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "requirements.lock" in said.stderr


@pytest.mark.usefixtures("do")
def test_a_python_without_ensurepip_names_the_package(tmp_path):
    program = (
        "import importlib.util, runpy, sys; real = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *a: None if name == 'ensurepip' else real(name, *a); "
        f"sys.argv = ['do', 'test']; runpy.run_path({str(tmp_path / 'do')!r}, run_name='__main__')"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert re.search(r"install it .*python3\.\d+-venv", said.stderr)


@pytest.mark.parametrize("changed", ["requirements.lock", "requirements-uv.lock", "pyproject.toml"])
def test_a_changed_file_sets_up_again(do, tmp_path, changed):
    before = do.fingerprint()
    with (tmp_path / changed).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert do.fingerprint() != before


def test_an_old_stamp_is_not_ready(do):
    do.PYTHON.parent.mkdir(parents=True)
    do.PYTHON.write_text("", encoding="utf-8")
    assert not do.is_ready()
    do.STAMP.write_text(do.fingerprint(), encoding="ascii")
    assert do.is_ready()
    do.STAMP.write_text("of another lock", encoding="ascii")
    assert not do.is_ready()


def test_uv_gets_the_machines_pip_configuration(do, tmp_path, monkeypatch):
    do.PYTHON = Path(sys.executable)
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = file:///a/simple\nfind-links = /b\n  /c\ncert = /d.pem\n", "utf-8")
    for name in [*do.PIP_TO_UV.values(), "UV_INDEX_STRATEGY", "PIP_FIND_LINKS", "PIP_CERT"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///e/simple")
    found = do.uv_settings()
    assert found["UV_DEFAULT_INDEX"] == "file:///a/simple"
    assert found["UV_FIND_LINKS"] == "/b,/c"
    assert found["SSL_CERT_FILE"] == "/d.pem"
    assert found["UV_INDEX"] == "file:///e/simple"
    monkeypatch.setenv("UV_INDEX", "mine")
    assert "UV_INDEX" not in do.uv_settings()


def test_commands_keep_prefect_inside_the_checkout(do, tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    found = do.environment()
    assert Path(found["PREFECT_HOME"]) == tmp_path / "var" / "prefect"
    assert found["DO_NOT_TRACK"] == "1"
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_what_every_process_imports_is_compiled_once_whatever_the_machine_says(do, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))
    assert all(importlib.util.find_spec(module) for module in do.EVERYDAY_MODULES)
    do.PYTHON, do.EVERYDAY_MODULES = Path(sys.executable), ["winback.errors", "yaml"]
    do.compile_everyday_modules()
    kept = {file.name.partition(".")[0] for file in (tmp_path / "compiled").rglob("*.pyc")}
    assert {"errors", "loader"} <= kept


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((), f"--numprocesses {min(8, 1 + os.cpu_count())} --dist loadfile --no-loadscope-reorder"),
        (("tests/unit", "-k", "ladder"), "tests/unit -k ladder"),
    ],
)
def test_the_whole_suite_takes_every_core_and_a_part_of_it_what_was_asked(do, tmp_path, asked, given):
    do.PYTHON.parent.mkdir(parents=True)
    do.PYTHON.write_text('#!/bin/sh\necho "$@"\n', encoding="ascii")
    do.PYTHON.chmod(0o755)
    do.STAMP.write_text(do.fingerprint(), encoding="ascii")
    said = call("test", *asked, script=tmp_path / "do")
    assert said.stdout == f"-m pytest {given}\n"


def test_continuous_integration_runs_the_readmes_own_commands():
    script, readme = (ROOT / ".ci" / "run").read_text("utf-8"), (ROOT / "README.md").read_text("utf-8")
    for command in ("./do check", "./do test"):
        assert command in script
    assert "./do test" in readme
    assert "./do demo" in readme


def test_it_names_no_registry():
    texts = [(ROOT / name).read_text("utf-8") for name in ("do", ".ci/run", "pyproject.toml")]
    assert not [found for text in texts for found in re.findall(r"https?://\S+", text)]
