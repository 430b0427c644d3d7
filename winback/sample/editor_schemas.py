"""JSON schemas of winback.yaml and of the policies, for editors: completion, checking and help while typing.

``python -m winback.sample.editor_schemas DIRECTORY`` writes them; a test says when they are stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from winback.configuration import Configuration
from winback.core.policy import Programme

if TYPE_CHECKING:
    from pydantic import BaseModel

MODELS: dict[str, type[BaseModel]] = {
    "policy.schema.json": Programme,
    "winback.schema.json": Configuration,
}


def editor_schemas() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    texts = {}
    for name, model in MODELS.items():
        schema = model.model_json_schema(by_alias=True)
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        texts[name] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


def write_schemas(directory: Path) -> list[Path]:
    """Write the schema files into a directory and return them."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in editor_schemas().items():
        (directory / name).write_text(text, encoding="utf-8")
        written.append(directory / name)
    return written


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
