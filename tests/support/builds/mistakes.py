"""Recipes with mistakes, and what is said of each."""

import re
from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.distros import SUITES
from builder.model.errors import RecipeError
from builder.model.recipe import Recipe
from builder.model.toml.decode import decode_source
from builder.model.toml.source import source_of
from builder.recipes import rules

GOOD = """\
[template]
name = "x"
[base]
distro = "debian"
suite = "bookworm"
"""
"""A recipe with nothing wrong, five lines long."""


def read(text: str) -> Recipe:
    source = source_of(text, Path("r.toml"))
    recipe = decode_source(source, Recipe)
    rules.check(recipe, source, suites=SUITES)
    return recipe


def complaint(text: str) -> str:
    """Give what a person reads about a recipe."""
    return render(refused(text))


def cases(blocks: str) -> dict[str, tuple[str, str]]:
    """Split `=== NAME`, a recipe, `---`, and what is said about it; `<good>` stands for GOOD."""
    found = {}
    for block in blocks.split("=== ")[1:]:
        name, _, rest = block.partition("\n")
        text, _, expected = rest.partition("---\n")
        found[name] = (text.replace("<good>\n", GOOD), expected.strip("\n") + "\n")
    return found


def refused(text: str, problem: str = "") -> RecipeError:
    with pytest.raises(RecipeError, match="^" + re.escape(problem)) as caught:
        read(text)
    return caught.value
