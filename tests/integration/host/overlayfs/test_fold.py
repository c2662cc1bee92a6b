"""Folding: whatever is done through a real overlay, the new tree is what the overlay showed."""

import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.host.kernel.namespaces import mount
from builder.host.overlayfs import stand_ins
from builder.host.overlayfs.fold import fold, overlay
from builder.host.overlayfs.mount import Overlay, mount_overlay
from builder.model.errors import HostError
from builder.store.manifest import TreeManifest, read_tree
from tests.support.hosts.namespace import folder_of, in_namespace, ordinary_user
from tests.support.needs import needs

pytestmark = needs("root", "userns", "program:useradd")

LATE = 1 << 40
Place = tuple[str, Path]


@pytest.fixture(scope="module", params=["root", "oven-fold"])
def whose(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "root":
        yield "root"
    else:
        with ordinary_user(request.param) as user:
            yield user


@pytest.fixture
def place(whose: str) -> Iterator[Place]:
    with folder_of(whose) as folder:
        yield whose, folder


def make_lower(root: Path) -> None:
    for name in ("etc/apt", "usr/bin", "usr/share/doc/deep/er", "var/log", "srv", "empty"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate(
        ("etc/motd", "etc/apt/conf", "usr/bin/sh", "usr/share/doc/a", "usr/share/doc/deep/er/b")
    ):
        (root / name).write_text(f"{name}\n")
        os.utime(root / name, (1000 + number, 1000 + number))
    os.link(root / "usr/bin/sh", root / "usr/bin/dash")
    (root / "usr/bin/sh").chmod(0o4755)
    (root / "bin").symlink_to("usr/bin")
    os.mkfifo(root / "var/fifo")
    Path(os.fsdecode(os.fsencode(root) + b"/srv/caf\xe9")).write_text("x")
    os.chown(root / "srv", 33, 34)
    (root / "srv").chmod(0o2750)
    os.setxattr(root / "srv", "user.note", b"kept")
    os.setxattr(root / "etc/motd", "user.note", b"kept too")
    os.utime(root / "srv", (5000, 5000))
    os.utime(root / "usr/share/doc", (6000, 6000))


def edit(view: Path) -> None:
    with (view / "etc/motd").open("a") as file:
        file.write("more\n")


def replace_folder(view: Path) -> None:
    shutil.rmtree(view / "usr/share/doc")
    (view / "usr/share/doc").mkdir()
    (view / "usr/share/doc/new").write_text("new\n")


def nothing(view: Path) -> None:
    assert (view / "etc/motd").exists()


def swap_kinds(view: Path) -> None:
    (view / "etc/motd").unlink()
    (view / "etc/motd").mkdir(0o711)
    (view / "etc/motd/inner").write_text("x")
    shutil.rmtree(view / "etc/apt")
    (view / "etc/apt").write_text("a file now\n")
    (view / "bin").unlink()
    (view / "bin").mkdir()
    shutil.rmtree(view / "srv")
    (view / "srv").symlink_to("var")


def link_new(view: Path) -> None:
    (view / "etc/one").write_text("one\n")
    os.link(view / "etc/one", view / "srv/two")


def change_folders(view: Path) -> None:
    (view / "srv").chmod(0o1777)
    os.chown(view / "srv", 1, 65535)
    os.removexattr(view / "srv", "user.note")
    os.setxattr(view / "var", "user.other", b"x")
    os.utime(view / "usr", (7000, 7000))


def change_files(view: Path) -> None:
    (view / "usr/bin/sh").chmod(0o755)
    os.chown(view / "etc/apt/conf", 42, 42)
    os.chown(view / "bin", 5, 5, follow_symlinks=False)
    os.utime(view / "usr/share/doc/a", (9, 9))
    os.mkfifo(view / "etc/fifo")


def move_folders(view: Path) -> None:
    # The overlay refuses to rename a folder of its lower layer, and mv(1) copies; new ones move.
    shutil.move(view / "usr/share/doc/deep", view / "srv/deep")
    (view / "fresh").mkdir()
    (view / "fresh/file").write_text("x")
    (view / "fresh").rename(view / "etc/fresh")


def replace_and_delete_again(view: Path) -> None:
    replace_folder(view)
    shutil.rmtree(view / "usr/share/doc")
    (view / "usr/share/doc/deep").mkdir(parents=True)
    (view / "empty").rmdir()
    (view / "var/fifo").unlink()


def delete_everything(view: Path) -> None:
    for path in view.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


CHANGES = (
    nothing,
    edit,
    replace_folder,
    swap_kinds,
    link_new,
    change_folders,
    change_files,
    move_folders,
    replace_and_delete_again,
    delete_everything,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_new_tree_is_what_the_overlay_showed(
    place: Place, change: Callable[[Path], None]
) -> None:
    user, folder = place
    shown, folded, before, after = in_namespace(lambda: bake(folder, change), user=user)
    assert lines(folded) == lines(shown)
    assert after == before
    if change is not nothing:
        assert folded != before
    assert overlay_notes(folder / "new") == []


def lines(manifest: TreeManifest) -> list[str]:
    return [str(entry) for entry in manifest.entries]


def bake(
    folder: Path, change: Callable[[Path], None]
) -> tuple[TreeManifest, TreeManifest, TreeManifest, TreeManifest]:
    lower = folder / "lower"
    make_lower(lower)
    before = read_tree(lower, epoch=LATE)
    with overlay(lower, folder / "up", folder / "work", folder / "view") as view:
        change(view)
        shown = read_tree(view, epoch=LATE)
    fold(lower, folder / "up", folder / "new")
    return shown, read_tree(folder / "new", epoch=LATE), before, read_tree(lower, epoch=LATE)


def overlay_notes(root: Path) -> list[str]:
    """Give what overlayfs has noted on files; only real root can see all of it."""
    paths = [Path(top, name) for top, folders, files in os.walk(root) for name in folders + files]
    return [
        f"{path}: {name}"
        for path in [root, *paths]
        for name in os.listxattr(path, follow_symlinks=False)
        if "overlay" in name
    ]


def test_unchanged_files_are_shared_and_folders_are_not(place: Place) -> None:
    user, folder = place
    in_namespace(lambda: bake(folder, edit), user=user)
    for name in ("usr/bin/sh", "bin", "usr/share/doc/a"):
        assert (folder / "lower" / name).lstat().st_ino == (folder / "new" / name).lstat().st_ino
    assert (folder / "lower/etc/motd").stat().st_ino != (folder / "new/etc/motd").stat().st_ino
    assert (folder / "new/usr/bin/dash").samefile(folder / "new/usr/bin/sh")


def test_an_interrupted_mount_is_taken_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as it is mounted: else what is below could not be removed."""
    user, folder = place

    def interrupted(layers: Overlay, target: Path) -> None:
        mount_overlay(layers, target)
        os.kill(os.getpid(), signal.SIGINT)

    def work() -> bool:
        names = ("lower", "upper", "work", "view")
        (folder / "lower").mkdir()
        with contextlib.suppress(KeyboardInterrupt), overlay(*(folder / name for name in names)):
            return False
        return os.path.ismount(folder / "view")

    monkeypatch.setattr("builder.host.overlayfs.fold.mount_overlay", interrupted)
    assert in_namespace(work, user=user) is False


def test_hard_links_made_in_the_overlay_stay_hard_links(place: Place) -> None:
    user, folder = place

    def link(view: Path) -> None:
        link_new(view)
        os.link(view / "etc/motd", view / "etc/motd.link")

    in_namespace(lambda: bake(folder, link), user=user)
    assert (folder / "new/etc/one").samefile(folder / "new/srv/two")
    assert (folder / "new/etc/motd").samefile(folder / "new/etc/motd.link")


def test_odd_names_of_folders_can_be_mounted(place: Place) -> None:
    user, folder = place
    odd = folder / "a:b,c\\d e"
    in_namespace(lambda: bake(odd, edit), user=user)
    assert (odd / "new/etc/motd").read_text() == "etc/motd\nmore\n"


def test_stand_ins_are_seen_but_never_folded(place: Place) -> None:
    user, folder = place

    def work() -> tuple[int, str, os.stat_result]:
        lower = folder / "lower"
        make_lower(lower)
        (lower / "usr/bin").chmod(0o751)
        os.utime(lower / "usr/bin", (123, 123))
        script = b"#!/bin/sh\nexit 101\n"
        over = stand_ins.lay(lower, folder / "over", {"usr/bin/sh": script, "nowhere/x": script})
        with overlay(lower, folder / "up", folder / "work", folder / "view", over=over) as view:
            seen = (view / "usr/bin/sh").read_text()
            mode = stat.S_IMODE((view / "usr/bin/sh").stat().st_mode)
            folder_seen = (view / "usr/bin").stat()
            (view / "usr/bin/new").write_text("x")
            assert not (view / "nowhere").exists()
        fold(lower, folder / "up", folder / "new")
        return mode, seen, folder_seen

    mode, seen, folder_seen = in_namespace(work, user=user)
    assert (mode, seen) == (0o755, "#!/bin/sh\nexit 101\n")
    assert (stat.S_IMODE(folder_seen.st_mode), folder_seen.st_mtime) == (0o751, 123)
    assert (folder / "new/usr/bin/sh").read_text() == "usr/bin/sh\n"
    assert (folder / "new/usr/bin/new").exists()
    assert stat.S_IMODE((folder / "new/usr/bin").stat().st_mode) == 0o751


def test_a_stand_in_does_not_hide_where_a_link_leads(tmp_path: Path) -> None:
    """Fedora's /usr/sbin is a link to /usr/bin."""
    lower = tmp_path / "lower"
    (lower / "usr/bin").mkdir(parents=True)
    (lower / "usr/sbin").symlink_to("bin")
    over = stand_ins.lay(
        lower, tmp_path / "over", {"usr/sbin/policy-rc.d": b"x", "usr/bin/y": b"y"}
    )
    assert not (over / "usr/sbin").exists()
    assert (over / "usr/bin/y").read_bytes() == b"y"


def test_a_mount_that_fails_says_what_to_do(place: Place) -> None:
    user, folder = place

    def work() -> None:
        make_lower(folder / "lower")
        # Upper and work folders must lie on one file system.
        (folder / "work").mkdir()
        mount("tmpfs", folder / "work", "tmpfs")
        with overlay(folder / "lower", folder / "up", folder / "work", folder / "view"):
            pass

    with pytest.raises(HostError) as caught:
        in_namespace(work, user=user)
    assert "cannot mount an overlay" in caught.value.problem
    assert caught.value.hint


def test_nothing_stays_mounted_when_the_work_fails(place: Place) -> None:
    user, folder = place

    def work() -> tuple[bool, str]:
        make_lower(folder / "lower")
        with (
            contextlib.suppress(KeyboardInterrupt),
            overlay(folder / "lower", folder / "up", folder / "work", folder / "view") as view,
        ):
            was_there = str(view) in Path("/proc/self/mountinfo").read_text()
            signal.raise_signal(signal.SIGINT)
        return was_there, Path("/proc/self/mountinfo").read_text()

    was_there, left = in_namespace(work, user=user)
    assert was_there
    assert str(folder) not in left
