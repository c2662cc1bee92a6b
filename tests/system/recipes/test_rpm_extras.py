"""Documentation and translations that rpm never unpacks, neither at first nor later."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.packages.archive import serve
from tests.support.packages.rpm_archive import Rpm, RpmArchive
from tests.support.packages.rpm_world import RpmWorld, make_archive, rpm_world

pytestmark = needs(
    "root", "program:dnf", "program:rpmbuild", "program:rpmsign", "program:createrepo_c",
    "program:gpg", "program:bwrap",
)  # fmt: skip

PLACES = (
    "doc/spoken/README",
    "licenses/spoken/COPYING",
    "locale/de/LC_MESSAGES/spoken.mo",
    "locale/fr/LC_MESSAGES/spoken.mo",
    "spoken",
)
CONTENT = {f"/usr/share/{place}": "words\n" for place in PLACES}
FILES = (
    "%doc /usr/share/doc/spoken/README",
    "%license /usr/share/licenses/spoken/COPYING",
    "%lang(de) /usr/share/locale/de/LC_MESSAGES/spoken.mo",
    "%lang(fr) /usr/share/locale/fr/LC_MESSAGES/spoken.mo",
)
LEAN = 'documentation = false\nlanguages = ["de"]\n'


@pytest.fixture(scope="module")
def archive(disk: Path) -> RpmArchive:
    return make_archive(disk / "made", (Rpm("spoken", content=CONTENT, files=FILES),))


@pytest.fixture
def world(disk: Path, archive: RpmArchive, tmp_path: Path) -> Iterator[RpmWorld]:
    with serve(archive.pub) as mirror:
        yield rpm_world(disk / tmp_path.name, mirror, archive)


def built(world: RpmWorld, said: str) -> dict[str, str]:
    """Build `spoken` on the small system; give the files that matter, and what rpm is told."""
    recipe = world.recipe("spoken")
    recipe.write_text(recipe.read_text() + said)
    world.oven.said("build", "--no-probe", recipe, "-o", world.folder / "out")
    unpacked = world.folder / "unpacked"
    unpacked.mkdir()
    tarball = world.folder / "out/spoken_amd64.tar.zst"
    subprocess.run(["tar", "-xf", tarball, "-C", unpacked], check=True)
    told = unpacked / "etc/rpm/macros.oven"
    there = {place: "" for place in PLACES if (unpacked / "usr/share" / place).exists()}
    return there | ({"macros": told.read_text()} if told.exists() else {})


def test_all_comes_along_by_default(world: RpmWorld) -> None:
    assert built(world, "") == dict.fromkeys(PLACES, "")


def test_what_a_recipe_says_counts_for_those_above_the_base(world: RpmWorld) -> None:
    found = built(world, LEAN)
    assert found.pop("macros") == "%_excludedocs 1\n%_install_langs de\n"
    assert set(found) == set(PLACES) - {PLACES[0], PLACES[3]}
