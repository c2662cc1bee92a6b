"""Install: what is added later leaves no trace of when it came."""

import shutil
from pathlib import Path

import msgspec
import pytest

from builder.distros import distro
from builder.distros.debian.package.batches import batches
from builder.host.network.downloads import Net
from builder.host.programs import Command, on_host
from builder.model.lock import Package
from builder.model.progress import Silent
from builder.model.recipe import Arch
from builder.model.value import Digest
from builder.stages import install as stage
from builder.stages.install import Installation, install
from builder.stages.tools import Tools
from builder.store import Store
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH, keep_package, linked_copy, make_base, make_package

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

ENABLE = """\
#!/bin/sh
set -e
# Automatically added by dh_installsystemd/13.11.4
if [ "$1" = "configure" ]; then
	deb-systemd-helper unmask 'NAME.service' >/dev/null || true
	if deb-systemd-helper --quiet was-enabled 'NAME.service'; then
		deb-systemd-helper enable 'NAME.service' >/dev/null || true
	else
		deb-systemd-helper update-state 'NAME.service' >/dev/null || true
	fi
fi
# End automatically added section
"""
"""What debhelper writes, shortened."""

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


class Shop:
    """A base tree, and a choice of packages to put on it."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store")
        self.tools = Tools(self.store, on_host, Net(Silent()), Silent(), 2)
        self.base = self.store.keep_tree(linked_copy(base, folder / "copy"), epoch=EPOCH)
        self.library = next(base.glob("usr/lib/*/libzstd.so.1.*"))

    def package(
        self, name: str, files: dict[str, str], *, depends: str = "", requested: bool = False
    ) -> Package:
        made = make_package(self.folder, self.store, name, depends=depends, files=files)
        return msgspec.structs.replace(made, requested=requested)

    def plain(self) -> tuple[Package, ...]:
        """Make packages that have all that a plain one may have."""
        path = self.folder / "library/usr/lib/shop/libzstd.so.1"
        path.parent.mkdir(parents=True)
        shutil.copyfile(self.library, path)
        listed = {"etc/ld.so.conf.d/shop.conf": "/usr/lib/shop\n"}
        ldconfig = {"DEBIAN/triggers": "activate-noawait ldconfig\n"}
        conffile = {"etc/shop/a.conf": "a\n", "DEBIAN/conffiles": "/etc/shop/a.conf\n"}
        return (
            self.package("library", {**listed, **ldconfig}),
            self.package("conf", conffile, depends="library", requested=True),
            self.package("conf2", {"etc/shop/b.conf": "b\n", "usr/share/man/man1/x.1": "x\n"}),
            self.package("one", unit("one"), requested=True),
            self.package("two", unit("two")),
        )

    def add(self, tree: Digest, *packages: Package, plain: bool = False) -> Digest:
        inputs = Installation(
            tree=tree,
            distro="debian",
            suite="bookworm",
            arch=Arch.AMD64,
            packages=packages,
            plain=plain,
            epoch=EPOCH,
        )
        return install(inputs, self.tools).tree

    def read(self, tree: Digest, path: str) -> bytes:
        folder = self.store.tree(tree)
        assert folder is not None
        return (folder / path).read_bytes()


def unit(name: str) -> dict[str, str]:
    return {
        f"lib/systemd/system/{name}.service": UNIT,
        "DEBIAN/postinst": ENABLE.replace("NAME", name),
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), make_base(tmp_path_factory))


@pytest.fixture(scope="module")
def goods(shop: Shop) -> tuple[Package, ...]:
    return shop.plain()


@pytest.fixture(scope="module")
def at_once(shop: Shop, goods: tuple[Package, ...]) -> Digest:
    return shop.add(shop.base, *goods)


def test_they_are_plain(shop: Shop, goods: tuple[Package, ...]) -> None:
    assert batches(goods, shop.store) == ((), goods)


def test_all_of_it_is_there(shop: Shop, at_once: Digest) -> None:
    assert b"/usr/lib/shop" not in shop.read(shop.base, "etc/ld.so.cache")
    assert b"/usr/lib/shop/libzstd.so.1" in shop.read(at_once, "etc/ld.so.cache")
    folder = shop.store.tree(at_once)
    assert folder is not None
    assert (folder / "etc/systemd/system/multi-user.target.wants/one.service").is_symlink()
    before, after = (
        shop.read(tree, "var/lib/apt/extended_states").splitlines() for tree in (shop.base, at_once)
    )
    added = {b"Package: conf2", b"Package: library", b"Package: two"}
    assert {line for line in after if line not in before} == added


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 0, 1), (2, 4, 0, 3, 1)])
def test_one_by_one_is_the_same_tree(
    shop: Shop, goods: tuple[Package, ...], at_once: Digest, order: tuple[int, ...]
) -> None:
    tree = shop.base
    for index in order:
        tree = shop.add(tree, goods[index])
    assert tree == at_once


def test_only_what_is_missing_is_installed(
    shop: Shop, goods: tuple[Package, ...], at_once: Digest, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    real = distro("debian")

    class Watched:
        def install(self, packages: tuple[Package, ...], kitchen: object) -> None:
            installed.append([package.name for package in packages])
            real.install(packages, kitchen)  # type: ignore[arg-type]  # it is the stage's own

    monkeypatch.setattr(stage, "distro", lambda _: Watched())
    trees = [shop.add(shop.base, *goods[:count], plain=True) for count in (2, 4, 3, 5)]
    assert trees[-1] == at_once
    names = [package.name for package in goods]
    # Three of four were asked for next: nothing is ever taken away, so two are the nearest.
    assert installed == [names[:2], names[2:4], names[2:3], names[4:]]


def test_a_request_is_told_from_a_dependency(shop: Shop, goods: tuple[Package, ...]) -> None:
    wanted = msgspec.structs.replace(goods[2], requested=True)
    one = shop.add(shop.base, *goods[:2], goods[2], plain=True)
    other = shop.add(shop.base, *goods[:2], wanted, plain=True)
    assert b"conf2" in shop.read(one, "var/lib/apt/extended_states")
    assert b"conf2" not in shop.read(other, "var/lib/apt/extended_states")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"DEBIAN/postinst": "#!/bin/sh\nset -e\nadduser --system x\n"}, "a line of its own"),
        ({"DEBIAN/preinst": "#!/bin/sh\nls >/seen\n"}, "before it is unpacked"),
        ({"DEBIAN/config": "#!/bin/sh\n"}, "asks questions"),
        ({"DEBIAN/triggers": "interest-noawait /usr/share/x\n"}, "acts when others come"),
        ({"DEBIAN/postinst": ENABLE.replace("dh_installsystemd", "dh_sysuser")}, "unknown snippet"),
    ],
)
def test_what_others_could_notice_comes_first(
    shop: Shop, goods: tuple[Package, ...], files: dict[str, str], why: str, tmp_path: Path
) -> None:
    package = make_package(tmp_path, shop.store, "noisy", depends="conf", files=files)
    first, plain = batches((*goods, package), shop.store)
    assert [one.name for one in first] == ["library", "conf", "noisy"], why
    assert [one.name for one in plain] == ["conf2", "one", "two"]


def test_a_package_that_takes_over_files_comes_with_the_other(
    shop: Shop, goods: tuple[Package, ...]
) -> None:
    root = shop.folder / "heir/DEBIAN"
    root.mkdir(parents=True)
    heir = make_package(shop.folder, shop.store, "heir", depends="two", files={})
    control = (root / "control").read_text().replace("Depends:", "Replaces: one (<< 2)\nDepends:")
    (root / "control").write_text(control)
    deb = shop.folder / "heir.deb"
    done = on_host(Command(("dpkg-deb", "--build", str(root.parent), str(deb))))
    assert done.code == 0
    heir = keep_package(deb, shop.store, name="heir")
    first, _ = batches((*goods, heir), shop.store)
    assert [one.name for one in first] == ["one", "two", "heir"]
