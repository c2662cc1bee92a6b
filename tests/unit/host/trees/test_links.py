"""Trees of hard links, in which programs count the names of files."""

import os
import stat
from pathlib import Path

import pytest

from builder.host.trees.links import own_files
from tests.support.needs import needs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose files all have names elsewhere."""
    tree, other = tmp_path / "tree", tmp_path / "other"
    other.mkdir()
    for number, name in enumerate(
        ("etc/mailname", "var/spool/cron/root", "usr/bin/true", "var/lib/dpkg/info/a.list")
    ):
        file = other / str(number)
        file.write_text(name)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(file, tree / name)
    return tree


def names_of(path: Path) -> int:
    return path.lstat().st_nlink


def test_what_is_counted_is_copied_and_the_rest_is_shared(tree: Path) -> None:
    own_files(tree)
    assert names_of(tree / "etc/mailname") == 1
    assert (tree / "etc/mailname").read_text() == "etc/mailname"
    assert names_of(tree / "var/spool/cron/root") == 1
    assert names_of(tree / "usr/bin/true") == 2
    assert names_of(tree / "var/lib/dpkg/info/a.list") == 2


def test_names_within_the_tree_stay_names_of_one_file(tree: Path) -> None:
    for name in ("var/spool/mailname", "usr/bin/mailname"):
        os.link(tree / "etc/mailname", tree / name)
    own_files(tree)
    assert (tree / "etc/mailname").samefile(tree / "var/spool/mailname")
    assert (tree / "etc/mailname").samefile(tree / "usr/bin/mailname")
    assert names_of(tree / "etc/mailname") == 3


def test_large_files_stay_shared(tree: Path, tmp_path: Path) -> None:
    os.truncate(tree / "etc/mailname", 1 << 20)
    own_files(tree)
    assert names_of(tree / "etc/mailname") == 2


@needs("root")
def test_a_copy_has_all_that_a_file_has(tree: Path) -> None:
    path = tree / "etc/mailname"
    os.chown(path, 100, 200)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(path, "security.capability", capability)
    os.setxattr(path, "user.note", b"kept")
    path.chmod(0o2751)
    os.utime(path, ns=(1, 2))
    os.utime(path.parent, ns=(3, 4))
    own_files(tree)
    status = path.stat()
    assert names_of(path) == 1
    assert (status.st_uid, status.st_gid, status.st_mtime_ns) == (100, 200, 2)
    assert stat.S_IMODE(status.st_mode) == 0o2751
    assert os.getxattr(path, "security.capability") == capability
    assert os.getxattr(path, "user.note") == b"kept"
    assert path.parent.stat().st_mtime_ns == 4


def test_no_link_leads_out(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one").write_text("1")
    os.link(outside / "one", outside / "two")
    (tree / "home").symlink_to(outside)
    (tree / "etc/there").symlink_to(outside)
    own_files(tree)
    assert names_of(outside / "one") == 2
