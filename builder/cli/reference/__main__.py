"""The reference, written from the program: pages, their tables, and JSON Schema for editors."""

import json
import sys
from pathlib import Path

from builder.cli.reference import schema
from builder.model.recipe import Recipe
from builder.model.settings import Settings


def files(folder: Path) -> dict[str, str]:
    """Give the generated files of `docs/reference/`, by name; people write parts of one there."""
    from builder.cli.reference.commands import commands_page
    from builder.cli.reference.pages import errors_page, recipe_page, settings_page

    return {
        "recipe.schema.json": _json(schema.schema_of(Recipe)),
        "settings.schema.json": _json(schema.schema_of(Settings)),
        "recipe.md": recipe_page(),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "commands.md": commands_page((folder / "commands.md").read_text(encoding="utf-8")),
    }


def _json(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write the generated files of a folder anew."""
    for name, text in files(folder).items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
