"""`[[repository]]` of a recipe: a vendor's archive beside Debian's, in locks and in templates."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.builds.miniature import World, packages, small_recipe, small_world
from tests.support.needs import needs
from tests.support.packages.archive import Archive, Deb, Fault, Layout, Mirror, dead_url, serve

pytestmark = needs("root", "program:bwrap", "program:apt-ftparchive")

REPOSITORY = """
[[repository]]
name = "vendor"
url = "https://vendor.example/apt"
suites = ["stable"]
components = ["main"]
key = "keys/vendor.asc"
"""
LAYOUT = Layout("Vendor", {"stable": "apt"})
UPPER = """
from = "small"

[template]
name = "upper"

[packages]
install = ["tool"]
"""


@dataclass(frozen=True)
class Vendor:
    """A project whose recipe may use a vendor's archive, of which the settings know a mirror."""

    world: World
    archive: Archive
    mirror: Mirror

    def recipe(self, *names: str, more: str = REPOSITORY, name: str = "small") -> Path:
        path = small_recipe(self.world.folder, *names, name=name, more=more)
        self.key(name)
        return path

    def key(self, recipe: str, data: bytes | None = None) -> Path:
        path = self.world.folder / "recipes" / recipe / "keys/vendor.asc"
        path.parent.mkdir(parents=True, exist_ok=True)
        armored = self.archive.gpg("--armor", "--export", "archive@example.invalid")
        path.write_bytes(armored if data is None else data)
        return path

    def refused(self, *line: str | Path, code: int, at: str) -> str:
        """Give the error, which must point to the line that has `at` in it."""
        said = self.world.oven.said(*line, code=code)
        text = self.world.recipe.read_text()
        number = 1 + text[: text.index(at)].count("\n")
        assert f"{self.world.recipe}:{number}:" in said, said
        return said

    def tree(self, name: str = "small") -> dict[str, str]:
        """Build, and give the text of each file below /etc and of what the packages bring."""
        self.world.oven.said("build", "--no-probe", "-o", self.world.out, self.path(name))
        unpacked = self.world.folder / "unpacked"
        subprocess.run(["rm", "-rf", unpacked], check=True)
        unpacked.mkdir()
        tarball = self.world.out / f"{name}_amd64.tar.zst"
        subprocess.run(["tar", "-xf", tarball, "-C", unpacked], check=True)
        found = [one for one in unpacked.rglob("*") if one.is_file() and not one.is_symlink()]
        return {
            str(one.relative_to(unpacked)): one.read_text(errors="replace")
            for one in found
            if "etc" in one.parts or "dpkg" in one.parts or "vendor" in one.parts
        }

    def path(self, name: str) -> Path:
        return self.world.folder / f"recipes/{name}.toml"

    def locked(self, name: str = "small") -> list[tuple[str, str, str, str]]:
        """Lock, and give the name, version, archive and layer of each package."""
        self.world.oven.said("lock", "--update", self.path(name))
        lock = json.loads(self.path(name).with_suffix(".lock").read_text())
        return [(o["name"], o["version"], o["archive"], o["layer"]) for o in lock["packages"]]


def vendor_packages(folder: Path) -> tuple[Deb, ...]:
    (folder / "usr/share/vendor").mkdir(parents=True)
    (folder / "usr/share/vendor/tool").write_text("the tool\n")
    return (
        Deb("tool", "Depends: plain", suite="stable", tree=folder),
        Deb("pushy", "Depends: plain (>= 2)", suite="stable"),
        Deb("plain", "", "2.0", suite="stable"),
        Deb("greedy", "Essential: yes\nPriority: required", suite="stable"),
    )


@pytest.fixture(scope="module")
def archives(disk: Path) -> tuple[Archive, Archive]:
    return (
        Archive.make(disk / "debian", packages(disk / "debian-packages")),
        Archive.make(disk / "vendor", vendor_packages(disk / "vendor-packages"), LAYOUT),
    )


@pytest.fixture
def vendor(disk: Path, archives: tuple[Archive, Archive], tmp_path: Path) -> Iterator[Vendor]:
    debian, ours = archives
    with serve(debian.root) as mirror, serve(ours.root) as served:
        world = small_world(disk / tmp_path.name, debian, mirror)
        settings = world.home / "config/oven/settings.toml"
        known = f'[archive.vendor]\nmirrors = ["{served.url}/apt"]\n'
        settings.write_text(settings.read_text() + known)
        yield Vendor(world, ours, served)


def test_packages_come_from_a_repository_that_the_template_keeps(vendor: Vendor) -> None:
    vendor.recipe("tool", more=f"{REPOSITORY}priority = 400\n")
    rows = vendor.locked()
    assert ("tool", "1.0", "vendor", "small") in rows
    assert ("plain", "1.0", "debian", "small") in rows  # with 500, this would be version 2.0
    assert not any(name == "greedy" for name, *_ in rows)
    lock = json.loads(vendor.path("small").with_suffix(".lock").read_text())
    (release,) = [one for one in lock["releases"] if one["archive"] == "vendor"]
    assert release["signed-by"] == [vendor.archive.fingerprint]
    (asked,) = lock["asked"]["layers"][0]["repositories"]
    assert (asked["url"], asked["keys"]) == (
        "https://vendor.example/apt",
        [vendor.archive.fingerprint],
    )

    tree = vendor.tree()
    assert tree["usr/share/vendor/tool"] == "the tool\n"
    assert tree["etc/apt/sources.list.d/vendor.sources"] == (
        "Types: deb\nURIs: https://vendor.example/apt\nSuites: stable\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/vendor.gpg\n"
    )
    assert tree["etc/apt/preferences.d/vendor"] == (
        "Package: *\nPin: release o=Vendor,a=stable,n=stable\nPin-Priority: 400\n"
    )
    key = (vendor.world.folder / "unpacked/etc/apt/keyrings/vendor.gpg").read_bytes()
    assert key == vendor.archive.keyring.read_bytes()
    assert not any("127.0.0.1" in text for text in tree.values())


def test_a_locked_build_needs_no_archive(vendor: Vendor) -> None:
    recipe = vendor.recipe("tool")
    vendor.locked()
    vendor.tree()
    (recipe.parent / "small/overlay/etc/more").write_text("more\n")
    settings = vendor.world.home / "config/oven/settings.toml"
    settings.write_text('[archive.vendor]\nmirrors = ["http://127.0.0.1:9/apt"]\n')
    vendor.world.oven.said("lock", "--check", recipe)
    vendor.world.oven.said("build", "--locked", "--no-probe", recipe)
    vendor.recipe("tool", more=REPOSITORY.replace("stable", "testing"))
    said = vendor.world.oven.said("lock", "--check", recipe, code=2)
    assert "the lock is stale: `repository` changed" in said


def test_only_a_build_may_use_it(vendor: Vendor) -> None:
    vendor.recipe("tool", more=f"{REPOSITORY}keep = false\npriority = 600\n")
    tree = vendor.tree()
    assert "usr/share/vendor/tool" in tree
    assert not [path for path in tree if path.startswith("etc/") and "vendor" in path]
    assert not any("vendor.example" in text for text in tree.values())


def test_of_two_archives_the_higher_version_or_priority_wins(vendor: Vendor) -> None:
    for priority, version in (
        ("", "2.0"),
        ("priority = 499\n", "1.0"),
        ("priority = 600\n", "2.0"),
    ):
        vendor.recipe("plain", more=REPOSITORY + priority)
        found = {name: known for name, known, *_ in vendor.locked()}
        assert found["plain"] == version, priority


def test_a_lower_layer_lends_its_repositories(vendor: Vendor) -> None:
    vendor.recipe("plain", more=f"{REPOSITORY}priority = 400\n")
    vendor.path("upper").write_text(UPPER)
    assert ("tool", "1.0", "vendor", "upper") in vendor.locked("upper")
    assert "usr/share/vendor/tool" in vendor.tree("upper")

    vendor.key("upper")
    same = f"{REPOSITORY}priority = 400\n"
    vendor.path("upper").write_text(UPPER + same)
    vendor.world.oven.said("lock", "--check", vendor.path("upper"))
    vendor.path("upper").write_text(UPPER + same.replace("stable", "testing"))
    said = vendor.world.oven.said("lock", vendor.path("upper"), code=2)
    assert f"{vendor.path('upper')}:11:8" in said
    line = 1 + vendor.world.recipe.read_text().split('"vendor"')[0].count("\n")
    assert "`small`, which this stands on, has another repository `vendor`" in said
    assert f"{vendor.path('small')}` does in line {line}" in said


def test_an_upper_layer_replaces_what_a_lower_one_has(vendor: Vendor) -> None:
    vendor.recipe("plain", more="")
    vendor.key("upper")
    vendor.path("upper").write_text(UPPER.replace("tool", "pushy") + REPOSITORY)
    rows = vendor.locked("upper")
    assert ("plain", "1.0", "debian", "small") in rows
    assert ("plain", "2.0", "vendor", "upper") in rows
    assert "Package: plain\nStatus: install ok installed" in (
        status := vendor.tree("upper")["var/lib/dpkg/status"]
    )
    assert "Version: 2.0" in status
    shown = vendor.world.oven.json("template", "show", "upper")
    assert json.dumps(shown).count('"plain"') <= 1


def test_a_flat_archive(vendor: Vendor, disk: Path) -> None:
    folder = vendor.archive.root / "flat"
    subprocess.run(["cp", "-a", vendor.archive.root / "apt/pool/main/stable", folder], check=True)
    run = {"cwd": folder, "capture_output": True, "check": True}
    listed = subprocess.run(["apt-ftparchive", "packages", "."], **run).stdout  # type: ignore[call-overload]
    foreign = listed.replace(b"Architecture: all", b"Architecture: arm64").replace(
        b"Version: 1.0", b"Version: 9.0"
    )
    (folder / "Packages").write_bytes(foreign + b"\n" + listed)
    release = subprocess.run(["apt-ftparchive", "release", "."], **run).stdout  # type: ignore[call-overload]
    (folder / "InRelease").write_bytes(vendor.archive.sign(release))
    flat = REPOSITORY.replace('"stable"', '"./"').replace('components = ["main"]\n', "")
    settings = vendor.world.home / "config/oven/settings.toml"
    settings.write_text(settings.read_text().replace("/apt", "/flat"))
    vendor.recipe("tool", more=f"{flat}priority = 400\n")
    assert ("tool", "1.0", "vendor", "small") in vendor.locked()
    tree = vendor.tree()
    assert "usr/share/vendor/tool" in tree
    assert 'Pin: origin "vendor.example"' in tree["etc/apt/preferences.d/vendor"]


def test_outdated_tells_of_what_a_repository_has_newer(vendor: Vendor, tmp_path: Path) -> None:
    vendor.recipe("tool")
    vendor.locked()
    newer = tmp_path / "newer"
    subprocess.run(["cp", "-a", vendor.archive.root, newer], check=True)
    Archive(newer, LAYOUT).publish(Deb("tool", "Depends: plain", "1.5", suite="stable"))
    vendor.mirror.root = newer
    done = vendor.world.oven("outdated", vendor.world.recipe, code=1)
    assert "tool" in done.stdout.decode()
    assert "1.5" in done.stdout.decode()


@pytest.mark.parametrize(
    ("change", "code", "at", "problem"),
    [
        (("keys/vendor.asc", "keys/none.asc"), 2, "keys/none", "there is no key `keys/none.asc`"),
        (
            ("keys/vendor.asc", "keys/text"),
            2,
            "keys/text",
            "`keys/text` is no file of OpenPGP keys",
        ),
        (("keys/vendor.asc", "keys/private"), 2, "keys/private", "has a private key"),
        (("keys/vendor.asc", "keys/cut"), 2, "keys/cut", "is a damaged file of OpenPGP keys"),
        (("keys/vendor.asc", "../vendor.asc"), 2, "../vendor", "a path below the recipe's folder"),
        (("keys/vendor.asc", "keys/other.asc"), 5, "keys/other", "the signature is not good"),
        (('key = "keys/vendor.asc"', ""), 2, 'name = "vendor"', "not said who signs `vendor`"),
        (
            ("\nkey =", f'\nfingerprint = "{"0" * 40}"\nkey ='),
            5,
            "fingerprint",
            "`keys/vendor.asc` has another key than the recipe says",
        ),
        (
            ('key = "keys/vendor.asc"', f'fingerprint = "{"0" * 40}"'),
            2,
            "fingerprint",
            "no keyring of this machine has the key",
        ),
        (('fingerprint = "', 'fingerprint = "0x'), 2, "fingerprint", "40 hex digits"),
        (('"vendor"', '"ven/dor"'), 2, "ven/dor", "a repository's name"),
        (('"vendor"', '"debian"'), 2, "https://", "is the distribution's own archive"),
        (("https://vendor", "ftp://vendor"), 2, "ftp://", "an address of an archive"),
        (('suites = ["stable"]', ""), 2, 'name = "vendor"', "which suites of `vendor`"),
        (('"stable"', '"../stable"'), 2, "../stable", "a suite of an archive"),
        (('"stable"', '"stable", "./"'), 2, "components", "a flat archive has one suite"),
        (('components = ["main"]', ""), 2, "suites", "which components of `vendor`"),
        (('"main"', '"mian"'), 2, "https://", "`stable` has no component `mian`"),
        (('"stable"', '"testing"'), 4, "https://", "/apt"),
    ],
)
def test_a_mistake_points_to_its_line(
    vendor: Vendor, change: tuple[str, str], code: int, at: str, problem: str
) -> None:
    whole = REPOSITORY
    if change[0].startswith("fingerprint"):
        whole += f'fingerprint = "{vendor.archive.fingerprint}"\n'
    recipe = vendor.recipe("tool", more=whole.replace(*change))
    keys = recipe.parent / "small/keys"
    good = vendor.archive.gpg("--export", "archive@example.invalid")
    (keys / "text").write_text("no key\n")
    (keys / "cut").write_bytes(good[:-9])
    private = vendor.archive.gpg("--export-secret-keys", "archive@example.invalid")
    (keys / "private").write_bytes(private)
    (keys / "other.asc").write_bytes(vendor.archive.gpg("--export", "stranger@example.invalid"))
    assert problem in vendor.refused("lock", recipe, code=code, at=at)


def test_a_key_signs_for_no_other_archive(vendor: Vendor) -> None:
    """Neither may the distribution's keys sign for a repository, nor those of one for Debian."""
    recipe = vendor.recipe("tool")
    vendor.key("small", vendor.world.archive.gpg("--export", "archive@example.invalid"))
    vendor.refused("lock", recipe, code=5, at="keys/vendor.asc")
    vendor.key("small")
    settings = vendor.world.home / "config/oven/settings.toml"
    known = settings.read_text().replace(str(vendor.world.archive.keyring), "/nowhere")
    other = vendor.world.folder / "other.gpg"
    other.write_bytes(vendor.archive.gpg("--export", "stranger@example.invalid"))
    settings.write_text(known.replace("/nowhere", str(other)))
    vendor.world.oven.said("lock", recipe, code=5)


def test_an_archive_that_is_down_or_unsigned_is_told_at_its_line(vendor: Vendor) -> None:
    recipe = vendor.recipe("tool")
    vendor.mirror.faults["InRelease"] = Fault(status=404)
    assert "is not signed" in vendor.refused("lock", recipe, code=4, at="https://")
    settings = vendor.world.home / "config/oven/settings.toml"
    settings.write_text(settings.read_text().replace(vendor.mirror.url, dead_url()))
    assert "cannot download" in vendor.refused("lock", recipe, code=4, at="https://")


def test_a_fingerprint_chooses_one_key_of_a_file(vendor: Vendor) -> None:
    mine = vendor.archive.fingerprint
    spaced = " ".join(mine[at : at + 4].lower() for at in range(0, 40, 4))
    recipe = vendor.recipe("tool", more=f'{REPOSITORY}fingerprint = "{spaced}"\n')
    both = vendor.archive.gpg("--armor", "--export")
    vendor.key("small", both)
    vendor.locked()
    lock = json.loads(recipe.with_suffix(".lock").read_text())
    assert lock["asked"]["layers"][0]["repositories"][0]["keys"] == [mine]
    vendor.tree()
    key = (vendor.world.folder / "unpacked/etc/apt/keyrings/vendor.gpg").read_bytes()
    assert key == vendor.archive.keyring.read_bytes()


def test_what_is_for_other_architectures_is_left_out(vendor: Vendor) -> None:
    vendor.recipe("plain", more=f'{REPOSITORY}architectures = ["arm64"]\n')
    assert ("plain", "1.0", "debian", "small") in vendor.locked()
    assert "etc/apt/sources.list.d/vendor.sources" not in vendor.tree()


def test_it_is_the_same_twice(vendor: Vendor) -> None:
    recipe = vendor.recipe("tool", more=f"{REPOSITORY}priority = 600\n")
    vendor.world.oven("prove", recipe)
