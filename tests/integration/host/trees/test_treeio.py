"""The audited way into hostile trees: nothing outside is read or written, whatever they hold."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from builder.host.trees.treeio import TreeIO

SECRET = b"the host's own"
ME = (os.getuid(), os.getgid())


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host's, which must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc/deep").mkdir(parents=True)
    (folder / "etc/hosts").write_text("hosts")
    return folder


@pytest.fixture
def tree(root: Path) -> Iterator[TreeIO]:
    with TreeIO(root) as tree:
        yield tree


def untouched(outside: Path) -> bool:
    return os.listdir(outside) == ["secret"] and (outside / "secret").read_bytes() == SECRET


ESCAPES = ["absolute", "dotdot"]


def link(root: Path, path: str, outside: Path, how: str) -> None:
    """Plant a link that would lead to the folder outside if it were followed naively."""
    at = root / path
    target = str(outside) if how == "absolute" else os.path.relpath(outside, at.parent)
    at.symlink_to(target)


@pytest.mark.parametrize("how", ESCAPES)
@pytest.mark.parametrize("at", ["one", "etc/one", "etc/deep/one"])
def test_a_linked_parent_never_leads_out(
    tree: TreeIO, root: Path, outside: Path, how: str, at: str
) -> None:
    link(root, at, outside, how)
    with pytest.raises(FileNotFoundError):
        tree.read_bytes(f"{at}/secret")
    with pytest.raises(OSError, match="No such file"):
        tree.write_bytes(f"{at}/new", b"x", owner=ME)
    with pytest.raises(OSError, match="No such file"):
        tree.symlink(f"{at}/new", "x")
    with pytest.raises(OSError, match="File exists"):
        tree.mkdir(f"{at}/new/folder", owner=ME)
    with pytest.raises(FileNotFoundError):
        tree.chmod(f"{at}/secret", 0o777)
    with pytest.raises(FileNotFoundError):
        tree.listdir(at)
    tree.remove(f"{at}/secret")
    assert not tree.exists(f"{at}/secret")
    assert untouched(outside)


@pytest.mark.parametrize("how", ESCAPES)
def test_writing_replaces_a_final_link_itself(
    tree: TreeIO, root: Path, outside: Path, how: str
) -> None:
    link(root, "etc/resolv.conf", outside / "secret", how)
    tree.write_bytes("etc/resolv.conf", b"mine", owner=ME)
    assert not (root / "etc/resolv.conf").is_symlink()
    assert (root / "etc/resolv.conf").read_bytes() == b"mine"
    assert untouched(outside)


@pytest.mark.parametrize("how", ESCAPES)
def test_a_link_is_removed_and_not_what_it_names(
    tree: TreeIO, root: Path, outside: Path, how: str
) -> None:
    link(root, "etc/out", outside, how)
    tree.remove("etc/out")
    assert not os.path.lexists(root / "etc/out")
    link(root, "etc/deep/out", outside, how)
    tree.remove("etc")
    assert not (root / "etc").exists()
    assert untouched(outside)


def test_absolute_links_mean_the_trees_own_root(tree: TreeIO, root: Path) -> None:
    (root / "lib").symlink_to("/etc/deep")
    tree.write_bytes("/lib/unit", b"inside", owner=ME)
    assert (root / "etc/deep/unit").read_bytes() == b"inside"
    assert tree.read_bytes("lib/../../../../etc/hosts") == b"hosts"


def test_the_old_inode_is_left_alone(tree: TreeIO, root: Path, tmp_path: Path) -> None:
    os.link(root / "etc/hosts", tmp_path / "shared")
    tree.write_bytes("etc/hosts", b"new", 0o600, ME)
    assert (tmp_path / "shared").read_text() == "hosts"
    assert stat.S_IMODE((root / "etc/hosts").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_only_regular_files_are_read_and_replaced(tree: TreeIO, root: Path, kind: str) -> None:
    target = root / "etc/odd"
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        try:
            os.mknod(target, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("device nodes need real root")
    for attempt in (
        lambda: tree.read_bytes("etc/odd"),
        lambda: tree.write_bytes("etc/odd", b"x", owner=ME),
        lambda: tree.symlink("etc/odd", "x"),
    ):
        with pytest.raises(OSError, match="not a regular file") as caught:
            attempt()
        assert caught.value.errno == errno.EINVAL
    assert sorted(os.listdir(root / "etc")) == ["deep", "hosts", "odd"]


def test_magic_links_of_proc_are_refused(outside: Path) -> None:
    with (
        (outside / "secret").open() as file,
        TreeIO(Path("/proc")) as tree,
        pytest.raises(OSError, match="symbolic links"),
    ):
        tree.read_bytes(f"{os.getpid()}/fd/{file.fileno()}")


def test_a_file_larger_than_the_limit_is_refused(tree: TreeIO) -> None:
    with pytest.raises(OSError, match="larger than 4 bytes"):
        tree.read_bytes("etc/hosts", limit=4)


@pytest.mark.parametrize("path", ["", "/", "etc/..", "."])
def test_a_write_needs_a_name(tree: TreeIO, path: str) -> None:
    with pytest.raises(OSError, match="not the name of an entry"):
        tree.write_bytes(path, b"x")


def test_mkdir_keeps_folders_that_are_there(tree: TreeIO, root: Path) -> None:
    (root / "etc/deep").chmod(0o700)
    tree.mkdir("etc/deep/new/more", 0o750, ME)
    assert stat.S_IMODE((root / "etc/deep").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "etc/deep/new/more").stat().st_mode) == 0o750


@pytest.mark.parametrize("instead", ["nothing", "a file", "a link out"])
def test_walk_goes_on_when_a_folder_is_taken_away(
    tree: TreeIO, root: Path, outside: Path, instead: str
) -> None:
    (root / "zoo").mkdir()
    found = []
    for path, _ in tree.walk():
        found.append(path)
        if path == "etc":  # named, and about to be entered
            (root / "etc").rename(root / ".gone")
            if instead == "a file":
                (root / "etc").touch()
            elif instead == "a link out":
                (root / "etc").symlink_to(outside)
    assert found == ["etc", "zoo"]


def test_walk_names_everything_and_enters_no_link(tree: TreeIO, root: Path, outside: Path) -> None:
    link(root, "etc/out", outside, "absolute")
    assert [path for path, _ in tree.walk()] == ["etc", "etc/deep", "etc/hosts", "etc/out"]
    assert tree.readlink("etc/out") == str(outside)
    with pytest.raises(OSError, match="not a symbolic link"):
        tree.readlink("etc/hosts")


def test_a_tree_nested_without_end_is_refused(tree: TreeIO, root: Path) -> None:
    here = root
    for _ in range(300):
        here /= "d"
        here.mkdir()
    with pytest.raises(OSError, match="nested too deeply"):
        list(tree.walk())


def test_a_folder_swapped_for_a_link_while_writing(tree: TreeIO, root: Path, outside: Path) -> None:
    """Somebody in the tree keeps swapping a folder for a link that leads out."""
    (root / "a/victim").mkdir(parents=True)
    (root / "a/bait").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "a/victim").rename(root / "a/aside")
            (root / "a/bait").rename(root / "a/victim")
            (root / "a/victim").rename(root / "a/bait")
            (root / "a/aside").rename(root / "a/victim")

    attacker = threading.Thread(target=swap)
    attacker.start()
    landed = 0
    try:
        for number in range(3000):
            with suppress(OSError):
                tree.write_bytes(f"a/victim/f{number % 7}", b"payload", owner=ME)
                landed += 1
            with suppress(OSError):
                tree.remove(f"a/victim/f{number % 7}")
    finally:
        stop.set()
        attacker.join()
    assert landed  # the swapping left windows in which writing worked
    assert untouched(outside)
