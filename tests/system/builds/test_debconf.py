"""Answers for debconf, as recipes give them."""

from pathlib import Path

import pytest

from tests.support.builds.projects import project
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "archive")

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


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        ("nan nano/x select y", "does not install the package `nan`", "`nano`"),
        ("dash dash/sh boolean false", "does not install the package `dash`", "smallest debian"),
        ("slapd slapd/password1 password x", "is not a line of debconf-set-sel", "`password`"),
        ("nano", "is not a line of debconf-set-selections", "package, question, type and answer"),
    ],
)
def test_answers_that_nobody_asks_for_point_to_their_line(
    oven: Oven, tmp_path: Path, line: str, problem: str, hint: str
) -> None:
    path = project(tmp_path, RECIPE.replace("{line}", line))
    said = oven.said("build", "--no-probe", path, code=2)
    assert problem in said
    assert hint in said
    assert "tiny.toml:13" in said
