"""Groups and environments of dnf in recipes: what they mean is locked and installed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven
from tests.support.packages.archive import serve
from tests.support.packages.rpm_archive import BASEOS, MINIMUM, Rpm, RpmArchive

pytestmark = needs(
    "root", "program:dnf", "program:rpmbuild", "program:rpmsign", "program:createrepo_c",
    "program:gpg",
)  # fmt: skip

RECIPE = """\
[template]
name = "tiny"

[base]
distro = "rockylinux"
suite = "9"

[packages]
install = [{words}]
"""
COMPS = """\
<?xml version="1.0" encoding="UTF-8"?>
<comps>
  <group>
    <id>tools</id><name>Development Tools</name>
    <packagelist>
      <packagereq type="mandatory">compiler</packagereq>
      <packagereq type="default">debugger</packagereq>
      <packagereq type="optional">profiler</packagereq>
      <packagereq type="mandatory">tzdata</packagereq>
    </packagelist>
  </group>
  <group>
    <id>core</id><name>Core</name>
    <packagelist><packagereq type="mandatory">tzdata</packagereq></packagelist>
  </group>
  <environment>
    <id>station</id><name>Work Station</name>
    <grouplist><groupid>tools</groupid><groupid>core</groupid></grouplist>
  </environment>
</comps>
"""
PACKAGES = (
    *MINIMUM,
    Rpm("compiler", requires=("libcompiler",), content={"/usr/share/compiler": "x\n"}),
    Rpm("libcompiler"),
    Rpm("debugger"),
    Rpm("profiler"),
)


@dataclass(frozen=True)
class Project:
    """A folder with a recipe."""

    oven: Oven
    folder: Path

    def recipe(self, *words: str, more: str = "") -> Path:
        path = self.folder / "recipes/tiny.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE.format(words=", ".join(f'"{one}"' for one in words)) + more)
        return path

    def locked(self, *words: str, more: str = "") -> dict[str, bool]:
        """Lock, and give what comes to the base, and whether it was asked for."""
        recipe = self.recipe(*words, more=more)
        self.oven.said("lock", "--update", recipe)
        lock = json.loads(recipe.with_suffix(".lock").read_text())
        rows = [one for one in lock["packages"] if one["layer"] != "base"]
        return {one["name"]: one.get("requested", False) for one in rows}


@pytest.fixture(scope="module")
def archive(disk: Path) -> RpmArchive:
    archive = RpmArchive.make(disk / "rocky", PACKAGES)
    (archive.root / "comps.xml").write_text(COMPS)
    archive.index(BASEOS)
    return archive


@pytest.fixture
def project(disk: Path, archive: RpmArchive, tmp_path: Path) -> Iterator[Project]:
    folder = disk / tmp_path.name
    settings = folder / "config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    with serve(archive.pub) as mirror:
        settings.write_text(
            f'[archive.rockylinux]\nmirrors = ["{mirror.url}"]\nkeyring = "{archive.keyring}"\n'
        )
        yield Project(Oven(folder / "home").having(XDG_CONFIG_HOME=str(folder / "config")), folder)


WHOLE = {"compiler": True, "debugger": True, "libcompiler": False}


@pytest.mark.parametrize("word", ["@tools", "@Development Tools", "@station", "@Work Station"])
def test_a_group_is_its_packages(project: Project, word: str) -> None:
    assert project.locked(word) == WHOLE


def test_packages_beside_groups_and_without_some_of_them(project: Project) -> None:
    assert project.locked("@tools", "profiler", more='remove = ["debugger"]\n') == {
        "compiler": True,
        "libcompiler": False,
        "profiler": True,
    }


def test_a_group_of_which_all_is_there(project: Project) -> None:
    assert project.locked("@core") == {}


def test_it_is_built(project: Project) -> None:
    recipe = project.recipe("@tools")
    said = project.oven.said("build", "--no-probe", "-o", project.folder / "out", recipe)
    assert "install tiny" in said
    assert (project.folder / "out/tiny_amd64.tar.zst").is_file()


@pytest.mark.parametrize(
    ("word", "hint"),
    [("@tool", "did you mean `@tools`?"), ("@stations", "did you mean `@station`?")],
)
def test_a_group_that_there_is_not(project: Project, word: str, hint: str) -> None:
    recipe = project.recipe(word)
    said = project.oven.said("lock", recipe, code=2)
    assert f"there is no group `{word}` in Rocky Linux 9" in said
    assert f"{recipe}:9:12" in said
    assert hint in said
