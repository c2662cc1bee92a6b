"""Recipes out of several files, profiles and matrices: what counts, and every mistake's words."""

from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import RecipeError
from builder.model.recipe import Recipe
from builder.recipes.includes import cells_of
from builder.recipes.load import load_file
from builder.recipes.loaded import LoadedRecipe
from builder.recipes.matrix import Chosen

BASE = """\
[base]
distro = "debian"
suite = "bookworm"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recipes/parts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**files: str) -> Path:
    """Write `recipes/NAME.toml`, or `recipes/parts/NAME.toml` for a name that ends with `_part`."""
    for name, text in files.items():
        folder = "recipes/parts" if name.endswith("_part") else "recipes"
        Path(folder, f"{name.removesuffix('_part')}.toml").write_text(text)
    return Path("recipes/main.toml")


def load(*on: str, suite: str | None = None, variant: str | None = None) -> LoadedRecipe:
    profiles = (*on, variant) if variant else on
    return load_file(Path("recipes/main.toml"), Chosen(profiles, suite, variant))


def recipe(*on: str) -> Recipe:
    return load(*on).recipe


def refused(*on: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(*on)
    return render(caught.value)


NAMED = '[template]\nname = "main"\n'


def test_tables_are_joined_and_lists_appended_without_doubles() -> None:
    write(
        main=f'include = ["parts/one.toml", "parts/two.toml"]\n{NAMED}{BASE}'
        '[packages]\ninstall = ["nano", "less"]\n',
        one_part='[packages]\ninstall = ["less", "sudo"]\n[system]\ntimezone = "Etc/UTC"\n',
        two_part="[packages]\nrecommends = true\n",
    )
    made = recipe()
    assert made.packages.install == ("less", "sudo", "nano")
    assert made.packages.recommends
    assert made.system is not None
    assert made.system.timezone == "Etc/UTC"


def test_who_includes_wins_and_a_profile_wins_over_both() -> None:
    write(
        main=f"""\
include = ["parts/one.toml"]
{NAMED}{BASE}
[system]
timezone = "Europe/Paris"
[profile.japan.system]
timezone = "Asia/Tokyo"
""",
        one_part='[system]\ntimezone = "Etc/UTC"\nlocale = "C"\n',
    )
    for on, timezone in (((), "Europe/Paris"), (("japan",), "Asia/Tokyo")):
        system = recipe(*on).system
        assert system is not None
        assert (system.timezone, system.locale) == (timezone, "C")


def test_tables_of_a_list_that_are_about_the_same_are_joined() -> None:
    write(
        main=f"""\
include = ["parts/one.toml"]
{NAMED}{BASE}
[[user]]
name = "admin"
shell = "/bin/sh"
[[user]]
name = "other"
[profile.dns]
port = [{{ port = 53, protocol = "udp", summary = "DNS" }}]
""",
        one_part="""\
[[user]]
name = "admin"
groups = ["sudo"]
[[port]]
port = 53
summary = "DNS"
""",
    )
    users = {user.name: user for user in recipe().user}
    assert list(users) == ["admin", "other"]
    assert users["admin"].groups == ("sudo",)
    assert users["admin"].shell == "/bin/sh"
    assert [port.protocol for port in recipe("dns").port] == ["tcp", "udp"]


def test_profiles_that_are_always_on_come_first() -> None:
    write(
        main=f"""\
profiles = ["always"]
{NAMED}{BASE}
[profile.always.packages]
install = ["less"]
[profile.more.packages]
install = ["nano"]
"""
    )
    assert recipe().packages.install == ("less",)
    assert recipe("more").packages.install == ("less", "nano")


def test_an_include_includes_and_paths_are_relative_to_each_file() -> None:
    write(
        main=f'include = ["parts/one.toml"]\n{NAMED}{BASE}',
        one_part='include = ["two.toml"]\n[packages]\ninstall = ["one"]\n',
        two_part='[packages]\ninstall = ["two"]\n',
    )
    assert recipe().packages.install == ("two", "one")


MATRIX = """\
[template]
name = "m-{suite}-{variant}"
[base]
distro = "debian"
[matrix]
suite = ["bookworm", "trixie"]
arch = ["amd64", "arm64"]
variant = ["plain", "web"]
exclude = [
    { suite = "trixie", variant = "web" },
    { suite = "bookworm", arch = "arm64" },
]
[profile.plain]
[profile.web.packages]
install = ["nginx"]
"""


def test_a_matrix_is_many_recipes() -> None:
    cells = cells_of(write(main=MATRIX), ())
    made = [load_file(Path("recipes/main.toml"), cell) for cell in cells]
    assert {one.name: one.recipe.packages.install for one in made} == {
        "m-bookworm-plain": (),
        "m-bookworm-web": ("nginx",),
        "m-trixie-plain": (),
    }
    bases = [one.recipe.base for one in made]
    assert [(base.suite, [str(arch) for arch in base.arch]) for base in bases if base] == [
        ("bookworm", ["amd64"]),
        ("bookworm", ["amd64"]),
        ("trixie", ["amd64", "arm64"]),
    ]
    assert len({one.lock for one in made}) == len(made)


def test_a_matrix_of_one_needs_no_choice() -> None:
    write(main=f'{NAMED}[base]\ndistro = "debian"\n[matrix]\nsuite = ["bookworm"]\n')
    base = recipe().base
    assert base is not None
    assert base.suite == "bookworm"


def test_a_mistake_stands_where_it_was_made() -> None:
    write(
        main=f'include = ["parts/one.toml"]\n{NAMED}{BASE}',
        one_part='[packages]\nrecommends = true\ninstal = ["less"]\n',
    )
    assert refused() == (
        "error: unknown key `instal`\n"
        "  --> recipes/parts/one.toml:3:1\n"
        "  |\n"
        '3 | instal = ["less"]\n'
        "  | ^^^^^^\n"
        "hint: did you mean `install`?\n"
    )


def test_a_value_that_cannot_be_stands_where_it_was_said() -> None:
    write(
        main=f'include = ["parts/one.toml"]\n{NAMED}{BASE}',
        one_part="[[port]]\nport = 80\n[[port]]\nport = 99999\n",
    )
    assert "recipes/parts/one.toml:4:8" in refused()


def test_a_mistake_in_a_profile_is_told_before_it_is_wanted() -> None:
    write(main=f'{NAMED}{BASE}[profile.later.packages]\ninstal = ["less"]\n')
    shown = refused()
    assert "unknown key `instal`" in shown
    assert "recipes/main.toml:7:1" in shown


CONTRADICTION = """\
error: `system.timezone` is said in two ways
  --> recipes/parts/two.toml:2:12
  |
2 | timezone = "Asia/Tokyo"
  |            ^^^^^^^^^^^^
hint: `recipes/parts/one.toml`, line 2, says "Etc/UTC"; decide it in `recipes/main.toml`
"""


def test_includes_that_contradict_each_other() -> None:
    both = f'include = ["parts/one.toml", "parts/two.toml"]\n{NAMED}{BASE}'
    write(
        main=both,
        one_part='[system]\ntimezone = "Etc/UTC"\n',
        two_part='[system]\ntimezone = "Asia/Tokyo"\n',
    )
    assert refused() == CONTRADICTION
    write(main=f'{both}[system]\ntimezone = "Europe/Paris"\n')
    system = recipe().system
    assert system is not None
    assert system.timezone == "Europe/Paris"


def main(text: str) -> str:
    return f"{text}{NAMED}{BASE}"


MISTAKES = {
    "not there": (
        main('include = ["parts/gone.toml"]\n'),
        "there is no file `recipes/parts/gone.toml`",
    ),
    "absolute": (main('include = ["/etc/part.toml"]\n'), "`/etc/part.toml` is not a path beside"),
    "itself": (main('include = ["main.toml"]\n'), "`main.toml` includes itself"),
    "no profile": (main('profiles = ["tset"]\n') + "[profile.test]\n", "no profile `tset`"),
    "no variant": (
        MATRIX.replace("[profile.plain]\n", ""),
        "this is a matrix of 3 recipes",
    ),
    "same names": (MATRIX.replace("-{suite}", ""), "all cells of `suite` would have the same name"),
    "no axis": (MATRIX.replace("{suite}", "{sweet}"), "`{sweet}` is no axis of a name"),
    "not an axis of this one": (
        main("").replace('"main"', '"main-{suite}"') + '[matrix]\narch = ["amd64"]\n',
        "the matrix has no `suite` that the name could be made of",
    ),
    "excludes nothing": (MATRIX.replace('"web" },', '"wbe" },'), "the matrix has no variant `wbe`"),
    "excludes all": (
        main("") + '[matrix]\narch = ["amd64"]\nexclude = [{ arch = "amd64" }]\n',
        "the matrix excludes all of its cells",
    ),
    "two say the suite": (
        main("").replace('"main"', '"main-{suite}"') + '[matrix]\nsuite = ["trixie"]\n',
        "the matrix decides on the suite",
    ),
    "braces without a matrix": (
        main("").replace('"main"', '"main-{suite}"'),
        "a name with braces is one of a matrix",
    ),
}


@pytest.mark.parametrize(("text", "problem"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(text: str, problem: str) -> None:
    write(main=text)
    assert problem in refused().splitlines()[0]


def test_a_variant_without_a_profile() -> None:
    write(main=MATRIX.replace("[profile.plain]\n", ""))
    with pytest.raises(RecipeError, match="no profile `plain`"):
        load(suite="bookworm", variant="plain")


def test_a_recipe_does_not_stand_on_a_matrix() -> None:
    write(main='from = "many"\n[template]\nname = "main"\n', many=MATRIX)
    shown = refused()
    assert "error: `many` is a matrix, and not one recipe" in shown
    assert "recipes/main.toml:1:8" in shown
