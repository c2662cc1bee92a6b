"""Recipes and appliances are found by name or path, with all that belongs to them."""

import os
from pathlib import Path

import pytest

from builder.cli.terminal.report import render
from builder.model.errors import NotFoundError, OvenError, RecipeError
from builder.model.extras import ALL, Extras
from builder.model.recipe import Probe
from builder.recipes.find import find, known
from builder.recipes.load import load, load_file
from builder.recipes.reading import LIMIT, read_source
from builder.recipes.request import base_of, extras_of, layers, probe_of
from tests.support.builds.mistakes import GOOD


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a person's own, with a recipe and an appliance, as the current one."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/mine.toml").write_text(GOOD)
    shop = tmp_path / "appliances/shop"
    shop.mkdir(parents=True)
    (shop / "appliance.toml").write_text('from = "mine"\n[template]\nname = "shop"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_by_name(project: Path) -> None:
    assert find("mine") == Path("recipes/mine.toml")
    assert find("shop") == Path("appliances/shop/appliance.toml")


def test_by_path(project: Path) -> None:
    for path in ("recipes/mine.toml", "./recipes/mine.toml", str(project / "recipes/mine.toml")):
        assert find(path) == Path(path)
    for path in ("appliances/shop", "appliances/shop/", "./appliances/shop/appliance.toml"):
        assert find(path) == Path("appliances/shop/appliance.toml")


def test_the_current_folder_as_an_appliance(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("appliances/shop")
    assert find(".") == Path("appliance.toml")


def test_an_appliances_base_is_found_from_anywhere(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    loaded = load(str(project / "appliances/shop"))
    assert loaded.base is not None
    assert loaded.base.path == project / "recipes/mine.toml"


def test_the_shipped_ones_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"debian-bookworm", "debian-trixie", "web"} <= set(known())
    for name in known():
        loaded = load(name)
        assert loaded.recipe.template.name == name
        assert (loaded.base is None) == (loaded.recipe.base is not None)


def test_ones_own_come_before_the_shipped(project: Path) -> None:
    Path("recipes/debian-trixie.toml").write_text(GOOD)
    assert load("debian-trixie").recipe.template.name == "x"


def test_what_belongs_to_a_recipe(project: Path) -> None:
    mine = load("mine")
    assert (mine.folder, mine.lock) == (Path("recipes/mine"), Path("recipes/mine.lock"))
    shop = load("shop")
    assert shop.folder == Path("appliances/shop")
    assert shop.lock == Path("appliances/shop/appliance.lock")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mien", "error: there is no recipe or appliance `mien`\nhint: did you mean `mine`?\n"),
        ("debian-bokworm", "did you mean `debian-bookworm`"),
        ("qqq", "known here: mine, shop, "),
        ("recipes/mien.toml", "hint: did you mean `recipes/mine.toml`?"),
        ("nowhere/x.toml", "error: there is no file `nowhere/x.toml`\n"),
        ("./appliances/shpo", "hint: did you mean `appliances/shop`?"),
        ("recipes/", "error: there is no appliance.toml in `recipes/`\n"),
        (".", "error: there is no appliance.toml in `.`\n"),
        ("", "error: there is no recipe or appliance ``\n"),
        ("a\x1bb", "error: there is no recipe or appliance `a\N{REPLACEMENT CHARACTER}b`\n"),
    ],
)
def test_not_found(project: Path, name: str, expected: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load(name)
    assert expected in render(caught.value)


def test_only_recipes_are_offered_where_only_recipes_count(project: Path) -> None:
    with pytest.raises(NotFoundError, match=r"^there is no recipe `shop`$"):
        find("shop", kinds=("recipes",))


@pytest.mark.parametrize(
    ("base", "problem", "hint"),
    [
        ("mien", "there is no recipe or appliance `mien`", "did you mean `mine`?"),
        ("shop", "`shop` stands on itself", "the way is: shop -> shop"),
    ],
)
def test_what_an_appliance_cannot_stand_on(
    project: Path, base: str, problem: str, hint: str
) -> None:
    file = Path("appliances/shop/appliance.toml")
    file.write_text(file.read_text().replace("mine", base))
    with pytest.raises(RecipeError) as caught:
        load("shop")
    error = caught.value
    assert (error.problem, error.hint) == (problem, hint)
    assert error.at is not None
    assert (error.at.path, error.at.line, error.at.column) == (file, 1, 8)


def test_two_appliances_that_stand_on_each_other(project: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        Path(f"recipes/{name}.toml").write_text(f'from = "{other}"\n[template]\nname = "{name}"\n')
    with pytest.raises(RecipeError, match=r"^`a` stands on itself$") as caught:
        load("a")
    assert caught.value.hint == "the way is: a -> b -> a"


def test_a_chain(project: Path) -> None:
    Path("recipes/top.toml").write_text('from = "shop"\n[template]\nname = "top"\n')
    assert [layer.name for layer in layers(load("top"))] == ["x", "shop", "top"]
    assert base_of(load("top")) == base_of(load("mine"))


def test_how_a_chain_is_tried(project: Path) -> None:
    said = '[probe]\nnetwork = true\ntimeout = "5m"\nskip = "a modem"\nmay-fail = ["a.service"]\n'
    Path("recipes/mine.toml").write_text(f"{GOOD}{said}")
    shop = Path("appliances/shop/appliance.toml")
    assert probe_of(load("shop")) == load("mine").recipe.probe
    own = '[probe]\nnetwork = false\nskip = ""\nmay-fail = ["b.service", "a.service"]\n'
    shop.write_text(f"{shop.read_text()}{own}")
    assert probe_of(load("shop")) == Probe(
        network=False, timeout="5m", skip="", may_fail=("a.service", "b.service")
    )


def test_what_a_chain_leaves_out_of_packages(project: Path) -> None:
    assert extras_of(load("shop")) == ALL
    said = '[packages]\ndocumentation = false\nlanguages = ["nl", "de"]\n'
    Path("recipes/mine.toml").write_text(f"{GOOD}{said}")
    assert extras_of(load("shop")) == Extras(documentation=False, languages=("de", "nl"))
    shop = Path("appliances/shop/appliance.toml")
    shop.write_text(f"{shop.read_text()}[packages]\ndocumentation = true\nlanguages = []\n")
    assert extras_of(load("shop")) == Extras(documentation=True, languages=())


def test_what_lies_in_a_tarball_is_unpacked_already(project: Path) -> None:
    tarball = f'[tarball.amd64]\nurl = "https://example.org/x.tar"\nsha256 = "{"0" * 64}"\n'
    said = f'from = "tarball"\n[template]\nname = "mine"\n{tarball}[packages]\nlanguages = []\n'
    Path("recipes/mine.toml").write_text(said)
    with pytest.raises(RecipeError, match=r"^`languages` is for packages as they are") as caught:
        load("shop")
    assert caught.value.at is not None
    assert caught.value.at.line == 8


def test_a_mistake_in_the_base_is_shown_there(project: Path) -> None:
    Path("recipes/mine.toml").write_text(GOOD.replace("suite", "sutie"))
    with pytest.raises(RecipeError, match="unknown key") as caught:
        load("shop")
    assert caught.value.at is not None
    assert caught.value.at.path == project / "recipes/mine.toml"


def test_scripts_must_be_there_and_say_what_runs_them(project: Path) -> None:
    Path("recipes/mine.toml").write_text(f'{GOOD}[[script]]\npath = "setup"\n')
    with pytest.raises(RecipeError) as caught:
        load("mine")
    assert (
        render(caught.value)
        == """\
error: there is no script `setup`
  --> recipes/mine.toml:7:8
  |
7 | path = "setup"
  |        ^^^^^^^
hint: it belongs in `recipes/mine/setup`
"""
    )
    Path("recipes/mine").mkdir()
    Path("recipes/mine/setup").write_text("echo\n")
    with pytest.raises(RecipeError, match="does not say what runs it"):
        load("mine")
    Path("recipes/mine/setup").write_text("#!/bin/sh\n")
    assert load("mine").recipe.script[0].path == "setup"


def test_what_is_no_readable_text_file(tmp_path: Path) -> None:
    folder, pipe, large = tmp_path / "a.toml", tmp_path / "b.toml", tmp_path / "c.toml"
    folder.mkdir()
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (LIMIT + 1))
    for path, problem in (
        (folder, "this is a folder, not a file"),
        (pipe, "this is not a regular file"),
        (large, "this file is larger than 1 MiB"),
        (tmp_path / "d.toml", "this file is not there"),
    ):
        with pytest.raises(RecipeError) as caught:
            read_source(path)
        assert caught.value.problem == problem
        assert caught.value.at is not None
        assert caught.value.at.path == path


def test_a_folder_called_like_a_recipe(project: Path) -> None:
    Path("x.toml").mkdir()
    with pytest.raises(RecipeError, match=r"^`x.toml` is a folder, not a file$"):
        find("x.toml")


def test_a_file_that_is_no_recipe(project: Path) -> None:
    Path("x.txt").write_text("")
    with pytest.raises(RecipeError, match=r"its name does not end in `.toml`$"):
        find("./x.txt")


def test_a_file_that_cannot_be_read() -> None:
    # Reading it fails for everybody, root too: nothing is mapped at address 0.
    with pytest.raises(RecipeError, match="this file cannot be read: input/output error"):
        read_source(Path("/proc/self/mem"))


def test_a_name_that_no_file_can_have(project: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be looked up: file name too long"):
        find("x" * 5000)
    with pytest.raises(NotFoundError):
        find("a\0b")


def test_no_name_leads_out_of_the_folders(project: Path) -> None:
    Path("secret.toml").write_text(GOOD)
    with pytest.raises(OvenError, match="there is no file or folder"):
        load("../recipes/../secret")


def test_a_lone_recipe_anywhere(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD)
    loaded = load_file(tmp_path / "x.toml")
    assert (loaded.folder, loaded.lock) == (tmp_path / "x", tmp_path / "x.lock")
