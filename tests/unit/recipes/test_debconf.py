"""Answers for debconf, as recipes give them."""

from pathlib import Path

import msgspec
import pytest

from builder.model.errors import RecipeError
from builder.model.lock import BASE
from builder.recipes.debconf import selections
from builder.recipes.load import load_file
from tests.support.builds.locks import lock
from tests.support.builds.projects import project

RECIPE = """\
[template]
name = "tiny"

[base]
distro = "debian"
suite = "bookworm"

[packages]
install = ["nano"]

[debconf]
selections = [
    "{line}",
]
"""


LINE = "nano nano/x select y"


def told(folder: Path, line: str, *, distro: str = "debian") -> tuple[str, ...]:
    """Hold a recipe's answer against a lock with a package of its own, and one of the base."""
    loaded = load_file(project(folder, RECIPE.replace("{line}", line)))
    made = lock()
    package = made.packages[0]
    ours = msgspec.structs.replace(package, name="nano", layer="tiny")
    base = msgspec.structs.replace(package, name="dash", layer=BASE)
    lower = msgspec.structs.replace(package, name="tzdata", layer="below")
    asked = msgspec.structs.replace(made.asked, distro=distro)
    return selections(
        loaded, msgspec.structs.replace(made, asked=asked, packages=(ours, base, lower))
    )


def test_answers_for_packages_of_the_recipe(tmp_path: Path) -> None:
    assert told(tmp_path, LINE) == (LINE,)


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        ("nan nano/x select y", "does not install the package `nan`", "`nano`"),
        ("dash dash/sh boolean false", "does not install the package `dash`", "smallest debian"),
        ("tzdata tzdata/x select y", "does not install the package `tzdata`", "say it there"),
        ("slapd slapd/password1 password x", "is not a line of debconf-set-sel", "`password`"),
        ("nano", "is not a line of debconf-set-selections", "package, question, type and answer"),
    ],
)
def test_answers_that_nobody_asks_for_point_to_their_line(
    tmp_path: Path, line: str, problem: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        told(tmp_path, line)
    assert problem in caught.value.problem
    assert hint in (caught.value.hint or "")
    assert caught.value.at is not None
    assert caught.value.at.line == 13


def test_packages_of_fedora_ask_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="debconf is Debian's"):
        told(tmp_path, LINE, distro="fedora")
