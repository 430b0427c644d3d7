"""The JSON schemas that editors read say what the models say."""

from pathlib import Path

from winback.sample.editor_schemas import editor_schemas, write_schemas
from winback.settings import data_directory

REFRESH = "python -m winback.sample.editor_schemas data/schemas"


def test_the_stored_schemas_are_fresh() -> None:
    for name, text in editor_schemas().items():
        assert (data_directory() / "schemas" / name).read_text(encoding="utf-8") == text, f"stale: run `{REFRESH}`"


def test_no_other_schema_is_stored() -> None:
    assert {file.name for file in (data_directory() / "schemas").iterdir()} == set(editor_schemas())


def test_schemas_use_the_keys_people_write(tmp_path: Path) -> None:
    write_schemas(tmp_path / "schemas")
    assert '"from"' in (tmp_path / "schemas" / "winback.schema.json").read_text(encoding="utf-8")
    assert '"sender"' not in (tmp_path / "schemas" / "winback.schema.json").read_text(encoding="utf-8")
