"""Packing with frames from before: the same bytes as from nothing, and no damage gets through."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.formats.cuts import FRAME, LARGEST, groups
from builder.formats.tar.unpack import unpack
from builder.formats.tarball import Press, pack, write
from builder.host.network.downloads import Net
from builder.host.overlayfs.fold import link_tree
from builder.host.programs import on_host
from builder.model.errors import HostError
from builder.model.manifest import Manifest
from builder.model.progress import Silent
from builder.model.value import Digest
from builder.stages.pack import PACK, Packed, pack_inputs
from builder.stages.stage import make
from builder.stages.tools import Tools
from builder.store import Store
from builder.store.frames import FrameGroup, Frames
from builder.store.manifest import Entry
from builder.store.verify import verify, verify_expanded, verify_tree
from tests.support.needs import needs
from tests.support.trees.edits import edit, make_tree
from tests.support.trees.odd_trees import EPOCH, make_odd_tree, manifest

pytestmark = needs("root")


class Told(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str, /) -> None:
        self.lines.append(line)


def tools_of(root: Path, jobs: int = 2) -> Tools:
    report = Told()
    return Tools(store=Store(root), run=on_host, net=Net(report), report=report, jobs=jobs)


def packed(tools: Tools, tree: Digest, its: Manifest | None = None) -> Packed:
    return make(PACK, pack_inputs(tree, its or manifest()), tools, slot="s")


def root_of(tools: Tools, tree: Digest) -> Path:
    root = tools.store.tree(tree)
    assert root is not None
    return root


def file_of(tools: Tools, made: Packed) -> Path:
    blob = tools.store.blob(made.sha256)
    assert blob is not None
    return blob


def large_tree(root: Path, dice: random.Random) -> Path:
    """Make a tree of several frames: many small files, a large one, and one of holes."""
    make_tree(root, dice)
    for number in range(100):
        (root / f"part{number}").write_bytes(dice.randbytes(100_000))
    (root / "large").write_bytes(dice.randbytes(1 << 20) * 9)
    with (root / "sparse").open("wb") as file:
        file.write(dice.randbytes(1 << 20) * 5)
        file.seek(40 << 20)
        file.write(b"end")
    return root


def noted(tools: Tools) -> dict[str, FrameGroup]:
    return {
        note.name: msgspec.json.decode(note.read_bytes(), type=FrameGroup)
        for note in (tools.store.root / "frames").iterdir()
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("jobs", [1, 4])
def test_warm_frames_give_the_bytes_that_cold_ones_do(tmp_path: Path, seed: int, jobs: int) -> None:
    dice = random.Random(seed)
    warm = tools_of(tmp_path / "warm", jobs)
    with warm.store.draft() as draft:
        tree = warm.store.keep_tree(large_tree(draft / "tree", dice), epoch=EPOCH)
    packed(warm, tree)
    before = set(noted(warm))
    for number in range(3):
        with warm.store.draft() as draft:
            link_tree(root_of(warm, tree), draft / "tree")
            edit(draft / "tree", dice)
            tree = warm.store.keep_tree(draft / "tree", epoch=EPOCH, base=tree)
        made = packed(warm, tree)
        cold = pack(root_of(warm, tree), manifest(), tmp_path / f"cold{number}", jobs=jobs)
        assert (made.sha256, made.size, made.uncompressed) == (
            cold.sha256, cold.size, cold.uncompressed,
        )  # fmt: skip
        assert file_of(warm, made).read_bytes() == (tmp_path / f"cold{number}").read_bytes()
        unpack(file_of(warm, made), tmp_path / f"back{number}")
    assert before & set(noted(warm)), "no frame was of any use"


def test_a_small_change_makes_one_frame_anew(tmp_path: Path) -> None:
    tools = tools_of(tmp_path)
    with tools.store.draft() as draft:
        base = tools.store.keep_tree(large_tree(draft / "tree", random.Random(1)), epoch=EPOCH)
    packed(tools, base)
    before = noted(tools)
    with tools.store.draft() as draft:
        link_tree(root_of(tools, base), draft / "tree")
        (draft / "tree/part50").unlink()
        (draft / "tree/part50").write_bytes(b"changed")
        changed = tools.store.keep_tree(draft / "tree", epoch=EPOCH, base=base)
    made = packed(tools, changed)
    after = noted(tools)
    # The root's folder is in the first group; else only the change's own group differs.
    assert len(before) >= 4
    assert len(after.keys() - before.keys()) <= 2
    assert {group.blob for group in after.values()} >= {made.sha256}
    assert all(after[name].blob == made.sha256 for name in before.keys() & _of(made, after))


def _of(made: Packed, notes: dict[str, FrameGroup]) -> set[str]:
    return {name for name, group in notes.items() if group.blob == made.sha256}


def entries(count: int, size: int = 100_000) -> list[Entry]:
    return [
        Entry(
            path=f"file{number:05}", kind="file", mode=0o644, uid=0, gid=0,
            mtime=0, size=size, content="", xattrs=(),
        )
        for number in range(count)
    ]  # fmt: skip


def test_a_change_moves_no_cut_far_away() -> None:
    plain = entries(2000)
    before = {tuple(group) for group in groups(plain)}
    assert sum(map(len, before)) == 2000
    assert all(100_512 * len(group) <= LARGEST for group in before)
    assert len(before) > 2000 * 100_000 / LARGEST
    dice = random.Random(7)
    for _ in range(50):
        changed = list(plain)
        at = dice.randrange(len(changed))
        change = dice.choice(("gone", "new", "larger", "huge"))
        if change == "gone":
            del changed[at]
        elif change == "new":
            changed.insert(at, msgspec.structs.replace(plain[at], path=plain[at].path[:-1] + "!"))
        else:
            size = FRAME if change == "huge" else 1_000_000
            changed[at] = msgspec.structs.replace(plain[at], size=size)
        after = {tuple(group) for group in groups(changed)}
        assert len(after - before) <= 6, change


def test_what_decides_a_frames_bytes_is_in_its_name(tmp_path: Path) -> None:
    tools = tools_of(tmp_path)
    with tools.store.draft() as draft:
        tree = tools.store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    low = make(PACK, pack_inputs(tree, manifest(), level=1), tools, slot="s")
    high = make(PACK, pack_inputs(tree, manifest(), level=9), tools, slot="s")
    assert high.sha256 == pack(root_of(tools, tree), manifest(), tmp_path / "high", level=9).sha256
    assert low.sha256 != high.sha256


def flip(path: Path, at: int) -> None:
    """Change one bit of a file, as a bad disk does: without telling anybody."""
    status = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 4]))
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def built(tmp_path: Path) -> tuple[Tools, Digest, Packed]:
    tools = tools_of(tmp_path / "cache")
    with tools.store.draft() as draft:
        tree = tools.store.keep_tree(large_tree(draft / "tree", random.Random(2)), epoch=EPOCH)
    return tools, tree, packed(tools, tree)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_kept_frame_is_found_named_and_made_again(
    built: tuple[Tools, Digest, Packed], tmp_path: Path, place: float
) -> None:
    tools, tree, made = built
    blob = file_of(tools, made)
    flip(blob, int(made.size * place))
    other = manifest("other")
    again = packed(tools, tree, other)
    assert again.sha256 == pack(root_of(tools, tree), other, tmp_path / "cold").sha256
    assert isinstance(tools.report, Told)
    assert f"blobs/{made.sha256[:12]}" in tools.report.lines[0]
    assert not blob.exists()
    assert packed(tools, tree) == made  # and so it is made anew
    assert list(verify(tools.store)) == []


@pytest.mark.parametrize("how", ["torn", "flipped", "of another", "no text"])
def test_a_damaged_note_is_not_believed(
    built: tuple[Tools, Digest, Packed], tmp_path: Path, how: str
) -> None:
    tools, tree, _ = built
    notes = sorted((tools.store.root / "frames").iterdir())
    texts = [note.read_bytes() for note in notes]
    for number, note in enumerate(notes):
        damaged = {
            "torn": texts[number][:50],
            "flipped": texts[number].replace(b'",1,', b'",2,').replace(b"9", b"8"),
            "of another": texts[number - 1],
            "no text": b"\xff" * 50,
        }
        note.write_bytes(damaged[how])
    again = packed(tools, tree, manifest("other"))
    assert again.sha256 == pack(root_of(tools, tree), manifest("other"), tmp_path / "c").sha256
    assert {name: group.blob for name, group in noted(tools).items()} == {
        note.name: again.sha256 for note in notes
    }


def test_a_pruned_file_only_costs_its_frames(built: tuple[Tools, Digest, Packed]) -> None:
    tools, tree, made = built
    file_of(tools, made).unlink()
    assert packed(tools, tree) == made


@pytest.mark.parametrize("name", ["part7", "large", "sparse"])
def test_a_flipped_bit_in_a_tree_is_found_when_it_is_packed(
    built: tuple[Tools, Digest, Packed], name: str
) -> None:
    tools, tree, made = built
    file_of(tools, made).unlink()  # else nothing of the tree would be read
    file = root_of(tools, tree) / name
    flip(file, 1000)
    with pytest.raises(HostError) as caught:
        packed(tools, tree)
    assert f"/{name}` is not what it was" in caught.value.problem
    assert tree.removeprefix("sha256:") in (caught.value.hint or "")
    assert tools.store.tree(tree) is None
    assert not file.exists()


def test_verify_names_and_removes_what_is_damaged_and_nothing_else(tmp_path: Path) -> None:
    tools = tools_of(tmp_path)
    store = tools.store
    with store.draft() as draft:
        good = store.keep_tree(make_odd_tree(draft / "good"), epoch=EPOCH)
        (draft / "package/root").mkdir(parents=True)
        (draft / "package/root/program").write_bytes(b"program")
        package = store.keep_expanded(draft / "package", "0" * 64)
        (draft / "tree").mkdir()
        os.link(package / "root/program", draft / "tree/program")
        bad = store.keep_tree(draft / "tree", epoch=EPOCH, packages=["0" * 64])
    packed(tools, good)
    assert list(verify(store)) == []
    assert (verify_tree(store, bad), verify_expanded(store, "0" * 64)) == ([], [])
    flip(package / "root/program", 3)  # one inode, two objects
    assert verify_tree(store, bad) == ["program"]
    assert verify_expanded(store, "0" * 64) == ["root/program"]
    found = list(verify(store))
    assert [(one.kind, one.paths) for one in found] == [
        ("expanded", ("root/program",)),
        ("trees", ("program",)),
    ]
    assert (store.tree(bad), store.expanded("0" * 64)) == (None, None)
    assert store.tree(good) is not None
    assert list(verify(store)) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda root: (root / "usr/block").chmod(0o600),
        lambda root: (root / "usr/block").unlink(),
        lambda root: (root / "usr/more").mkdir(),
        lambda root: root.chmod(0o700),
        lambda root: flip(root.parent / "manifest.json", 5000),
        lambda root: (root.parent / "manifest.json").write_bytes(b""),
    ],
)
def test_verify_sees_whatever_makes_a_tree_another_one(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    tools = tools_of(tmp_path)
    with tools.store.draft() as draft:
        tree = tools.store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    harm(root_of(tools, tree))
    (damage,) = verify(tools.store)
    assert (damage.kind, damage.name) == ("trees", tree.removeprefix("sha256:"))
    assert tools.store.tree(tree) is None


def test_no_frame_is_kept_under_the_name_of_what_a_file_should_have_been(tmp_path: Path) -> None:
    """Else the damage would come back with every later template."""
    store = Store(tmp_path / "cache")
    with store.draft() as draft:
        tree = store.keep_tree(make_odd_tree(draft / "tree"), epoch=EPOCH)
    root = store.tree(tree)
    assert root is not None
    flip(root / "usr/block", 1)
    with Frames(store, print) as kept, pytest.raises(Exception, match="usr/block"):
        write(root, store.tree_manifest(tree), manifest(), tmp_path / "out", Press(kept=kept))
    assert list((store.root / "frames").iterdir()) == []
