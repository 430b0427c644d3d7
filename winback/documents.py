"""YAML files a person writes, validated so that every fault is named at once with its line.

In: the text of a file and a Pydantic model. Out: the model, or a :class:`~winback.errors.ConfigError` that lists
every fault as ``file:line: path: message``. Must never happen: a key that is misspelt and silently ignored.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from winback.errors import ConfigError, Fault

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
# libyaml where PyYAML was built with it: the rules of the sending hours are read in 4 instead of 38 CPU ms.
_QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _child_nodes(node: yaml.Node) -> list[tuple[str | int, int, yaml.Node]]:
    """Return (key, 1-based line of the key, value node) for each child of a node."""
    if isinstance(node, yaml.MappingNode):
        return [(str(key.value), key.start_mark.line + 1, value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(index, item.start_mark.line + 1, item) for index, item in enumerate(node.value)]
    return []


def _collect(node: yaml.Node, path: Path, lines: dict[Path, int], file: str) -> list[Fault]:
    """Fill ``lines`` with the line of every path and return the duplicate keys."""
    faults = []
    for key, line, child in _child_nodes(node):
        here = (*path, key)
        if here in lines:
            faults.append(Fault(file, line, dotted(here), f"duplicate key (first on line {lines[here]})"))
        lines.setdefault(here, line)
        faults += _collect(child, here, lines, file)
    return faults


def dotted(path: Path) -> str:
    """Return a path the way people write it, e.g. ``steps.1.channels``."""
    return ".".join(map(str, path))


def nearest(name: str, known: list[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest known name, or an empty string."""
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _field_names(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys allowed beside the last part of ``path``, walking the model's annotations."""
    models: list[type[BaseModel]] = [model]
    for part in path[:-1]:
        if isinstance(part, int) or not any(part in m.model_fields for m in models):
            continue
        found = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [m for annotation in found for m in _models_within(annotation)]
    return sorted({name for m in models for name, field in m.model_fields.items() for name in (field.alias or name,)})


def _models_within(annotation: object) -> list[type[BaseModel]]:
    """Return every Pydantic model mentioned in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_within(arg)]


def _message(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong in a reader's words, with the nearest allowed name."""
    name = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key {name!r}{nearest(name, _field_names(model, error['loc']))}"
    if error["type"] == "missing":
        return "required, but missing"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] in {"literal_error", "enum"} and isinstance(error["input"], str):
        options = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
        return f"{text}, not {error['input']!r}{nearest(error['input'], options)}"
    return text


def _line_of(path: Path, lines: dict[Path, int]) -> tuple[int, Path]:
    """Return the line of the deepest part of the path that stands in the file, and that path.

    Pydantic puts the name of a union's branch into its paths; such parts stand in no file and are left out.
    """
    here: Path = ()
    for part in path:
        if (*here, part) in lines:
            here = (*here, part)
    return lines.get(here, 1), here


_TOO_DEEP = "nested too deeply, or an alias (*name) stands inside what it names"


def parse(text: str, *, file: str, error: type[ConfigError] = ConfigError) -> tuple[Any, dict[Path, int]]:
    """Return the plain value of a YAML text and the line of every path in it.

    Raises
    ------
    ConfigError
        (of the type ``error``) If the text is no YAML, or has a key twice.
    """
    try:
        try:
            node, value = _read(text, _QUICK_LOADER)
        except (yaml.YAMLError, ValueError):
            # PyYAML's own reader says better what is wrong, and a few odd texts are fine with it.
            node, value = _read(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        what = "a tab where YAML wants spaces" if "'\\t'" in str(problem.problem) else str(problem.problem)
        raise error([Fault(file, mark.line + 1 if mark else 1, "", what)]) from problem
    except (yaml.YAMLError, ValueError) as problem:
        raise error([Fault(file, 1, "", str(problem))]) from problem
    except RecursionError as problem:
        raise error([Fault(file, 1, "", _TOO_DEEP)]) from problem
    lines: dict[Path, int] = {}
    try:
        faults = _collect(node, (), lines, file) if node is not None else []
    except RecursionError as problem:
        raise error([Fault(file, 1, "", _TOO_DEEP)]) from problem
    if faults:
        raise error(faults)
    return value, lines


def _read(text: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader]) -> tuple[yaml.Node | None, Any]:
    """Return the node a YAML text is made of, and its plain value."""
    return yaml.compose(text, Loader=loader), yaml.load(text, Loader=loader)  # noqa: S506  both loaders are safe ones


def load(text: str, *, file: str, model: type[Model], error: type[ConfigError] = ConfigError) -> Model:
    """Return a YAML text as a validated model.

    Parameters
    ----------
    text : the file's content
    file : its name, for the messages
    model : the Pydantic model it must fit
    error : the branch of the exception tree to raise

    Raises
    ------
    ConfigError
        (of the type ``error``) With every fault: bad YAML, duplicate or unknown keys, wrong types, broken rules.
    """
    value, lines = parse(text, file=file, error=error)
    if not isinstance(value, dict):
        raise error([Fault(file, 1, "", "expected keys and values, found " + type(value).__name__)])
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        faults = []
        for item in problem.errors():
            line, path = _line_of(item["loc"], lines)
            shown = (*path, item["loc"][-1]) if item["type"] == "missing" else path
            faults.append(Fault(file, line, dotted(shown), _message(item, model)))
        raise error(sorted(dict.fromkeys(faults), key=lambda fault: fault.line)) from problem
