"""What root inside puts in the way of those who copy out of its container."""

import os
import stat
from pathlib import Path

import pytest

from builder.runtime.lifecycle import create
from tests.support.containers.rig import Rig
from tests.support.faults.bounded import ends
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("root", "userns", "program:runc", "program:conmon")


@pytest.fixture
def source(rig: Rig) -> Rig:
    create.create(rig.places, rig.container())
    rig.own_file("srv/file").write_text("content\n")
    rig.own_file("srv/folder/file").write_text("content\n")
    return rig


def node(path: Path, minor: int) -> Path:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    return path


def test_devices_and_pipes_of_the_host_are_written_into(
    source: Rig, oven: Oven, tmp_path: Path
) -> None:
    """A copy to /dev/null and its like leaves them what they are."""
    null = node(tmp_path / "null", 3)
    ends(oven, "cp", "test:/srv/file", null)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert "no space left" in ends(oven, "cp", "test:/srv/file", node(tmp_path / "full", 7), code=3)
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    ends(oven, "cp", "test:/srv/file", tmp_path / "fifo")
    assert os.read(reader, 100) == b"content\n"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "fifo").lstat().st_mode)
    assert oven("cp", "test:/srv/file", "/dev/stdout").stdout == b"content\n"
    assert oven("cp", "test:/srv/file", "/dev/stderr").stderr == b"content\n"
    assert "not a regular file" in ends(oven, "cp", "test:/srv/folder", null, code=3)


def test_what_is_neither_file_nor_link_nor_folder_is_replaced_nowhere(
    source: Rig, oven: Oven, tmp_path: Path
) -> None:
    """Sockets and devices of the host stay, at the end of a copy and within it."""
    top = tmp_path / "srv"
    (top / "folder").mkdir(parents=True)
    os.mkfifo(top / "file")
    memory = node(top / "folder/file", 8)
    before = [path.lstat() for path in (top / "file", memory)]
    assert "is not replaced" in ends(oven, "cp", "test:/srv/file", memory, code=3)
    said = ends(oven, "cp", "test:/srv", tmp_path)
    assert said.count("left out `file`") == 2
    assert [path.lstat().st_ino for path in (top / "file", memory)] == [s.st_ino for s in before]
    said = ends(oven, "cp", top / "folder/file", "test:/dev", code=0)
    assert "left out `file`" in said


@pytest.mark.parametrize("what", ["srv/folder", "srv/folder/.", "srv/file"])
def test_a_link_that_a_copy_made_is_not_followed_by_the_next(
    source: Rig, oven: Oven, tmp_path: Path, what: str
) -> None:
    """A container does not choose where the host's root writes by what it once was copied as."""
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    source.own_file("srv/link").symlink_to(chosen)
    ends(oven, "cp", "test:/srv/link", tmp_path / "copy")
    assert (tmp_path / "copy").is_symlink()
    for form in ("copy", "copy/", "copy/."):
        said = ends(oven, "cp", f"test:/{what}", f"{tmp_path}/{form}", code=7)
        assert "is a link, which an earlier copy may have brought" in said
    ends(oven, "cp", "test:/srv/link", tmp_path / "copy")
    assert list(chosen.iterdir()) == []


def test_a_link_within_a_copy_is_not_followed_either(
    source: Rig, oven: Oven, tmp_path: Path
) -> None:
    """The same below the top: a file takes the link's place, a folder is left out and named."""
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/folder").symlink_to(chosen)
    (tmp_path / "srv/file").symlink_to(chosen / "file")
    said = ends(oven, "cp", "test:/srv", tmp_path)
    assert "left out `folder`" in said
    assert list(chosen.iterdir()) == []
    assert (tmp_path / "srv/file").read_text() == "content\n"
    assert not (tmp_path / "srv/file").is_symlink()
