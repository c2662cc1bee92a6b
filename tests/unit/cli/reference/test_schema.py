"""The generated reference is what the types say, and the shipped recipes obey it."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from builder.cli.reference.__main__ import files
from builder.cli.reference.schema import attribute_docs, schema_of, structs_of
from builder.host.places import shipped
from builder.model.recipe import Recipe
from builder.model.recipe.content import User
from builder.model.settings import Settings
from tests.support.oven import CHECKOUT

REFERENCE = CHECKOUT / "docs/reference"


@pytest.mark.parametrize("name", files(REFERENCE))
def test_the_committed_files_are_fresh(name: str) -> None:
    committed = (REFERENCE / name).read_text(encoding="utf-8")
    assert committed == files(REFERENCE)[name], "run `python -m builder.cli.reference`"


@pytest.mark.parametrize("kind", [Recipe, Settings])
def test_every_key_is_described(kind: type[msgspec.Struct]) -> None:
    schema = schema_of(kind)
    definitions = schema["definitions"]
    assert isinstance(definitions, dict)
    tables = [schema, *definitions.values()]
    described = [one for table in tables for one in table.get("properties", {}).values()]
    assert described
    for key in described:
        assert re.fullmatch(r".+\.", key["description"]), key


def test_docstrings_of_attributes_are_read() -> None:
    docs = attribute_docs(User)
    assert docs["name"] == "The login name."
    assert docs.keys() == {field.name for field in msgspec.structs.fields(User)}


@pytest.mark.parametrize("kind", [Recipe, Settings])
def test_an_editor_understands_it(kind: type[msgspec.Struct]) -> None:
    """Draft 7: every reference leads somewhere, nothing stands beside one, patterns are plain."""
    schema = json.loads(json.dumps(schema_of(kind)))
    seen = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                assert list(node) == ["$ref"]
                seen.append(reference.removeprefix("#/definitions/"))
            if isinstance(pattern := node.get("pattern"), str):
                assert r"\Z" not in pattern
            assert node != {"type": "null"}
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(schema)
    assert seen
    assert set(seen) <= schema["definitions"].keys()
    assert len(structs_of(kind)) - 1 <= len(schema["definitions"])


def recipe_files() -> list[Path]:
    return [*shipped("recipes").glob("*.toml"), *shipped("appliances").glob("*/appliance.toml")]


@pytest.mark.parametrize("path", recipe_files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_recipes_name_the_schema_for_editors(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("#:schema ")
    schema = path.parent / first.removeprefix("#:schema ")
    assert schema.resolve() == REFERENCE / "recipe.schema.json"
    written = tomllib.loads(path.read_text())
    assert written.keys() <= json.loads(schema.read_text())["properties"].keys()
