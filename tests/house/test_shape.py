"""The house as DESIGN draws it: sizes, names, who imports what, what crosses a task border."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ("deploy", "flows", "tasks", "winback")
LONGEST_MODULE, LONGEST_TEST_MODULE, LONGEST_FUNCTION = 400, 600, 50
BORDER_TYPES = {"str", "int", "float", "bool", "date", "datetime", "None", "list[str]"}


def modules(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def place(file: Path, node: ast.AST | None = None) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_a_module_stays_readable():
    limits = dict.fromkeys([*modules(*HOUSE, "bench"), ROOT / "do"], LONGEST_MODULE)
    limits |= dict.fromkeys(modules("tests"), LONGEST_TEST_MODULE)
    lengths = {file: len(file.read_text("utf-8").splitlines()) for file in limits}
    assert not {place(file): length for file, length in lengths.items() if length > limits[file]}


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how long a function is without its docstring."""
    documentation = node.body[0] if ast.get_docstring(node) else None
    spoken = documentation.end_lineno - documentation.lineno + 1 if documentation else 0
    return node.end_lineno - node.lineno + 1 - spoken


def test_a_function_stays_readable():
    long = [
        f"{place(file, node)} {node.name}: {code_lines(node)} lines"
        for file in [*modules(*HOUSE, "bench"), ROOT / "do"]
        if "migrations" not in file.parts  # a migration is a list of tables
        for node in functions(file)
        if code_lines(node) > LONGEST_FUNCTION
    ]
    assert not long, f"functions over {LONGEST_FUNCTION} lines"


def test_a_file_name_stands_once():
    stems = Counter(file.stem for file in modules(*HOUSE) if not file.stem.startswith("__"))
    assert not [name for name, count in stems.items() if count > 1]


def test_no_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "base", "tools"}
    assert not [place(file) for file in modules(*HOUSE, "bench") if file.stem in drawers]


def test_no_file_is_named_like_the_standard_library():
    mistakable = [place(file) for file in modules("flows", "tasks", "deploy") if file.stem in sys.stdlib_module_names]
    assert not mistakable


def test_only_flows_and_tasks_import_prefect():
    knowing = [place(file) for file in modules("winback", "deploy", "bench") if "prefect" in imported(file)]
    assert not knowing


def test_flows_and_tasks_import_at_the_top():
    inner = [
        place(file, node)
        for file in modules("flows", "tasks")
        for function in functions(file)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inner


def test_one_module_warms_the_fork_server():
    """A process has one, whoever starts it first says what it imports, and everybody else's processes start cold."""
    warming = [
        place(file)
        for file in modules(*HOUSE, "bench", "tests")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node).endswith("get_context('forkserver')")
    ]
    assert warming == ["bench/killing/sender.py:1"]


def public(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_every_public_function_says_what_it_does():
    silent = []
    for file in modules(*HOUSE):
        nodes = public(tree(file).body)
        # A method of a class with a base may override one that says it already.
        own = [node for node in nodes if isinstance(node, ast.ClassDef) and not node.bases]
        nodes += [method for node in own for method in public(node.body)]
        silent += [f"{place(file, node)} {node.name}" for node in nodes if not ast.get_docstring(node)]
    assert not silent


def is_task(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = [ast.unparse(item.func if isinstance(item, ast.Call) else item) for item in node.decorator_list]
    return any(name in {"task", "prefect.task"} for name in names)


def test_task_signatures_carry_ids_dates_and_counts_only():
    """No frame and no person crosses a task border: what does is stored by Prefect."""
    wide = []
    for file in modules("tasks", "flows"):
        for node in filter(is_task, functions(file)):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = {argument.arg: ast.unparse(argument.annotation or ast.Constant("?")) for argument in arguments}
            wide += [
                f"{place(file, node)} {node.name}({name}: {kind})"
                for name, kind in names.items()
                if not set(kind.replace(" ", "").split("|")) <= BORDER_TYPES
                or ("list" in kind and name != "programmes")
            ]
    assert not wide


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "pragma:"])
def test_nothing_is_left_for_later(word):
    left = [place(file) for file in modules(*HOUSE, "bench") if word in file.read_text("utf-8")]
    assert not left


def test_every_lint_exception_gives_its_reason():
    bare = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in modules(*HOUSE, "bench")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        for marker in ("# noqa: ", "# type: ignore[")
        if marker in line and len(line.split(marker, 1)[1].split()) < 2
    ]
    assert not bare
