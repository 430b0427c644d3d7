"""A command, a deployment, a parameter or a variable that no page names does not exist for a reader."""

from __future__ import annotations

import ast
import re
from inspect import Parameter
from pathlib import Path

import pytest
import yaml

from winback.cli.app import make_app
from winback.web.operator_desk import NAVIGATION

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [*sorted((ROOT / "winback").rglob("*.py")), *sorted((ROOT / "tasks").rglob("*.py"))]
KEYWORD = Parameter.KEYWORD_ONLY
VARIABLE = re.compile(r"^(?:WINBACK_[A-Z_]+|SENDGRID_[A-Z_]+|TWILIO_[A-Z_]+|SMTP_URL|PUBLIC_BASE_URL)$")


def written() -> str:
    return "\n".join(page.read_text("utf-8") for page in PAGES)


def commands() -> list[str]:
    return sorted(name for name in make_app() if not name.startswith("-"))


def deployments() -> list[str]:
    return [item["name"] for item in yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]]


def parameters() -> set[str]:
    names = set()
    for name in deployments():
        for node in ast.walk(ast.parse((ROOT / "flows" / f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                names |= {argument.arg for argument in node.args.kwonlyargs}
    return names


def variables() -> set[str]:
    """Return every variable of the environment the code asks for by name."""
    texts = (node for file in SOURCES for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    values = (node.value for node in texts if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {value for value in values if VARIABLE.match(value)}


@pytest.mark.parametrize("command", commands())
def test_every_command_is_named(command):
    assert re.search(rf"winback (?:--\S+ \S+ )*{command}\b", written())


def options() -> set[str]:
    tree = make_app()
    commands = [tree[name] for name in tree if not name.startswith("-")]
    nested = [parent[name] for parent in commands for name in parent if not name.startswith("-")]
    calls = [command.assemble_argument_collection() for command in [*commands, *nested] if command.default_command]
    return {item.name for call in calls for item in call if item.field_info.kind is KEYWORD}


def test_every_option_is_named_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    assert len(options()) > 10
    assert not {name for name in options() if f"`{name}`" not in reference}


@pytest.mark.parametrize("command", ["demo", "test", "check", "up", "bench"])
def test_every_command_of_the_script_is_named(command):
    assert f"./do {command}" in written()


@pytest.mark.parametrize("name", deployments())
def test_every_deployment_is_named(name):
    assert f"`{name}`" in written()


@pytest.mark.parametrize("name", sorted(parameters()))
def test_every_parameter_is_named(name):
    assert f"`{name}`" in written()


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_is_named(name):
    assert f"`{name}" in written() or f"{name}=" in written()


def test_every_metric_and_operator_page_is_named_in_the_guide():
    guide = (ROOT / "docs" / "how-to" / "operate.md").read_text("utf-8")
    source = (ROOT / "winback" / "web" / "metrics_page.py").read_text("utf-8")
    metrics = set(re.findall(r'"(winback_[a-z_]+)"', source))
    assert len(metrics) > 8
    assert {name for name in metrics if f"`{name}`" not in guide} == set()
    assert {path for path, _title in NAVIGATION if f"`{path}" not in guide} == set()
