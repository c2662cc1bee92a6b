"""Bootstrap: the tree of linked packages is the tree that Debian's own tools make of them."""

import fnmatch
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from builder.distros.debian.database import UnpackedPackage
from builder.distros.debian.filters import FILE, configuration, filters
from builder.distros.debian.link import UnlinkableError, link_packages
from builder.distros.debian.package.unpack import expand
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import HostError, StageError
from builder.model.extras import ALL, Extras
from builder.model.lock import Package
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import Digest
from builder.stages.bootstrap import BaseInputs, make_base
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.manifest import Entry, TreeManifest, read_tree
from tests.support.hosts.namespace import folder_of, in_namespace, ordinary_user
from tests.support.needs import needs
from tests.support.trees.base_trees import keep_package, make_package

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

EPOCH = 1_700_000_000

DIFFERENT = {
    # The path, and why mmdebstrap's tree differs there.
    "dev/*": "the runtime mounts its own; mmdebstrap makes nodes",
    "etc/.pwd.lock": "a lock",
    "etc/*-": "backups",
    "etc/apt/apt.conf.d/99mmdebstrap": "mmdebstrap's",
    "etc/apt/sources.list*": "the recipe says where packages come from",
    "etc/fstab": "mmdebstrap's",
    "etc/hostname": "the host's",
    "etc/machine-id": "empty here, to be filled at the first boot",
    "etc/resolv.conf": "the host's",
    "etc/shadow": "the day of the last change of a password is that of the epoch",
    "run/*": "empty after a boot",
    "tmp/*": "empty after a boot",
    "var/cache/apt/*": "packages that were kept",
    "var/cache/debconf/*-old": "backups",
    "var/cache/ldconfig/aux-cache": "a cache",
    "var/lib/apt/*": "made by an apt that installed",
    "var/lib/dpkg/*-old": "backups",
    "var/lib/dpkg/arch": "says only what dpkg knows without",
    "var/lib/dpkg/lock*": "locks",
    "var/lib/dpkg/triggers/Lock": "a lock",
    "var/log/*": "of the build",
}

OF_DEBOOTSTRAP = {
    "etc/fstab": "debootstrap's, without an entry",
    "var/lib/dpkg/available": "what dselect would offer",
    "var/lib/dpkg/cmethopt": "dselect's",
}


class Reference:
    """A tree of mmdebstrap's and the package files that it is made of."""

    def __init__(self, suite: str, folder: Path, *options: str) -> None:
        self.suite = suite
        self.root = folder / "root"
        keep = '--aptopt=APT::Keep-Downloaded-Packages "true"'
        skip = ("--skip=essential/unlink", "--skip=cleanup/apt/cache", keep)
        # Without it, apt takes the other alternative of init-system-helpers, which needs perl.
        include = ("--include=usr-is-merged",) if suite == "bookworm" else ()
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", *options, *skip, *include, suite]
        subprocess.run([*argv, str(self.root)], check=True, capture_output=True)
        self.debs = sorted((self.root / "var/cache/apt/archives").glob("*.deb"))

    def packages(self, store: Store) -> tuple[Package, ...]:
        """Put the packages into a store."""
        return tuple(_lock(deb, store) for deb in self.debs)


def _lock(deb: Path, store: Store) -> Package:
    name, version, arch = deb.stem.split("_")
    package = keep_package(deb, store, name=name)
    version = version.replace("%3a", ":")
    return msgspec.structs.replace(package, version=version, arch=arch, layer="base")


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference("bookworm", tmp_path_factory.mktemp("bookworm"))


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference("trixie", tmp_path_factory.mktemp("trixie"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def bake(
    packages: tuple[Package, ...],
    suite: str,
    store: Store,
    *,
    driver: str = "native",
    user: str = "root",
    extras: Extras = ALL,
) -> Digest:
    """Run the stage as the command would, in a namespace."""
    tools = Tools(store, on_host, Net(Silent()), Silent(), 2)
    inputs = BaseInputs(
        distro="debian",
        packages=packages,
        suite=suite,
        arch=Arch.AMD64,
        driver=driver,
        programs=(),
        epoch=EPOCH,
        extras=extras,
    )
    return in_namespace(lambda: make_base(inputs, tools).tree, user=user)


LATE_MERGE = {
    "etc/shells": "the order of the lines",
    "usr/bin/uncompress": "no longer a hard link to gunzip",
}
"""In bookworm mmdebstrap moves /bin into /usr only after packages were unpacked."""


def differences(one: TreeManifest, other: TreeManifest, but: dict[str, str]) -> list[str]:
    """Name the paths that differ in anything but their times."""
    ones, others = _by_path(one), _by_path(other)
    return [
        path
        for path in sorted(ones.keys() | others.keys())
        if ones.get(path) != others.get(path)
        and not any(fnmatch.fnmatch(path, pattern) for pattern in but)
    ]


def _by_path(manifest: TreeManifest) -> dict[str, Entry]:
    entries = (msgspec.structs.replace(entry, mtime=0) for entry in manifest.entries)
    return {entry.path: entry for entry in entries}


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["bookworm", pytest.param("trixie", marks=pytest.mark.slow)])
def test_the_tree_is_that_of_mmdebstrap(
    suite: str, store: Store, request: pytest.FixtureRequest
) -> None:
    reference: Reference = request.getfixturevalue(suite)
    digest = bake(reference.packages(store), suite, store)
    theirs = read_tree(reference.root, epoch=EPOCH)
    but = DIFFERENT | (LATE_MERGE if suite == "bookworm" else {})
    assert differences(store.tree_manifest(digest), theirs, but) == []


@pytest.mark.slow
def test_what_is_not_unpacked_is_what_dpkg_would_not(store: Store, tmp_path: Path) -> None:
    extras = Extras(documentation=False, languages=("de",))
    lines = configuration(filters(extras)).splitlines()[1:]
    reference = Reference("bookworm", tmp_path, *(f"--dpkgopt={line}" for line in lines))
    digest = bake(reference.packages(store), "bookworm", store, extras=extras)
    theirs = read_tree(reference.root, epoch=EPOCH)
    but = DIFFERENT | LATE_MERGE | {FILE: "Oven's", "etc/dpkg/dpkg.cfg.d/99mmdebstrap": "theirs"}
    assert differences(store.tree_manifest(digest), theirs, but) == []


@pytest.mark.slow
def test_the_tree_is_that_of_debootstrap(bookworm: Reference, store: Store) -> None:
    packages = bookworm.packages(store)
    ours = bake(packages, "bookworm", store)
    theirs = bake(packages, "bookworm", store, driver="debootstrap")
    found = differences(store.tree_manifest(ours), store.tree_manifest(theirs), OF_DEBOOTSTRAP)
    assert found == []


def test_the_tree_is_the_same_each_time_and_for_an_ordinary_user(
    trixie: Reference, store: Store
) -> None:
    # Trixie also has diversions that lead nowhere.
    ours = bake(trixie.packages(store), "trixie", store)
    assert bake(trixie.packages(store), "trixie", store) == ours
    with ordinary_user("oven-baker") as user, folder_of(user) as folder:
        for deb in trixie.debs:
            shutil.copy(deb, folder)

        def lay_in() -> tuple[Package, ...]:
            theirs = Store(folder / "store")
            return tuple(_lock(deb, theirs) for deb in sorted(folder.glob("*.deb")))

        packages = in_namespace(lay_in, user=user)
        theirs = in_namespace(lambda: Store(folder / "store"), user=user)
        assert bake(packages, "trixie", theirs, user=user) == ours
        with pytest.raises(HostError, match="only real root"):
            bake(packages, "trixie", theirs, driver="debootstrap", user=user)


VICTIM = {"usr/share/victim/file": "the victim's\n"}
DIVERT = "--divert /usr/share/victim/file.real /usr/share/victim/file"
THIEF = {
    "usr/share/thief": "the thief's\n",
    "DEBIAN/preinst": f"#!/bin/sh -e\ndpkg-divert --package thief --add --rename {DIVERT}\n",
}


@pytest.mark.slow
def test_packages_that_cannot_be_linked_are_left_to_dpkg(
    bookworm: Reference, store: Store, tmp_path: Path
) -> None:
    base = bookworm.packages(store)
    made = tuple(
        msgspec.structs.replace(make_package(tmp_path, store, name, files=files), layer="base")
        for name, files in (("thief", THIEF), ("victim", VICTIM))
    )
    tree = bake((*base, *made), "bookworm", store)
    root = store.tree(tree)
    assert root
    assert (root / "usr/share/victim/file.real").read_text() == "the victim's\n"
    assert not (root / "usr/share/victim/file").exists()
    # The rest is what linking makes of it.
    plain = bake(base, "bookworm", store)
    ours = {
        "usr/share/victim*": "the package's",
        "usr/share/thief": "the package's",
        "var/lib/dpkg/status": "knows two more",
        "var/lib/dpkg/diversions": "knows one more",
        "var/lib/dpkg/info/victim.*": "the package's",
        "var/lib/dpkg/info/thief.*": "the package's",
    }
    assert differences(store.tree_manifest(tree), store.tree_manifest(plain), ours) == []


def test_a_package_that_fails_is_shown(bookworm: Reference, store: Store, tmp_path: Path) -> None:
    script = "#!/bin/sh\necho it is broken >&2\nexit 9\n"
    broken = make_package(tmp_path, store, "broken", files={"DEBIAN/postinst": script})
    with pytest.raises(StageError) as caught:
        bake((*bookworm.packages(store), broken), "bookworm", store)
    assert "it is broken" in caught.value.output
    assert str(caught.value.command).startswith("bwrap ")


def test_a_preinst_that_fails_is_named(bookworm: Reference, store: Store, tmp_path: Path) -> None:
    script = "#!/bin/sh\necho $1 of $DPKG_MAINTSCRIPT_PACKAGE\nexit 9\n"
    broken = make_package(tmp_path, store, "broken", files={"DEBIAN/preinst": script})
    with pytest.raises(StageError, match="preinst script of `broken`") as caught:
        bake((*bookworm.packages(store), broken), "bookworm", store)
    assert caught.value.output == "install of broken\n"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"usr/share/x": "1"}, {"usr/share/x": "2"}, "not the only one"),
        ({"bin/x": "1"}, {"usr/bin/x": "1"}, "not the only one"),
        ({"usr/share/x": "1"}, {"usr/share/x/y": "2"}, "a folder in one package"),
        ({"usr/share/x/y": "1"}, {"usr/share/x": "2"}, "not the only one"),
    ],
)
def test_what_only_dpkg_can_unpack_is_noticed(
    one: dict[str, str], other: dict[str, str], told: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    packages = [
        make_package(tmp_path, store, name, files=files)
        for name, files in (("one", one), ("other", other))
    ]
    unpacked = [UnpackedPackage(package) for package in expand(packages, store, jobs=2)]
    with pytest.raises(UnlinkableError, match=told):
        link_packages(unpacked, tmp_path / "tree", "amd64")


def test_conffiles_and_merged_folders_are_laid_as_dpkg_does(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    files = {
        "etc/x.conf": "1",
        "DEBIAN/conffiles": "/etc/x.conf\n",
        "bin/run": "2",
        "usr/bin/also": "3",
        "lib/systemd/x": "4",
    }
    package = make_package(tmp_path, store, "x", files=files)
    (expanded,) = expand([package], store, jobs=1)
    link_packages([UnpackedPackage(expanded)], tmp_path / "tree", "amd64")
    tree = tmp_path / "tree"
    assert (tree / "etc/x.conf.dpkg-new").read_text() == "1"
    assert not (tree / "etc/x.conf").exists()
    assert sorted(path.name for path in (tree / "usr/bin").iterdir()) == ["also", "run"]
    assert (tree / "lib").is_symlink()
    assert (tree / "usr/lib/systemd/x").samefile(expanded.root / "lib/systemd/x")
    assert "/bin/run" in expanded.paths()


def test_a_package_file_that_is_none_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "x_1_all.deb").write_text("not a package")
    package = keep_package(tmp_path / "x_1_all.deb", store, name="x")
    with pytest.raises(StageError, match=r"cannot unpack the package `x` 1\.0") as caught:
        expand([package], store, jobs=1)
    assert f"{store.blob(package.sha256)}: it is not a Debian package file" in caught.value.output
    assert store.expanded(package.sha256) is None


def test_a_package_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    package = make_package(tmp_path, store, "x", files={"usr/x": "1"})
    with pytest.raises(StageError, match="not in the store"):
        expand([package], Store(tmp_path / "other"), jobs=1)
