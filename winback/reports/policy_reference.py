"""The reference of winback.yaml and of the policies, written from the models that read them.

``python -m winback.reports.policy_reference docs/reference`` writes it; a test says when it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from winback.configuration import Configuration
from winback.core.policy import Programme

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGES: dict[str, tuple[str, str, type[BaseModel]]] = {
    "policy.md": ("Policy reference", "A programme is one file `policies/NAME.yaml`.", Programme),
    "winback-yaml.md": ("winback.yaml reference", "One file `winback.yaml` a project directory.", Configuration),
}
HOW = "Unknown keys are faults, every fault is named with its line: `winback check`."


def reference_pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {name: _page(title, lead, model) for name, (title, lead, model) in PAGES.items()}


def _page(title: str, lead: str, model: type[BaseModel]) -> str:
    sections = [
        f"# {title}\n\n{lead} {HOW}\nWritten from the models by `python -m winback.reports.policy_reference`.\n"
    ]
    sections += [_section(each) for each in _models(model)]
    return "\n".join(sections)


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and all it holds, each once, in the order they are met."""
    found = [model]
    for one in found:
        for field in one.model_fields.values():
            found += [inner for inner in _within(field.annotation) if inner not in found]
    return found


def _within(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _within(part)]


def _section(model: type[BaseModel]) -> str:
    """Return one model as a table: key, what it may be, default, meaning."""
    schema = model.model_json_schema(by_alias=True)
    words = (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").replace("    ", "").replace("``", "`")
    rows = [
        f"| `{field.alias or name}` | {_kind(schema['properties'][field.alias or name], schema)} | {_default(field)} | "
        f"{' '.join((field.description or '').split())} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(
        [f"## {model.__name__}\n\n{words}\n", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{str(value).lower() if isinstance(value, bool) else list(value) if isinstance(value, tuple) else value}`"


def _kind(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    """Return a JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(part, whole) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inner = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_kind(inner, whole)}"
    if schema.get("type") == "object":
        extra = schema.get("additionalProperties")
        return f"name → {_kind(extra, whole)}" if isinstance(extra, dict) else "keys and values"
    return {"string": "text", "boolean": "true or false", "integer": "whole number"}.get(
        str(schema.get("type")), str(schema.get("type"))
    ) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    parts = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return f" ({', '.join(parts)})" if parts else ""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for page, text in reference_pages().items():
        (folder / page).write_text(text, encoding="utf-8")
