"""`[[repository]]` for RPM: a vendor's beside the distribution's, with a key of its own."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.oven import Oven
from tests.support.packages.archive import Mirror, dead_url, serve
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
install = ["tool"]
"""
REPOSITORY = """
[[repository]]
name = "vendor"
url = "https://vendor.example/rpm"
key = "keys/vendor.asc"
"""
TOOL = Rpm("tool", requires=("agent",), content={"/usr/share/tool": "the tool\n"})


@dataclass(frozen=True)
class Vendor:
    """A project whose recipe may use a vendor's repository, of which the settings know a mirror."""

    folder: Path
    oven: Oven
    archive: RpmArchive
    mirror: Mirror

    def recipe(self, more: str = REPOSITORY) -> Path:
        path = self.folder / "recipes/tiny.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE + more)
        key = path.parent / "tiny/keys/vendor.asc"
        key.parent.mkdir(parents=True, exist_ok=True)
        key.write_bytes(self.archive.gpg("--armor", "--export", "archive@example.invalid"))
        return path

    def tree(self, recipe: Path) -> Path:
        """Build, and unpack what has come out."""
        self.oven.said("build", "--no-probe", "-o", self.folder / "out", recipe)
        tree = self.folder / "tree"
        subprocess.run(["rm", "-rf", tree], check=True)
        tree.mkdir()
        tarball = self.folder / "out/tiny_amd64.tar.zst"
        subprocess.run(["tar", "-xf", tarball, "-C", tree], check=True)
        return tree

    def locked(self, recipe: Path) -> dict[str, tuple[str, str]]:
        """Lock, and give the version and archive of each package."""
        self.oven.said("lock", "--update", recipe)
        lock = json.loads(recipe.with_suffix(".lock").read_text())
        return {one["name"]: (one["version"], one["archive"]) for one in lock["packages"]}


@pytest.fixture(scope="module")
def archives(disk: Path) -> tuple[RpmArchive, RpmArchive]:
    own = RpmArchive.make(disk / "rocky", (*MINIMUM, Rpm("agent")))
    ours = RpmArchive.make(disk / "vendor", (TOOL, Rpm("agent", "2.0")))
    return own, ours


@pytest.fixture
def vendor(disk: Path, archives: tuple[RpmArchive, RpmArchive], tmp_path: Path) -> Iterator[Vendor]:
    own, ours = archives
    folder = disk / tmp_path.name
    settings = folder / "config/oven/settings.toml"
    settings.parent.mkdir(parents=True)
    with serve(own.pub) as mirror, serve(ours.pub) as served:
        settings.write_text(
            f'[archive.rockylinux]\nmirrors = ["{mirror.url}"]\nkeyring = "{own.keyring}"\n'
            f'[archive.vendor]\nmirrors = ["{served.url}/{BASEOS}"]\n'
        )
        oven = Oven(folder / "home").having(XDG_CONFIG_HOME=str(folder / "config"))
        yield Vendor(folder, oven, ours, served)


def test_packages_come_from_a_repository_that_the_template_keeps(vendor: Vendor) -> None:
    recipe = vendor.recipe(f"{REPOSITORY}priority = 90\n")
    found = vendor.locked(recipe)
    assert found["tool"] == ("1.0-1", "vendor")
    assert found["agent"] == ("2.0-1", "vendor")
    lock = json.loads(recipe.with_suffix(".lock").read_text())
    (release,) = [one for one in lock["releases"] if one["archive"] == "vendor"]
    assert release["signed-by"] == [vendor.archive.fingerprint]

    tree = vendor.tree(recipe)
    assert (tree / "usr/share/tool").read_text() == "the tool\n"
    assert (tree / "etc/yum.repos.d/vendor.repo").read_text() == (
        "[vendor]\nname=vendor\nbaseurl=https://vendor.example/rpm\nenabled=1\ngpgcheck=1\n"
        "repo_gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-vendor\npriority=90\n"
    )
    key = tree / "etc/pki/rpm-gpg/RPM-GPG-KEY-vendor"
    database = vendor.folder / "database"
    subprocess.run(["rpmkeys", f"--dbpath={database}", "--import", key], check=True)


@pytest.mark.slow
def test_only_a_build_may_use_it(vendor: Vendor) -> None:
    tree = vendor.tree(vendor.recipe(f"{REPOSITORY}keep = false\n"))
    assert (tree / "usr/share/tool").is_file()
    assert not [one for one in (tree / "etc").rglob("*") if "vendor" in one.name.lower()]
    line = ["rpm", f"--root={tree}", "--dbpath=/var/lib/rpm", "-qa", "gpg-pubkey*"]
    keys = subprocess.run(line, capture_output=True, check=True, text=True).stdout.split()
    assert len(keys) == 1  # the distribution's


@pytest.mark.slow
def test_the_higher_priority_wins(vendor: Vendor) -> None:
    own = "priority = 99\n"
    assert vendor.locked(vendor.recipe(REPOSITORY + own))["agent"] == ("2.0-1", "vendor")


def test_mistakes_point_to_their_line(vendor: Vendor) -> None:
    for more, code, line, problem in (
        ('suites = ["stable"]', 2, 15, "a repository of RPM packages has no suites"),
        ("priority = 500", 2, 15, "from 1, the highest, to 99"),
    ):
        said = vendor.oven.said("lock", vendor.recipe(f"{REPOSITORY}{more}\n"), code=code)
        assert problem in said
        assert f"tiny.toml:{line}:" in said
    own = REPOSITORY.replace('"vendor"', '"baseos"')
    assert "of Rocky Linux's own" in vendor.oven.said("lock", vendor.recipe(own), code=2)


def test_another_key_is_refused(vendor: Vendor) -> None:
    recipe = vendor.recipe()
    key = recipe.parent / "tiny/keys/vendor.asc"
    key.write_bytes(vendor.archive.gpg("--armor", "--export", "stranger@example.invalid"))
    said = vendor.oven.said("lock", recipe, code=5)
    assert "tiny.toml:14:" in said


@pytest.mark.slow
def test_a_repository_that_is_down_is_told_at_its_line(vendor: Vendor) -> None:
    settings = vendor.folder / "config/oven/settings.toml"
    settings.write_text(settings.read_text().replace(vendor.mirror.url, dead_url()))
    assert "tiny.toml:13:" in vendor.oven.said("lock", vendor.recipe(), code=4)


def test_its_packages_must_be_signed_with_its_own_key(
    vendor: Vendor, archives: tuple[RpmArchive, RpmArchive], disk: Path, tmp_path: Path
) -> None:
    """Those of the distribution do not count for it, nor do others."""
    other = disk / f"{tmp_path.name}-other"
    subprocess.run(["cp", "-a", vendor.archive.root, other], check=True)
    copy = RpmArchive(other)
    copy.sign(copy.pub.glob(f"{BASEOS}/Packages/tool*.rpm"), "stranger")
    copy.index(BASEOS)
    vendor.mirror.root = copy.pub
    recipe = vendor.recipe()
    vendor.locked(recipe)
    said = vendor.oven.said("build", "--no-probe", recipe, code=5)
    assert "the package `tool` is not signed with a key that is trusted" in said
