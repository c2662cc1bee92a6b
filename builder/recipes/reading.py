"""Reading: text files that a person wrote, and what can stand in the way."""

from pathlib import Path
from typing import BinaryIO

from builder.model.errors import RecipeError
from builder.model.toml.source import Source, source_of_bytes
from builder.recipes.project import Project

LIMIT = 1 << 20
"""No file that a person writes is larger, in bytes."""


def read_authored(path: Path, project: Project) -> Source:
    """Read a text file of a recipe's author; whatever stands in the way is a RecipeError."""
    if project.is_folder(path):
        raise RecipeError("this is a folder, not a file", at=path)
    with project.opened(path) as fd, open(fd, "rb", closefd=False) as file:  # opened by descriptor
        return _source(file, path)


def read_source(path: Path) -> Source:
    """Read a text file of who runs Oven; whatever stands in the way is a RecipeError."""
    try:
        if path.is_dir():
            raise RecipeError("this is a folder, not a file", at=path)
        if not path.is_file():  # opening a pipe would wait for ever
            problem = "this is not a regular file" if path.exists() else "this file is not there"
            raise RecipeError(problem, at=path)
        with path.open("rb") as file:
            return _source(file, path)
    except OSError as error:
        problem = f"this file cannot be read: {(error.strerror or str(error)).lower()}"
        raise RecipeError(problem, at=path) from error


def _source(file: BinaryIO, path: Path) -> Source:
    data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise RecipeError("this file is larger than 1 MiB", at=path)
    return source_of_bytes(data, path)
