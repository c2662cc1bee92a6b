"""The comparison of whole trees sees each thing in which two of them can differ."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.needs import needs
from tests.support.trees.whole_trees import differences, facts_of, owners_by_name

pytestmark = needs("root", "program:setcap")

EPOCH = 1_700_000_000
STATUS = """\
Package: bash
Architecture: amd64
Status: install ok installed
Conffiles:
 /etc/rc 0123

"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    (root / "one").write_text("same")
    os.link(root / "one", root / "two")
    (root / "link").symlink_to("one")
    (root / "program").write_text("#!")
    for name in ("one", "link", "program"):
        os.utime(root / name, (EPOCH, EPOCH), follow_symlinks=False)
    return root


def relink(root: Path) -> None:
    (root / "two").unlink()
    shutil.copy2(root / "one", root / "two")


def retarget(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("two")


def to_folder(root: Path) -> None:
    (root / "program").unlink()
    (root / "program").mkdir()


def restate(root: Path) -> None:
    (root / "var/lib/dpkg/status").write_text(STATUS.replace("0123", "4567"))


def capable(root: Path) -> None:
    subprocess.run(["setcap", "cap_net_raw+ep", root / "program"], check=True)


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "more": (lambda root: (root / "more").touch(), {"more extra"}),
    "less": (lambda root: (root / "link").unlink(), {"link missing"}),
    "content": (lambda root: (root / "program").write_text("!#"), {"program content"}),
    "mode": (lambda root: (root / "program").chmod(0o4755), {"program mode"}),
    "owner": (lambda root: os.chown(root / "program", 1, 2), {"program owner"}),
    "capability": (capable, {"program security.capability"}),
    "kind": (to_folder, {"program kind", "program mode", "program content", "program time"}),
    "target": (retarget, {"link target"}),
    "hard link": (relink, {"one links", "two links"}),
    "time": (lambda root: os.utime(root / "program", (1, 1)), {"program time"}),
    "later": (lambda root: os.utime(root / "program", (EPOCH + 9, EPOCH + 9)), set()),
    "status": (restate, {"dpkg:bash Conffiles"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_where_it_is(tree: Path, name: str) -> None:
    change, expected = CHANGES[name]
    other = tree.parent / "other"
    subprocess.run(["cp", "-a", tree, other], check=True)
    change(other)
    found = differences(facts_of(other, epoch=EPOCH), facts_of(tree, epoch=EPOCH))
    assert {f"{one.path} {one.what}" for one in found} == expected


def test_owners_have_the_names_that_each_tree_knows(tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    seen = []
    for first, second in (("ssh", "mail"), ("mail", "ssh")):
        (tree / "etc/group").write_text(f"root:x:0:\n{first}:x:101:\n{second}:x:102:\n")
        os.chown(tree / "program", 0, 101 if first == "ssh" else 102)
        os.chown(tree / "one", 7, 101)
        facts = owners_by_name(facts_of(tree, epoch=EPOCH), tree)
        seen.append((facts["program"]["owner"], facts["one"]["owner"]))
    assert seen == [("root:ssh", "7:ssh"), ("root:ssh", "7:mail")]
