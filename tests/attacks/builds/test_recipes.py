"""What a stranger's recipe may bring of the host that builds it: nothing but its own files."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import CHECKOUT, Oven
from tests.support.trees.foreign_trees import root_file_system

pytestmark = [needs("root", "program:busybox", "program:tar", "program:bwrap")]

LARGE = "the template takes more than 512 MiB of memory"
LONG = "the template takes more than 5 seconds"
SECRET = "seldom-seen-words"
RECIPE = """\
{first}from = "tarball"

[template]
name = "mini"

[tarball.amd64]
path = "root.tar"
sha256 = "{sha256}"
strip = 1
{more}"""


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    root = root_file_system(folder)
    shutil.make_archive(str(folder / "root"), "tar", folder, root.name)
    return folder / "root.tar"


@pytest.fixture
def shop(tmp_path: Path, tarball: Path, disk: Path) -> Oven:
    """A stranger's project, and beside it what only the host's people may read."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text(f"{SECRET}\n")
    (tmp_path / "host/secret.toml").write_text(f"{SECRET} = \n")
    (tmp_path / "host/secret.sh").write_text(f"#!/bin/sh\n# {SECRET}\n")
    shutil.copy(tarball, tmp_path / "host/root.tar")
    recipes = tmp_path / "project/recipes"
    (recipes / "mini/overlay").mkdir(parents=True)
    shutil.copy(tarball, recipes / "mini/root.tar")
    write(recipes)
    env = {"PYTHONPATH": str(CHECKOUT)}
    return Oven(disk / f"home-{tmp_path.name}", cwd=tmp_path / "project", env=env)


def write(recipes: Path, *, first: str = "", more: str = "") -> None:
    sha256 = hashlib.sha256((recipes.parent.parent / "host/root.tar").read_bytes()).hexdigest()
    (recipes / "mini.toml").write_text(RECIPE.format(first=first, more=more, sha256=sha256))


def _overlay(recipes: Path, host: Path) -> None:
    (recipes / "mini/overlay").rmdir()
    (recipes / "mini/overlay").symlink_to(host)


def _overlay_by_a_way_up(recipes: Path, host: Path) -> None:
    (recipes / "mini/overlay").rmdir()
    (recipes / "mini/overlay").symlink_to(f"../../../{host.name}")


def _folder(recipes: Path, host: Path) -> None:
    shutil.rmtree(recipes / "mini")
    (host / "overlay").mkdir()
    (host / "overlay/taken").write_text(SECRET)
    (recipes / "mini").symlink_to(host)


def _folder_of_the_tarball(recipes: Path, host: Path) -> None:
    (recipes / "mini/by").symlink_to(host)
    text = (recipes / "mini.toml").read_text()
    (recipes / "mini.toml").write_text(text.replace('"root.tar"', '"by/root.tar"'))


def _script(recipes: Path, host: Path) -> None:
    (recipes / "mini/x.sh").symlink_to(host / "secret.sh")
    write(recipes, more='[[script]]\npath = "x.sh"\n')


def _folder_of_scripts(recipes: Path, host: Path) -> None:
    (recipes / "mini/by").symlink_to(host)
    write(recipes, more='[[script]]\npath = "by/secret.sh"\n')


def _include(recipes: Path, host: Path) -> None:
    (recipes / "part.toml").symlink_to(host / "secret.toml")
    write(recipes, first='include = ["part.toml"]\n')


def _include_by_a_way_up(recipes: Path, host: Path) -> None:
    write(recipes, first=f'include = ["../../{host.name}/secret.toml"]\n')


def _recipe(recipes: Path, host: Path) -> None:
    (recipes / "mini.toml").unlink()
    (recipes / "mini.toml").symlink_to(host / "secret.toml")


def _base(recipes: Path, host: Path) -> None:
    (recipes / "base.toml").symlink_to(host / "secret.toml")
    (recipes / "mini.toml").write_text('from = "base"\n[template]\nname = "mini"\n')


@pytest.mark.parametrize(
    "plant",
    [
        _overlay, _overlay_by_a_way_up, _folder, _folder_of_the_tarball, _script,
        _folder_of_scripts, _include, _include_by_a_way_up, _recipe, _base,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)  # fmt: skip
def test_no_link_brings_files_of_the_host(
    shop: Oven, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    plant(shop.cwd / "recipes", tmp_path / "host")
    said = shop.said("build", "--no-probe", "mini", code=2)
    assert "leads out of the project" in said
    assert SECRET not in said
    assert taken(shop.home) == []


def test_links_that_stay_in_the_project_are_followed(shop: Oven) -> None:
    recipes = shop.cwd / "recipes"
    (shop.cwd / "common/overlay/etc").mkdir(parents=True)
    (shop.cwd / "common/overlay/etc/motd").write_text("welcome\n")
    (shop.cwd / "common/x.sh").write_text("#!/bin/sh\necho ran >/etc/ran\n")
    (recipes / "mini/overlay").rmdir()
    (recipes / "mini/overlay").symlink_to("../../common/overlay")
    (recipes / "mini/x.sh").symlink_to("../../common/x.sh")
    write(recipes, more='[[script]]\npath = "x.sh"\n')
    shop("build", "--no-probe", "mini")
    found = {path.name for path in (shop.home / "cache").rglob("etc/*")}
    assert {"motd", "ran"} <= found


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_what_is_no_file_is_not_opened(shop: Oven, kind: str) -> None:
    target = shop.cwd / "recipes/part.toml"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        os.mknod(target, 0o140644)
    write(shop.cwd / "recipes", first='include = ["part.toml"]\n')
    said = shop.said("build", "mini", code=2)
    assert "part.toml" in said


def taken(home: Path) -> list[Path]:
    """Find files of Oven's own that hold what only the host's people may read."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{{ 'a' * 2500000000 }}", LARGE),
        ("{{ ''|center(2500000000) }}", LARGE),
        ("{{ '%2500000000d' % 1 }}", LARGE),
        ("{{ ' '|center(99999)|replace(' ', ' '|center(99999)) }}", LARGE),
        ("{{ 9 ** (9 ** 9) }}", LONG),
        ("{{ range(10 ** 12)|length }}", "`range` is not defined"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "maximum recursion depth exceeded"),
        ("{% if 1 %}" * 60 + "{% for i in [1] %}" * 25, "unexpected end of template"),
        ("{% for i in [1] %}" * 25 + "{% endfor %}" * 25, "too many statically nested blocks"),
    ],
    ids=lambda one: one[:20],
)  # fmt: skip
def test_no_template_of_an_overlay_works_without_end(shop: Oven, written: str, told: str) -> None:
    """It ends in time and within some memory, as the author's mistake, with its place."""
    (shop.cwd / "recipes/mini/overlay/page.j2").write_text(f"\n{written}\n")
    said = shop.said("build", "--no-probe", "mini", code=2)
    assert told in said
    assert "recipes/mini/overlay/page.j2" in said
    if told in (LARGE, LONG):
        assert "page.j2:2:" in said
