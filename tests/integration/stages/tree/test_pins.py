"""Owners of volumes: made with the numbers that are said before packages make them, and held."""

import msgspec
import pytest

from builder.model.recipe import Arch
from builder.model.value import Digest
from builder.model.volume import VolumeSpec
from builder.stages.install import Installation, install
from builder.stages.owners import OwnersCheck, check_owners
from builder.stages.tree.asked import AskedError
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

POSTINST = """\
#!/bin/sh
set -e
if ! getent passwd notes >/dev/null; then
	useradd --system --user-group --no-create-home notes
fi
mkdir -p /var/lib/notes
chown notes:notes /var/lib/notes
"""
NOTES = VolumeSpec(name="data", path="/var/lib/notes", owner="notes", uid=777)


def installed(kitchen: Kitchen, *pinned: VolumeSpec) -> Digest:
    package = kitchen.package("notes", **{"DEBIAN/postinst": POSTINST})
    inputs = Installation(
        tree=kitchen.base,
        distro="debian",
        suite="bookworm",
        arch=Arch.AMD64,
        packages=(package,),
        pinned=pinned,
        epoch=EPOCH,
    )
    return install(inputs, kitchen.tools).tree


def check(kitchen: Kitchen, tree: Digest, volume: VolumeSpec) -> None:
    check_owners(OwnersCheck(tree=tree, volumes=(volume,)), kitchen.tools)


def test_a_package_takes_the_account_that_is_there(kitchen: Kitchen) -> None:
    tree = installed(kitchen, NOTES)
    folder = kitchen.store.tree(tree)
    assert folder is not None
    status = (folder / "var/lib/notes").stat()
    assert (status.st_uid, status.st_gid) == (777, 777)
    assert "notes:x:777:777::/var/lib/notes:/usr/sbin/nologin" in (
        (folder / "etc/passwd").read_text().splitlines()
    )
    check(kitchen, tree, NOTES)


def test_another_number_is_refused_and_says_what_to_do(kitchen: Kitchen) -> None:
    tree = installed(kitchen)
    with pytest.raises(
        AskedError, match=r"has the number 9\d\d in the tree, .* says 777"
    ) as caught:
        check(kitchen, tree, NOTES)
    assert caught.value.where == ("volume", 0, "uid")
    assert "say `uid = 9" in str(caught.value.hint)
    check(kitchen, tree, msgspec.structs.replace(NOTES, uid=None))


def test_an_owner_that_nobody_makes_is_refused(kitchen: Kitchen) -> None:
    for key in ("owner", "group"):
        nobody = msgspec.structs.replace(NOTES, owner="root", uid=None)
        with pytest.raises(AskedError, match="`mia` of the volume does not exist") as caught:
            check(kitchen, kitchen.base, msgspec.structs.replace(nobody, **{key: "mia"}))
        assert caught.value.where == ("volume", 0, key)


def test_a_number_that_somebody_has_is_refused(kitchen: Kitchen) -> None:
    with pytest.raises(AskedError, match="33, which is `www-data`'s") as caught:
        installed(kitchen, msgspec.structs.replace(NOTES, uid=33))
    assert caught.value.where == ("volume", 0, "uid")
