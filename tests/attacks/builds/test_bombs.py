"""Recipes that are written to keep the builder busy.

The threat model promises that reading a recipe ends soon: it is refused where it has more of
something than anybody writes, with the place of it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.oven import Oven

HEAD = """\
[template]
name = "odd"

[base]
distro = "debian"
suite = "bookworm"
"""

SOON = 20
"""Seconds, of what takes a half, and minutes where nothing refuses it."""


def names(folder: Path) -> str:
    listed = ", ".join(f'"p{number}"' for number in range(80_000))
    return f"{HEAD}[packages]\ninstall = [{listed}]\n"


def tables(folder: Path) -> str:
    return HEAD + "".join(f'[[user]]\nname = "u{number}"\n' for number in range(30_000))


def key(folder: Path) -> str:
    return f"{HEAD}[parameters]\n{'.'.join('a' * 200_000)} = 1\n"


def quoted_header(folder: Path) -> str:
    parts = " . ".join(['"a"', "'b'"] * 50_000)
    return f"{HEAD}[{parts}]\n"


def includes(folder: Path) -> str:
    for number in range(40):
        below = f"{number + 1}.toml"
        (folder / f"{number}.toml").write_text(f'include = ["{below}", "{below}"]\n')
    (folder / "40.toml").touch()
    return f'include = ["0.toml"]\n{HEAD}'


def chain(folder: Path) -> str:
    for number in range(1500):
        (folder / f"{number}.toml").write_text(f'include = ["{number + 1}.toml"]\n')
    (folder / "1500.toml").touch()
    return f'include = ["0.toml"]\n{HEAD}'


def matrix(folder: Path) -> str:
    variants = ", ".join(f'"v{number}"' for number in range(4000))
    return f"{HEAD}[matrix]\nvariant = [{variants}]\nsuite = [{variants}]\n"


def profiles(folder: Path) -> str:
    return HEAD + "".join(f"[profile.p{number}.packages]\n" for number in range(4000))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (names, "this file has 80008 values, and 10000 is the most"),
        (tables, "this file has 60007 values, and 10000 is the most"),
        (key, "a key has more than 64 parts"),
        (quoted_header, "a key has more than 64 parts"),
        (includes, "the recipe includes more than 100 files"),
        (chain, "the recipe includes more than 100 files"),
        (matrix, "a matrix has at most 256 cells"),
        (profiles, "the recipe has more than 100 profiles"),
    ],
)
def test_a_recipe_that_has_too_much_is_refused_soon(
    write: Callable[[Path], str], told: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "odd.toml"
    recipe.write_text(write(tmp_path))
    command = Oven(tmp_path / "home").start("build", recipe)
    try:
        said = command.communicate(timeout=SOON)[0].decode()
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()
    assert command.returncode == 2, said[:2000]
    assert said.startswith(f"error: {told}")
    assert "odd.toml" in said or "include" in told


def test_a_long_way_of_recipes_that_stand_on_one_another_is_refused(tmp_path: Path) -> None:
    """Each is read together with all below it."""
    for number in range(100):
        recipe = f'from = "r{number + 1}"\n[template]\nname = "r{number}"\n'
        (tmp_path / f"r{number}.toml").write_text(recipe)
    (tmp_path / "r100.toml").write_text(HEAD.replace("odd", "r100"))
    said = Oven(tmp_path / "home").said("build", tmp_path / "r0.toml", code=2)
    assert "more than 32 recipes stand on one another" in said
