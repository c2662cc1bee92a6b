"""Packing: the same bytes from everybody, and everything back with GNU tar and with our reader."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.formats.tar.unpack import read_manifest, unpack
from builder.formats.tarball import pack
from builder.host.kernel.libc import CLONE_NEWUSER
from builder.host.kernel.namespaces import _unshare
from builder.host.network.downloads import Net
from builder.host.programs import on_host
from builder.model.errors import StageError
from builder.model.manifest import MANIFEST_PATH, Manifest
from builder.model.progress import Silent
from builder.stages.pack import PACK, pack_inputs
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.manifest import Entry, read_tree
from tests.support.needs import needs
from tests.support.trees.odd_trees import CAPABILITY, EPOCH, HOLE, make_odd_tree, manifest

pytestmark = needs("root")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd tree, and beside it what it is packed to."""
    folder = tmp_path_factory.mktemp("odd")
    tree = make_odd_tree(folder / "tree")
    pack(tree, manifest(), folder / "odd.tar.zst", jobs=2)
    return folder


def contents(tree: Path) -> dict[str, Entry]:
    """Give all of a tree but what packing adds and what no tarball can hold."""
    added = [MANIFEST_PATH, *map(str, Path(MANIFEST_PATH).parents)][:2]
    return {
        one.path: one
        for one in read_tree(tree, epoch=EPOCH).entries
        if one.path not in added and one.kind != "socket"
    }


def assert_same(odd: Path, other: Path) -> None:
    assert contents(other) == contents(odd / "tree")
    found = msgspec.json.decode((other / MANIFEST_PATH).read_bytes(), type=Manifest)
    assert found == manifest()
    assert (other / MANIFEST_PATH).stat().st_mtime == EPOCH
    sparse = (other / "usr/sparse").stat()
    assert sparse.st_size == HOLE + (5 << 20)
    assert sparse.st_blocks * 512 < 1 << 20
    assert (other / "usr/bin/su").samefile(other / "usr/bin/zu")
    assert os.getxattr(other / "etc/ping", "security.capability") == CAPABILITY
    assert not (other / "usr/socket").exists()


def test_the_tree_has_what_these_tests_are_about(odd: Path) -> None:
    kinds = {one.kind for one in read_tree(odd / "tree", epoch=EPOCH).entries}
    assert kinds == {"file", "dir", "symlink", "hardlink", "fifo", "socket"}


def test_another_order_umask_folder_and_number_of_threads_give_the_same_bytes(
    odd: Path, tmp_path: Path
) -> None:
    tree = make_odd_tree(tmp_path / "elsewhere", backwards=True, umask=0o077)
    written = pack(tree, manifest(), tmp_path / "out", jobs=5)
    assert (tmp_path / "out").read_bytes() == (odd / "odd.tar.zst").read_bytes()
    assert written.size == (tmp_path / "out").stat().st_size


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, which pytest's are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_root_of_a_user_namespace_gives_the_same_bytes(odd: Path, open_folder: Path) -> None:
    assert in_user_namespace(open_folder) == 0
    ours, theirs = odd / "odd.tar.zst", open_folder / "out"
    # Seen from here its capability has the namespace's root id in it, and must not when packed.
    assert len(os.getxattr(open_folder / "tree/etc/ping", "security.capability")) == 24
    assert theirs.read_bytes() == ours.read_bytes()


def in_user_namespace(folder: Path) -> int:
    """Make and pack the tree as somebody whose ids 0 to 65535 are others outside."""
    waiting, go = os.pipe()
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _unshare(CLONE_NEWUSER, hint="")
            os.write(tell, b"x")
            os.read(waiting, 1)
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            tree = make_odd_tree(folder / "tree")
            pack(tree, manifest(), folder / "out", jobs=2)
            code = 0
        finally:
            os._exit(code)
    os.read(ready, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 1000000 65536")
    os.write(go, b"x")
    for fd in (waiting, go, ready, tell):
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs("program:tar", "program:zstd")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_gnu_tar_brings_everything_back(odd: Path, tmp_path: Path, locale: str) -> None:
    argv = ["tar", "--zstd", "-xpf", str(odd / "odd.tar.zst"), "-C", str(tmp_path)]
    done = subprocess.run(
        [*argv, "--xattrs", "--xattrs-include=*", "--numeric-owner"],
        env={"PATH": os.environ["PATH"], "LC_ALL": locale},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(odd, tmp_path)


@needs("program:zstd")
def test_zstd_finds_no_fault(odd: Path) -> None:
    subprocess.run(["zstd", "-tq", str(odd / "odd.tar.zst")], check=True)


def test_a_file_of_which_most_is_a_hole_costs_next_to_nothing(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "huge").open("wb") as file:
        file.truncate(20 << 30)
        file.seek(9 << 30)
        file.write(b"bread")
    written = pack(tree, manifest(), tmp_path / "out")
    assert written.uncompressed < 1 << 20
    unpack(tmp_path / "out", tmp_path / "back")
    status = (tmp_path / "back/huge").stat()
    assert (status.st_size, status.st_blocks < 1024) == (20 << 30, True)
    with (tmp_path / "back/huge").open("rb") as file:
        file.seek((9 << 30) - 1)
        assert file.read(7) == b"\0bread\0"


def test_our_reader_brings_everything_back_and_packs_to_the_same(odd: Path, tmp_path: Path) -> None:
    unpacked = unpack(odd / "odd.tar.zst", tmp_path / "back")
    assert unpacked.manifest == manifest()
    assert_same(odd, tmp_path / "back")
    written = pack(tmp_path / "back", manifest(), tmp_path / "again", jobs=2)
    assert unpacked.digest == f"sha256:{written.sha256}"


@needs("program:tar", "program:xz", "program:gzip", "program:zstd")
@pytest.mark.parametrize("how", [["--gzip"], ["--xz"], [], ["--zstd", "--format=gnu"]])
def test_what_gnu_tar_packed_again_is_taken(odd: Path, tmp_path: Path, how: list[str]) -> None:
    """GNU's own format has other headers for long names, and no attributes."""
    unpack(odd / "odd.tar.zst", tmp_path / "first")
    names = [f"./{MANIFEST_PATH}", "./etc", "./usr/share/big", "./bin", "./usr/deep"]
    argv = ["tar", "-C", str(tmp_path / "first"), "-cf", str(tmp_path / "again"), *how]
    subprocess.run([*argv, *names], check=True, capture_output=True)
    unpack(tmp_path / "again", tmp_path / "second")
    assert (tmp_path / "second/usr/share/big").read_bytes() == (
        tmp_path / "first/usr/share/big"
    ).read_bytes()


def test_the_manifest_can_be_read_without_the_rest(odd: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.write_bytes((odd / "odd.tar.zst").read_bytes())
    assert read_manifest(start) == manifest()


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    report = Silent()
    store = Store(tmp_path / "cache")
    return Tools(store=store, run=on_host, net=Net(report), report=report, jobs=2)


def test_the_stage_keeps_what_it_packed_and_packs_once(tools: Tools, tmp_path: Path) -> None:
    with tools.store.draft() as draft:
        tree = tools.store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    packed = make(PACK, pack_inputs(tree, manifest()), tools, slot="s")
    blob = tools.store.blob(packed.sha256)
    assert blob is not None
    assert blob.stat().st_size == packed.size
    assert packed.uncompressed > packed.size
    before = blob.stat()
    assert make(PACK, pack_inputs(tree, manifest()), tools, slot="s") == packed
    assert blob.stat().st_ino == before.st_ino
    blob.unlink()
    assert make(PACK, pack_inputs(tree, manifest()), tools, slot="s") == packed
    assert blob.exists()


def test_a_higher_level_is_another_file_of_the_same_tree(tools: Tools) -> None:
    with tools.store.draft() as draft:
        tree = tools.store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    packed = [
        make(PACK, pack_inputs(tree, manifest(), level=level), tools, slot="s") for level in (1, 9)
    ]
    assert packed[0].sha256 != packed[1].sha256
    assert packed[0].uncompressed == packed[1].uncompressed


def test_a_device_node_is_not_packed(tools: Tools) -> None:
    with tools.store.draft() as draft:
        root = make_odd_tree(draft / "tree")
        os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
        tree = tools.store.keep_tree(root, epoch=EPOCH)
    with pytest.raises(StageError, match="`/dev/null` is a device node"):
        make(PACK, pack_inputs(tree, manifest()), tools, slot="s")
    assert list((tools.store.root / "drafts").iterdir()) == []
